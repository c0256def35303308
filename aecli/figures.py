"""Tensors and numbers as pictures: every function returns a figure of its own."""

from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from numpy.typing import NDArray
from torch import Tensor

GAP = 1  # pixels of white around each image of a grid
INCHES_PER_IMAGE = 0.6
LABEL_INCHES = 1.5
TITLE_INCHES = 0.3


def save(figure: Figure, path: Path) -> None:
    """Write `figure` as PNG and as SVG: `path` without a suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for suffix, dpi in ((".png", 200), (".svg", 100)):
        figure.savefig(path.with_suffix(suffix), dpi=dpi)


def to_array(figure: Figure) -> NDArray[np.uint8]:
    """`figure` as pixels (height, width, 3)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


class Row(NamedTuple):
    """One row of a grid of images."""

    label: str
    images: Tensor  # (N, C, H, W) in [0, 1]
    is_error: bool = False
    """Magnitudes rather than a picture: shown by a scale of colours."""


def image_grid(title: str, rows: list[Row]) -> Figure:
    """Images in labelled rows, as many in each, every pixel as large as every other."""
    strips = [_strip(_coloured(r.images) if r.is_error else _rgb(r.images)) for r in rows]
    grid = np.concatenate(strips)
    height, width = (INCHES_PER_IMAGE / max(rows[0].images.shape[2:]) * n for n in grid.shape[:2])
    figure = Figure((LABEL_INCHES + width + 0.1, TITLE_INCHES + height + 0.1), dpi=100)
    left, bottom = LABEL_INCHES / figure.get_figwidth(), 0.1 / figure.get_figheight()
    axes = figure.add_axes(
        (left, bottom, width / figure.get_figwidth(), height / figure.get_figheight())
    )
    axes.imshow(grid, interpolation="nearest", aspect="auto")
    row_height = len(grid) / len(rows)
    axes.set_xticks([])
    axes.set_yticks(
        [row_height * (number + 0.5) for number in range(len(rows))],
        [row.label for row in rows],
    )
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    figure.suptitle(title, fontsize=9, x=left, ha="left", y=1 - 0.08 / figure.get_figheight())
    return figure


def _rgb(images: Tensor) -> NDArray[np.float32]:
    """Pixels (N, C, H, W) -> (N, H, W, 3): the first three channels, or the first one as grey."""
    colours = images[:, :3] if images.shape[1] >= 3 else images[:, :1].expand(-1, 3, -1, -1)
    array: NDArray[np.float32] = colours.permute(0, 2, 3, 1).cpu().numpy()
    return array


def _coloured(images: Tensor) -> NDArray[np.float32]:
    """Magnitudes (N, C, H, W) in [0, 1], averaged over the channels -> (N, H, W, 3)."""
    scale = matplotlib.colormaps["magma"]
    array: NDArray[np.float32] = scale(images.mean(1).cpu().numpy())[..., :3].astype(np.float32)
    return array


def _strip(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, H, W, 3) -> one row of images with gaps around them."""
    padded = np.pad(images, ((0, 0), (GAP, GAP), (GAP, GAP), (0, 0)), constant_values=1.0)
    return np.concatenate(list(padded), axis=1)


def loss_figure(
    title: str,
    train_loss: dict[int, float],
    val_loss: dict[int, float],
    val_mse: dict[int, float],
    levels: dict[str, float],
) -> Figure:
    """Loss and mse by epoch, side by side.

    Args:
        title: over both.
        train_loss, val_loss: epoch -> loss, in the units the model is trained in.
        val_mse: epoch -> mse of the validation images, in pixel units.
        levels: label -> mse of a baseline, drawn as a horizontal line.
    """
    figure = Figure(figsize=(9, 3.6), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=10)
    left, right = figure.subplots(1, 2)
    left.plot(list(train_loss), list(train_loss.values()), ".-", label="train")
    left.plot(list(val_loss), list(val_loss.values()), ".-", label="validation")
    left.set_ylabel("loss (mean squared error, model units)")
    right.plot(list(val_mse), list(val_mse.values()), ".-", color="C1", label="validation")
    for style, (label, level) in zip(("--", ":", "-."), levels.items(), strict=False):
        right.axhline(level, color="0.35", linestyle=style, label=label)
    right.set_ylabel("mse (pixels in [0, 1])")
    for axes in (left, right):
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(LogLocator(subs=(2, 3, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.tick_params(which="both", labelsize=8)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3, which="both")
        axes.legend(
            fontsize=8, frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0)
        )
    return figure
