"""Splits of a data set: images with their labels."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """One split of a data set."""

    images: Tensor  # (N, C, H, W) uint8
    labels: Tensor  # (N,) int64

    classes: tuple[str, ...] = ()
    """Class name of each label, starting at 0; if empty, labels are shown as numbers."""

    derived: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """Results computed from these images that are kept with them, such as their PCA."""

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice | Tensor) -> "Split":
        return Split(self.images[index], self.labels[index], self.classes)

    def to(self, device: torch.device) -> "Split":
        return Split(self.images.to(device), self.labels.to(device), self.classes)

    def class_name(self, label: int) -> str:
        """The class name of a label."""
        return self.classes[label] if self.classes else str(label)


@dataclass(frozen=True)
class LoadedData:
    """A whole data set as read from its files."""

    train: Split
    test: Split
    source: str
    """Where it came from, for display."""

    name: str | None = None
    """Display name, if the key in `DATASETS` is not specific enough."""

    notice: str | None = None
    """A message for the user, if any."""

    validation: int | None = None
    """How many of the last training images are its own validation split, if it has one."""

    is_mapped: bool = False
    """Whether the images are memory-mapped from a file shared by all processes."""


@dataclass(frozen=True)
class Data:
    """A data set, split and moved to its device."""

    name: str
    """Display name of the data set that was loaded: its key or folder:<name of the folder>, and
    the selected classes."""

    key: str
    """Its key in `DATASETS`."""

    requested: str
    """The requested name; auto resolves to another one."""

    source: str
    """Where it came from, for display."""

    notice: str | None
    """A message for the user, if any."""

    train: Split
    validation: Split
    test: Split

    is_mapped: bool = False
    """Whether the images are memory-mapped from a file shared by all processes."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        _, channels, height, width = self.train.images.shape
        return channels, height, width
