"""The ways a command can fail, each with its exit status.

Whoever raises one of these writes the line that a person will read: the bad value, what would be
valid, and what to do next. `cli.main` prints that line and nothing else.
"""

from collections.abc import Iterable
from difflib import get_close_matches


def suggest(wrong: str, valid: Iterable[str]) -> str:
    """The end of an error's line: the nearest valid word first, or all of them."""
    choices = list(valid)
    near = get_close_matches(wrong, choices, n=1)
    everything = f"valid: {', '.join(choices)}"
    return f"did you mean {near[0]}? ({everything})" if near else everything


def one_line(error: object) -> str:
    """The text of an error, of whoever's making, without its line breaks."""
    return " ".join(str(error).split())


class AecliError(Exception):
    """A failure that a person can act on; `status` is the exit status."""

    status = 1


class UsageError(AecliError):
    """A command line or configuration that makes no sense."""

    status = 2


class DataError(AecliError):
    """A data set that is missing, damaged or of another shape."""

    status = 3


class DivergenceError(AecliError):
    """A loss that is no longer a finite number."""

    status = 4


class StorageError(AecliError):
    """A file or folder that cannot be read or written."""

    status = 5


def storage_error(error: OSError) -> StorageError:
    """What the operating system refused, in one line that names the file."""
    place = f"{error.filename}: " if error.filename else ""
    return StorageError(f"{place}{error.strerror or error}")


class Interrupted(KeyboardInterrupt):
    """Ctrl-C. Not an AecliError: nothing that goes on after a failure may go on after this."""

    status = 130


class Terminated(Interrupted):
    """SIGTERM, which is what batch systems and containers send."""

    status = 143
