"""Files that are either whole or not there, and that can be told from damaged ones."""

import hashlib
import os
import re
import tempfile
from pathlib import Path

from aecli.errors import StorageError

SCRATCH = ".aecli-part"

Fingerprint = dict[str, int | str]
"""Size and sha256 of a file, as JSON holds them."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside `path`, flush to disk, rename, flush the folder.

    A reader never sees half a file, and after a power cut there is the old one or the new one.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}{SCRATCH}")
    try:
        with open(scratch, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
        _flush_folder(path.parent)
    finally:
        scratch.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """The names in it, which are on disk no sooner than the folder is."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows, where a folder cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_scratch(folder: Path) -> None:
    """Remove what a process that was killed while writing has left beside its files."""
    for scratch in folder.glob(f".*{SCRATCH}"):
        scratch.unlink(missing_ok=True)


def fingerprint(content: bytes) -> Fingerprint:
    """By which `read_verified` knows a file again."""
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def read_verified(path: Path, expected: object) -> bytes:
    """What a file holds, which must have the fingerprint `expected`.

    Raises:
        StorageError: it has another, or cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error
    found = fingerprint(content)
    if found != expected:
        size = expected.get("size") if isinstance(expected, dict) else None
        difference = (
            f"it has {found['size']:,} bytes and was written with {size:,}"
            if isinstance(size, int) and size != found["size"]
            else "its sha256 is not the one in its manifest"
        )
        raise StorageError(f"{path} is damaged: {difference}")
    return content


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
