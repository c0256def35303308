"""Intervals of shares, and McNemar's test, against values from elsewhere."""

import pytest

from aecli.evaluation.proportions import interval, mcnemar


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [
        # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_of_a_share_is_wilsons(
    right: int, count: int, low: float, high: float
) -> None:
    assert interval(right, count) == pytest.approx((low, high), abs=5e-5)
    assert interval(count - right, count) == pytest.approx((1 - high, 1 - low), abs=5e-5)


@pytest.mark.parametrize(
    ("first_only", "second_only", "p"),
    [
        (0, 4, 2 / 16),  # four tosses that all fall alike, either way
        (1, 5, 2 * (1 + 6) / 64),
        (3, 3, 1.0),
        (0, 0, 1.0),
    ],
)
def test_mcnemar_is_a_binomial_test_of_the_differing_images(
    first_only: int, second_only: int, p: float
) -> None:
    assert mcnemar(first_only, second_only) == pytest.approx(p)
    assert mcnemar(second_only, first_only) == pytest.approx(p)


def test_a_large_difference_has_a_p_value_near_zero() -> None:
    assert mcnemar(66, 210) < 1e-17
    assert mcnemar(5837, 140) == 0
