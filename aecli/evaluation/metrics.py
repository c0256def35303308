"""Reconstruction metrics, in pixels in [0, 1]: each defined once, for every caller."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import torch
from torch import Tensor

from aecli.data.batches import ordered_batches
from aecli.data.corruption import Corruption
from aecli.evaluation.checkerboard import CheckerboardAccumulator

EVALUATION_BATCH = 500
# Values in a batch on a GPU, where large batches mean fewer kernel launches.
GPU_BATCH_NUMBERS = 2**21


def evaluation_batch(images: Tensor) -> int:
    """Batch size for `images` (N, C, H, W) outside of training."""
    if images.device.type != "cuda":
        return EVALUATION_BATCH
    return max(EVALUATION_BATCH, GPU_BATCH_NUMBERS // images[0].numel())


# Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004:
# a Gaussian window of 11 x 11 pixels; windows that cross the edge of an image do not count.
SSIM_SIGMA, SSIM_MARGIN = 1.5, 5
SSIM_K1, SSIM_K2 = 0.01, 0.03
MIN_SSIM_SIDE = 2 * SSIM_MARGIN + 1


@dataclass(frozen=True)
class Score:
    """How close reconstructions are to their originals."""

    mse: float
    """Squared error, averaged over all pixels and images."""

    sse: float
    """Squared error summed over the pixels, averaged over the images: mse x C x H x W."""

    psnr: float
    """10 log10(1 / mse), in dB: the peak pixel value is 1."""

    ssim: float | None
    """Mean structural similarity of the images, at most 1; None if they are under 11 pixels."""

    checkerboard: float | None
    """Share of the outputs' energy at the frequencies of the stride grid, from 0 to 1: see
    `aecli/evaluation/checkerboard.py`; None if they are too small for it."""

    @classmethod
    def from_images(
        cls, mse: Tensor, ssim: Tensor | None, checkerboard: float | None, pixels_per_image: int
    ) -> Self:
        """The score from the mse and ssim of each image, both (N,), and values of all outputs
        together."""
        mean = mse.double().mean().item()
        similarity = None if ssim is None else ssim.double().mean().item()
        return cls(mean, mean * pixels_per_image, psnr(mean), similarity, checkerboard)


EXACT_MSE = 1e-9
"""Below it, a mean squared error is due to rounding, such as that of PCA with as many components as
pixels."""


def is_exact(mse: float) -> bool:
    """Whether the error is due to rounding alone."""
    return mse < EXACT_MSE


def psnr(mse: float) -> float:
    """Peak signal-to-noise ratio, in dB, for a mean squared error of pixels in [0, 1]."""
    return math.inf if mse == 0 else -10 * math.log10(mse)


def image_mse(pixels: Tensor, outputs: Tensor) -> Tensor:
    """Mean squared error of each image: (B, C, H, W) twice -> (B,)."""
    return (outputs - pixels).square().mean((1, 2, 3))


@dataclass(frozen=True)
class SSIMWindows:
    """Window statistics of reference images, shared by all comparisons with them."""

    pixels: Tensor  # (B, C, H, W), in double precision
    mean: Tensor  # (B, C, H - 10, W - 10): of each window
    square: Tensor  # (B, C, H - 10, W - 10): mean square of each window

    @classmethod
    def from_pixels(cls, pixels: Tensor) -> Self | None:
        """For pixels (B, C, H, W); None if they are smaller than the window."""
        if min(pixels.shape[2:]) < MIN_SSIM_SIDE:
            return None
        x = _to_double(pixels)
        return cls(x, *_window_means(torch.stack([x, x * x])).unbind())

    def similarity(self, outputs: Tensor) -> Tensor:
        """Structural similarity of each image, averaged over channels: (B, C, H, W) -> (B,).

        Equation 13 of Wang et al. with their constants, K1 = 0.01 and K2 = 0.03.
        """
        c1, c2 = SSIM_K1**2, SSIM_K2**2  # the peak pixel value is 1
        y = _to_double(outputs)
        mean, square, product = _window_means(torch.stack([y, y * y, self.pixels * y])).unbind()
        products = self.mean * mean
        squares = self.mean * self.mean + mean * mean
        luminance = (2 * products + c1) / (squares + c1)
        contrast = (2 * (product - products) + c2) / (self.square + square - squares + c2)
        return (luminance * contrast).mean((1, 2, 3))


def _to_double(images: Tensor) -> Tensor:
    """Cast to double: in float32 a variance is lost when the square of a large mean is subtracted.

    On the CPU for MPS, which has no float64.
    """
    return (images.cpu() if images.device.type == "mps" else images).double()


def _window_means(maps: Tensor) -> Tensor:
    """The weighted mean of every window, (..., H, W) -> (..., H - 10, W - 10): one matrix product
    per axis, since a Gaussian window is separable."""
    rows, columns = (_window_weights(side, maps.device) for side in maps.shape[-2:])
    return rows @ (maps @ columns.T)


@lru_cache
def _window_weights(side: int, device: torch.device) -> Tensor:
    """The weights of every window along an axis, (side - 10, side)."""
    distances = torch.arange(-SSIM_MARGIN, SSIM_MARGIN + 1, dtype=torch.float64)
    weights = torch.exp(-(distances**2) / (2 * SSIM_SIGMA**2))
    windows = torch.zeros(side - 2 * SSIM_MARGIN, side, dtype=torch.float64)
    for offset, weight in enumerate((weights / weights.sum()).tolist()):
        windows.diagonal(offset).fill_(weight)
    return windows.to(device)


Batches = Iterable[tuple[Tensor, Tensor]]
"""Pixels and their reconstructions, (B, C, H, W) each."""


def corrupted_batches(
    images: Tensor, corrupt: Corruption | None, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of the pixels of uint8 `images` (N, C, H, W) in order, with the encoder's inputs."""
    for pixels in ordered_batches(images, evaluation_batch(images)):
        yield pixels, corrupt(pixels, generator) if corrupt else pixels


@dataclass(frozen=True)
class PerImageScores:
    """Scores of each image, in their order."""

    mse: Tensor  # (N,)
    ssim: Tensor | None  # (N,); None if the images are under 11 pixels
    pixels_per_image: int
    checkerboard: float | None
    """The checkerboard score of all outputs together."""

    def score(self) -> Score:
        """The mean over all images."""
        return Score.from_images(self.mse, self.ssim, self.checkerboard, self.pixels_per_image)

    def subset_score(self, which: Tensor) -> Score:
        """The mean over the images that the mask (N,) selects, without a checkerboard score."""
        ssim = None if self.ssim is None else self.ssim[which]
        return Score.from_images(self.mse[which], ssim, None, self.pixels_per_image)


class ScoreAccumulator:
    """Measures reconstructions batch by batch, without synchronising with the device."""

    def __init__(self, image_shape: torch.Size, device: torch.device) -> None:
        self._errors: list[Tensor] = []
        self._similarities: list[Tensor] = []
        self._grid = CheckerboardAccumulator(image_shape, device)

    def add(self, pixels: Tensor, windows: SSIMWindows | None, outputs: Tensor) -> Tensor:
        """Add a batch: pixels (B, C, H, W) with their windows, and their reconstructions. Return
        the mse of each image, (B,)."""
        self._errors.append(image_mse(pixels, outputs))
        if windows is not None:
            self._similarities.append(windows.similarity(outputs))
        self._grid.add(outputs)
        return self._errors[-1]

    def measured(self, grid: int) -> PerImageScores:
        """The scores so far; `grid` is the period, in pixels, of the stride grid of the model that
        made the reconstructions."""
        ssim = torch.cat(self._similarities).cpu() if self._similarities else None
        errors = torch.cat(self._errors).cpu()
        return PerImageScores(errors, ssim, self._grid.pixels.numel(), self._grid.score(grid))


@torch.inference_mode()
def measure(batches: Batches, grid: int) -> PerImageScores:
    """Measure every image; for `grid` see `ScoreAccumulator.measured`."""
    accumulator: ScoreAccumulator | None = None
    for pixels, outputs in batches:
        accumulator = accumulator or ScoreAccumulator(outputs.shape[1:], outputs.device)
        accumulator.add(pixels, SSIMWindows.from_pixels(pixels), outputs)
    assert accumulator is not None, "a split has images"
    return accumulator.measured(grid)


@torch.inference_mode()
def mse_of_each(batches: Batches) -> Tensor:
    """The mse of each image, (N,), without the other scores."""
    return torch.cat([image_mse(pixels, outputs) for pixels, outputs in batches]).cpu()
