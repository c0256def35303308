"""Pictures of several sizes side by side, on the same scale."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from aecli.figures import text

TITLE, HEADING = 10, 8  # font sizes, in points

# All in inches.
WIDTH = 9.0
MAX_PICTURE = 3.0  # the longer side of the largest
MIN_COLUMN = 0.9  # so that a heading over a narrow picture is not one word per line
MARGIN, GAP, LINE_GAP, HEADING_GAP = 0.15, 0.15, 0.15, 0.05


class CaptionedImage(NamedTuple):
    """A picture under a heading."""

    heading: str
    pixels: NDArray[Any]  # (channels, height, width) in [0, 1]


def enlargements(title: str, lines: Sequence[Sequence[CaptionedImage]]) -> Figure:
    """Rows of pictures whose pixels all have the same size, so that larger pictures look larger."""
    scale = _inches_per_pixel(lines)
    title = text.wrapped(title, WIDTH, TITLE)
    headings = [
        [text.wrapped(each.heading, _column(each, scale), HEADING) for each in line]
        for line in lines
    ]
    above = [max(text.height(each, HEADING) for each in line) + HEADING_GAP for line in headings]
    heights = [max(each.pixels.shape[1] for each in line) * scale for line in lines]
    widths = [sum(_column(each, scale) + GAP for each in line) - GAP for line in lines]
    width = max(*widths, text.width(title, TITLE)) + 2 * MARGIN
    top = 2 * MARGIN + text.height(title, TITLE)
    height = top + sum(above) + sum(heights) + LINE_GAP * (len(lines) - 1) + MARGIN
    figure = Figure((width, height), dpi=100)
    figure.suptitle(title, fontsize=TITLE, x=MARGIN / width, ha="left", y=1 - MARGIN / height)
    for line, names, space, tall in zip(lines, headings, above, heights, strict=True):
        left, top = MARGIN, top + space
        for each, name in zip(line, names, strict=True):
            _draw(figure, each._replace(heading=name), (left, top), scale)
            left += _column(each, scale) + GAP
        top += tall + LINE_GAP
    return figure


def _inches_per_pixel(lines: Sequence[Sequence[CaptionedImage]]) -> float:
    """The largest scale at which every line fits, and the largest picture is not too large."""
    longest = max(max(each.pixels.shape[1:]) for line in lines for each in line)
    room = min(
        (WIDTH - GAP * (len(line) - 1)) / sum(each.pixels.shape[2] for each in line)
        for line in lines
    )
    return float(min(MAX_PICTURE / longest, room))


def _column(shown: CaptionedImage, scale: float) -> float:
    return float(max(shown.pixels.shape[2] * scale, MIN_COLUMN))


def _draw(figure: Figure, shown: CaptionedImage, corner: tuple[float, float], scale: float) -> None:
    """Draw a picture; `corner` is its upper left one, in inches from that of the figure."""
    size = figure.get_size_inches()
    channels, rows, columns = shown.pixels.shape
    height, width = rows * scale, columns * scale
    left, top = corner
    axes = figure.add_axes(
        (left / size[0], (size[1] - top - height) / size[1], width / size[0], height / size[1])
    )
    pixels = np.broadcast_to(shown.pixels, (3, rows, columns)) if channels == 1 else shown.pixels
    axes.imshow(pixels.transpose(1, 2, 0), interpolation="nearest", aspect="auto")
    axes.set_title(
        shown.heading, fontsize=HEADING, loc="left", pad=HEADING_GAP * text.POINTS_PER_INCH
    )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
