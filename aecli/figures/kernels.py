"""Interpolation kernels as curves."""

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.figure import Figure

from aecli.figures.axes import LABEL, TITLE, label_axes
from aecli.figures.theme import categories, neutral

WIDTH, HEIGHT = 6.0, 3.4  # inches
REACH = 2.5  # pixels to each side; all kernels are 0 beyond 2
POINTS = 1001
LINES = ("--", "-.", "-")  # distinguishable without colours


def kernel_curves(kernels: Mapping[str, Callable[[float], float]]) -> Figure:
    """The weight of a pixel by its distance, for each kernel, keyed by name."""
    figure = Figure((WIDTH, HEIGHT), dpi=100, layout="constrained")
    axes = figure.subplots()
    figure.suptitle("weight of an input pixel", fontsize=TITLE)
    distances = np.linspace(-REACH, REACH, POINTS)
    axes.axhline(0, color=neutral(), linewidth=0.6)
    styles = zip(categories(len(kernels)), LINES, strict=False)
    for (name, weight), (colour, line) in zip(kernels.items(), styles, strict=True):
        weights = [weight(distance) for distance in distances.tolist()]
        axes.plot(distances, weights, color=colour, linestyle=line, label=name)
    label_axes(axes, "distance of the output pixel, in input pixels", "weight")
    axes.set_xticks(range(-2, 3))
    figure.legend(loc="outside lower center", ncols=len(kernels), fontsize=LABEL, frameon=False)
    return figure
