"""Several quantities by latent size, side by side."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from aecli.figures.axes import (
    TITLE,
    WIDTH,
    label_axes,
    legend_below,
    line_styles,
    round_ticks,
    set_ticks,
    spaced_ticks,
)
from aecli.figures.curves import Point, plot_family
from aecli.figures.theme import categories, neutral

HEIGHT = 3.6  # inches
MARGIN = 1.3  # factor beyond the first and the last size


class Quantity(NamedTuple):
    """The content of a panel."""

    name: str
    families: dict[str, list[Point]]
    """Label -> points by increasing latent size, with means above 0."""
    reference: float | None = None
    """A reference value, drawn as a horizontal line; None for none."""


def quantities_by_latent(
    title: str, quantities: Sequence[Quantity], reference_label: str
) -> Figure:
    """A panel for each quantity, on logarithmic scales; a family has one colour in all of them."""
    labels = list(dict.fromkeys(name for each in quantities for name in each.families))
    styles = dict(zip(labels, line_styles(categories(len(labels))), strict=True))
    figure = Figure((WIDTH, HEIGHT), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=TITLE)
    lines: dict[str, Line2D] = {}
    for axes, quantity in zip(
        figure.subplots(1, len(quantities), squeeze=False)[0], quantities, strict=True
    ):
        axes.set(xscale="log", yscale="log")
        label_axes(axes, "latent size", quantity.name)
        for label, points in quantity.families.items():
            lines.setdefault(label, plot_family(axes, label, points, styles[label]))
        points = [point for family in quantity.families.values() for point in family]
        ends = [p.mean + sign * (p.std or 0) for p in points for sign in (-1, 0, 1)]
        if quantity.reference is not None:
            lines[reference_label] = axes.axhline(
                quantity.reference, color=neutral(), linestyle=":", label=reference_label
            )
            ends.append(quantity.reference)
        positive = [end for end in ends if end > 0]
        low, high = min(positive) / 1.2, max(positive) * 1.2
        axes.set_ylim(low, high)
        set_ticks(axes.yaxis, round_ticks(low, high))
        sizes = sorted({point.latent for point in points})
        axes.set_xlim(sizes[0] / MARGIN, sizes[-1] * MARGIN)
        ticks = spaced_ticks(sizes, sizes[-1] / sizes[0] * MARGIN**2)
        axes.set_xticks(ticks, [f"{size:,}" for size in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
    legend_below(figure, list(lines.values()))
    return figure
