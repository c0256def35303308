"""Atomic writes, and reads that detect damaged files."""

import errno
import hashlib
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import Any

from aecli.errors import StorageError
from aecli.files.documents import InvalidDocumentError, parse_json

MAX_JSON_BYTES = 2**26  # parsed within a second
SCRATCH = ".aecli-part"

Fingerprint = dict[str, int | str]
"""Size and sha256 of a file, as stored in JSON."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary file next to `path`, fsync, rename, and fsync the folder.

    A reader never sees a partial file, and a power cut leaves either the old or the new one. The
    temporary file has a name that nobody can guess and is created new, never through a link.
    """
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(8)}{SCRATCH}")
    try:
        with open(scratch, "xb") as file:
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


@contextmanager
def damage_as_storage_error(path: Path) -> Iterator[None]:
    """Have an InvalidDocumentError name the file that the document is in, as a StorageError."""
    try:
        yield
    except InvalidDocumentError as error:
        raise StorageError(f"{path} is damaged: {error}") from error


def file_version(path: Path) -> tuple[int, int, int, int]:
    """What changes when a file, or the one that a link leads to, is written or replaced.

    Another file has another number, even of the same size and time.
    """
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def read_regular(path: Path, max_bytes: int | None = None) -> bytes:
    """Read a regular file; a pipe or a device could block for ever.

    Raises:
        OSError: it cannot be read.
        StorageError: it is something else, or has more than `max_bytes`.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise StorageError(f"{path} cannot be read: it is not a regular file")
    if max_bytes is not None and status.st_size > max_bytes:
        raise StorageError(
            f"{path} is damaged: it has {status.st_size:,} bytes, and {max_bytes:,} at most belong "
            f"there"
        )
    return path.read_bytes()


def read_file(path: Path, max_bytes: int | None = None) -> bytes:
    """Read a regular file.

    Raises:
        StorageError: it cannot be read, is something else, or has more than `max_bytes`.
    """
    try:
        return read_regular(path, max_bytes)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error


def read_json(path: Path, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """Read a JSON file.

    Raises:
        StorageError: it is damaged or cannot be read.
    """
    with damage_as_storage_error(path):
        return parse_json(read_file(path, max_bytes))


def read_verified(path: Path, expected: object, max_bytes: int | None = None) -> bytes:
    """Read a file of at most `max_bytes` and check it against the fingerprint `expected`.

    Raises:
        StorageError: the fingerprint differs, or the file cannot be read.
    """
    size = expected.get("size") if isinstance(expected, dict) else None
    with suppress(OSError):  # reading says why
        found = path.stat().st_size
        if isinstance(size, int) and path.is_file() and found != size:
            raise StorageError(
                f"{path} is damaged: it has {found:,} bytes, but {size:,} were written"
            )
    content = read_file(path, max_bytes)
    if fingerprint(content) != expected:
        raise StorageError(f"{path} is damaged: its sha256 is not the one in its manifest")
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
        raise _not_writable(folder, key, error.strerror) from error


def check_writable(folder: Path, key: str) -> None:
    """Check, as far as is possible without creating it, that `folder` can be written.

    Args:
        key: the option that sets it.

    Raises:
        StorageError: it cannot.
    """
    existing = next(each for each in (folder, *folder.absolute().parents) if os.path.lexists(each))
    if not existing.is_dir():
        raise _not_writable(folder, key, os.strerror(errno.ENOTDIR))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise _not_writable(folder, key, os.strerror(errno.EACCES))


def _not_writable(folder: Path, key: str, reason: str | None) -> StorageError:
    return StorageError(
        f"{folder} cannot be written ({reason}): choose another folder with {key}=..."
    )


def is_inside(name: str) -> bool:
    """Whether a name stays within the folder to which it is relative."""
    path = PurePath(name)
    return not path.is_absolute() and ".." not in path.parts


def natural_key(text: str) -> tuple[list[str | int], str]:
    """Sort key that puts 2-fc before 10-fc: alternating text and numbers; 01 stands before 1."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)], text
