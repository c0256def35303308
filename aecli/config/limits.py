"""Checks of option values; the errors name the bad value and the valid values."""

import math

from aecli.errors import UsageError


def check_valid(condition: bool, key: str, value: object, valid: str) -> None:
    if not condition:
        raise UsageError(f"{key}={value} is not valid: give {valid}")


def check_positive_integer(key: str, value: int) -> None:
    check_valid(value >= 1, key, value, "a whole number of at least 1")


def check_not_negative(key: str, value: float) -> None:
    check_valid(value >= 0 and math.isfinite(value), key, value, "a finite number of at least 0")


def check_seed(seed: int) -> None:
    """Raise a UsageError unless every library takes `seed`."""
    check_valid(0 <= seed < 2**32, "seed", seed, "a whole number from 0 to 4294967295")
