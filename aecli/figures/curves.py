"""Numbers as curves."""

import math
from itertools import cycle
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from aecli.figures.axes import (
    BASELINES,
    HEIGHT,
    LABEL,
    MARKERS,
    TITLE,
    WIDTH,
    as_percent,
    axes_by_epoch,
    describe,
    first_labels,
    legend_above,
    legend_below,
    line,
    line_styles,
    round_ticks,
    set_ticks,
    ticks_apart,
)
from aecli.figures.theme import neutral, sequence

ROC_SIDE = 4.8  # inches
TRAIN: dict[str, Any] = {"linestyle": "--", "linewidth": 0.8, "marker": ".", "markersize": 2}
NEUTRAL_LINES = ("-", *BASELINES)
FAR = 50  # times as small an error is no longer shown
ASIDE = 1.04  # how far points at one place of a logarithmic axis are moved apart
MAX_MARKERS = 10  # on a curve, where more would hide it


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
    figure, losses, errors = axes_by_epoch(title)
    line(losses, train_loss, marker=".", label="train")
    line(losses, val_loss, marker=".", label="validation")
    line(errors, val_mse, marker=".", color="C1", label="validation")
    for style, (label, level) in zip(BASELINES, levels.items(), strict=False):
        errors.axhline(level, color=neutral(), linestyle=style, label=label)
    legend_above(losses, losses.lines)
    legend_above(errors, errors.lines)
    for axes in (losses, errors):
        set_ticks(axes.yaxis, round_ticks(*axes.get_ylim()))
    return figure


def study_losses(title: str, curves: list[Curve]) -> Figure:
    """Loss and mse of many runs by epoch, side by side, in a colour for each label."""
    figure, losses, errors = axes_by_epoch(title)
    labels = list(dict.fromkeys(curve.label for curve in curves))
    styles = dict(zip(labels, line_styles(len(labels)), strict=True))
    for curve in curves:
        style = {**styles[curve.label], "markevery": 1 + len(curve.mse) // MAX_MARKERS}
        line(losses, curve.train, color=style["color"], **TRAIN)
        line(losses, curve.validation, **style)
        line(errors, curve.mse, **style)
    train = Line2D([], [], color=neutral(), label="train", **TRAIN)
    legend_above(losses, [train, Line2D([], [], color=neutral(), label="validation")])
    lines = [Line2D([], [], label=label, **style) for label, style in styles.items()]
    legend_below(figure, first_labels(lines))
    for axes in (losses, errors):
        set_ticks(axes.yaxis, round_ticks(*axes.get_ylim()))
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
    describe(axes, "latent size", "test mse (pixels in [0, 1])")
    lines = [
        _family(axes, family, points, style)
        for (family, points), style in zip(
            families.items(), line_styles(len(families)), strict=True
        )
    ]
    pca = dict(sorted(pca.items()))
    baselines = [
        line(axes, pca, color=neutral(), linestyle="--", marker=".", label="PCA", zorder=1),
        axes.axhline(mean_image, color=neutral(), linestyle=":", label="mean image"),
    ]
    legend_below(figure, first_labels(lines) + baselines)
    _fit(axes, [point for points in families.values() for point in points], pca, mean_image)
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
    describe(axes, "labelled training images", "test accuracy")
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
    ticks = ticks_apart(counts, last / first)
    axes.set_xticks(ticks, [f"{count:,}" for count in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    legend_above(axes, axes.containers, columns=len(kinds))
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
        describe(axes, strength, "psnr (dB)" if axes is every_axes[0] else "")
        for marker, (name, points) in zip(cycle(MARKERS), curves.items(), strict=False):
            axes.plot(
                list(points), list(points.values()),
                marker=marker, markersize=4, label=name, **styles[name],
            )  # fmt: skip
    legend_below(figure, first_labels(list(every_axes[0].lines)))
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
    describe(axes, "normal images called anomalous", "anomalous images found")
    colours = [sequence(2)[0], *(neutral() for _ in curves)]
    for colour, style, (label, shares) in zip(
        colours, ("-", *BASELINES), curves.items(), strict=False
    ):
        axes.plot([0, *rates], [0, *shares], color=colour, linestyle=style, label=label)
    axes.plot([rate], [found], "o", color=colours[0], markersize=6, label="at the threshold")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    for axis in (axes.xaxis, axes.yaxis):
        as_percent(axis)
    axes.legend(fontsize=LABEL, frameon=False, loc="lower right")
    return figure


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
    set_ticks(axes.xaxis, ticks_apart(latents + seen, last / first))
    set_ticks(axes.yaxis, round_ticks(low, high))
