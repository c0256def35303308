"""Turn resident uint8 images into float batches, and model outputs back into pixels."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


def to_pixels(images: Tensor) -> Tensor:
    """uint8 images as float pixels in [0, 1], (B, C, H, W), in channels_last layout."""
    return images.to(torch.float32, memory_format=torch.channels_last).div_(255)


def gather(images: Tensor, indices: Tensor) -> Tensor:
    """Pixels (B, C, H, W) of the images at `indices` (B,)."""
    return to_pixels(images.index_select(0, indices))


def ordered_batches(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Yield the pixels of all images once, in order, as batches (B, C, H, W)."""
    for batch in images.split(batch_size):
        yield to_pixels(batch)


@dataclass(frozen=True)
class Normalisation:
    """Converts between pixels in [0, 1] and the normalised units that a model is trained in."""

    mean: float
    std: float

    def apply(self, pixels: Tensor) -> Tensor:
        """Normalise pixels for the model."""
        if self == IDENTITY:
            return pixels
        return (pixels - self.mean) / self.std

    def invert(self, outputs: Tensor) -> Tensor:
        """Convert a model's output to pixels, clipped to [0, 1]."""
        return (outputs * self.std + self.mean).clamp_(0, 1)


IDENTITY = Normalisation(0.0, 1.0)
