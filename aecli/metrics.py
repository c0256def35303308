"""What is measured, in pixels in [0, 1]: one meaning each, everywhere."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from aecli.checkerboard import GridSums
from aecli.corruption import Corruption
from aecli.data.batches import ordered_batches
from aecli.latent import nearest

EVALUATION_BATCH = 500

Reconstruct = Callable[[Tensor], Tensor]
"""Pixels (B, C, H, W) -> pixels of the same shape, clipped to [0, 1]."""

# Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004:
# a Gaussian window of 11 x 11 pixels; what hangs over the edge of an image does not count.
SSIM_SIGMA, SSIM_MARGIN = 1.5, 5
SMALLEST_SSIM_SIDE = 2 * SSIM_MARGIN + 1


@dataclass(frozen=True)
class Score:
    """How far reconstructions lie from their originals."""

    mse: float
    """Mean over all pixels and images of the squared error."""

    sse: float
    """Mean over the images of the sum over their pixels: mse x C x H x W."""

    psnr: float
    """10 log10(1 / mse), in dB: the peak of a pixel is 1."""

    ssim: float | None
    """Mean structural similarity of the images, at most 1; None where they are under 11 pixels."""

    checkerboard: float | None
    """Share of the outputs' energy at the frequencies of the stride grid, from 0 to 1: see
    `aecli/checkerboard.py`; None where they are too small for it."""

    @classmethod
    def of(
        cls, mse: Tensor, ssim: Tensor | None, checkerboard: float | None, pixels_per_image: int
    ) -> Self:
        """From each image's mse and ssim, (N,) both, and what all outputs share."""
        mean = mse.double().mean().item()
        similarity = None if ssim is None else ssim.double().mean().item()
        return cls(mean, mean * pixels_per_image, psnr(mean), similarity, checkerboard)


def psnr(mse: float) -> float:
    """Peak signal-to-noise ratio in dB of a mean squared error of pixels in [0, 1]."""
    return math.inf if mse == 0 else -10 * math.log10(mse)


def image_mse(pixels: Tensor, outputs: Tensor) -> Tensor:
    """Mean squared error of each image: (B, C, H, W) twice -> (B,)."""
    return (outputs - pixels).square().mean((1, 2, 3))


def image_ssim(pixels: Tensor, outputs: Tensor) -> Tensor | None:
    """Structural similarity of each image, its channels averaged: (B, C, H, W) twice -> (B,)."""
    # Imported where it is used: scikit-image brings SciPy, which training does not need.
    from skimage.metrics import structural_similarity

    batch, channels, height, width = pixels.shape
    if min(height, width) < SMALLEST_SSIM_SIDE:
        return None
    # All images at once, as one tall image: away from the margins the window sees one image only.
    tall = [x.reshape(-1, width).cpu().numpy() for x in (pixels, outputs)]
    _, similarity = structural_similarity(
        *tall,
        data_range=1.0,
        gaussian_weights=True,
        sigma=SSIM_SIGMA,
        use_sample_covariance=False,
        full=True,
    )
    inside = slice(SSIM_MARGIN, -SSIM_MARGIN)
    maps = torch.from_numpy(similarity).reshape(batch, channels, height, width)
    return maps[:, :, inside, inside].flatten(1).mean(1)


Batches = Iterable[tuple[Tensor, Tensor]]
"""Pixels and their reconstruction, (B, C, H, W) each."""


def reconstructed_batches(
    reconstruct: Reconstruct,
    images: Tensor,
    corrupt: Corruption | None,
    generator: torch.Generator,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Pixels of all uint8 `images` (N, C, H, W) as they lie, each batch with its reconstruction.

    Where there is a corruption, `reconstruct` gets the damaged pixels; the clean ones are yielded.
    """
    for pixels in ordered_batches(images, EVALUATION_BATCH):
        yield pixels, reconstruct(corrupt(pixels, generator) if corrupt else pixels)


@dataclass(frozen=True)
class Measured:
    """What was measured of each image, in their order."""

    mse: Tensor  # (N,)
    ssim: Tensor | None  # (N,); None where the images are under 11 pixels
    pixels_per_image: int
    checkerboard: float | None
    """Of all outputs together."""

    def score(self) -> Score:
        """Of all images, each counting the same."""
        return Score.of(self.mse, self.ssim, self.checkerboard, self.pixels_per_image)

    def of(self, which: Tensor) -> Score:
        """Of the images that the mask (N,) picks; their checkerboard is not told apart."""
        ssim = None if self.ssim is None else self.ssim[which]
        return Score.of(self.mse[which], ssim, None, self.pixels_per_image)


@torch.inference_mode()
def measure(batches: Batches, grid: int) -> Measured:
    """Measure every image.

    `grid` is the period, in pixels, of the stride grid of whatever made the reconstructions.
    """
    errors, similarities, sums, pixels_per_image = [], [], None, 0
    for pixels, outputs in batches:
        errors.append(image_mse(pixels, outputs))
        similarities.append(image_ssim(pixels, outputs))
        sums = (sums or GridSums(outputs.shape[1:], outputs.device)).add(outputs)
        pixels_per_image = pixels[0].numel()
    assert sums is not None, "a split has images"
    known = [each for each in similarities if each is not None]
    ssim = torch.cat(known) if known else None
    return Measured(torch.cat(errors).cpu(), ssim, pixels_per_image, sums.score(grid))


@torch.inference_mode()
def mse_of_each(batches: Batches) -> Tensor:
    """The mse of each image, (N,), without the rest of the score."""
    return torch.cat([image_mse(pixels, outputs) for pixels, outputs in batches]).cpu()


def mean_squared_error(batches: Batches) -> float:
    """The mse of all images, likewise."""
    return mse_of_each(batches).double().mean().item()


SEARCHED = 5000  # images at a time, of those among which the nearest is looked for


@torch.inference_mode()
def nearest_image(pixels: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """For each of `pixels` (K, C, H, W) the uint8 one of `images` (N, C, H, W) that is nearest.

    Returns:
        The mse to it (K,), and its number (K,).
    """
    best = torch.full((len(pixels),), torch.inf, device=pixels.device)
    numbers = torch.zeros(len(pixels), dtype=torch.int64, device=pixels.device)
    for batch, others in enumerate(ordered_batches(images, SEARCHED)):
        errors, places = nearest(pixels, others)
        numbers = torch.where(errors < best, batch * SEARCHED + places, numbers)
        best = torch.minimum(best, errors)
    return best, numbers
