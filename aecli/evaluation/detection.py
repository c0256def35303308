"""Anomaly detection by a score: how well it separates, and where to put the threshold."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import torch
from torch import Tensor

from aecli.baselines.one_class import scikit_learn
from aecli.evaluation.proportions import CONFIDENCE

ROUNDING = 1e-9  # 0.29 * 100 is 28.999999999999996


@dataclass(frozen=True)
class Detection:
    """How well scores separate anomalous from normal images, independent of a threshold."""

    auroc: float
    """The probability that an anomalous image scores higher than a normal one; a tie counts as
    half. Uninformative scores reach 0.5."""

    average_precision: float
    """The mean of the precisions at each anomalous image: the share of anomalous images among
    those that score at least as high. Uninformative scores reach the share of all images that are
    anomalous."""

    @classmethod
    def from_scores(cls, normal: Tensor, anomalous: Tensor) -> "Detection":
        """Compute both from the scores of normal images (N,) and of anomalous ones (M,).

        Raises:
            UsageError: scikit-learn is not installed.
        """
        metrics = scikit_learn("metrics")
        labels, scores = _labels_and_scores(normal, anomalous)
        return cls(
            float(metrics.roc_auc_score(labels, scores)),
            float(metrics.average_precision_score(labels, scores)),
        )


_QUANTILE = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


class AurocInterval(NamedTuple):
    """An AUROC, or the difference of two, and its confidence interval."""

    value: float
    low: float
    high: float


def auroc_interval(normal: Tensor, anomalous: Tensor) -> AurocInterval:
    """The AUROC from the scores of normal images (N,) and of anomalous ones (M,).

    (DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver
    operating characteristic curves", 1988.) The interval is over other images of the same kinds.

    Where all anomalous images score higher than all normal ones, or all lower, that interval has no
    width, however few they are. Then k = min(N, M) pairs of one of each, no image in two of them,
    are all in that order, which has a probability of at most AUROC^k: the bound is the AUROC at
    which this is as improbable as a value beyond one end of the interval.
    """
    value, low, high = _interval(*_placements(normal, anomalous))
    if low == high and value in (0.0, 1.0):
        bound = ((1 - CONFIDENCE) / 2) ** (1 / min(len(normal), len(anomalous)))
        low, high = (bound, 1.0) if value else (0.0, 1 - bound)
    return AurocInterval(value, max(low, 0.0), min(high, 1.0))


def auroc_difference(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> AurocInterval:
    """The AUROC of the `first` scores, of normal and of anomalous images, minus that of the
    `second` scores of the same images, paired by image (same source)."""
    ours, theirs = _placements(*first), _placements(*second)
    value, low, high = _interval(ours[0] - theirs[0], ours[1] - theirs[1])
    return AurocInterval(value, max(low, -1.0), min(high, 1.0))


def _placements(normal: Tensor, anomalous: Tensor) -> tuple[Tensor, Tensor]:
    """The share of anomalous images that score higher than each normal one, (N,), and the share of
    normal images that score lower than each anomalous one, (M,); a tie counts as half."""

    def below(scores: Tensor, others: Tensor) -> Tensor:
        ordered = others.sort().values
        ends = [torch.searchsorted(ordered, scores, right=right) for right in (False, True)]
        return (ends[0] + ends[1]).double() / (2 * len(others))

    normal, anomalous = normal.double(), anomalous.double()
    return 1 - below(normal, anomalous), below(anomalous, normal)


def _interval(by_normal: Tensor, by_anomalous: Tensor) -> tuple[float, float, float]:
    """The mean of placements and its interval; unbounded for a single image."""
    parts = by_normal, by_anomalous
    value = by_anomalous.mean().item()
    if min(map(len, parts)) < 2:
        return value, -math.inf, math.inf
    half = _QUANTILE * math.sqrt(sum(part.var().item() / len(part) for part in parts))
    return value, value - half, value + half


def tpr_at_fpr(rates: Tensor, normal: Tensor, anomalous: Tensor) -> Tensor:
    """The true positive rate at each of the false positive `rates` (R,): (R,).

    This is the ROC curve of the scores of `normal` images (N,) and `anomalous` ones (M,),
    interpolated linearly between thresholds.

    Raises:
        UsageError: scikit-learn is not installed.
    """
    import numpy as np

    fpr, tpr, _ = scikit_learn("metrics").roc_curve(*_labels_and_scores(normal, anomalous))
    return torch.from_numpy(np.interp(rates.numpy(), fpr, tpr))


def threshold(scores: Tensor, share: float) -> float:
    """The smallest of `scores` (N,) that at most a `share` of them exceed, 0 <= share < 1.

    With fewer than 1 / share scores it is the largest.
    """
    exceeding = min(int(share * len(scores) + ROUNDING), len(scores) - 1)
    return scores.sort(descending=True).values[exceeding].item()


def _labels_and_scores(normal: Tensor, anomalous: Tensor) -> tuple[Any, Any]:
    """Labels, 1 for anomalous, and scores, as arrays (N + M,)."""
    labels = torch.cat([torch.zeros(len(normal)), torch.ones(len(anomalous))])
    return labels.numpy(), torch.cat([normal, anomalous]).numpy()
