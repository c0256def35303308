"""Charts of accuracies with their intervals."""

from collections.abc import Mapping
from itertools import cycle
from typing import Any

from matplotlib.figure import Figure

from aecli.figures.axes import (
    BASELINES,
    HEIGHT,
    MARKERS,
    TITLE,
    WIDTH,
    as_percent,
    label_axes,
    legend_below,
)
from aecli.figures.bars import Interval
from aecli.figures.theme import categories, neutral

Points = Mapping[float, Interval]


def accuracy_by_strength(
    title: str, charts: Mapping[str, Mapping[str, Points]], subjects: list[str]
) -> Figure:
    """Charts side by side, with one curve per system and its intervals.

    Args:
        title: over all charts.
        charts: label of the strength -> system -> strength -> accuracy; a chart need not have all
            systems, and the first has the most.
        subjects: the curves that are the subject of the charts; the others are neutral.
    """
    figure = Figure((WIDTH, HEIGHT), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=TITLE)
    names = list(dict.fromkeys(name for curves in charts.values() for name in curves))
    colours = dict(zip(subjects, categories(len(subjects)), strict=True))
    lines = cycle(("-", *BASELINES))
    styles: dict[str, dict[str, Any]] = {}
    for name, marker in zip(names, cycle(MARKERS), strict=False):
        look = {"color": colours.get(name, neutral()), "marker": marker, "label": name}
        styles[name] = {**look, "linestyle": "-" if name in colours else next(lines)}
    drawn: dict[str, Any] = {}
    every_axes = figure.subplots(1, len(charts), sharey=True, squeeze=False)[0]
    for axes, (strength, curves) in zip(every_axes, charts.items(), strict=True):
        label_axes(axes, strength, "accuracy" if axes is every_axes[0] else "")
        for name, points in curves.items():
            values = [value for value, _, _ in points.values()]
            sides = [
                [value - low for value, low, _ in points.values()],
                [high - value for value, _, high in points.values()],
            ]
            drawn[name] = axes.errorbar(
                list(points), values, sides, markersize=4, linewidth=1.2, capsize=2, **styles[name]
            )
        axes.set_ylim(-0.02, 1.02)
        as_percent(axes.yaxis)
    legend_below(figure, [drawn[name] for name in names])
    return figure
