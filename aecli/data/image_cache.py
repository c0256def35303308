"""Decoded images on disk, mapped into memory instead of read: a set may be larger than that.

A cache is two files: the uint8 pixels of all images (N, C, H, W), one after the other, and an index
as JSON, which is written last and holds the digests of both. Without a whole index, or with pixels
that are not the ones that it tells of, there is no cache, and it is made anew.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aecli.errors import StorageError
from aecli.files import write_atomically


@dataclass(frozen=True)
class ImageCache:
    """Where the two files are."""

    pixels_file: Path
    index_file: Path

    def write(self, images: Iterable[Tensor]) -> str:
        """Write uint8 images (C, H, W) as they come; the digest of them all.

        Raises:
            StorageError: there is no room for them, for one thing.
        """
        digest = hashlib.sha256()
        path = self.pixels_file
        scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with open(scratch, "wb") as file:
                for image in images:
                    content = image.numpy().data
                    digest.update(content)
                    file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(scratch, path)
        except OSError as error:
            raise StorageError(
                f"{path} cannot be written ({error.strerror}): give another place as data_dir=..."
            ) from error
        finally:
            scratch.unlink(missing_ok=True)
        return digest.hexdigest()

    def write_index(self, facts: dict[str, Any]) -> None:
        """Say what the pixels are, which makes them a cache."""
        text = json.dumps({"sha256": _digest(facts), "facts": facts}, indent=1)
        write_atomically(self.index_file, text.encode())

    def read_index(self) -> dict[str, Any] | None:
        """What `write_index` was given; None where there is no whole index."""
        try:
            index = json.loads(self.index_file.read_bytes())
            facts: dict[str, Any] = index["facts"]
            return facts if index["sha256"] == _digest(facts) else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        except OSError as error:
            raise StorageError(
                f"{self.index_file} cannot be read ({error.strerror}): give another place as "
                f"data_dir=..."
            ) from error

    def map(self, shape: tuple[int, ...], digest: str) -> Tensor | None:
        """The pixels as a tensor of `shape`, which must not be written to; None if damaged."""
        try:
            with open(self.pixels_file, "rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return None
        return _mapped(self.pixels_file, shape) if found == digest else None


def _mapped(path: Path, shape: tuple[int, ...]) -> Tensor:
    # Read-only, and so of pages that the system may drop and read again: torch's own mapping counts
    # as memory that it must be able to hold.
    array = np.memmap(path, np.uint8, mode="r", shape=shape)
    with warnings.catch_warnings():
        # Nobody writes to images, which is what torch warns of.
        warnings.filterwarnings("ignore", message=".*not writable")
        return torch.from_numpy(array)


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
