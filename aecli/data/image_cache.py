"""Decoded images on disk, memory-mapped so that a data set may be larger than memory.

A cache consists of two files: the uint8 pixels of all images (N, C, H, W), and a JSON index, which
is written last and holds the digests of both. If the index is incomplete or the pixels do not match
it, the cache is rebuilt.
"""

import hashlib
import json
import os
import secrets
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aecli.documents import parse_json
from aecli.errors import StorageError
from aecli.files import read_regular, write_atomically


@dataclass(frozen=True)
class ImageCache:
    """The two files of a cache."""

    pixels_file: Path
    index_file: Path

    def write(self, images: Iterable[Tensor]) -> str:
        """Write uint8 images (C, H, W) one by one and return the digest of all pixels.

        Raises:
            StorageError: they cannot be written, for example because the disk is full.
        """
        digest = hashlib.sha256()
        path = self.pixels_file
        scratch = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
        try:
            with open(scratch, "xb") as file:
                for image in images:
                    content = image.numpy().data
                    digest.update(content)
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
        return digest.hexdigest()

    def write_index(self, facts: dict[str, Any]) -> None:
        """Write the index, which completes the cache."""
        text = json.dumps({"sha256": _digest(facts), "facts": facts}, indent=1)
        write_atomically(self.index_file, text.encode())

    def read_index(self) -> dict[str, Any] | None:
        """Read what `write_index` wrote; None if the index is missing or damaged."""
        try:
            index = parse_json(read_regular(self.index_file))
            facts: dict[str, Any] = index["facts"]
            return facts if index["sha256"] == _digest(facts) else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        except OSError as error:
            raise StorageError(
                f"{self.index_file} cannot be read ({error.strerror}): choose another folder "
                f"with data_dir=..."
            ) from error

    def map(self, shape: tuple[int, ...], digest: str) -> Tensor | None:
        """Map the pixels as a read-only tensor of `shape`; None if missing or damaged."""
        try:
            with open(self.pixels_file, "rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return None
        return _mapped(self.pixels_file, shape) if found == digest else None


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
