"""Images and labels that belong together, and the data set that they make up."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """Part of a data set."""

    images: Tensor  # (N, C, H, W) uint8
    labels: Tensor  # (N,) int64

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice) -> "Split":
        return Split(self.images[index], self.labels[index])

    def to(self, device: torch.device) -> "Split":
        return Split(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class LoadedData:
    """A whole data set as its files hold it."""

    train: Split
    test: Split
    source: str
    """Where it came from, for people to read."""

    name: str | None = None
    """What it is called, where the key of `DATASETS` does not say enough."""

    notice: str | None = None
    """What a person must know about it, if anything."""

    validation: int | None = None
    """How many of the last training images it sets apart itself for validation."""

    is_mapped: bool = False
    """Whether the images lie in a file that every process maps, and not in memory."""


@dataclass(frozen=True)
class Data:
    """A data set, split and on its device."""

    name: str
    """The data set that was really loaded: a key of `DATASETS`, or folder:<name of the folder>."""

    requested: str
    """The name that was asked for; auto may become another."""

    source: str
    """Where it came from, for people to read."""

    notice: str | None
    """What a person must know about it, if anything."""

    train: Split
    validation: Split
    test: Split

    is_mapped: bool = False
    """Whether the images lie in a file that every process maps, and not in memory."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        _, channels, height, width = self.train.images.shape
        return channels, height, width
