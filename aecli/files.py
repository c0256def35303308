"""Files that are either whole or not there."""

import os
import re
import tempfile
from pathlib import Path

from aecli.errors import StorageError


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside `path`, flush to disk, rename: a reader never sees half a file."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(scratch, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def writable_folder(folder: Path, key: str) -> None:
    """Make `folder` if need be, and make sure that files can be put into it.

    Args:
        key: the option that names it.

    Raises:
        StorageError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written ({error.strerror}): give another place as {key}=..."
        ) from error


def natural_key(text: str) -> list[str | int]:
    """Sorts 2-fc before 10-fc: text and numbers alternate."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)]
