"""Anomaly detection by reconstruction error: scores, the threshold, and how well it works."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from aecli.data import Split
from aecli.evaluation.detection import Detection, threshold, tpr_at_fpr

BINS = 60  # of a histogram
MIN_ERROR = 1e-12  # on the logarithmic axis of a histogram; smaller errors count as this
RATES = torch.linspace(0, 1, 101, dtype=torch.float64).square()  # densest where curves are steep
"""False positive rates at which ROC curves are evaluated."""

Detector = Callable[[Split], Tensor]
"""Images -> the anomaly score of each (N,), on the CPU; a larger one is more anomalous."""


@dataclass(frozen=True)
class ScoredImages:
    """Images and their anomaly scores."""

    split: Split
    scores: dict[str, Tensor]
    """Name of a detector -> its scores (N,). The key of the model's is `model`."""

    @classmethod
    def from_detectors(cls, detectors: dict[str, Detector], split: Split) -> "ScoredImages":
        return cls(split, {name: score(split) for name, score in detectors.items()})

    @property
    def errors(self) -> Tensor:
        """The model's mse for each image, (N,)."""
        return self.scores["model"]

    def of_class(self, label: int) -> "ScoredImages":
        mask = self.split.labels == label
        scores = {name: each[mask.cpu()] for name, each in self.scores.items()}
        return ScoredImages(self.split[mask], scores)


class Threshold(NamedTuple):
    """The error above which an image counts as anomalous, and how many images it is based on."""

    mse: float
    fpr: float
    """The false positive rate allowed on validation images."""
    above: int
    """Number of validation images with a larger error."""
    images: int
    """Number of validation images."""

    @classmethod
    def from_errors(cls, errors: Tensor, fpr: float) -> "Threshold":
        """The threshold from the mse of validation images (N,), which are normal and were not used
        to fit weights."""
        mse = threshold(errors, fpr)
        return cls(mse, fpr, int((errors > mse).sum()), len(errors))

    def fraction_above(self, errors: Tensor) -> float:
        """The fraction of `errors` (N,) above the threshold."""
        return int((errors > self.mse).sum()) / len(errors)


@dataclass(frozen=True)
class ClassResult:
    """How well images of one class, or of several, are separated from normal images."""

    images: int
    recall: float
    """The fraction of them whose error is above the threshold."""
    detections: dict[str, Detection]
    """Name of a detector -> its AUROC and average precision."""

    @classmethod
    def from_scores(
        cls, normal: ScoredImages, others: ScoredImages, limit: Threshold
    ) -> "ClassResult":
        detections = {
            name: Detection.from_scores(normal.scores[name], scores)
            for name, scores in others.scores.items()
        }
        return cls(len(others.split), limit.fraction_above(others.errors), detections)

    @classmethod
    def mean(cls, classes: list["ClassResult"]) -> "ClassResult":
        """The mean over classes, each with the same weight."""
        detections = {
            name: Detection(
                statistics.fmean(each.detections[name].auroc for each in classes),
                statistics.fmean(each.detections[name].average_precision for each in classes),
            )
            for name in classes[0].detections
        }
        images = sum(each.images for each in classes)
        return cls(images, statistics.fmean(each.recall for each in classes), detections)


@dataclass(frozen=True)
class Histogram:
    """The distribution of the errors of one or more groups of images."""

    edges: list[float]
    """Edges of the bins, which are equally wide on a logarithmic axis."""
    shares: dict[str, list[float]]
    """Group -> the fraction of its images in each bin."""

    @classmethod
    def from_errors(cls, groups: dict[str, Tensor]) -> "Histogram":
        """The histogram of the errors in `groups`: group -> the mse of each of its images, (N,)."""
        logs = {name: mse.double().clamp(min=MIN_ERROR).log() for name, mse in groups.items()}
        everything = torch.cat(list(logs.values()))
        low, high = everything.min().item(), everything.max().item()
        edges = torch.linspace(low, high + 1e-6, BINS + 1, dtype=torch.float64)
        shares = {
            name: (torch.histogram(each, edges).hist / len(each)).tolist()
            for name, each in logs.items()
        }
        return cls(edges.exp().tolist(), shares)


@dataclass(frozen=True)
class DetectionReport:
    """How well images of the classes left out of training are detected."""

    classes: dict[str, ClassResult]
    pooled: ClassResult
    """The result with all of these images as one class."""
    threshold: Threshold
    false_positive_rate: float
    """The fraction of normal test images whose error is above the threshold."""
    roc: dict[str, list[float]]
    """Name of a detector -> its true positive rate on all of them at each of `RATES`."""
    histogram: Histogram
    """Of the model's errors, in the groups `normal` and `others`."""

    @classmethod
    def from_scores(
        cls, normal: ScoredImages, others: ScoredImages, limit: Threshold
    ) -> "DetectionReport":
        """The report from the scores of test images of the classes trained on, and of all other
        classes.

        Raises:
            UsageError: scikit-learn is not installed.
        """
        labels = others.split.labels.unique().tolist()
        return cls(
            {
                others.split.class_name(label): ClassResult.from_scores(
                    normal, others.of_class(label), limit
                )
                for label in labels
            },
            ClassResult.from_scores(normal, others, limit),
            limit,
            limit.fraction_above(normal.errors),
            {
                name: tpr_at_fpr(RATES, normal.scores[name], scores).tolist()
                for name, scores in others.scores.items()
            },
            Histogram.from_errors({"normal": normal.errors, "others": others.errors}),
        )

    @property
    def mean(self) -> ClassResult:
        """The mean over the classes."""
        return ClassResult.mean(list(self.classes.values()))
