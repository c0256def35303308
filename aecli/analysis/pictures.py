"""Pictures to enlarge: the user's own, each in its own size, or the test images of a data set."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aecli.config import FOLDER, DataConfig, config_groups
from aecli.data import Split, load_data
from aecli.data.own_images import OwnPictures, open_own_pictures
from aecli.errors import DataError, UsageError
from aecli.errors.text import escaped, invalid_choice
from aecli.evaluation.examples import example_indices

Pixels = NDArray[np.float32]
"""(..., height, width) in [0, 1]."""

MAX_NUMBERS = 2**26  # in an enlarged picture
BATCH = 500  # images of a data set at a time


class Picture(NamedTuple):
    """A picture in its own size."""

    title: str
    folder: str
    """A name for the folder of its results; empty for a single picture."""

    pixels: Pixels  # (channels, height, width)


class Pictures(Protocol):
    """Pictures that fit into memory one by one or batch by batch."""

    @property
    def title(self) -> str: ...

    @property
    def folder(self) -> str:
        """A name for the folder of results."""

    @property
    def notices(self) -> list[str]:
        """What was left out, once all pictures have been read."""

    def batches(self) -> Iterator[Pixels]:
        """All pictures, (B, C, H, W) at a time."""

    def examples(self, count: int) -> list[Picture]:
        """The first `count`, or the first of each class and then others."""


@dataclass(frozen=True)
class OwnSource:
    """The user's own pictures."""

    own: OwnPictures
    root: Path
    """The first of the files and folders that were given."""

    @property
    def title(self) -> str:
        if len(self.own) == 1:
            return escaped(next(iter(self.own.headers)).name)
        return f"{len(self.own) - len(self.own.broken):,} pictures"

    @property
    def folder(self) -> str:
        root = self.root.resolve()
        return _clean(root.name if root.is_dir() else root.stem)

    @property
    def notices(self) -> list[str]:
        return self.own.notices

    def batches(self) -> Iterator[Pixels]:
        for _, image in self.own.decoded():
            yield _to_array(image[None])

    def examples(self, count: int) -> list[Picture]:
        found: list[Picture] = []
        for file, image in self.own.decoded():
            folder = "" if len(self.own) == 1 else f"{len(found) + 1}-{_clean(file.stem)}"
            found.append(Picture(escaped(file.name), folder, _to_array(image)))
            if len(found) == count:
                break
        return found


@dataclass(frozen=True)
class DataSource:
    """The test images of a data set."""

    name: str
    split: Split

    @property
    def title(self) -> str:
        return f"test images of {self.name}"

    @property
    def folder(self) -> str:
        return _clean(self.name)

    @property
    def notices(self) -> list[str]:
        return []

    def batches(self) -> Iterator[Pixels]:
        for batch in self.split.images.split(BATCH):
            yield _to_array(batch)

    def examples(self, count: int) -> list[Picture]:
        found = []
        for number, index in enumerate(example_indices(self.split, count), 1):
            kind = self.split.class_name(int(self.split.labels[index]))
            pixels = _to_array(self.split.images[index])
            found.append(Picture(f"{self.name}, class {kind}", f"{number}-{_clean(kind)}", pixels))
        return found


def open_own(paths: Sequence[str], factors: Sequence[int]) -> OwnSource:
    """The pictures in files and folders.

    Raises:
        UsageError: one is too large for the factors.
        DataError: a path does not exist, none can be read, or one is too small.
        StorageError: a folder cannot be read.
    """
    own = open_own_pictures(paths)
    sizes = {
        escaped(str(file)): (header.channels, *header.size) for file, header in own.headers.items()
    }
    _check_sizes(sizes, factors)
    return OwnSource(own, Path(paths[0]))


def open_data_set(name: str, data_dir: Path, factors: Sequence[int]) -> DataSource:
    """The test images of the data set `name`.

    Raises:
        UsageError: there is no such data set, or its images are too large for the factors.
        DataError, StorageError: it cannot be loaded.
    """
    names = [each for each in config_groups()["data"] if each not in ("auto", FOLDER)]
    if name not in names:
        raise UsageError(invalid_choice("data", name, names))
    data = load_data(DataConfig(name), data_dir, torch.device("cpu"))
    _check_sizes({f"data={data.key}": data.image_shape}, factors)
    return DataSource(data.name, data.test)


def _check_sizes(sizes: Mapping[str, tuple[int, ...]], factors: Sequence[int]) -> None:
    """Check that pictures are neither too large nor too small for the factors.

    Args:
        sizes: name -> channels, height and width.

    Raises:
        UsageError: one would be too large.
        DataError: one cannot be made smaller.
    """
    most = max(factors)
    for name, (channels, height, width) in sizes.items():
        count = channels * height * width * most**2
        if count > MAX_NUMBERS:
            raise UsageError(
                f"{name} has {height}x{width} pixels and, {most} times as high and as wide, would "
                f"have {count:,} numbers, more than the limit of {MAX_NUMBERS:,}: give a smaller "
                "factor or picture"
            )
        if min(height, width) < most:
            raise DataError(
                f"{name} has {height}x{width} pixels, too few to be made {most} times smaller: "
                "give a smaller factor or a larger picture"
            )


def _to_array(images: Tensor) -> Pixels:
    pixels: Pixels = images.numpy().astype(np.float32) / np.float32(255)
    return pixels


def _clean(name: str) -> str:
    """`name` with only what needs no quotes in a shell."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._") or "pictures"
