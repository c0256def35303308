"""The errors that end a command, each with its exit status.

The message is the one line that the user sees: it names the bad value, the valid values and what to
do next. `cli.main` prints that line and nothing else.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches


def invalid_choice(key: str, value: str, valid: Iterable[str]) -> str:
    """The message for a value that is none of the valid ones."""
    hint = re.sub("^valid: ", "give one of ", suggest(value, valid))
    return f"{key}={shortened(value)} is not valid: {hint}"


def suggest(wrong: str, valid: Iterable[str]) -> str:
    """The end of an error message: the closest valid word, if any, and all valid words."""
    choices = list(valid)
    closest = get_close_matches(wrong, choices, n=1)
    all_valid = f"valid: {', '.join(choices)}"
    return f"did you mean {closest[0]}? ({all_valid})" if closest else all_valid


def listed(words: Iterable[object]) -> str:
    """Join words, as in: 5, 25 and 125."""
    *most, last = map(str, words)
    return f"{', '.join(most)} and {last}" if most else last


MAX_SHOWN = 60
"""Characters of what was typed that an error message repeats."""


def shortened(value: object) -> str:
    """A value in one line, cut off if it is long."""
    text = one_line(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def one_line(error: object) -> str:
    """The message of any error, without line breaks."""
    return " ".join(str(error).split())


class AecliError(Exception):
    """An error that the user can act on; `status` is the exit status."""

    status = 1


class UsageError(AecliError):
    """An invalid command line or configuration."""

    status = 2


class DataError(AecliError):
    """A data set that is missing, damaged or of the wrong shape."""

    status = 3


class DivergenceError(AecliError):
    """The loss is no longer finite."""

    status = 4


class StorageError(AecliError):
    """A file or folder that cannot be read or written."""

    status = 5


def storage_error(error: OSError) -> StorageError:
    """Convert an OSError to a one-line error that names the file."""
    place = f"{error.filename}: " if error.filename else ""
    return StorageError(f"{place}{error.strerror or error}")


class Interrupted(KeyboardInterrupt):
    """Ctrl-C. Not an AecliError: code that continues after a failure must not catch it."""

    status = 130


class Terminated(Interrupted):
    """SIGTERM, as sent by batch systems and containers."""

    status = 143
