"""What is measured, in pixels in [0, 1]: one meaning each, everywhere."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from aecli.corruption import Corruption
from aecli.data.batches import ordered_batches

EVALUATION_BATCH = 500


@dataclass(frozen=True)
class Score:
    """How far reconstructions lie from their originals."""

    mse: float
    """Mean over all pixels and images of the squared error."""

    sse: float
    """Mean over the images of the sum over their pixels: mse x C x H x W."""

    psnr: float
    """10 log10(1 / mse), in dB: the peak of a pixel is 1."""

    @classmethod
    def from_mse(cls, mse: float, pixels_per_image: int) -> "Score":
        return cls(mse, mse * pixels_per_image, psnr(mse))


def psnr(mse: float) -> float:
    """Peak signal-to-noise ratio in dB of a mean squared error of pixels in [0, 1]."""
    return math.inf if mse == 0 else -10 * math.log10(mse)


@torch.inference_mode()
def measure(
    reconstruct: Callable[[Tensor], Tensor],
    images: Tensor,
    corrupt: Corruption | None,
    generator: torch.Generator,
) -> Score:
    """Score of `reconstruct`, from pixels to pixels, against uint8 `images` (N, C, H, W).

    Where there is a corruption, `reconstruct` gets the damaged pixels and is held against the
    clean ones.
    """
    squared_error = torch.zeros((), device=images.device)
    for pixels in ordered_batches(images, EVALUATION_BATCH):
        inputs = corrupt(pixels, generator) if corrupt else pixels
        squared_error += (reconstruct(inputs) - pixels).square().sum()
    return Score.from_mse(squared_error.item() / images.numel(), images[0].numel())
