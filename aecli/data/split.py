"""Images and labels that belong together, and the data set that they make up."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """Part of a data set."""

    images: Tensor  # (N, C, H, W) uint8
    labels: Tensor  # (N,) int64

    classes: tuple[str, ...] = ()
    """What each label is called, from 0 on; without names, its number."""

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice | Tensor) -> "Split":
        return Split(self.images[index], self.labels[index], self.classes)

    def to(self, device: torch.device) -> "Split":
        return Split(self.images.to(device), self.labels.to(device), self.classes)

    def class_name(self, label: int) -> str:
        """What the images with this label show."""
        return self.classes[label] if self.classes else str(label)


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
    """What titles call the data set that was really loaded: its key, or folder:<name of the
    folder>, and the classes to which it is limited."""

    key: str
    """The same as a key of `DATASETS`."""

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
