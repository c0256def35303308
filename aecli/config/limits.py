"""Limits of option values, and their checks; the errors name the bad and the valid values."""

import os

from aecli.errors import UsageError
from aecli.errors.text import shortened

MAX_EPOCHS = 1_000_000
"""Each epoch is a line in every checkpoint and a point in TensorBoard."""

MAX_IMAGES = 1_000_000_000
"""Images in a batch or a split; more would not fit on a disk, even at a kilobyte each."""

MAX_UNITS = 2**20
"""Units in a layer; the weights between two layers of this size would already take 4 TB."""

MAX_PIXELS = 2**14
"""Pixels along an axis; one colour image of this height and width takes 3 GB as floats."""

MAX_LEVEL = 2.0**16
"""Largest data.mean, data.std and standard deviation of noise: with larger ones, float32 can no
longer distinguish the 256 levels of a pixel."""

MAX_FLOAT = 1e38
"""Largest other number; float32 overflows above 3.4e38."""

MAX_MINUTES = 525_600.0
"""A year."""

MAX_PATH = 4096
"""Bytes in a path; no system opens a longer one."""

MAX_COUNT = 1_000_000
"""Largest number of things that a command shows, draws or fits; more than anyone would wait for."""


def check_valid(condition: bool, key: str, value: object, valid: str) -> None:
    if not condition:
        raise UsageError(f"{key}={shortened(value)} is not valid: give {valid}")


def check_integer(key: str, value: int, maximum: int, minimum: int = 1) -> None:
    check_valid(value >= minimum, key, value, f"a whole number of at least {minimum}")
    check_valid(value <= maximum, key, value, f"a whole number of at most {maximum:,}")


def check_number(
    key: str, value: float, maximum: float, minimum: float = 0.0, above: bool = False
) -> None:
    """Check a number; `above`: the minimum itself is not valid."""
    low = f"a finite number {'above' if above else 'of at least'} {minimum:g}"
    check_valid(value > minimum or (value == minimum and not above), key, value, low)
    check_valid(value <= maximum, key, value, f"a number of at most {maximum:,g}")


def check_path(key: str, path: str) -> None:
    check_valid(path != "", key, path, "a folder")
    check_valid(len(os.fsencode(path)) <= MAX_PATH, key, path, f"at most {MAX_PATH:,} bytes")


def expand_user(key: str, path: str) -> str:
    """A path that was typed, with the home folder for a leading ~ or ~user.

    Raises:
        UsageError: there is no such user.
    """
    expanded = os.path.expanduser(path)
    check_valid(
        not expanded.startswith("~"),
        key,
        path,
        f"~ or ~user of a user that exists, or ./{shortened(path)} for a folder of that name",
    )
    return expanded


def check_seed(seed: int) -> None:
    """Raise a UsageError unless every library takes `seed`."""
    check_valid(0 <= seed < 2**32, "seed", seed, "a whole number from 0 to 4294967295")


def read_integers(
    key: str, text: str, maximum: int, example: str, what: str = "whole numbers"
) -> list[int]:
    """A text such as `2,4,8` as ascending numbers without duplicates.

    Raises:
        UsageError: they are not whole numbers from 1 to `maximum`; `what` says what is counted, and
            `example` shows some that are valid.
    """
    parts = [part.strip() for part in text.split(",")]
    # int() takes long for thousands of digits.
    if not all(each.isdecimal() and len(each) < 10 and 1 <= int(each) <= maximum for each in parts):
        raise UsageError(
            f"{key}={shortened(text)} is not valid: give {what} from 1 to {maximum:,}, as in "
            f"{example}"
        )
    return sorted({int(each) for each in parts})
