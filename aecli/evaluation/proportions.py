"""Shares of the test images: confidence intervals, and whether two differ significantly."""

import math

CONFIDENCE = 0.95
"""The confidence level of every interval, and of every claim that two shares differ."""


def interval(right: int, count: int) -> tuple[float, float]:
    """The score interval of a share, `right` of `count` (Wilson, "Probable inference, the law of
    succession, and statistical inference", 1927)."""
    from scipy.special import ndtri  # imported late: only these need it

    share, square = right / count, float(ndtri((1 + CONFIDENCE) / 2)) ** 2 / count
    middle = share + square / 2
    half = math.sqrt(square * (share * (1 - share) + square / 4))
    return (middle - half) / (1 + square), (middle + half) / (1 + square)


def mcnemar(first_only: int, second_only: int) -> float:
    """The two-sided p-value of McNemar's exact test.

    Args:
        first_only: images that only the first classifier has right.
        second_only: images that only the second has right. Of those on which the two differ, each
            is as likely to be of either kind if neither classifier is better.
    """
    from scipy.special import bdtr

    fewer, both = min(first_only, second_only), first_only + second_only
    return min(1.0, 2 * float(bdtr(fewer, both, 0.5))) if both else 1.0
