"""Anomaly detection with a finished run: a large error marks images it was not trained on."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from aecli.baselines.contestants import LABELS, Reconstruct
from aecli.baselines.one_class import ContrastComponents, fit_forest, fit_svm
from aecli.baselines.pca import pca_of
from aecli.config import CorruptionConfig
from aecli.config.limits import check_seed
from aecli.data import Data
from aecli.data.batches import to_pixels
from aecli.data.own_images import OwnImages
from aecli.errors import UsageError
from aecli.evaluation.anomaly import (
    MIN_ERROR,
    RATES,
    DetectionReport,
    Detector,
    Histogram,
    ScoredImages,
    Threshold,
)
from aecli.evaluation.metrics import mse_of_each
from aecli.evaluation.scores import EXTREMES, Examples, reconstructed
from aecli.figures import Row, error_histogram, panels, roc_curves
from aecli.files.documents import to_csv
from aecli.runs.trained import Trained

DETECTORS = {
    "model": LABELS["model"],
    "pca": LABELS["pca"],
    "forest": "isolation forest",
    "svm": "one-class SVM",
}
"""Name -> label in figures. The threshold applies to the model's errors only."""


def check_values(fpr: float, seed: int) -> None:
    """Raise a UsageError unless `fpr` is a rate and `seed` one that scikit-learn accepts."""
    if not 0 < fpr < 1:
        raise UsageError(f"fpr={fpr} is not valid: give a share above 0 and below 1, such as 0.05")
    check_seed(seed)


def check_validated(trained: Trained) -> None:
    """Check that there are images for setting the threshold that were not used to fit the weights.

    Raises:
        UsageError: there are none.
    """
    if not trained.config.data.has_validation:
        raise UsageError(
            f"{trained.run.path} was trained with data.val_size=0, and the threshold is set on "
            f"validation images: train a run with a data.val_size above 0"
        )


def score_other_classes(
    trained: Trained, fpr: float, seed: int
) -> tuple[ScoredImages, ScoredImages, Threshold]:
    """Score the test images with every detector.

    Returns:
        Those of the run's own classes, those of all other classes, and the threshold.

    Raises:
        UsageError: there are no other classes, or a library is not installed.
    """
    data, others = trained.data(), trained.test_of_other_classes()
    if not len(others):
        raise UsageError(
            f"no class is unknown to {trained.run.path}: train a run on some classes, as in "
            f"aecli train data.classes=[3], or give images=..."
        )
    detectors = fit_detectors(trained, data, seed)
    return (
        ScoredImages.from_detectors(detectors, data.test),
        ScoredImages.from_detectors(detectors, others),
        Threshold.from_errors(detectors["model"](data.validation), fpr),
    )


def score_own_images(
    trained: Trained, own: OwnImages, fpr: float
) -> tuple[ScoredImages, ScoredImages, Threshold]:
    """Score the user's images with the model.

    Returns:
        The validation images, the user's images, and the threshold.
    """
    detectors = {"model": error_detector(trained, trained.reconstruct)}
    validation = ScoredImages.from_detectors(detectors, trained.data().validation)
    scored = ScoredImages.from_detectors(detectors, own.split)
    return validation, scored, Threshold.from_errors(validation.errors, fpr)


def fit_detectors(trained: Trained, data: Data, seed: int) -> dict[str, Detector]:
    """The detectors by the keys of `DETECTORS`, fitted to the run's training images.

    Raises:
        UsageError: a library is not installed.
    """
    rows = data.train.images.flatten(1)
    features = ContrastComponents.fit(rows, seed)
    training = features(rows)
    forest, svm = (fit(training, seed) for fit in (fit_forest, fit_svm))
    latent = trained.config.latent
    pca = pca_of(data.train, latent)
    return {
        "model": error_detector(trained, trained.reconstruct),
        "pca": error_detector(trained, lambda pixels: pca.reconstruct(pixels, latent)),
        "forest": lambda split: forest(features(split.images.flatten(1))),
        "svm": lambda split: svm(features(split.images.flatten(1))),
    }


def error_detector(trained: Trained, reconstruct: Reconstruct) -> Detector:
    """Score each image by its mse, without corruption: a score must not depend on random noise."""
    config = replace(trained.config, corruption=CorruptionConfig())
    return lambda split: mse_of_each(reconstructed(config, reconstruct, split))


@dataclass(frozen=True)
class ErrorSummary:
    """The errors of a set of images."""

    images: int
    mse: float
    """Their mean."""
    anomalous: float
    """The fraction of images above the threshold."""

    @classmethod
    def from_errors(cls, errors: Tensor, limit: Threshold) -> "ErrorSummary":
        """From the mse of each image, (N,)."""
        return cls(len(errors), errors.double().mean().item(), limit.fraction_above(errors))


def summarise_folders(scored: ScoredImages, limit: Threshold) -> dict[str, ErrorSummary]:
    """The errors in each folder of the user's images; empty if there is only one folder."""
    labels = scored.split.labels.unique().tolist()
    if len(labels) == 1:
        return {}
    return {
        scored.split.class_name(label): ErrorSummary.from_errors(
            scored.of_class(label).errors, limit
        )
        for label in labels
    }


def scores_csv(own: OwnImages, errors: Tensor, normal: Tensor, limit: Threshold) -> bytes:
    """A CSV file with a row for each image, sorted by decreasing `errors` (N,).

    A row also holds the fraction of the `normal` errors (M,) that are smaller. File names keep
    their own encoding, so that a program finds the files; a name that begins like a formula is
    written as ./name.
    """
    below = torch.searchsorted(normal.sort().values, errors) / len(normal)
    rows: list[list[Any]] = [["file", "mse", "anomalous", "validation_images_below"]]
    for number in errors.argsort(descending=True, stable=True).tolist():
        mse, fraction = errors[number].item(), below[number].item()
        verdict = "true" if mse > limit.mse else "false"
        name = str(own.files[number])
        if name.startswith(("=", "+", "-", "@")):
            name = f"./{name}"
        rows.append([name, mse, verdict, f"{fraction:.4f}"])
    return to_csv(rows).encode("utf-8", "surrogateescape")


def report_as_json(report: DetectionReport, settings: dict[str, Any]) -> dict[str, Any]:
    """Means over the classes first, then `settings` and all details."""
    means = {}
    for name, detection in report.mean.detections.items():
        suffix = "" if name == "model" else f"_{name}"
        means[f"auroc{suffix}"] = detection.auroc
        means[f"average_precision{suffix}"] = detection.average_precision
    return {
        **means,
        "recall": report.mean.recall,
        **threshold_as_json(report.threshold),
        "fpr_measured": report.false_positive_rate,
        **settings,
        "by_class": {name: asdict(result) for name, result in report.classes.items()},
        "all": asdict(report.pooled),
        "roc": {"false_positive_rate": RATES.tolist(), "recall": report.roc},
        "histogram": asdict(report.histogram),
    }


def threshold_as_json(limit: Threshold) -> dict[str, Any]:
    return {"threshold": limit.mse, "fpr": limit.fpr, "validation_images": limit.images}


def histogram_figure(
    title: str, histogram: Histogram, labels: dict[str, str], limit: Threshold
) -> Figure:
    """The histogram with the threshold; `labels` maps each group to its label."""
    groups = {labels[name]: shares for name, shares in histogram.shares.items()}
    level, label = max(limit.mse, MIN_ERROR), f"threshold, {limit.mse:.4g}"
    return error_histogram(title, histogram.edges, groups, level, label)


def roc_figure(title: str, report: DetectionReport) -> Figure:
    """The ROC curve of each detector on all other classes, and the model's threshold."""
    pooled = report.pooled
    curves = {
        f"{DETECTORS[name]}: AUROC {pooled.detections[name].auroc:.4f}": curve
        for name, curve in report.roc.items()
    }
    return roc_curves(title, RATES.tolist(), curves, report.false_positive_rate, pooled.recall)


def extremes_figure(
    title: str, trained: Trained, normal: ScoredImages, others: ScoredImages
) -> Figure:
    """The images of other classes with the largest and the smallest errors, and the normal images
    with the largest."""
    reconstruct = trained.reconstruct
    return panels(
        title,
        {
            "other classes, largest mse": extreme_rows(others, reconstruct, largest=True),
            "other classes, smallest mse": extreme_rows(others, reconstruct, largest=False),
            "normal images, largest mse": extreme_rows(normal, reconstruct, largest=True),
        },
    )


def own_extremes_figure(title: str, trained: Trained, scored: ScoredImages) -> Figure:
    """The user's images with the largest and the smallest errors."""
    return panels(
        title,
        {
            "largest mse": extreme_rows(scored, trained.reconstruct, largest=True),
            "smallest mse": extreme_rows(scored, trained.reconstruct, largest=False),
        },
    )


@torch.inference_mode()
def extreme_rows(scored: ScoredImages, reconstruct: Reconstruct, largest: bool) -> list[Row]:
    """The images with the largest or the smallest errors, above their reconstructions."""
    order = scored.errors.argsort(descending=largest, stable=True)[:EXTREMES]
    pixels = to_pixels(scored.split.images[order.to(scored.split.images.device)])
    examples = Examples.from_outputs(pixels, reconstruct(pixels))
    captions = [f"{mse:#.2g}" for mse in examples.mse.tolist()]
    return [
        Row("original", pixels, captions=captions),
        Row("reconstruction", examples.outputs),
    ]
