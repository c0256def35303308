"""Limits of option values, and their checks; the errors name the bad and the valid values."""

import math

from aecli.errors import UsageError
from aecli.text import shortened

MAX_EPOCHS = 1_000_000
"""Each is a line in every checkpoint and a point in TensorBoard."""

MAX_IMAGES = 1_000_000_000
"""In a batch or a split; more would not fit on a disk, even at a kilobyte each."""

MAX_UNITS = 2**20
"""Of a layer; one between two layers of this size would already take 4 TB."""

MAX_PIXELS = 2**14
"""Along an axis; one colour image with this height and width takes 3 GB as numbers."""

MAX_COUNT = 1_000_000
"""Of anything that a command shows, draws or fits; more than anyone waits for."""


def check_valid(condition: bool, key: str, value: object, valid: str) -> None:
    if not condition:
        raise UsageError(f"{key}={shortened(value)} is not valid: give {valid}")


def check_integer(key: str, value: int, maximum: int, minimum: int = 1) -> None:
    check_valid(value >= minimum, key, value, f"a whole number of at least {minimum}")
    check_valid(value <= maximum, key, value, f"a whole number of at most {maximum:,}")


def check_not_negative(key: str, value: float) -> None:
    check_valid(value >= 0 and math.isfinite(value), key, value, "a finite number of at least 0")


def check_seed(seed: int) -> None:
    """Raise a UsageError unless every library takes `seed`."""
    check_valid(0 <= seed < 2**32, "seed", seed, "a whole number from 0 to 4294967295")
