"""The errors that end a command, each with its exit status.

The message is the one line that the user sees: it names the bad value, the valid values and what to
do next. `cli.main` prints that line, and any `details` below it.
"""

from collections.abc import Iterable


class AecliError(Exception):
    """An error that the user can act on; `status` is the exit status."""

    status = 1

    def __init__(self, message: str = "", details: Iterable[str] = ()) -> None:
        """`details` are printed below the message, a line each."""
        super().__init__(message)
        self.details = tuple(details)


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


def missing_extra(what: str, extra: str, advice: str = "") -> UsageError:
    """The error for `what`, such as map=umap, if the packages of `extra` are not installed.

    Args:
        advice: what to do without them; follows the command that installs them.
    """
    return UsageError(f"{what} is an extra: pip install 'aecli[{extra}]'{advice}")


class Interrupted(KeyboardInterrupt):
    """Ctrl-C. Not an AecliError: code that continues after a failure must not catch it."""

    status = 130

    @staticmethod
    def saying(message: str, cause: KeyboardInterrupt) -> "Interrupted":
        """An interruption of the same kind as `cause`, with a message on what is kept."""
        return Terminated(message) if isinstance(cause, Terminated) else Interrupted(message)


class Terminated(Interrupted):
    """SIGTERM, as sent by batch systems and containers."""

    status = 143
