"""Paths drawn over a map, with names at their ends that do not overlap."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke
from matplotlib.transforms import Bbox, BboxBase
from numpy.typing import NDArray

from aecli.figures import text
from aecli.figures.axes import LABEL
from aecli.figures.theme import ink, paper

# All in points.
RING = 6  # diameter of the first and the last point
BESIDE = 6  # from the middle of a point to its name
LINES_AWAY = (0.6, 0, 1.6, 2.6)  # of text, up or down to a name, in the order of preference


class LabelledPath(NamedTuple):
    """A path over a map, from a ring to a disc."""

    points: NDArray[np.float64]  # (S, 2), S at least 2
    start: str
    """Name of the first point."""
    end: str
    """Name of the last point."""


class _End(NamedTuple):
    """One end of a path."""

    place: NDArray[np.float64]
    inner: NDArray[np.float64]
    """The next point."""
    name: str


def draw_paths(figure: Figure, axes: Axes, paths: Sequence[LabelledPath]) -> None:
    """Draw each path with a dot at each step, and name its ends."""
    outline = [Stroke(linewidth=3, foreground=paper()), Normal()]
    for points, _, _ in paths:
        axes.plot(
            *points.T, "-", marker=".", markersize=4, linewidth=1, color=ink(),
            path_effects=outline, zorder=3,
        )  # fmt: skip
    for place, colour in ((0, paper()), (-1, ink())):
        for path in paths:
            axes.plot(
                *path.points[place], "o", markersize=RING, markeredgecolor=ink(),
                markerfacecolor=colour, zorder=4,
            )  # fmt: skip
    figure.draw_without_rendering()  # the positions of the points are known from here on
    ends = [
        end
        for points, start, goal in paths
        for end in (_End(points[0], points[1], start), _End(points[-1], points[-2], goal))
    ]
    taken = [_square(axes, end.place) for end in ends]
    frame = _in_points(axes, axes.bbox)
    for end in ends:
        # If it is crowded, the place where the name overlaps fewest others and is within the map.
        box, offset, side = min(
            _boxes(axes, end),
            key=lambda each: (
                sum(each[0].overlaps(other) for other in taken) + (not _is_in(each[0], frame))
            ),
        )
        taken.append(box)
        axes.annotate(
            end.name, end.place.tolist(), offset, textcoords="offset points", fontsize=LABEL,
            ha=side, va="center", path_effects=outline, zorder=5,
        )  # fmt: skip


def _square(axes: Axes, place: NDArray[np.float64]) -> Bbox:
    """The square around a ring, in points of the figure."""
    x, y = _points(axes, place)
    return Bbox.from_bounds(x - RING / 2, y - RING / 2, RING, RING)


def _boxes(axes: Axes, end: _End) -> Iterator[tuple[Bbox, tuple[float, float], str]]:
    """Possible places of a name, the best first: its box in points of the figure, its offset from
    the end of the path, and its horizontal alignment.

    The best places are on the side away from the path.
    """
    x, y = _points(axes, end.place)
    height = text.height(end.name, LABEL) * text.POINTS_PER_INCH
    width = text.width(end.name, LABEL) * text.POINTS_PER_INCH
    right, up = (1 if ahead <= 0 else -1 for ahead in end.inner - end.place)
    for lines in LINES_AWAY:
        for sideways, upwards in ((right, up), (-right, up), (right, -up), (-right, -up)):
            offset = sideways * BESIDE, upwards * lines * height
            left = x + offset[0] - width * (sideways < 0)
            bottom = y + offset[1] - height / 2
            side = "left" if sideways > 0 else "right"
            yield Bbox.from_bounds(left, bottom, width, height), offset, side


def _points(axes: Axes, place: NDArray[np.float64]) -> tuple[float, float]:
    """A position on the map in points of the figure."""
    x, y = axes.transData.transform(place) * text.POINTS_PER_INCH / axes.figure.dpi
    return float(x), float(y)


def _in_points(axes: Axes, pixels: BboxBase) -> Bbox:
    return Bbox(pixels.get_points() * text.POINTS_PER_INCH / axes.figure.dpi)


def _is_in(box: Bbox, frame: Bbox) -> bool:
    return bool(np.all(box.min >= frame.min) and np.all(box.max <= frame.max))
