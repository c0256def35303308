"""From resident uint8 images to the batches of a step, and from a model's output back to pixels."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


def to_pixels(images: Tensor) -> Tensor:
    """uint8 images as float pixels in [0, 1], (B, C, H, W), in the layout convolutions like."""
    return images.to(torch.float32, memory_format=torch.channels_last).div_(255)


def gather(images: Tensor, numbers: Tensor) -> Tensor:
    """Pixels of the images with these numbers, (B,): (B, C, H, W)."""
    return to_pixels(images.index_select(0, numbers))


def ordered_batches(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Pixels of all images once, as they lie: (B, C, H, W) each."""
    for batch in images.split(batch_size):
        yield to_pixels(batch)


@dataclass(frozen=True)
class Normalisation:
    """Between pixels in [0, 1] and the units that a model is trained in."""

    mean: float
    std: float

    def apply(self, pixels: Tensor) -> Tensor:
        """Pixels as the model sees them."""
        if self == IDENTITY:
            return pixels
        return (pixels - self.mean) / self.std

    def invert(self, outputs: Tensor) -> Tensor:
        """A model's output as pixels, clipped to [0, 1]."""
        return (outputs * self.std + self.mean).clamp_(0, 1)


IDENTITY = Normalisation(0.0, 1.0)
