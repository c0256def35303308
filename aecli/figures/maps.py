"""Latent spaces as maps: codes as points, and what is decoded from a plane of codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from aecli.figures import text
from aecli.figures.axes import HANDLE_INCHES, LABEL, MAX_LABEL_WIDTH, MAX_LABELS, TITLE
from aecli.figures.output import as_image
from aecli.figures.theme import RGBA, categories

if TYPE_CHECKING:  # a figure of numbers does not wait for torch
    from torch import Tensor

# All in inches.
SIDE = 6.4  # of a map
MARGIN = 0.1  # of a title

# Area of a point in squared font points: of few points, of many, and in between of all together.
MAX_POINT, MIN_POINT, INK = 20, 4, 20_000


class Direction(NamedTuple):
    """One direction of a map."""

    label: str
    has_unit: bool = True
    """Or its numbers mean nothing, and none are shown."""


Points = NDArray[np.float64]
"""(K, 2): to the right, and upwards."""


def scatter_map(
    title: str, directions: tuple[Direction, Direction], classes: dict[str, Points]
) -> Figure:
    """Points in a colour for each class, to the same scale in both directions.

    Args:
        title: over the map.
        directions: to the right, and upwards.
        classes: name -> its points. A single class needs no legend, and of more than MAX_LABELS
            a reader could not tell the colours apart.
    """
    figure, axes = _axes(title, 1)
    colours = categories(len(classes))
    _scatter(axes, list(classes.values()), colours)
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    _describe(axes, directions[0].label, directions[1].label)
    for axis, direction in zip((axes.xaxis, axes.yaxis), directions, strict=True):
        if not direction.has_unit:
            axis.set_ticks([])
    if 1 < len(classes) <= MAX_LABELS:
        _legend(figure, list(classes), colours)
    return figure


def image_plane(title: str, x: list[float], y: list[float], images: Tensor) -> Figure:
    """An image at each point of a plane of codes.

    Args:
        title: over the plane.
        x, y: the two numbers of the codes, rising, in equal steps.
        images: (len(y), len(x), C, H, W) in [0, 1], the first row with the smallest y.
    """
    rows, columns, channels, height, width = images.shape
    sheet = images.flip(0).permute(2, 0, 3, 1, 4).reshape(channels, rows * height, columns * width)
    figure, axes = _axes(title, sheet.shape[1] / sheet.shape[2])
    extent = (*_edges(x), *_edges(y))
    axes.imshow(as_image(sheet).convert("RGB"), interpolation="nearest", extent=extent)
    axes.set_aspect("auto")
    axes.set_box_aspect(sheet.shape[1] / sheet.shape[2])
    _describe(axes, "code 1", "code 2")
    return figure


def _axes(title: str, shape: float) -> tuple[Figure, Axes]:
    """A figure without a legend, `shape` times as high as wide."""
    figure = Figure((SIDE, SIDE * shape), dpi=100, layout="constrained")
    figure.suptitle(text.wrapped(title, SIDE - 2 * MARGIN, TITLE), fontsize=TITLE)
    return figure, figure.add_subplot()


def _scatter(axes: Axes, classes: list[Points], colours: list[RGBA]) -> None:
    """The points of all classes mixed, or those of the last would hide the others."""
    points = np.concatenate(classes)
    of_each = np.repeat(np.array(colours), [len(each) for each in classes], axis=0)
    order = np.random.default_rng(0).permutation(len(points))
    area = min(MAX_POINT, max(MIN_POINT, INK / len(points)))
    x, y = points[order].T
    axes.scatter(x, y, s=area, c=of_each[order], alpha=0.8, linewidths=0)


def _edges(centres: list[float]) -> tuple[float, float]:
    """Where the first of some images begins and the last one ends."""
    half = (centres[-1] - centres[0]) / (len(centres) - 1) / 2
    return centres[0] - half, centres[-1] + half


def _describe(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=LABEL + 1)
    axes.set_ylabel(y, fontsize=LABEL + 1)
    axes.tick_params(labelsize=LABEL)


def _legend(figure: Figure, names: list[str], colours: list[RGBA]) -> None:
    """The classes beside the map, for which the figure becomes wider."""
    labels = [text.wrapped(name, MAX_LABEL_WIDTH, LABEL) for name in names]
    widest = max(text.width(label, LABEL) for label in labels)
    figure.set_figwidth(figure.get_figwidth() + widest + HANDLE_INCHES)
    dots = [
        Line2D([], [], linestyle="none", marker="o", markersize=6, color=colour)
        for colour in colours
    ]
    legend = figure.legend(
        dots, [" "] * len(names), loc="outside right center", fontsize=LABEL, frameon=False
    )
    for shown, label in zip(legend.get_texts(), labels, strict=True):
        shown.set_text(label)  # afterwards: matplotlib 3.9 leaves out what begins with _
