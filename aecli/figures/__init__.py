"""Figures of tensors and numbers: every plotting function returns a new figure."""

from aecli.figures.accuracy import accuracy_by_strength
from aecli.figures.bars import error_histogram, grouped_bars, interval_dots, score_by_family
from aecli.figures.by_latent import Quantity, quantities_by_latent
from aecli.figures.cells import overlap_figure
from aecli.figures.curves import (
    Accuracy,
    Curve,
    Point,
    accuracy_by_labels,
    error_by_latent,
    loss_figure,
    psnr_by_strength,
    roc_curves,
    small_loss_figure,
    study_losses,
)
from aecli.figures.grids import Row, error_scale, image_grid, panels
from aecli.figures.hover_points import HoverPoint, hover_points
from aecli.figures.kernels import kernel_curves
from aecli.figures.maps import Direction, image_plane, scatter_map
from aecli.figures.network import Stage, network_figure
from aecli.figures.number_panels import NumberPanel, number_panels
from aecli.figures.output import as_gif, as_image, as_png, save, to_array
from aecli.figures.paths import LabelledPath
from aecli.figures.plane import PlaneChart, plane_figure
from aecli.figures.rate_distortion import RateCurve, rate_distortion
from aecli.figures.text import take_literally
from aecli.figures.theme import theme

__all__ = [
    "Accuracy",
    "Curve",
    "Direction",
    "HoverPoint",
    "LabelledPath",
    "NumberPanel",
    "PlaneChart",
    "Point",
    "Quantity",
    "RateCurve",
    "Row",
    "Stage",
    "accuracy_by_labels",
    "accuracy_by_strength",
    "as_gif",
    "as_image",
    "as_png",
    "error_by_latent",
    "error_histogram",
    "error_scale",
    "grouped_bars",
    "hover_points",
    "image_grid",
    "image_plane",
    "interval_dots",
    "kernel_curves",
    "loss_figure",
    "network_figure",
    "number_panels",
    "overlap_figure",
    "panels",
    "plane_figure",
    "psnr_by_strength",
    "quantities_by_latent",
    "rate_distortion",
    "roc_curves",
    "save",
    "scatter_map",
    "score_by_family",
    "small_loss_figure",
    "study_losses",
    "take_literally",
    "theme",
    "to_array",
]
