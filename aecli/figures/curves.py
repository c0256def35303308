"""Line charts."""

import math
from collections import defaultdict
from itertools import cycle, islice
from statistics import fmean, stdev
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from aecli.figures import text
from aecli.figures.axes import (
    BASELINES,
    HEIGHT,
    LABEL,
    LOSS,
    MARKERS,
    MAX_LABELS,
    MSE,
    TITLE,
    WIDTH,
    as_percent,
    axes_by_epoch,
    colours_by_family,
    label_axes,
    legend_above,
    legend_below,
    line,
    line_styles,
    round_ticks,
    set_ticks,
    spaced_ticks,
    truncated_legend,
)
from aecli.figures.one_epoch import bars_of_one_epoch
from aecli.figures.theme import categories, neutral

ROC_SIDE = 4.8  # inches
TRAIN: dict[str, Any] = {"linestyle": "--", "linewidth": 0.8, "marker": ".", "markersize": 2}
NEUTRAL_LINES = ("-", *BASELINES, (0, (5, 1, 1, 1, 1, 1)))
BAND: dict[str, Any] = {"alpha": 0.2, "linewidth": 0}
MAX_PCA_RATIO = 50  # a PCA error this many times below the lowest is not shown
DODGE = 1.04  # factor between points at the same place of a logarithmic axis
MAX_MARKERS = 10  # on a curve; more would hide it


class Curve(NamedTuple):
    """The training history of one run."""

    label: str
    """Curves with the same label differ only by seed, and share a colour."""
    train: dict[int, float]
    """Epoch -> loss, in the units the model is trained in."""
    validation: dict[int, float]
    """Epoch -> loss, in the units the model is trained in."""
    mse: dict[int, float]
    """Epoch -> mse of the validation images, in pixel units."""
    family: str = ""
    """Curves that differ only in latent size share it; they are in the order of increasing size."""


class Point(NamedTuple):
    """The error of one setting."""

    latent: int
    mean: float
    std: float | None
    """Standard deviation over the seeds; None with a single seed."""


class Accuracy(NamedTuple):
    """The accuracy of a classifier that was trained on some labels."""

    labels: int
    """Number of labelled training images."""
    mean: float
    std: float | None
    """Standard deviation over several draws of them; None with a single draw."""
    interval: tuple[float, float] | None = None
    """Its 95 % confidence interval over other test images; None if it is a mean."""

    @property
    def bar(self) -> tuple[float, float]:
        """How far an error bar reaches below and above; NaN for none."""
        if self.interval is not None:
            return self.mean - self.interval[0], self.interval[1] - self.mean
        return (math.nan, math.nan) if self.std is None else (self.std, self.std)


def loss_figure(
    title: str,
    train_loss: dict[int, float],
    val_loss: dict[int, float],
    val_mse: dict[int, float],
    references: dict[str, float],
    loss: str = LOSS,
) -> Figure:
    """Loss and mse by epoch, side by side; without validation images, the training loss alone.

    Args:
        title: over both charts.
        train_loss, val_loss: epoch -> loss, in the units the model is trained in.
        val_mse: epoch -> mse of the validation images, in pixel units; empty if there are none.
        references: label -> mse of a baseline, drawn as a horizontal line.
        loss: the label of its axis.
    """
    if len(train_loss) == 1:
        named = {"train": train_loss, "validation": val_loss}
        measured = {name: value for name, curve in named.items() for value in curve.values()}
        mse = dict(zip(["validation"], val_mse.values(), strict=False))
        return bars_of_one_epoch(title, measured, mse | references if mse else {}, loss)
    quantities = _quantities(loss, bool(val_loss), bool(val_mse))
    figure, (losses, *errors) = axes_by_epoch(title, quantities)
    line(losses, train_loss, marker=".", label="train")
    if val_loss:
        line(losses, val_loss, marker=".", label="validation")
    for axes in errors:
        line(axes, val_mse, marker=".", color="C1", label="validation")
        for style, (label, level) in zip(BASELINES, references.items(), strict=False):
            axes.axhline(level, color=neutral(), linestyle=style, label=label)
    for axes in (losses, *errors):
        legend_above(axes, axes.lines)
        set_ticks(axes.yaxis, round_ticks(*axes.get_ylim()))
    return figure


def _quantities(loss: str, is_validated: bool, has_mse: bool) -> list[str]:
    """The quantities that are drawn by epoch."""
    return [loss if is_validated else f"training {loss}", *[f"validation {MSE}"] * has_mse]


def small_loss_figure(
    title: str, train_loss: dict[int, float], val_loss: dict[int, float], loss: str = LOSS
) -> Figure:
    """The losses of `loss_figure` alone, legible in TensorBoard's cards, 350 pixels wide."""
    figure = loss_figure(title, train_loss, val_loss, {}, {}, loss)
    figure.set_size_inches(WIDTH / 2, HEIGHT)  # as if there were still another chart next to it
    return figure


def study_losses(title: str, curves: list[Curve], loss: str = LOSS) -> Figure:
    """Loss and mse of many runs by epoch, side by side, one colour per label; `loss` is the label
    of its axis.

    Several seeds are drawn as their mean and a band of one standard deviation to each side.
    """
    by_label: dict[str, list[Curve]] = defaultdict(list)
    for curve in curves:
        by_label[curve.label].append(curve)
    if all(len(curve.train) == 1 for curve in curves):
        return _study_of_one_epoch(title, by_label, loss)
    are_validated = any(curve.mse for curve in curves)
    quantities = _quantities(loss, are_validated, are_validated)
    figure, (losses, *errors) = axes_by_epoch(title, quantities)
    families = [seeds[0].family for seeds in by_label.values()]
    styles = dict(zip(by_label, line_styles(colours_by_family(families)), strict=True))
    for label, seeds in by_label.items():
        longest = max(len(curve.mse) for curve in seeds)
        style = {**styles[label], "markevery": 1 + longest // MAX_MARKERS}
        train = {"color": style["color"], **TRAIN, "label": f"{label}, train"}
        _mean_line(losses, [curve.train for curve in seeds], **train)
        _mean_line(losses, [curve.validation for curve in seeds], **style, label=label)
        for axes in errors:
            _mean_line(axes, [curve.mse for curve in seeds], **style, label=label)
    training = Line2D([], [], color=neutral(), label="train", **TRAIN)
    validation = [Line2D([], [], color=neutral(), label="validation")] * are_validated
    legend_above(losses, [training, *validation])
    lines = [Line2D([], [], label=label, **style) for label, style in styles.items()]
    legend_below(figure, truncated_legend(lines))
    for axes in (losses, *errors):
        set_ticks(axes.yaxis, round_ticks(*axes.get_ylim()))
    return figure


def _study_of_one_epoch(title: str, by_label: dict[str, list[Curve]], loss: str) -> Figure:
    """The means over the seeds."""
    losses: dict[str, float] = {}
    errors: dict[str, float] = {}
    if len(by_label) > MAX_LABELS:
        title = f"{title}, the first {MAX_LABELS} of {len(by_label)} settings"
    for label, seeds in islice(by_label.items(), MAX_LABELS):
        kinds = {
            f"{label}, train": (losses, [curve.train for curve in seeds]),
            f"{label}, validation": (losses, [curve.validation for curve in seeds]),
            label: (errors, [curve.mse for curve in seeds]),
        }
        for name, (bars, curves) in kinds.items():
            values = [value for curve in curves for value in curve.values()]
            if values:
                bars[name] = fmean(values)
    return bars_of_one_epoch(title, losses, errors, loss)


def _mean_line(axes: Axes, seeds: list[dict[int, float]], **style: Any) -> None:
    """The mean of several curves, and a band of one standard deviation to each side."""
    bands = {epoch: _mean_and_std([seed[epoch] for seed in seeds if epoch in seed])
             for epoch in sorted(set().union(*seeds))}  # fmt: skip
    line(axes, {epoch: mean for epoch, (mean, _) in bands.items()}, **style)
    if len(seeds) > 1:
        low, high = ([mean + sign * std for mean, std in bands.values()] for sign in (-1, 1))
        axes.fill_between(list(bands), low, high, color=style["color"], **BAND)


def _mean_and_std(values: list[float]) -> tuple[float, float]:
    """The mean and the standard deviation of a sample; of a single value, the latter is 0."""
    return fmean(values), stdev(values) if len(values) > 1 else 0.0


def error_by_latent(
    title: str,
    families: dict[str, list[Point]],
    pca: dict[int, float],
    mean_image: float,
    kernel_pca: dict[int, float] | None = None,
) -> Figure:
    """Test mse by latent size, compared with PCA and the mean image.

    Args:
        title: of the chart.
        families: label -> points by increasing latent size, at least one.
        pca: latent size -> mse. The curve is cut off at half of the smallest error compared.
        mean_image: mse, drawn as a horizontal line.
        kernel_pca: latent size -> mse; None or empty if it is not compared.
    """
    figure = Figure((WIDTH, 4.2), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=TITLE)
    axes = figure.add_subplot(xscale="log", yscale="log")
    label_axes(axes, "latent size", "test mse (pixels in [0, 1])")
    lines = [
        plot_family(axes, family, points, style)
        for (family, points), style in zip(
            families.items(), line_styles(categories(len(families))), strict=True
        )
    ]
    pca, others = dict(sorted(pca.items())), dict(sorted((kernel_pca or {}).items()))
    style = {"color": neutral(), "marker": ".", "zorder": 1}
    baselines = [
        line(axes, pca, linestyle="--", label="PCA", **style),
        *([line(axes, others, linestyle="-.", label="kernel PCA", **style)] if others else []),
        axes.axhline(mean_image, color=neutral(), linestyle=":", label="mean image"),
    ]
    legend_below(figure, truncated_legend(lines) + baselines)
    shown = [point for points in families.values() for point in points]
    shown += [Point(size, mse, None) for size, mse in others.items()]
    _set_limits(axes, shown, pca, mean_image)
    return figure


def accuracy_by_labels(title: str, kinds: dict[str, list[Accuracy]], subjects: int = 1) -> Figure:
    """Accuracy by number of labels, on a logarithmic scale, with one line per kind of feature.

    Args:
        title: of the chart.
        kinds: kind of feature -> points by increasing number of labels, the same for every kind.
        subjects: how many of the first kinds the chart is about; the others are baselines.
    """
    figure = Figure((WIDTH, HEIGHT), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=TITLE)
    axes = figure.add_subplot(xscale="log")
    bars = "bars: standard deviation over draws; at the last point, 95 % interval"
    label_axes(axes, f"labelled training images ({bars})", "test accuracy")
    styles = [
        *((colour, "-") for colour in categories(subjects)),
        *((neutral(), style) for style, _ in zip(cycle(BASELINES), list(kinds)[subjects:])),
    ]
    for number, (label, points) in enumerate(kinds.items()):
        colour, linestyle = styles[number]
        dodge = DODGE ** (number - (len(kinds) - 1) / 2)
        axes.errorbar(
            [point.labels * dodge for point in points], [point.mean for point in points],
            list(zip(*(point.bar for point in points), strict=True)), color=colour,
            linestyle=linestyle, linewidth=1.2, marker=MARKERS[number % len(MARKERS)],
            markersize=4, capsize=3, label=label,
        )  # fmt: skip
    counts = [point.labels for point in next(iter(kinds.values()))]
    margin = max(1.2, DODGE ** len(kinds))
    first, last = min(counts) / margin, max(counts) * margin
    axes.set_xlim(first, last)
    ticks = spaced_ticks(counts, last / first)
    axes.set_xticks(ticks, [f"{count:,}" for count in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    legend_above(axes, axes.containers, columns=len(kinds) if subjects == 1 else 2)
    return figure


def psnr_by_strength(
    title: str, rows: dict[str, dict[str, dict[str, dict[float, float]]]], models: list[str]
) -> Figure:
    """Rows of charts side by side, each with one curve per way of denoising.

    Args:
        title: over all charts.
        rows: images that are denoised -> label of the strength -> way of denoising -> strength ->
            psnr in dB; the same charts in every row, and the same curves in every chart.
        models: the curves that are the subject of the charts; the others are neutral.
    """
    charts = next(iter(rows.values()))
    figure = Figure((WIDTH, HEIGHT * (1 + len(rows)) / 2), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=TITLE)
    names = list(next(iter(charts.values())))
    colours = dict(zip(models, categories(len(models)), strict=True))
    others = zip((name for name in names if name not in colours), NEUTRAL_LINES, strict=False)
    styles: dict[str, dict[str, Any]] = {
        **{name: {"color": colours[name], "linewidth": 1.6} for name in colours},
        **{name: {"color": neutral(), "linestyle": line} for name, line in others},
    }
    grid = figure.subplots(len(rows), len(charts), sharey=True, squeeze=False)
    for row_axes, (images, row) in zip(grid, rows.items(), strict=True):
        for axes, (strength, curves) in zip(row_axes, row.items(), strict=True):
            psnr = f"{images}: psnr (dB)" if images else "psnr (dB)"
            label_axes(axes, strength, psnr if axes is row_axes[0] else "")
            for marker, (name, points) in zip(cycle(MARKERS), curves.items(), strict=False):
                axes.plot(
                    list(points), list(points.values()),
                    marker=marker, markersize=4, label=name, **styles[name],
                )  # fmt: skip
    legend_below(figure, truncated_legend(list(grid[0, 0].lines)))
    return figure


def roc_curves(
    title: str, rates: list[float], curves: dict[str, list[float]], rate: float, found: float
) -> Figure:
    """ROC curves: the true positive rate by the false positive rate.

    Args:
        title: of the chart.
        rates: false positive rates, increasing from 0 to 1.
        curves: label of the score -> the true positive rate at each of `rates`. The first is the
            subject of the chart.
        rate, found: the false and true positive rate of the first at the chosen threshold.
    """
    figure = Figure((ROC_SIDE, ROC_SIDE), dpi=100, layout="constrained")
    figure.suptitle(text.wrapped(title, ROC_SIDE, TITLE), fontsize=TITLE)
    axes = figure.add_subplot(aspect="equal")
    label_axes(axes, "false positive rate (normal images)", "true positive rate (anomalous images)")
    colours = [categories(1)[0], *(neutral() for _ in curves)]
    for colour, style, (label, tprs) in zip(
        colours, ("-", *BASELINES), curves.items(), strict=False
    ):
        axes.plot([0, *rates], [0, *tprs], color=colour, linestyle=style, label=label)
    axes.plot([rate], [found], "o", color=colours[0], markersize=6, label="at the threshold")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    for axis in (axes.xaxis, axes.yaxis):
        as_percent(axis)
    axes.legend(fontsize=LABEL, frameon=False, loc="lower right")
    return figure


def plot_family(axes: Axes, label: str, points: list[Point], style: dict[str, Any]) -> Line2D:
    """A line through the means, and a band of one standard deviation over several seeds."""
    latents, means = [point.latent for point in points], [point.mean for point in points]
    if len(points) == 1 and points[0].std is not None:
        axes.errorbar(latents, means, points[0].std, color=style["color"], capsize=3)
    elif any(point.std is not None for point in points):
        low, high = ([p.mean + sign * (p.std or 0) for p in points] for sign in (-1, 1))
        axes.fill_between(latents, low, high, color=style["color"], **BAND)
    (line,) = axes.plot(latents, means, label=label, **style)
    return line


def _set_limits(axes: Axes, points: list[Point], pca: dict[int, float], mean_image: float) -> None:
    """Set limits and ticks to show the families, and the part of the PCA curve near them."""
    lowest = min((point.mean for point in points if point.mean > 0), default=mean_image)
    # PCA at the networks' own sizes is what they are compared with: it stays, unless it is exact.
    pca_errors = [pca.get(point.latent, 0) for point in points]
    lowest = min([lowest, *(mse for mse in pca_errors if mse > lowest / MAX_PCA_RATIO)])
    ends = [point.mean + sign * (point.std or 0) for point in points for sign in (-1, 1)]
    values = [value for value in (*ends, *pca.values(), mean_image) if value > 0]
    low, high = max(lowest / 2, 0.9 * min(values)), 1.1 * max(values)
    latents = sorted(point.latent for point in points)
    visible = [size for size, mse in pca.items() if mse >= low]
    first, last = min(latents + visible) / 1.2, max(latents + visible) * 1.2
    axes.set_xlim(first, last)
    axes.set_ylim(low, high)
    set_ticks(axes.xaxis, spaced_ticks(latents + visible, last / first))
    set_ticks(axes.yaxis, round_ticks(low, high))
