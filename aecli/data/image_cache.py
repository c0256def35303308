"""Decoded images on disk, memory-mapped so that a data set may be larger than memory.

A cache consists of two files: the uint8 pixels of all images (N, C, H, W), and a JSON index, which
is written last and holds the digests of both: of the pixels, one over those of the images, which
are needed in any case. If the index is incomplete or the pixels do not match it, the cache is
rebuilt.
"""

import hashlib
import json
import math
import os
import secrets
import socket
import time
import warnings
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from aecli.data.fingerprint import image_digests
from aecli.errors import StorageError
from aecli.files.documents import parse_json
from aecli.files.storage import MAX_JSON_BYTES, read_regular, write_atomically

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PART = ".part"  # the end of the name of a file that is being written
OLD = 3600.0  # seconds since the last write after which no process is still writing
_HOST = socket.gethostname()


@dataclass(frozen=True)
class ImageCache:
    """The two files of a cache."""

    pixels_file: Path
    index_file: Path

    def write(self, images: Iterable[Tensor]) -> str:
        """Write uint8 images (C, H, W) one by one and return a digest of all, for `map`.

        Raises:
            StorageError: they cannot be written, for example because the disk is full.
        """
        digests = hashlib.sha256()
        path = self.pixels_file
        # The name cannot be guessed, and says which process the file belongs to.
        owner = f"{_HOST}-{os.getpid()}-{secrets.token_hex(8)}"
        scratch = path.with_name(f".{path.name}.{owner}{PART}")
        _remove_leftovers(path.parent)
        try:
            with open(scratch, "xb") as file:
                with suppress(OSError):  # not every file system has locks
                    _lock(file)
                for image in images:
                    content = image.numpy().data
                    digests.update(hashlib.sha256(content).digest())
                    file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(scratch, path)
        except OSError as error:
            raise StorageError(
                f"{path} cannot be written ({error.strerror}): choose another folder with "
                f"data_dir=..."
            ) from error
        finally:
            scratch.unlink(missing_ok=True)
        return digests.hexdigest()

    def write_index(self, facts: dict[str, Any]) -> None:
        """Write the index, which completes the cache."""
        text = json.dumps({"sha256": _digest(facts), "facts": facts}, indent=1)
        write_atomically(self.index_file, text.encode())

    def read_index(self) -> dict[str, Any] | None:
        """Read what `write_index` wrote; None if the index is missing or damaged."""
        try:
            index = parse_json(read_regular(self.index_file, MAX_JSON_BYTES))
            facts: dict[str, Any] = index["facts"]
            return facts if index["sha256"] == _digest(facts) else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        except OSError as error:
            raise StorageError(
                f"{self.index_file} cannot be read ({error.strerror}): choose another folder "
                f"with data_dir=..."
            ) from error

    def map(self, shape: tuple[int, ...], digest: str) -> tuple[Tensor, Tensor] | None:
        """Map the images as a read-only tensor of `shape`, with the digest of each; None if the
        file is missing or damaged."""
        path = self.pixels_file
        # A pipe could block, and a file that is too short cannot be mapped.
        if not path.is_file() or min(shape) < 1 or path.stat().st_size != math.prod(shape):
            return None
        images = _mapped(path, shape)
        digests = image_digests(images)
        is_whole = hashlib.sha256(digests.numpy().tobytes()).hexdigest() == digest
        return (images, digests) if is_whole else None


def _remove_leftovers(folder: Path) -> None:
    """Remove files in `folder` of processes that were killed while writing.

    A process holds a lock on the file that it writes, which is released when it ends. Locks of
    another host may be invisible here, so files must be old as well.
    """
    for leftover in folder.glob(f".*.images.*{PART}"):
        try:
            with open(leftover, "rb+") as file:
                _lock(file)
                status = os.fstat(file.fileno())
                is_old = time.time() - status.st_mtime > OLD
                # A new file is empty before it is locked.
                if is_old or (status.st_size and f".images.{_HOST}-" in leftover.name):
                    leftover.unlink()
        except OSError:  # it is being written, or is another user's
            continue


def _lock(file: BinaryIO) -> None:
    """Lock an open file until it is closed.

    Raises:
        OSError: another process has locked it.
    """
    if fcntl is not None:  # elsewhere, a file that is open cannot be removed
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _mapped(path: Path, shape: tuple[int, ...]) -> Tensor:
    # The pages of a read-only mapping can be evicted and read again; torch's own mapping counts
    # towards the memory limit.
    array = np.memmap(path, np.uint8, mode="r", shape=shape)
    with warnings.catch_warnings():
        # torch warns about writing to the tensor, and nothing writes to images.
        warnings.filterwarnings("ignore", message=".*not writable")
        return torch.from_numpy(array)


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
