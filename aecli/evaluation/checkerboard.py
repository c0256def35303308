"""The checkerboard score: the share of the images' energy at the frequencies of a stride grid.

A decoder that upsamples unevenly leaves a pattern that repeats with its stride s (Odena et al.,
"Deconvolution and checkerboard artifacts", 2016): stripes and checks with wavelengths of s / 1,
s / 2, ... s / (s - 1) pixels along one axis or both. These are the frequencies k / s of the grid.
There is no established measure for it. This one follows from three facts:

- The grid lies at the same pixels in every image, while the images differ. In the mean of many
  images the details cancel and what the decoder adds to all of them remains. So the mean image is
  measured; in a single image, strokes that happen to lie on every second pixel would count.
- Sampled at one pixel of each s x s cell, a grid pattern is constant. So the energy at the grid's
  frequencies, except frequency 0, is the variance of the means of the s x s phases (Parseval's
  theorem for the discrete Fourier transform).
- A slope also has different means in different phases. A moving average over s pixels passes
  slopes and blocks the grid's frequencies. So the mean image's own moving average, applied twice
  to be symmetric, is subtracted first; that removes slopes completely and the grid not at all.

The energy is divided by the variance of all pixels of all images. The score is 0 for images that
are smooth or in which nothing repeats with the grid, and 1 for images that contain only the grid.
For N images that are not smooth, details that do not cancel leave about 1 / N of the score of a
single image, which is why it should be shown with the score of the originals.
"""

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor


def high_pass(images: Tensor, period: int) -> Tensor:
    """Subtract the images' moving average over `period` pixels, applied twice.

    (N, C, H, W) -> (N, C, H - 2 (period - 1), W - 2 (period - 1)): without the border, where the
    average is undefined.
    """
    margin = period - 1
    smooth = F.avg_pool2d(F.avg_pool2d(images, period, stride=1), period, stride=1)
    height, width = images.shape[2:]
    return images[:, :, margin : height - margin, margin : width - margin] - smooth


def checkerboard(images: Tensor, period: int) -> float | None:
    """The score of a set of images (N, C, H, W) on a grid of `period` pixels.

    From 0 to 1; None if the images are smaller than one grid cell and its surroundings.
    """
    return CheckerboardAccumulator(images.shape[1:]).add(images).score(period)


class CheckerboardAccumulator:
    """Running sums for the score, so that the images need not be in memory at the same time."""

    def __init__(self, image_shape: torch.Size, device: torch.device | None = None) -> None:
        self.count = 0
        self.pixels = torch.zeros(image_shape, device=device)  # (C, H, W): sum over the images
        self.squares = torch.zeros((), device=device)  # sum over the images and their pixels

    def add(self, images: Tensor) -> Self:
        """Add a batch (B, C, H, W) on the device of the sums, without synchronising with it."""
        self.count += len(images)
        self.pixels += images.sum(0)
        self.squares += images.square().sum()
        return self

    def mean(self) -> Tensor:
        """The mean image, (C, H, W), on the CPU."""
        return self.pixels.cpu() / self.count

    def score(self, period: int) -> float | None:
        """See `checkerboard`."""
        channels, height, width = self.pixels.shape
        if min(height, width) < period + 2 * (period - 1):
            return None
        mean = self.mean().double()
        energy = _grid_energy(high_pass(mean.unsqueeze(0), period), period)
        squares = self.squares.cpu().double() / (self.count * mean.numel())
        variance = (squares - mean.mean((1, 2)).square().mean()).item()
        # The border counts in the variance but not in the energy, so the quotient can exceed 1.
        return min(1.0, energy / variance) if variance > ROUNDING else 0.0


# The variance that rounding to float32 can leave in sums of equal pixels.
ROUNDING = 1e-9


def _grid_energy(filtered: Tensor, period: int) -> float:
    """Variance of the phase means of (1, C, H, W), averaged over the channels."""
    height, width = (side // period * period for side in filtered.shape[2:])  # whole cells
    cells = F.pixel_unshuffle(filtered[:, :, :height, :width], period)  # (1, C s s, H / s, W / s)
    phases = cells.mean((0, 2, 3)).unflatten(0, (-1, period**2))  # (C, s s)
    return float(phases.var(1, unbiased=False).mean())
