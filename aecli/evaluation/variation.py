"""Which values never vary from image to image: dead units of a code, dead pixels of an output."""

from collections.abc import Sequence

import torch
from torch import Tensor

MIN_VARIANCE = 0.01
"""Least variance of the mean of an active unit."""


class VariationAccumulator:
    """Collects the range of each value batch by batch, without synchronising with the device."""

    def __init__(self, shape: Sequence[int], device: torch.device) -> None:
        self.bounds = torch.full((2, *shape), -torch.inf, device=device)
        """The maximum of each value and of its negative: a maximum over processes keeps both."""

    def add(self, values: Tensor) -> None:
        """Add a batch (B, *shape)."""
        extremes = torch.stack([values.amax(0), -values.amin(0)])
        torch.maximum(self.bounds, extremes, out=self.bounds)

    def varies(self) -> Tensor:
        """Whether each value has differed between two images: a mask of the shape."""
        highest, lowest = self.bounds[0], -self.bounds[1]
        return highest > lowest


class ActivityAccumulator:
    """The mean of each unit of a code, and which units of a Gaussian one are active, without
    synchronising with the device.

    A unit is active if its mean, as the encoder gives it, has a variance above 0.01 over the images
    (Burda et al., "Importance weighted autoencoders", 2016, section 5.2).
    """

    def __init__(self, latent: int, device: torch.device) -> None:
        self.sums = torch.zeros(2, latent, device=device)
        """Sums of each unit's means and of their squares; those of several processes can be
        added."""

    def add(self, means: Tensor) -> None:
        """Add a batch (B, D)."""
        self.sums += torch.stack([means, means.square()]).sum(1)

    def mean(self, images: int) -> Tensor:
        """The mean of each unit over `images` images, (D,)."""
        return self.sums[0] / images

    def count(self, images: int) -> int:
        """How many units are active on `images` images."""
        mean, square = self.sums / images
        return int((square - mean.square() > MIN_VARIANCE).sum())


def varying_pixels(images: Tensor) -> Tensor:
    """Whether each pixel of uint8 images (N, C, H, W) differs between two of them: (C, H, W)."""
    return images.amax(0) > images.amin(0)
