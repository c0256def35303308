"""Paired differences of test errors, and their confidence intervals.

The errors of two networks, or of a network and PCA, are paired: by seed if there are several seeds,
else by test image. An interval over seeds holds for another training run with the same settings;
one over test images holds only for the networks that were trained, on other images of the same
kind.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aecli.comparison.results import Result, RunGroup
from aecli.evaluation.proportions import CONFIDENCE

RESAMPLES = 1000
MIN_IMAGES = 20
"""With fewer, no interval over images is trusted."""
TOO_FEW = f"no claims are made for fewer than {MIN_IMAGES} images"
MAX_DRAWS = 2**22  # at a time, which bounds the memory


@dataclass(frozen=True)
class Difference:
    """The mean of paired differences and its confidence interval."""

    mean: float
    low: float
    high: float
    seeds: int
    """Number of seeds compared; with a single one, the interval is over the test images."""

    @property
    def is_lower(self) -> bool:
        """Whether the first error is significantly lower than the second."""
        return self.high < 0

    @property
    def is_higher(self) -> bool:
        """Whether the first error is significantly higher than the second."""
        return self.low > 0


def differences_from_pca(settings: Sequence[RunGroup]) -> list[Difference | None]:
    """For each setting, its test mse minus that of PCA of the same size.

    None if it is not known: there is one seed, and an earlier version of aecli trained the run.
    """
    return _differences([(_network(setting), _pca(setting)) for setting in settings])


def differences_between(first: RunGroup, others: Sequence[RunGroup]) -> list[Difference | None]:
    """For each of `others`, the test mse of `first` minus its own.

    None if it is not known: one seed is shared, and an earlier version of aecli trained a run.
    """
    return _differences([(_network(first), _network(other)) for other in others])


@dataclass(frozen=True)
class _Errors:
    """The test errors of a network, or of PCA, in one setting."""

    contestant: str
    results: dict[int, Result]
    """By seed."""

    def of_seed(self, seed: int) -> float:
        result = self.results[seed]
        return result.pca_mse if self.contestant == "pca" else result.mse

    def of_images(self, seed: int) -> Tensor | None:
        """The mse of each test image, (N,)."""
        return self.results[seed].image_errors().get(self.contestant)


def _network(setting: RunGroup) -> _Errors:
    return _Errors("model", {result.config.seed: result for result in setting.results})


def _pca(setting: RunGroup) -> _Errors:
    return _Errors("pca", _network(setting).results)


def _differences(pairs: Sequence[tuple[_Errors, _Errors]]) -> list[Difference | None]:
    found: list[Difference | None] = []
    by_image: dict[int, Tensor] = {}
    for number, (first, second) in enumerate(pairs):
        seeds = sorted(first.results.keys() & second.results.keys())
        if len(seeds) > 1:
            found.append(over_pairs([first.of_seed(s) - second.of_seed(s) for s in seeds]))
            continue
        found.append(None)
        ours, theirs = (
            each.of_images(seeds[0] if seeds else min(each.results)) for each in (first, second)
        )
        if ours is not None and theirs is not None:
            by_image[number] = ours.double() - theirs.double()
    if by_image:
        overs = bootstrap_over_images(torch.stack(list(by_image.values())))
        for number, difference in zip(by_image, overs, strict=True):
            found[number] = difference
    return found


def over_pairs(differences: Sequence[float]) -> Difference:
    """The interval of Student's t distribution for the mean of paired differences."""
    from scipy.special import stdtrit  # imported late: only several seeds need it

    count, mean = len(differences), statistics.fmean(differences)
    quantile = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2))
    half = quantile * statistics.stdev(differences) / math.sqrt(count)
    return Difference(mean, mean - half, mean + half, count)


def bootstrap_over_images(differences: Tensor) -> list[Difference]:
    """The percentile interval of the bootstrap for the mean of each row of (K, N).

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13. All rows are
    resampled with the same draws, which are the same every time.
    """
    count = differences.shape[1]
    generator = torch.Generator().manual_seed(0)
    means = []
    for resamples in torch.arange(RESAMPLES).split(max(1, MAX_DRAWS // count)):
        drawn = torch.randint(count, (len(resamples), count), generator=generator)
        drawn += torch.arange(len(resamples)).unsqueeze(1) * count
        times = torch.bincount(drawn.flatten(), minlength=drawn.numel()).reshape(drawn.shape)
        means.append(times.double() @ differences.T / count)  # (resamples, K)
    tail = (1 - CONFIDENCE) / 2
    bounds = torch.cat(means).quantile(torch.tensor([tail, 1 - tail], dtype=torch.double), dim=0)
    centres = differences.mean(1).tolist()
    return [
        Difference(centre, low, high, seeds=1)
        for centre, low, high in zip(centres, *bounds.tolist(), strict=True)
    ]
