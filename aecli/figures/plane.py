"""An encoder from the plane to a line, and a decoder from the line to the plane."""

from __future__ import annotations

from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from aecli.figures.axes import LABEL, TITLE, label_axes, legend_above
from aecli.figures.theme import neutral, sequence

WIDTH, HEIGHT = 10.4, 5.4  # inches
LEVELS = 256  # of colour
MAX_POINTS = 400  # points of the data set that are shown; more would look like a line


class PlaneChart(NamedTuple):
    """Points (K, 2) are x and y, both from 0 to 1."""

    points: NDArray[np.float64]
    """The points of the data set."""
    codes: NDArray[np.float64]
    """(M, M): f at a grid over the plane, the first row with the smallest y."""
    curve: NDArray[np.float64]
    """g of `curve_codes`."""
    curve_codes: NDArray[np.float64]
    """(K,): increasing."""
    starts: NDArray[np.float64]
    """Points away from the curve."""
    ends: NDArray[np.float64]
    """g(f(x)) of each of them."""
    pca: NDArray[np.float64]
    """The points reconstructed by PCA with one component: on a straight line."""


def plane_figure(title: str, chart: PlaneChart) -> Figure:
    """The encoder on the left, as the colours of the plane; the decoder on the right, as a curve in
    these colours, with the points to which others are mapped."""
    figure = Figure((WIDTH, HEIGHT), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=TITLE)
    left, right = figure.subplots(1, 2)
    colours = ListedColormap(sequence(LEVELS))
    scale = Normalize(chart.curve_codes[0], chart.curve_codes[-1])
    _draw_encoder(left, chart, colours, scale)
    _draw_decoder(right, chart, colours, scale)
    for axes in (left, right):
        label_axes(axes, "x, the first pixel", "y, the second pixel")
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.grid(visible=False)
    bar = figure.colorbar(
        matplotlib.cm.ScalarMappable(scale, colours), ax=[left, right], shrink=0.8, extend="both"
    )
    bar.set_label("code z", fontsize=LABEL + 1)
    bar.ax.tick_params(labelsize=LABEL)
    return figure


def _draw_encoder(axes: Axes, chart: PlaneChart, colours: Colormap, scale: Normalize) -> None:
    axes.imshow(
        chart.codes, cmap=colours, norm=scale, origin="lower", extent=(0, 1, 0, 1), alpha=0.75,
        interpolation="bilinear",
    )  # fmt: skip
    shown = chart.points[:MAX_POINTS]
    ink = matplotlib.rcParams["text.color"]
    (dots,) = axes.plot(*shown.T, ".", color=ink, markersize=2.5, label="data")
    legend_above(axes, [dots])
    axes.set_title("encoder f: the code of each point", fontsize=LABEL + 1, pad=22)


def _draw_decoder(axes: Axes, chart: PlaneChart, colours: Colormap, scale: Normalize) -> None:
    steps = np.stack([chart.starts, chart.ends], axis=1)
    axes.add_collection(LineCollection([*steps], colors=[neutral()], linewidths=0.6))
    (starts,) = axes.plot(*chart.starts.T, ".", color=neutral(), markersize=2, label="x to g(f(x))")
    pieces = np.stack([chart.curve[:-1], chart.curve[1:]], axis=1)
    middles = (chart.curve_codes[:-1] + chart.curve_codes[1:]) / 2
    curve = LineCollection(
        [*pieces], array=middles, cmap=colours, norm=scale, linewidths=3, capstyle="round"
    )
    axes.add_collection(curve)
    entry = Line2D([], [], color=colours(0.5), linewidth=3, label="g(z)")
    order = chart.pca[:, 0].argsort() if np.ptp(chart.pca[:, 0]) else chart.pca[:, 1].argsort()
    (pca,) = axes.plot(*chart.pca[order].T, "--", color=neutral(), linewidth=1.2, label="PCA")
    legend_above(axes, [entry, starts, pca], columns=3)
    axes.set_title("decoder g: the curve that it draws", fontsize=LABEL + 1, pad=22)
