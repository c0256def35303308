"""Tensors and numbers as pictures: every function returns a figure of its own."""

from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

GAP = 2  # pixels of background between the images of a grid
INCHES_PER_IMAGE = 0.62
BACKGROUND = 1.0


def save(figure: Figure, path: Path) -> None:
    """Write `figure` as PNG and as SVG: `path` without a suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for suffix, dpi in ((".png", 200), (".svg", 100)):
        figure.savefig(path.with_suffix(suffix), dpi=dpi, metadata=None)


def to_array(figure: Figure) -> NDArray[np.uint8]:
    """`figure` as pixels (height, width, 3)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def reconstruction_figure(title: str, rows: dict[str, Tensor]) -> Figure:
    """Images in labelled rows; a row whose label ends in "error" is coloured by a scale.

    Args:
        title: over the picture.
        rows: label -> pixels (N, C, H, W) in [0, 1], the same N for all.
    """
    strips = [
        _strip(_coloured(images) if label.endswith("error") else _rgb(images))
        for label, images in rows.items()
    ]
    grid = np.concatenate(strips)
    row_height = grid.shape[0] / len(rows)
    columns = len(next(iter(rows.values())))
    figure = Figure(
        figsize=(INCHES_PER_IMAGE * columns + 1.3, INCHES_PER_IMAGE * len(rows) + 0.45),
        dpi=100,
        layout="constrained",
    )
    axes = figure.add_subplot()
    axes.imshow(grid, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([row_height * (row + 0.5) for row in range(len(rows))], list(rows))
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=9)
    return figure


def _rgb(images: Tensor) -> NDArray[np.float32]:
    """Pixels (N, C, H, W) -> (N, H, W, 3); one channel is shown grey, more than three by three."""
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
    padded = np.pad(images, ((0, 0), (GAP, GAP), (GAP, GAP), (0, 0)), constant_values=BACKGROUND)
    return np.concatenate(list(padded), axis=1)


def absolute_error(output: Tensor, target: Tensor) -> Tensor:
    """What an "absolute error" row shows, (N, C, H, W)."""
    return torch.abs(output - target)


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
        axes.yaxis.set_minor_formatter(axes.yaxis.get_major_formatter())
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3, which="both")
        axes.legend(frameon=False, fontsize=8)
    return figure
