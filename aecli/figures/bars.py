"""Bar charts, dot plots and histograms."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from aecli.figures import text
from aecli.figures.axes import (
    HEIGHT,
    LABEL,
    LABEL_GAP,
    MAX_LABEL_WIDTH,
    TITLE,
    WIDTH,
    as_percent,
    label_axes,
    legend_above,
    legend_below,
    line_styles,
    round_ticks,
    set_ticks,
    truncated_legend,
)
from aecli.figures.curves import Point
from aecli.figures.theme import categories, neutral, sequence

Interval = tuple[float, float, float]
"""A value, and the lower and the upper bound of its interval."""

BAR, DOT = 0.16, 0.14  # inches per bar of a group, and per dot
ROW = 0.3  # inches per row of a chart with one row per label


def grouped_bars(title: str, quantity: str, groups: list[tuple[str, dict[str, float]]]) -> Figure:
    """One group of horizontal bars per row, all starting at zero.

    Args:
        title: of the chart.
        quantity: the quantity that the bars show.
        groups: the label of each row, with bar label -> length; the same bars in every group.
    """
    labels = list(groups[0][1])
    thickness = 0.8 / len(labels)
    inches = max(ROW, BAR * len(labels)) * len(groups)
    figure = Figure((WIDTH, 1.4 + inches), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=TITLE)
    axes = figure.add_subplot()
    label_axes(axes, quantity, "")
    # The first bar is the subject of the chart, the others are for comparison.
    colours = [categories(1)[0], *(neutral() for _ in labels[1:])]
    for number, (label, colour) in enumerate(zip(labels, colours, strict=True)):
        offset = (number - (len(labels) - 1) / 2) * thickness
        positions = [row + offset for row in range(len(groups))]
        lengths = [bars[label] for _, bars in groups]
        drawn = axes.barh(positions, lengths, thickness * 0.9, color=colour, label=label)
        axes.bar_label(
            drawn, [f"{length:.3g}" for length in lengths], padding=3, fontsize=LABEL - 1
        )
    axes.margins(x=0.1)  # room for the longest bar's number
    axes.set_yticks(range(len(groups)), [row for row, _ in groups], fontsize=LABEL)
    axes.set_ylim(len(groups) - 0.5, -0.5)  # the first on top
    axes.grid(visible=False, axis="y")
    axes.set_axisbelow(True)
    legend_above(axes, axes.containers)
    return figure


def interval_dots(
    title: str,
    quantity: str,
    rows: Mapping[str, Mapping[str, Interval]],
    reference: float,
    reference_label: str,
) -> Figure:
    """One row per label with a dot and an interval for each of its values.

    Args:
        title: of the chart.
        quantity: the quantity that the dots show.
        rows: label -> name of each value -> the value with its bounds; the same names in each row.
        reference: a value, drawn as a vertical line.
        reference_label: its label.
    """
    names = list(next(iter(rows.values())))
    figure = Figure((WIDTH, 1.4 + len(rows) * max(ROW, DOT * (len(names) + 1))), dpi=100)
    figure.set_layout_engine("constrained")
    figure.suptitle(title, fontsize=TITLE)
    axes = figure.add_subplot()
    label_axes(axes, quantity, "")
    spacing = 1 / (len(names) + 1)
    handles: list[Any] = []
    for number, style in enumerate(line_styles(categories(len(names)))):
        offset = (number - (len(names) - 1) / 2) * spacing
        values = [row[names[number]] for row in rows.values()]
        sides = [[v - low for v, low, _ in values], [high - v for v, _, high in values]]
        handles.append(
            axes.errorbar(
                [value for value, _, _ in values], [row + offset for row in range(len(rows))],
                xerr=sides, linestyle="none", color=style["color"], marker=style["marker"],
                markersize=6, capsize=3, label=names[number],
            )
        )  # fmt: skip
    handles.append(axes.axvline(reference, color=neutral(), linestyle=":", label=reference_label))
    axes.set_yticks(range(len(rows)), list(rows), fontsize=LABEL)
    axes.set_ylim(len(rows) - 0.5, -0.5)  # the first on top
    axes.grid(visible=False, axis="y")
    legend_below(figure, handles)
    return figure


def score_by_family(
    title: str,
    quantity: str,
    families: dict[str, list[Point]],
    reference: float,
    reference_label: str,
) -> Figure:
    """One row per family with a dot for each of its latent sizes, on a logarithmic scale.

    Args:
        title: of the chart.
        quantity: the quantity on the scale.
        families: label -> points by increasing latent size, with means above 0.
        reference: a value, drawn as a vertical line unless it is 0.
        reference_label: its label.
    """
    labels = [text.wrapped(family, MAX_LABEL_WIDTH, LABEL) for family in families]
    heights = [max(ROW, text.height(label, LABEL) + LABEL_GAP) for label in labels]
    figure = Figure((WIDTH, 1.3 + sum(heights)), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=TITLE)
    axes = figure.add_subplot(xscale="log")
    label_axes(axes, quantity, "")
    latents = sorted({point.latent for points in families.values() for point in points})
    lines = [
        Line2D([], [], label=f"latent {latent}", linestyle="none", **style)
        for latent, style in zip(latents, line_styles(sequence(len(latents))), strict=True)
    ]
    middles = [sum(heights[:row]) + height / 2 for row, height in enumerate(heights)]
    for middle, (family, points) in zip(middles, families.items(), strict=True):
        for point in points:
            style = lines[latents.index(point.latent)]
            dot, *_ = axes.errorbar(
                point.mean, middle, xerr=point.std, color=style.get_color(),
                marker=style.get_marker(), markersize=6, capsize=3,
            )  # fmt: skip
            dot.set_label(f"{family}, latent {point.latent}")
    axes.set_yticks(middles, labels, fontsize=LABEL)
    axes.set_ylim(sum(heights), 0)  # the first on top
    if reference > 0:
        line = axes.axvline(reference, color=neutral(), linestyle=":", label=reference_label)
        lines.append(line)
    values = [point.mean for points in families.values() for point in points] + [reference]
    low, high = min(value for value in values if value > 0) / 1.5, max(values) * 1.5
    axes.set_xlim(low, high)
    set_ticks(axes.xaxis, round_ticks(low, high))
    legend_below(figure, truncated_legend(lines))
    return figure


def error_histogram(
    title: str,
    edges: list[float],
    groups: dict[str, list[float]],
    threshold: float,
    threshold_label: str,
) -> Figure:
    """A histogram of the error per image, on a logarithmic scale.

    Args:
        title: of the chart.
        edges: bin edges in mse, increasing, above 0.
        groups: label of the images -> the share of them in each bin.
        threshold: a value, drawn as a vertical line.
        threshold_label: its label.
    """
    figure = Figure((WIDTH, HEIGHT), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=TITLE)
    axes = figure.add_subplot(xscale="log")
    label_axes(axes, "mse per image (pixels in [0, 1])", "share of images")
    handles: list[Any] = [
        axes.stairs(shares, edges, fill=True, alpha=0.5, color=colour, label=label)
        for colour, (label, shares) in zip(categories(len(groups)), groups.items(), strict=True)
    ]
    line = axes.axvline(
        threshold, color=neutral(), linestyle="--", linewidth=1, label=threshold_label
    )
    low, high = min(edges[0], threshold) / 1.1, max(edges[-1], threshold) * 1.1
    axes.set_xlim(low, high)
    set_ticks(axes.xaxis, round_ticks(low, high))
    as_percent(axes.yaxis)
    axes.set_axisbelow(True)
    legend_above(axes, [*handles, line], columns=3)
    return figure
