"""Grids of images in labelled rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from aecli.figures import text
from aecli.figures.theme import ERROR_COLOURS, paper

if TYPE_CHECKING:  # a chart of numbers need not wait for torch
    from torch import Tensor

GAP = 1  # pixels of background around each image
TITLE, HEADING, LABEL, CAPTION = 10, 9, 8, 7  # font sizes, in points

# All in inches.
WIDTH = 9.0  # of a figure, unless its images would be too small to see
HEIGHT = 10.0  # of the stacked images, with the same exception
MAX_IMAGE, MIN_IMAGE = 0.6, 0.25
MAX_LABEL_WIDTH = 1.6  # longer ones are wrapped
MIN_TITLE_WIDTH = 3.0  # longer ones are wrapped unless the images are wider
MIN_PANEL_WIDTH = 1.2  # so that a heading over a single image is not one word per line
MARGIN = 0.1
PANEL_GAP = 0.2
SCALE_STEPS = 5  # of an error scale
LABEL_GAP, CAPTION_GAP = 0.05, 0.03


class Row(NamedTuple):
    """One row of a grid of images."""

    label: str
    images: Tensor  # (N, C, H, W) in [0, 1]
    is_error: bool = False
    """Magnitudes rather than a picture: drawn with a colour map."""
    captions: Sequence[str] = ()
    """A few characters above each image."""


def image_grid(title: str, rows: list[Row]) -> Figure:
    """Images in labelled rows, all pixels of the same size."""
    return panels(title, {"": rows})


def error_scale(label: str, like: Tensor, largest: float = 1.0) -> Row:
    """A scale for the colours of errors: uniform images of the size of `like` (N, C, H, W), from no
    error to the largest, each with its value."""
    levels = [step / (SCALE_STEPS - 1) for step in range(SCALE_STEPS)]
    areas = like.new_tensor(levels).reshape(-1, 1, 1, 1).expand(-1, *like.shape[1:])
    captions = [f"{level * largest:.2g}" for level in levels]
    return Row(label, areas, is_error=True, captions=captions)


class _Block(NamedTuple):
    """One panel, ready to be drawn into a figure."""

    heading: str
    rows: list[Row]
    pixels: NDArray[np.float32]  # (H, W, 3)
    width: float  # inches


def panels(title: str, panels: dict[str, list[Row]]) -> Figure:
    """Grids of images side by side, all pixels of the same size.

    Args:
        title: over all panels.
        panels: heading -> rows, the same number in each panel, of images of one shape. The labels
            are those of the first panel.
    """
    grids = list(panels.values())
    labels = [text.wrapped(row.label, MAX_LABEL_WIDTH, LABEL) for row in grids[0]]
    left = max(text.width(label, LABEL) for label in labels) + 2 * MARGIN
    gaps = PANEL_GAP * (len(grids) - 1)
    scale = _inches_per_pixel(grids, WIDTH - left - gaps - MARGIN)
    spaces = _row_spaces(grids, labels, scale)
    blocks = [_make_block(heading, rows, spaces, scale) for heading, rows in panels.items()]
    overhang = (text.height(labels[-1], LABEL) - _tile_shape(grids[0])[0] * scale) / 2
    below = MARGIN + max(0.0, overhang)

    figure = _sheet(title, blocks, left, below, scale)
    x = left
    for block in blocks:
        _draw(figure, block, spaces, x, below, scale)
        x += block.width + PANEL_GAP
    middle = (_tile_shape(grids[0])[0] - 1) / 2
    figure.axes[0].set_yticks([top + middle for top in _row_tops(grids[0], spaces)], labels)
    return figure


def _sheet(title: str, blocks: list[_Block], left: float, below: float, scale: float) -> Figure:
    """A figure with its title, and with room for everything else."""
    width = sum(block.width for block in blocks) + PANEL_GAP * (len(blocks) - 1)
    title = text.wrapped(title, max(width, MIN_TITLE_WIDTH), TITLE)
    width = left + max(width, text.width(title, TITLE)) + MARGIN
    headings = max(text.height(block.heading, HEADING) for block in blocks)
    above = MARGIN + text.height(title, TITLE) + MARGIN
    if headings:
        above += headings + MARGIN
    height = above + len(blocks[0].pixels) * scale + below
    figure = Figure((width, height), dpi=100)
    figure.suptitle(title, fontsize=TITLE, x=left / width, ha="left", y=1 - MARGIN / height)
    return figure


def _inches_per_pixel(grids: list[list[Row]], room: float) -> float:
    """The largest scale at which all panels fit into `room` inches, within the image limits.

    No image is narrower than a caption.
    """
    height, width = _tile_shape(grids[0])
    columns = sum(_columns(rows) for rows in grids)
    largest_fit = min(room / (columns * width), HEIGHT / (len(grids[0]) * height))
    captions = {each for rows in grids for row in rows for each in row.captions}
    caption = max((text.width(each, CAPTION) for each in captions), default=0.0)
    smallest, largest = (side / max(height, width) for side in (MIN_IMAGE, MAX_IMAGE))
    return max(min(largest_fit, largest), smallest, (caption + CAPTION_GAP) / width)


def _tile_shape(rows: list[Row]) -> tuple[int, int]:
    """Height and width of an image with its gaps, in pixels."""
    height, width = rows[0].images.shape[2:]
    return height + 2 * GAP, width + 2 * GAP


def _columns(rows: list[Row]) -> int:
    return max(len(row.images) for row in rows)


def _row_spaces(grids: list[list[Row]], labels: list[str], scale: float) -> list[int]:
    """Pixels above each row: for its captions, and to keep tall labels apart."""
    image = _tile_shape(grids[0])[0] * scale
    heights = [text.height(label, LABEL) + LABEL_GAP for label in labels]
    captioned = [any(row.captions for row in rows) for rows in zip(*grids, strict=True)]
    inches = [
        max((above + below) / 2 - image, text.height("0", CAPTION) * has_captions)
        for above, below, has_captions in zip([image, *heights], heights, captioned, strict=False)
    ]
    return [max(0, math.ceil(each / scale)) for each in inches]


def _row_tops(rows: list[Row], spaces: list[int]) -> list[int]:
    """The first line of pixels of each row, below its space."""
    height, _ = _tile_shape(rows)
    return [sum(spaces[: number + 1]) + number * height for number in range(len(rows))]


def _make_block(heading: str, rows: list[Row], spaces: list[int], scale: float) -> _Block:
    height, width = _tile_shape(rows)
    pixels = np.empty((sum(spaces) + len(rows) * height, _columns(rows) * width, 3), np.float32)
    pixels[:] = paper()
    for row, top in zip(rows, _row_tops(rows, spaces), strict=True):
        strip = _strip(_colour_mapped(row.images) if row.is_error else _rgb(row.images))
        pixels[top : top + height, : strip.shape[1]] = strip
    room = max(pixels.shape[1] * scale, MIN_PANEL_WIDTH)
    heading = text.wrapped(heading, room, HEADING)
    return _Block(heading, rows, pixels, max(pixels.shape[1] * scale, text.width(heading, HEADING)))


def _draw(
    figure: Figure, block: _Block, spaces: list[int], left: float, below: float, scale: float
) -> None:
    """Draw the images, heading and captions of one panel; `left` and `below` in inches."""
    rows, columns = block.pixels.shape[:2]
    size = figure.get_size_inches()
    corner, extent = (left, below) / size, (columns * scale, rows * scale) / size
    axes = figure.add_axes((*corner, *extent))
    axes.imshow(block.pixels, interpolation="nearest", aspect="auto")
    axes.set_title(block.heading, fontsize=HEADING, loc="left")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.tick_params(length=0, labelsize=LABEL)
    axes.spines[:].set_visible(False)
    _, width = _tile_shape(block.rows)
    for row, top in zip(block.rows, _row_tops(block.rows, spaces), strict=True):
        for number, caption in enumerate(row.captions):
            centre = (number + 0.5) * width - 0.5
            axes.text(centre, top, caption, fontsize=CAPTION, ha="center", va="bottom")


def _rgb(images: Tensor) -> NDArray[np.float32]:
    """Pixels (N, C, H, W) -> (N, H, W, 3): the first three channels, or the first one as grey."""
    colours = images[:, :3] if images.shape[1] >= 3 else images[:, :1].expand(-1, 3, -1, -1)
    array: NDArray[np.float32] = colours.permute(0, 2, 3, 1).cpu().numpy()
    return array


def _colour_mapped(images: Tensor) -> NDArray[np.float32]:
    """Magnitudes (N, C, H, W) in [0, 1] -> (N, H, W, 3): channel means through a colour map."""
    colormap = matplotlib.colormaps[ERROR_COLOURS]
    array: NDArray[np.float32] = colormap(images.mean(1).cpu().numpy())[..., :3].astype(np.float32)
    return array


def _strip(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, H, W, 3) -> one row of images with a gap around each."""
    count, height, width, _ = images.shape
    tiles = np.empty((count, height + 2 * GAP, width + 2 * GAP, 3), np.float32)
    tiles[:] = paper()
    tiles[:, GAP:-GAP, GAP:-GAP] = images
    return np.concatenate(list(tiles), axis=1)
