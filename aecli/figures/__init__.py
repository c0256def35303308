"""Tensors and numbers as pictures: every function returns a figure of its own."""

from aecli.figures.cells import overlap_figure
from aecli.figures.charts import (
    Accuracy,
    Curve,
    Point,
    accuracy_by_labels,
    error_by_latent,
    grouped_bars,
    loss_figure,
    score_by_family,
    study_losses,
)
from aecli.figures.grids import Row, image_grid, panels
from aecli.figures.output import as_image, as_png, save, to_array
from aecli.figures.theme import theme

__all__ = [
    "Accuracy",
    "Curve",
    "Point",
    "Row",
    "accuracy_by_labels",
    "as_image",
    "as_png",
    "error_by_latent",
    "grouped_bars",
    "image_grid",
    "loss_figure",
    "overlap_figure",
    "panels",
    "save",
    "score_by_family",
    "study_losses",
    "theme",
    "to_array",
]
