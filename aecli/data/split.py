"""Images and labels that belong together."""

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
