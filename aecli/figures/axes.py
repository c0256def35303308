"""Shared parts of charts: axes, ticks, line styles and legends."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from aecli.figures import text
from aecli.figures.theme import RGBA, categories, inked, sequence

TITLE, LABEL = 10, 8  # font sizes, in points
WIDTH, HEIGHT = 9.0, 3.6  # inches, without the legend below
MAX_LABEL_WIDTH = 2.6  # inches; longer ones are wrapped
MAX_LABELS = 20  # in a legend
HANDLE_INCHES = 0.55  # in a legend: the line before a label and the gap after it
LABEL_GAP = 0.1  # inches between tick labels
AXIS_INCHES = 1.0  # inches of a figure's width outside the plot area

INK = 0.6  # share of it in the colour of the smallest size of a family

LOSS, MSE = "loss (model units)", "mse (pixels in [0, 1])"

BASELINES = ("--", ":", "-.")
MARKERS = "osD^vPX<>*"


def axes_by_epoch(title: str, quantities: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """A figure with axes side by side, one for each quantity."""
    figure = Figure((WIDTH, HEIGHT), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=TITLE)
    every_axes = [*figure.subplots(1, len(quantities), squeeze=False)[0]]
    for axes, quantity in zip(every_axes, quantities, strict=True):
        label_axes(axes, "epoch", quantity)
        axes.set_yscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    return figure, every_axes


def label_axes(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=LABEL + 1)
    axes.set_ylabel(y, fontsize=LABEL + 1)
    axes.tick_params(labelsize=LABEL)
    axes.grid(alpha=0.3)


def line(axes: Axes, values: dict[int, float], **style: Any) -> Line2D:
    (line,) = axes.plot(list(values), list(values.values()), **style)
    return line


def line_styles(colours: Sequence[RGBA]) -> list[dict[str, Any]]:
    """Styles in these colours, with markers that differ where colours are close."""
    return [
        {"color": colour, "marker": marker, "markersize": 4, "linewidth": 1.2}
        for colour, marker in zip(colours, cycle(MARKERS), strict=False)
    ]


def colours_by_family(families: Sequence[str]) -> list[RGBA]:
    """A colour for each member of a family, the members of each in the order of their sizes.

    Families are unordered and differ by hue; sizes are ordered, from the text's colour to bright.
    The sizes of a single family have the whole range of `sequence`.
    """
    names = list(dict.fromkeys(families))
    if len(names) == 1:
        return sequence(len(families))
    hues = dict(zip(names, categories(len(names)), strict=True))
    seen: Counter[str] = Counter()
    colours = []
    for name in families:
        seen[name] += 1
        last = families.count(name)
        share = 0.0 if last == 1 else INK * (last - seen[name]) / (last - 1)
        colours.append(inked(hues[name], share))
    return colours


def spaced_ticks(sizes: list[int], span: float) -> list[int]:
    """The `sizes` whose labels do not touch, on an axis whose end is `span` times its start.

    Earlier sizes take precedence.
    """
    inches = {size: text.width(str(size), LABEL) for size in sizes}
    scale = (WIDTH - AXIS_INCHES) / math.log(span)
    kept: list[int] = []
    for size in sizes:
        if all(
            abs(math.log(size / other)) * scale > (inches[size] + inches[other]) / 2 + LABEL_GAP
            for other in kept
        ):
            kept.append(size)
    return sorted(kept)


def round_ticks(low: float, high: float) -> list[float]:
    """Round ticks for a logarithmic axis, several of them even if it spans little."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 5, 7)):
        ticks = [digit * 10.0**power for power in powers for digit in digits]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) >= 4:
            return inside
    linear = MaxNLocator(8, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(tick) for tick in linear if low <= tick <= high]


def set_ticks(axis: Axis, ticks: Sequence[float]) -> None:
    """Set only these ticks, labelled as plain numbers: 0.00005 and not 5e-5."""
    labels = [np.format_float_positional(float(f"{tick:.6g}"), trim="-") for tick in ticks]
    axis.set_ticks(ticks, labels)
    axis.set_minor_locator(NullLocator())


def as_percent(axis: Axis) -> None:
    axis.set_major_formatter(lambda share, _: f"{100 * share:g} %")


def legend_above(axes: Axes, lines: Iterable[Any], columns: int = 2) -> None:
    axes.legend(
        handles=list(lines),
        fontsize=LABEL,
        frameon=False,
        ncols=columns,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
    )


def truncated_legend(lines: list[Line2D]) -> list[Line2D]:
    """The first MAX_LABELS lines, and an entry that counts the others."""
    others = len(lines) - MAX_LABELS
    if others <= 0:
        return lines
    entry = Line2D([], [], linestyle="none", label=f"... and {others} more")
    return [*lines[:MAX_LABELS], entry]


def legend_below(figure: Figure, lines: list[Line2D]) -> None:
    """Add a legend under the axes and make the figure taller for it."""
    labels = [text.wrapped(str(line.get_label()), MAX_LABEL_WIDTH, LABEL) for line in lines]
    column = max(text.width(label, LABEL) for label in labels) + HANDLE_INCHES
    legend = figure.legend(
        lines,
        labels,
        loc="outside lower center",
        ncols=max(1, min(len(lines), int(WIDTH / column))),
        fontsize=LABEL,
        frameon=False,
    )
    text.take_literally(figure)
    pixels = legend.get_window_extent(FigureCanvasAgg(figure).get_renderer()).height
    figure.set_figheight(figure.get_figheight() + pixels / figure.dpi)
