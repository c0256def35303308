"""Splits of a data set: images with their labels."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from aecli.config.choices import SPLITS
from aecli.data.fingerprint import image_digests, image_keys, split_fingerprint
from aecli.errors.text import escaped


@dataclass(frozen=True)
class Split:
    """One split of a data set."""

    images: Tensor  # (N, C, H, W) uint8
    labels: Tensor  # (N,) int64

    classes: tuple[str, ...] = ()
    """Class name of each label, starting at 0, as its folder is called; if empty, labels are shown
    as numbers."""

    derived: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """Results computed from these images that are kept with them, such as their PCA."""

    digests: Tensor | None = field(default=None, compare=False, repr=False)
    """As from `image_digests`, on the CPU; None if they have not been computed."""

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice | Tensor) -> "Split":
        digests = self.digests
        if digests is not None:
            digests = digests[index if isinstance(index, slice) else index.cpu()]
        return Split(self.images[index], self.labels[index], self.classes, digests=digests)

    def to(self, device: torch.device) -> "Split":
        images, labels = self.images.to(device), self.labels.to(device)
        return Split(images, labels, self.classes, digests=self.digests)

    def with_digests(self) -> "Split":
        """The same split, with the digests of its images."""
        return self if self.digests is not None else replace(self, digests=self._digests())

    @property
    def image_keys(self) -> Tensor:
        """A number for each image, (N,) int64 on the CPU: equal for equal pixels."""
        return image_keys(self._digests())

    @property
    def fingerprint(self) -> str:
        """A digest of the images, the names of their classes, and the order."""
        labels = self.labels.tolist()
        names = [self.classes[label] if self.classes else str(label) for label in labels]
        return split_fingerprint(self._digests(), names, tuple(self.images.shape[1:]))

    def _digests(self) -> Tensor:
        return image_digests(self.images) if self.digests is None else self.digests

    def class_name(self, label: int) -> str:
        """The class name of a label, to be shown: no two labels have the same."""
        return escaped(self.classes[label]) if self.classes else str(label)


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

    may_repeat: bool = False
    """Whether equal images are expected, because there are few different ones."""


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

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprint of each of `SPLITS`."""
        return {name: getattr(self, name).fingerprint for name in SPLITS}

    @cached_property
    def copies(self) -> int:
        """The number of test images that are pixel for pixel equal to a training or validation
        image."""
        known = torch.cat([self.train.image_keys, self.validation.image_keys])
        return int(torch.isin(self.test.image_keys, known).sum())
