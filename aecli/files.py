"""Atomic writes, and reads that detect damaged files."""

import hashlib
import os
import re
import tempfile
from pathlib import Path

from aecli.errors import StorageError

SCRATCH = ".aecli-part"

Fingerprint = dict[str, int | str]
"""Size and sha256 of a file, as stored in JSON."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary file beside `path`, fsync, rename, and fsync the folder.

    A reader never sees a partial file, and a power cut leaves either the old or the new one.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}{SCRATCH}")
    try:
        with open(scratch, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
        fsync_folder(path.parent)
    finally:
        scratch.unlink(missing_ok=True)


def fsync_file(path: Path) -> None:
    """fsync a file that another library wrote."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def fsync_folder(folder: Path) -> None:
    """fsync `folder`: a rename is durable only once its folder is on disk."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows cannot open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create `folder` and its missing parents, and fsync the folders in which they are new."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        fsync_folder(each.parent)


def remove_scratch(folder: Path) -> None:
    """Remove temporary files left by a process that was killed while writing."""
    for scratch in folder.glob(f".*{SCRATCH}"):
        scratch.unlink(missing_ok=True)


def fingerprint(content: bytes) -> Fingerprint:
    """Size and digest of `content`, for `read_verified`."""
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def read_verified(path: Path, expected: object) -> bytes:
    """Read a file and check it against the fingerprint `expected`.

    Raises:
        StorageError: the fingerprint differs, or the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error
    found = fingerprint(content)
    if found != expected:
        size = expected.get("size") if isinstance(expected, dict) else None
        difference = (
            f"it has {found['size']:,} bytes, but {size:,} were written"
            if isinstance(size, int) and size != found["size"]
            else "its sha256 is not the one in its manifest"
        )
        raise StorageError(f"{path} is damaged: {difference}")
    return content


def writable_folder(folder: Path, key: str) -> None:
    """Create `folder` if necessary and check that files can be written to it.

    Args:
        key: the option that sets it.

    Raises:
        StorageError: it cannot be created or written.
    """
    try:
        make_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written ({error.strerror}): choose another folder with {key}=..."
        ) from error


def natural_key(text: str) -> tuple[list[str | int], str]:
    """Sort key that puts 2-fc before 10-fc: alternating text and numbers; 01 stands before 1."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)], text
