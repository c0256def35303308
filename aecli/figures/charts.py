"""Numbers as curves."""

import math
from collections.abc import Iterable, Sequence
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from aecli.figures import text
from aecli.figures.theme import neutral, sequence

TITLE, LABEL = 10, 8  # font sizes, in points
WIDTH, HEIGHT = 9.0, 3.6  # inches, without a legend below
LONGEST_LABEL = 2.6  # inches; longer ones are broken into lines
MOST_LABELS = 20  # in a legend
HANDLE_INCHES = 0.55  # of a legend, for the line before a label and the gap behind it
LABEL_GAP = 0.1  # inches between the labels of ticks
BAR = 0.16  # inches for each bar of a group
ROW = 0.3  # inches for each row of a chart that has a row for each label
ROC_SIDE = 4.8  # inches
AXIS_INCHES = 1.0  # what of a figure's width is not the chart's own

TRAIN: dict[str, Any] = {"linestyle": "--", "linewidth": 0.8, "marker": ".", "markersize": 2}
BASELINES = ("--", ":", "-.")
NEUTRAL_LINES = ("-", *BASELINES)
FAR = 50  # times as small an error is no longer shown
MARKERS = "osD^vPX<>*"
ASIDE = 1.04  # how far points at one place of a logarithmic axis are moved apart
MOST_MARKERS = 10  # on a curve, where more would hide it


class Curve(NamedTuple):
    """What was measured while one run was trained."""

    label: str
    """Curves that share it differ by their seed alone, and share a colour."""
    train: dict[int, float]
    """Epoch -> loss, in the units the model is trained in."""
    validation: dict[int, float]
    """Epoch -> loss, in the units the model is trained in."""
    mse: dict[int, float]
    """Epoch -> mse of the validation images, in pixel units."""


class Point(NamedTuple):
    """The error of one setting."""

    latent: int
    mean: float
    std: float | None
    """Over the seeds; None with one."""


class Accuracy(NamedTuple):
    """The share of images that are given their class, by a classifier that saw some labels."""

    labels: int
    """Images whose class it was told."""
    mean: float
    std: float | None
    """Over several sets of them; None with one."""


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
    figure, losses, errors = _axes_by_epoch(title)
    _line(losses, train_loss, marker=".", label="train")
    _line(losses, val_loss, marker=".", label="validation")
    _line(errors, val_mse, marker=".", color="C1", label="validation")
    for style, (label, level) in zip(BASELINES, levels.items(), strict=False):
        errors.axhline(level, color=neutral(), linestyle=style, label=label)
    _legend_above(losses, losses.lines)
    _legend_above(errors, errors.lines)
    for axes in (losses, errors):
        _tick(axes.yaxis, _round_numbers(*axes.get_ylim()))
    return figure


def study_losses(title: str, curves: list[Curve]) -> Figure:
    """Loss and mse of many runs by epoch, side by side, in a colour for each label."""
    figure, losses, errors = _axes_by_epoch(title)
    labels = list(dict.fromkeys(curve.label for curve in curves))
    styles = dict(zip(labels, _styles(len(labels)), strict=True))
    for curve in curves:
        style = {**styles[curve.label], "markevery": 1 + len(curve.mse) // MOST_MARKERS}
        _line(losses, curve.train, color=style["color"], **TRAIN)
        _line(losses, curve.validation, **style)
        _line(errors, curve.mse, **style)
    train = Line2D([], [], color=neutral(), label="train", **TRAIN)
    _legend_above(losses, [train, Line2D([], [], color=neutral(), label="validation")])
    lines = [Line2D([], [], label=label, **style) for label, style in styles.items()]
    _legend_below(figure, _first(lines))
    for axes in (losses, errors):
        _tick(axes.yaxis, _round_numbers(*axes.get_ylim()))
    return figure


def error_by_latent(
    title: str, families: dict[str, list[Point]], pca: dict[int, float], mean_image: float
) -> Figure:
    """Test mse by latent size, beside what PCA and the mean image reach.

    Args:
        title: over the chart.
        families: label -> points by rising latent size, at least one.
        pca: latent size -> mse. The curve leaves the chart below half of what is compared.
        mean_image: mse, drawn as a horizontal line.
    """
    figure = Figure((WIDTH, 4.2), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=TITLE)
    axes = figure.add_subplot(xscale="log", yscale="log")
    _describe(axes, "latent size", "test mse (pixels in [0, 1])")
    lines = [
        _family(axes, family, points, style)
        for (family, points), style in zip(families.items(), _styles(len(families)), strict=True)
    ]
    pca = dict(sorted(pca.items()))
    baselines = [
        _line(axes, pca, color=neutral(), linestyle="--", marker=".", label="PCA", zorder=1),
        axes.axhline(mean_image, color=neutral(), linestyle=":", label="mean image"),
    ]
    _legend_below(figure, _first(lines) + baselines)
    _fit(axes, [point for points in families.values() for point in points], pca, mean_image)
    return figure


def grouped_bars(title: str, quantity: str, groups: dict[str, dict[str, float]]) -> Figure:
    """A group of bars for each row, all of them from zero.

    Args:
        title: over the chart.
        quantity: what the length of a bar shows.
        groups: label of the row -> label of the bar -> its length; the same bars in every group.
    """
    labels = list(next(iter(groups.values())))
    thickness = 0.8 / len(labels)
    inches = max(ROW, BAR * len(labels)) * len(groups)
    figure = Figure((WIDTH, 1.4 + inches), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=TITLE)
    axes = figure.add_subplot()
    _describe(axes, quantity, "")
    # The first is what the chart is about, the others are what it is held against.
    colours = [sequence(2)[0], *(neutral() for _ in labels[1:])]
    for number, (label, colour) in enumerate(zip(labels, colours, strict=True)):
        offset = (number - (len(labels) - 1) / 2) * thickness
        places = [row + offset for row in range(len(groups))]
        lengths = [bars[label] for bars in groups.values()]
        axes.barh(places, lengths, thickness * 0.9, color=colour, label=label)
    axes.set_yticks(range(len(groups)), list(groups), fontsize=LABEL)
    axes.set_ylim(len(groups) - 0.5, -0.5)  # the first on top
    axes.grid(visible=False, axis="y")
    axes.set_axisbelow(True)
    _legend_above(axes, axes.containers)
    return figure


def accuracy_by_labels(title: str, kinds: dict[str, list[Accuracy]]) -> Figure:
    """A line for each kind of feature, over a logarithmic scale of labels.

    Args:
        title: over the chart.
        kinds: what is classified -> points by rising numbers of labels, the same for every kind.
            The first is what the chart is about.
    """
    figure = Figure((WIDTH, HEIGHT), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=TITLE)
    axes = figure.add_subplot(xscale="log")
    _describe(axes, "labelled training images", "test accuracy")
    colours = [sequence(2)[0], *(neutral() for _ in kinds)]
    looks = zip(colours, ("-", *BASELINES), MARKERS, strict=False)
    for number, ((label, points), look) in enumerate(zip(kinds.items(), looks, strict=False)):
        colour, style, marker = look
        aside = ASIDE ** (number - (len(kinds) - 1) / 2)
        labels = [point.labels * aside for point in points]
        stds = [math.nan if point.std is None else point.std for point in points]
        axes.errorbar(
            labels, [point.mean for point in points], stds, color=colour, linestyle=style,
            linewidth=1.2, marker=marker, markersize=4, capsize=3, label=label,
        )  # fmt: skip
    counts = [point.labels for point in next(iter(kinds.values()))]
    first, last = min(counts) / 1.2, max(counts) * 1.2
    axes.set_xlim(first, last)
    ticks = _apart(counts, last / first)
    axes.set_xticks(ticks, [f"{count:,}" for count in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    _legend_above(axes, axes.containers, columns=len(kinds))
    return figure


def psnr_by_strength(
    title: str, charts: dict[str, dict[str, dict[float, float]]], models: list[str]
) -> Figure:
    """Charts beside each other, each with a curve for everything that was done to noisy images.

    Args:
        title: over all of them.
        charts: what the strength is -> what was done -> strength -> psnr in dB; the same curves in
            every chart.
        models: those of the curves that the charts are about; the others are neutral.
    """
    figure = Figure((WIDTH, HEIGHT), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=TITLE)
    names = list(next(iter(charts.values())))
    colours = dict(zip(models, sequence(len(models) + 1), strict=False))
    others = zip((name for name in names if name not in colours), NEUTRAL_LINES, strict=False)
    styles: dict[str, dict[str, Any]] = {
        **{name: {"color": colours[name], "linewidth": 1.6} for name in colours},
        **{name: {"color": neutral(), "linestyle": line} for name, line in others},
    }
    every_axes = figure.subplots(1, len(charts), sharey=True, squeeze=False)[0]
    for axes, (strength, curves) in zip(every_axes, charts.items(), strict=True):
        _describe(axes, strength, "psnr (dB)" if axes is every_axes[0] else "")
        for marker, (name, points) in zip(cycle(MARKERS), curves.items(), strict=False):
            axes.plot(
                list(points), list(points.values()),
                marker=marker, markersize=4, label=name, **styles[name],
            )  # fmt: skip
    _legend_below(figure, _first(list(every_axes[0].lines)))
    return figure


def score_by_family(
    title: str, quantity: str, families: dict[str, list[Point]], level: float, level_label: str
) -> Figure:
    """A row for each family with a dot for each of its latent sizes, on a logarithmic scale.

    Args:
        title: over the chart.
        quantity: what the scale shows.
        families: label -> points by rising latent size, their means above 0.
        level: what the points are held against, drawn as a vertical line; none where it is 0.
        level_label: what it is called.
    """
    labels = [text.wrapped(family, LONGEST_LABEL, LABEL) for family in families]
    heights = [max(ROW, text.height(label, LABEL) + LABEL_GAP) for label in labels]
    figure = Figure((WIDTH, 1.3 + sum(heights)), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=TITLE)
    axes = figure.add_subplot(xscale="log")
    _describe(axes, quantity, "")
    latents = sorted({point.latent for points in families.values() for point in points})
    lines = [
        Line2D([], [], label=f"latent {latent}", linestyle="none", **style)
        for latent, style in zip(latents, _styles(len(latents)), strict=True)
    ]
    middles = [sum(heights[:row]) + height / 2 for row, height in enumerate(heights)]
    for middle, points in zip(middles, families.values(), strict=True):
        for point in points:
            style = lines[latents.index(point.latent)]
            axes.errorbar(
                point.mean, middle, xerr=point.std, color=style.get_color(),
                marker=style.get_marker(), markersize=6, capsize=3,
            )  # fmt: skip
    axes.set_yticks(middles, labels, fontsize=LABEL)
    axes.set_ylim(sum(heights), 0)  # the first on top
    if level > 0:
        line = axes.axvline(level, color=neutral(), linestyle=":", label=level_label)
        lines.append(line)
    values = [point.mean for points in families.values() for point in points] + [level]
    low, high = min(value for value in values if value > 0) / 1.5, max(values) * 1.5
    axes.set_xlim(low, high)
    _tick(axes.xaxis, _round_numbers(low, high))
    _legend_below(figure, _first(lines))
    return figure


def error_histogram(
    title: str, edges: list[float], groups: dict[str, list[float]], level: float, level_label: str
) -> Figure:
    """How many images have which error, on a logarithmic scale of errors.

    Args:
        title: over the chart.
        edges: mse between which images are counted, rising, above 0.
        groups: what images -> the share of them between each two neighbouring edges.
        level: a threshold, drawn as a vertical line.
        level_label: what it is called.
    """
    figure = Figure((WIDTH, HEIGHT), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=TITLE)
    axes = figure.add_subplot(xscale="log")
    _describe(axes, "mse of an image (pixels in [0, 1])", "share of the images")
    handles: list[Any] = [
        axes.stairs(shares, edges, fill=True, alpha=0.5, color=colour, label=label)
        for colour, (label, shares) in zip(sequence(len(groups)), groups.items(), strict=True)
    ]
    line = axes.axvline(level, color=neutral(), linestyle="--", linewidth=1, label=level_label)
    low, high = min(edges[0], level) / 1.1, max(edges[-1], level) * 1.1
    axes.set_xlim(low, high)
    _tick(axes.xaxis, _round_numbers(low, high))
    _as_percent(axes.yaxis)
    axes.set_axisbelow(True)
    _legend_above(axes, [*handles, line], columns=3)
    return figure


def roc_curves(
    title: str, rates: list[float], curves: dict[str, list[float]], rate: float, found: float
) -> Figure:
    """What is found against what is falsely called so, from no threshold to every threshold.

    Args:
        title: over the chart.
        rates: shares of the normal images that are called anomalous, rising from 0 to 1.
        curves: what scores them -> the share of the anomalous images that is found at each rate.
            The first is what the chart is about.
        rate, found: the same two for a threshold that somebody has chosen for the first.
    """
    figure = Figure((ROC_SIDE, ROC_SIDE), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=TITLE)
    axes = figure.add_subplot(aspect="equal")
    _describe(axes, "normal images called anomalous", "anomalous images found")
    colours = [sequence(2)[0], *(neutral() for _ in curves)]
    for colour, style, (label, shares) in zip(
        colours, ("-", *BASELINES), curves.items(), strict=False
    ):
        axes.plot([0, *rates], [0, *shares], color=colour, linestyle=style, label=label)
    axes.plot([rate], [found], "o", color=colours[0], markersize=6, label="at the threshold")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    for axis in (axes.xaxis, axes.yaxis):
        _as_percent(axis)
    axes.legend(fontsize=LABEL, frameon=False, loc="lower right")
    return figure


def _axes_by_epoch(title: str) -> tuple[Figure, Axes, Axes]:
    """A figure with room for losses on the left and for mse on the right."""
    figure = Figure((WIDTH, HEIGHT), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=TITLE)
    losses, errors = figure.subplots(1, 2)
    _describe(losses, "epoch", "loss (mean squared error, model units)")
    _describe(errors, "epoch", "validation mse (pixels in [0, 1])")
    for axes in (losses, errors):
        axes.set_yscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    return figure, losses, errors


def _describe(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=LABEL + 1)
    axes.set_ylabel(y, fontsize=LABEL + 1)
    axes.tick_params(labelsize=LABEL)
    axes.grid(alpha=0.3)


def _line(axes: Axes, values: dict[int, float], **style: Any) -> Line2D:
    (line,) = axes.plot(list(values), list(values.values()), **style)
    return line


def _styles(count: int) -> list[dict[str, Any]]:
    """How lines are told apart: by colour, and by marker where colours are close."""
    looks = zip(sequence(count), cycle(MARKERS), strict=False)
    return [
        {"color": colour, "marker": marker, "markersize": 4, "linewidth": 1.2}
        for colour, marker in looks
    ]


def _family(axes: Axes, label: str, points: list[Point], style: dict[str, Any]) -> Line2D:
    """A line through the means, with a bar where several seeds were measured."""
    for point in points:
        if point.std is not None:
            axes.errorbar(point.latent, point.mean, point.std, color=style["color"], capsize=3)
    latents, means = [point.latent for point in points], [point.mean for point in points]
    (line,) = axes.plot(latents, means, label=label, **style)
    return line


def _fit(axes: Axes, points: list[Point], pca: dict[int, float], mean_image: float) -> None:
    """Limits and ticks by the families, and by as much of PCA's curve as is near them."""
    lowest = min((point.mean for point in points if point.mean > 0), default=mean_image)
    # PCA at the networks' own sizes is what they are held against: it stays, unless it is exact.
    rivals = [pca.get(point.latent, 0) for point in points]
    lowest = min([lowest, *(mse for mse in rivals if mse > lowest / FAR)])
    ends = [point.mean + sign * (point.std or 0) for point in points for sign in (-1, 1)]
    values = [value for value in (*ends, *pca.values(), mean_image) if value > 0]
    low, high = max(lowest / 2, 0.9 * min(values)), 1.1 * max(values)
    latents = sorted(point.latent for point in points)
    seen = [size for size, mse in pca.items() if mse >= low]
    first, last = min(latents + seen) / 1.2, max(latents + seen) * 1.2
    axes.set_xlim(first, last)
    axes.set_ylim(low, high)
    _tick(axes.xaxis, _apart(latents + seen, last / first))
    _tick(axes.yaxis, _round_numbers(low, high))


def _apart(sizes: list[int], span: float) -> list[int]:
    """Those of `sizes` whose labels do not touch, on an axis whose end is `span` times its start.

    What comes first has the right of way.
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


def _round_numbers(low: float, high: float) -> list[float]:
    """Ticks for a logarithmic axis, several of them however little it spans."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 5, 7)):
        ticks = [digit * 10.0**power for power in powers for digit in digits]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) >= 4:
            return inside
    evenly = MaxNLocator(8, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(tick) for tick in evenly if low <= tick <= high]


def _tick(axis: Axis, ticks: Sequence[float]) -> None:
    """Ticks at `ticks` and nowhere else, as plain numbers: 0.00005 and not 5e-5."""
    labels = [np.format_float_positional(float(f"{tick:.6g}"), trim="-") for tick in ticks]
    axis.set_ticks(ticks, labels)
    axis.set_minor_locator(NullLocator())


def _as_percent(axis: Axis) -> None:
    axis.set_major_formatter(lambda share, _: f"{100 * share:g} %")


def _legend_above(axes: Axes, lines: Iterable[Any], columns: int = 2) -> None:
    axes.legend(
        handles=list(lines),
        fontsize=LABEL,
        frameon=False,
        ncols=columns,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
    )


def _first(lines: list[Line2D]) -> list[Line2D]:
    """As many as a reader can tell apart, and a word on the others."""
    others = len(lines) - MOST_LABELS
    if others <= 0:
        return lines
    word = Line2D([], [], linestyle="none", label=f"... and {others} more")
    return [*lines[:MOST_LABELS], word]


def _legend_below(figure: Figure, lines: list[Line2D]) -> None:
    """A legend under the axes, for which the figure becomes taller."""
    labels = [text.wrapped(str(line.get_label()), LONGEST_LABEL, LABEL) for line in lines]
    column = max(text.width(label, LABEL) for label in labels) + HANDLE_INCHES
    legend = figure.legend(
        lines,
        labels,
        loc="outside lower center",
        ncols=max(1, min(len(lines), int(WIDTH / column))),
        fontsize=LABEL,
        frameon=False,
    )
    pixels = legend.get_window_extent(FigureCanvasAgg(figure).get_renderer()).height
    figure.set_figheight(figure.get_figheight() + pixels / figure.dpi)
