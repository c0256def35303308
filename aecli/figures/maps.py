"""Maps of latent spaces: codes as points, and images decoded from a plane of codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from numpy.typing import NDArray

from aecli.figures import text
from aecli.figures.axes import HANDLE_INCHES, LABEL, MAX_LABEL_WIDTH, MAX_LABELS, TITLE
from aecli.figures.output import as_image
from aecli.figures.paths import LabelledPath, draw_paths
from aecli.figures.theme import RGBA, categories, paper

if TYPE_CHECKING:  # a chart of numbers need not wait for torch
    from torch import Tensor

# All in inches.
SIDE = 6.4  # the width of a map
MARGIN = 0.1  # on each side of a title

MIN_ASPECT = 0.6  # of height to width, or of width to height; the points fill the rest

MAX_NAME = 16  # characters of a name in the map; the legend has all of them

# Area of a point in squared font points: the limits, and the total of all points in between.
MAX_POINT, MIN_POINT, INK = 20, 4, 20_000
CLEAR, FAINT = 0.8, 0.5  # opacity of points, alone and under lines


class Direction(NamedTuple):
    """One axis of a map."""

    label: str
    has_unit: bool = True
    """Whether its numbers have a meaning; otherwise none are shown."""


Points = NDArray[np.float64]
"""(K, 2): x and y."""


def scatter_map(
    title: str,
    directions: tuple[Direction, Direction],
    classes: dict[str, Points],
    paths: Sequence[LabelledPath] = (),
) -> Figure:
    """A scatter plot with one colour per class and the same scale in both directions.

    Args:
        title: of the map.
        directions: x and y.
        classes: name -> its points. There is no legend for a single class, which needs none, or
            for more than MAX_LABELS, whose colours could not be told apart.
        paths: paths over the points; with them, the classes are named only in the legend.
    """
    every = np.concatenate([*classes.values(), *(path.points for path in paths)])
    width, height = np.ptp(every, axis=0)
    aspect = float(np.clip(height / width, MIN_ASPECT, 1 / MIN_ASPECT)) if width else 1.0
    figure, axes = _axes(title, aspect)
    colours = categories(len(classes))
    _scatter(axes, list(classes.values()), colours, FAINT if paths else CLEAR)
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    _label_axes(axes, directions[0].label, directions[1].label)
    for axis, direction in zip((axes.xaxis, axes.yaxis), directions, strict=True):
        if not direction.has_unit:
            axis.set_ticks([])
    if 1 < len(classes) <= MAX_LABELS:
        _legend(figure, list(classes), colours)
        if not paths:
            _name_clusters(axes, classes)
    if paths:
        draw_paths(figure, axes, paths)
    return figure


def image_plane(title: str, x: list[float], y: list[float], images: Tensor) -> Figure:
    """An image at each point of a plane of codes.

    Args:
        title: of the figure.
        x, y: the two values of the codes, increasing in equal steps.
        images: (len(y), len(x), C, H, W) in [0, 1], the first row with the smallest y.
    """
    rows, columns, channels, height, width = images.shape
    sheet = images.flip(0).permute(2, 0, 3, 1, 4).reshape(channels, rows * height, columns * width)
    figure, axes = _axes(title, sheet.shape[1] / sheet.shape[2])
    extent = (*_edges(x), *_edges(y))
    axes.imshow(as_image(sheet).convert("RGB"), interpolation="nearest", extent=extent)
    axes.set_aspect("auto")
    axes.set_box_aspect(sheet.shape[1] / sheet.shape[2])
    _label_axes(axes, "code 1", "code 2")
    return figure


def _axes(title: str, aspect: float) -> tuple[Figure, Axes]:
    """A figure without a legend, `aspect` times as high as wide."""
    figure = Figure((SIDE, SIDE * aspect), dpi=100, layout="constrained")
    figure.suptitle(text.wrapped(title, SIDE - 2 * MARGIN, TITLE), fontsize=TITLE)
    return figure, figure.add_subplot()


def _scatter(axes: Axes, classes: list[Points], colours: list[RGBA], opacity: float) -> None:
    """Draw all points in random order, so that the last class does not hide the others."""
    points = np.concatenate(classes)
    point_colours = np.repeat(np.array(colours), [len(each) for each in classes], axis=0)
    order = np.random.default_rng(0).permutation(len(points))
    area = min(MAX_POINT, max(MIN_POINT, INK / len(points)))
    x, y = points[order].T
    axes.scatter(x, y, s=area, c=point_colours[order], alpha=opacity, linewidths=0)


def _edges(centres: list[float]) -> tuple[float, float]:
    """Where the first image begins and the last one ends."""
    half = (centres[-1] - centres[0]) / (len(centres) - 1) / 2
    return centres[0] - half, centres[-1] + half


def _label_axes(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=LABEL + 1)
    axes.set_ylabel(y, fontsize=LABEL + 1)
    axes.tick_params(labelsize=LABEL)


def _name_clusters(axes: Axes, classes: dict[str, Points]) -> None:
    """Write the name of each class over the middle of its points."""
    outline = [Stroke(linewidth=3, foreground=paper()), Normal()]
    for name, points in classes.items():
        x, y = np.median(points, axis=0)
        name = name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 3]}..."
        axes.text(
            x, y, name, fontsize=LABEL + 2, fontweight="bold",
            ha="center", va="center", path_effects=outline,
        )  # fmt: skip


def _legend(figure: Figure, names: list[str], colours: list[RGBA]) -> None:
    """Add a legend next to the map and make the figure wider for it."""
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
        shown.set_text(label)  # set last: matplotlib 3.9 leaves out labels that begin with _
