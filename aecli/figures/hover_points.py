"""The points of a chart with their values, for pages that show them under the pointer."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

MAX_HOVER_POINTS = 300  # in a figure; more could not be pointed at


class HoverPoint(NamedTuple):
    """A point of a chart."""

    left: float
    """Fraction of the figure's width."""
    top: float
    """Fraction of the figure's height."""
    text: str


def hover_points(figure: Figure) -> list[HoverPoint]:
    """Every visible point of the labelled lines of a figure that has been drawn or saved.

    If there are very many, only evenly spaced ones.
    """
    found = [
        point
        for axes in figure.axes
        for line in axes.lines
        # A line across the chart has no points of its own, and matplotlib hides labels with _.
        if line.get_transform() == axes.transData and not str(line.get_label()).startswith("_")
        for point in _on_line(figure, axes, line)
    ]
    return found[:: 1 + len(found) // (MAX_HOVER_POINTS + 1)]


def _on_line(figure: Figure, axes: Axes, line: Line2D) -> list[HoverPoint]:
    points = np.asarray(line.get_xydata(), dtype=float)
    places = axes.transData.transform(points)
    width, height = figure.bbox.size
    return [
        HoverPoint(float(x / width), float(1 - y / height), _text(axes, line, *point))
        for point, (x, y) in zip(points.tolist(), places, strict=True)
        if np.isfinite((x, y)).all() and axes.bbox.contains(x, y)
    ]


def _text(axes: Axes, line: Line2D, x: float, y: float) -> str:
    """As in `fc, latent 5 · epoch 3: 0.04123`; rows that have no quantity are left out."""
    place = f" · {axes.get_xlabel()} {x:.4g}: {y:.4g}" if axes.get_ylabel() else f": {x:.4g}"
    return f"{line.get_label()}{place}"
