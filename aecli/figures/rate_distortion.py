"""Rate-distortion charts: bits per image against the error."""

from itertools import cycle
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from aecli.figures.axes import (
    BASELINES,
    LABEL,
    MARKERS,
    TITLE,
    WIDTH,
    label_axes,
    legend_below,
    round_ticks,
    set_ticks,
    truncated_legend,
)
from aecli.figures.theme import categories, neutral

RATE_HEIGHT = 4.4  # inches


class RateCurve(NamedTuple):
    """The settings of one way to store images."""

    label: str
    bits: list[float]
    """Per image, ascending."""
    psnr: list[float]
    """In dB, finite."""
    marks: list[str]
    """A few characters next to each point; may be empty."""
    model: str | None = None
    """The network whose colour the curve has; None for a neutral colour."""
    is_baseline: bool = False
    """Drawn with a broken line."""


def rate_distortion(
    title: str, curves: list[RateCurve], lossless: dict[str, float], pixels: int
) -> Figure:
    """psnr by bits per image, on a logarithmic scale, with bits per pixel above.

    Args:
        title: of the chart.
        curves: at least one, with at least one point each.
        lossless: label -> bits per image of what loses nothing, drawn as vertical lines.
        pixels: numbers in an image.
    """
    figure = Figure((WIDTH, RATE_HEIGHT), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=TITLE)
    axes = figure.add_subplot(xscale="log")
    label_axes(axes, "bits per image (next to a point: bits per number of a code)", "psnr (dB)")
    models = list(dict.fromkeys(curve.model for curve in curves if curve.model))
    colours = dict(zip(models, categories(len(models)), strict=True))
    neutral_lines = cycle(("-", *BASELINES))
    for curve, marker in zip(curves, cycle(MARKERS), strict=False):
        colour = colours[curve.model] if curve.model else neutral()
        style = "--" if curve.is_baseline else "-" if curve.model else next(neutral_lines)
        axes.plot(
            curve.bits, curve.psnr, color=colour, linestyle=style, marker=marker, markersize=4,
            linewidth=1.2, label=curve.label,
        )  # fmt: skip
        for bits, psnr, mark in zip(curve.bits, curve.psnr, curve.marks, strict=False):
            axes.annotate(
                mark, (bits, psnr), (0, 4), textcoords="offset points", ha="center",
                fontsize=LABEL - 1,
            )  # fmt: skip
    for (label, bits), style in zip(lossless.items(), BASELINES, strict=False):
        axes.axvline(bits, color=neutral(), linestyle=style, linewidth=0.8, label=label)
    every = [*(bits for curve in curves for bits in curve.bits), *lossless.values()]
    low, high = min(every) / 1.2, max(every) * 1.2
    axes.set_xlim(low, high)
    set_ticks(axes.xaxis, round_ticks(low, high))

    def per_pixel(bits: Any) -> Any:
        return bits / pixels

    def per_image(rate: Any) -> Any:
        return rate * pixels

    above = axes.secondary_xaxis("top", functions=(per_pixel, per_image))
    above.set_xlabel("bits per pixel", fontsize=LABEL + 1)
    above.tick_params(labelsize=LABEL)
    set_ticks(above.xaxis, round_ticks(low / pixels, high / pixels))
    legend_below(figure, truncated_legend(list(axes.lines)))
    return figure
