"""Telling anomalous images from normal ones by a score: how well, and where to draw the line."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from aecli.errors import UsageError

FOREST_IMAGES = 10_000  # that a forest is fitted to, at most; its trees see 256 each
ROUNDING = 1e-9  # 0.29 of 100 images are 28.999999999999996

Score = Callable[[Tensor], Tensor]
"""Images as rows of pixels (N, P) -> how anomalous each is (N,): a larger number is more so."""


@dataclass(frozen=True)
class Detection:
    """How well scores tell anomalous images from normal ones, at every threshold at once."""

    auroc: float
    """The chance that an anomalous image has a larger score than a normal one; a tie is half of
    one. Scores that know nothing reach 0.5."""

    average_precision: float
    """The precision at each anomalous image, from the largest score down: the share of anomalous
    images among those with as large a score or a larger one; the mean over them. Scores that know
    nothing reach the share of all images that are anomalous."""

    @classmethod
    def from_scores(cls, normal: Tensor, anomalous: Tensor) -> "Detection":
        """From the scores of normal images (N,) and of anomalous ones (M,).

        Raises:
            UsageError: scikit-learn is not installed.
        """
        metrics = _scikit_learn("metrics")
        truth, scores = _together(normal, anomalous)
        return cls(
            float(metrics.roc_auc_score(truth, scores)),
            float(metrics.average_precision_score(truth, scores)),
        )


def tpr_at_fpr(rates: Tensor, normal: Tensor, anomalous: Tensor) -> Tensor:
    """The share of `anomalous` scores (M,) that is found at each of `rates` (R,): (R,).

    A rate is the share of `normal` scores (N,) that is taken for anomalous: the ROC curve. Between
    two thresholds it is a straight line.

    Raises:
        UsageError: scikit-learn is not installed.
    """
    import numpy as np

    false, true, _ = _scikit_learn("metrics").roc_curve(*_together(normal, anomalous))
    return torch.from_numpy(np.interp(rates.numpy(), false, true))


def threshold(scores: Tensor, share: float) -> float:
    """The smallest of `scores` (N,) that no more than `share` of them exceed, from 0 to below 1.

    Of fewer scores than 1 / share it is the largest.
    """
    exceeding = min(int(share * len(scores) + ROUNDING), len(scores) - 1)
    return scores.sort(descending=True).values[exceeding].item()


def fit_forest(rows: Tensor, seed: int) -> Score:
    """An isolation forest (Liu, Ting and Zhou, "Isolation forest", 2008) as scikit-learn has it.

    What few random cuts set apart from all else is anomalous.

    Args:
        rows: normal ones, (N, P).
        seed: of the cuts, and of the FOREST_IMAGES rows that are drawn where there are more.

    Raises:
        UsageError: scikit-learn is not installed.
    """
    forests = _scikit_learn("ensemble")
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    some = rows[order[:FOREST_IMAGES].to(rows.device)]
    fitted = forests.IsolationForest(random_state=seed).fit(some.cpu().numpy())

    def score(others: Tensor) -> Tensor:
        parts = (fitted.score_samples(each.cpu().numpy()) for each in others.split(FOREST_IMAGES))
        return torch.cat([-torch.from_numpy(part) for part in parts])

    return score


def _together(normal: Tensor, anomalous: Tensor) -> tuple[Any, Any]:
    """Which scores are those of anomalous images, and all of them, as arrays (N + M,)."""
    truth = torch.cat([torch.zeros(len(normal)), torch.ones(len(anomalous))])
    return truth.numpy(), torch.cat([normal, anomalous]).numpy()


def _scikit_learn(module: str) -> Any:
    try:
        return importlib.import_module(f"sklearn.{module}")
    except ImportError as error:
        raise UsageError(
            "AUROC and isolation forests are an extra: pip install 'aecli[uses]'"
        ) from error
