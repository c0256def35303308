"""The classical answers to damage: linear restoration, a median filter, non-local means."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from aecli.config import CorruptionKind
from aecli.data.batches import ordered_batches, to_pixels
from aecli.data.corruption import LEVELS, noise_moments, shrink

Restore = Callable[[Tensor], Tensor]
"""Damaged pixels (B, C, H, W) -> restored ones, in [0, 1]."""

# Numbers in an image beyond which there is no linear restoration: a matrix of all with all.
MAX_NUMBERS = 4096
FITTING_BATCH = 5000  # images at a time
# Of the largest variance: what keeps the equations solvable where pixels never vary.
RIDGE = 1e-9
MEDIAN_SIDES = (3, 5)  # pixels
# scikit-image's h: differences between patches that count as noise, in pixel units; sides of the
# patches, in pixels; and how far from a pixel they are looked for.
CUT_OFFS, PATCHES, REACH = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8), (3, 5), 4


@dataclass(frozen=True)
class LinearRestoration:
    """The linear function of all damaged pixels with the smallest mean squared error: Wiener's."""

    mean: Tensor  # (P,): of the clean pixels, P = C H W
    damaged_mean: Tensor  # (Q,)
    weights: Tensor  # (P, Q): damaged to clean
    image_shape: tuple[int, ...]
    """Of the clean images: channels, height, width."""

    def __call__(self, pixels: Tensor) -> Tensor:
        """Damaged pixels (B, C, H', W') -> restored (B, C, H, W), clipped to [0, 1]."""
        clean = (pixels.flatten(1) - self.damaged_mean) @ self.weights.T + self.mean
        return clean.clamp_(0, 1).reshape(len(pixels), *self.image_shape)


def _solved(
    images: Tensor, mean: Tensor, damaged_mean: Tensor, cross: Tensor, own: Tensor
) -> LinearRestoration:
    """Cov(clean, damaged) Cov(damaged, damaged)^-1 in double precision.

    (Wiener, "Extrapolation, interpolation, and smoothing of stationary time series", 1949.)
    """
    own.diagonal().add_(RIDGE * own.diagonal().max())
    weights = torch.cholesky_solve(cross.T, torch.linalg.cholesky(own)).T
    mean, damaged_mean, weights = (
        each.float().to(images.device) for each in (mean, damaged_mean, weights)
    )
    return LinearRestoration(mean, damaged_mean, weights, tuple(images.shape[1:]))


def fit_enlarger(images: Tensor, factor: int) -> LinearRestoration:
    """The best linear function of uint8 `images` (N, C, H, W) shrunk by `factor`.

    In double precision, and so on the CPU: nothing is added to the covariances here that would be
    larger than the rounding of single precision.
    """
    size, small_size = images[0].numel(), shrink(to_pixels(images[:1]), factor).numel()
    mean, small_mean = (torch.zeros(each, dtype=torch.float64) for each in (size, small_size))
    cross = torch.zeros(size, small_size, dtype=torch.float64)
    own = torch.zeros(small_size, small_size, dtype=torch.float64)
    for pixels in ordered_batches(images, FITTING_BATCH):
        clean = pixels.flatten(1).cpu().double()
        small = shrink(pixels, factor).flatten(1).cpu().double()
        mean += clean.sum(0) / len(images)
        small_mean += small.sum(0) / len(images)
        cross.addmm_(clean.T, small, alpha=1 / len(images))
        own.addmm_(small.T, small, alpha=1 / len(images))
    cross -= torch.outer(mean, small_mean)
    own -= torch.outer(small_mean, small_mean)
    return _solved(images, mean, small_mean, cross, own)


def fit_denoiser(images: Tensor, kind: CorruptionKind, strength: float) -> LinearRestoration:
    """The best linear denoiser of uint8 `images` (N, C, H, W) for a noise.

    The noise is not drawn: it is independent from pixel to pixel, so its moments at each grey level
    say what it adds to the covariances.
    """
    mean_level, square_level = noise_moments(kind, strength)
    shares = _level_shares(images)
    mean, noisy_mean = shares @ LEVELS, shares @ mean_level
    noise = shares @ (square_level - mean_level**2)
    slope = mean_level[-1] - mean_level[0]
    if torch.allclose(mean_level, mean_level[0] + slope * LEVELS):
        clean = _clean_products(images) - torch.outer(mean, mean)
        cross, own = slope * clean, slope**2 * clean
    else:
        cross = _products(images, LEVELS, mean_level) - torch.outer(mean, noisy_mean)
        own = _products(images, mean_level, mean_level) - torch.outer(noisy_mean, noisy_mean)
    own.diagonal().add_(noise)
    return _solved(images, mean, noisy_mean, cross, own)


@lru_cache(maxsize=1)
def _level_shares(images: Tensor) -> Tensor:
    """How many of the images have each level at each pixel: (P, 256), as shares."""
    size = images[0].numel()
    counts = torch.zeros(size * 256, dtype=torch.int64)
    first = torch.arange(size) * 256
    for batch in images.split(FITTING_BATCH):
        levels = batch.flatten(1).cpu() + first
        counts += torch.bincount(levels.flatten(), minlength=len(counts))
    return counts.reshape(size, 256).double() / len(images)


@lru_cache(maxsize=1)
def _clean_products(images: Tensor) -> Tensor:
    """`_products` of the pixels as they are."""
    return _products(images, LEVELS, LEVELS)


def _products(images: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """E[left(x) right(x)^T] over all images x, (P, P), where tables (256,) give left and right."""
    size = images[0].numel()
    total = torch.zeros(size, size, device=images.device)
    tables = [table.float().to(images.device) for table in (left, right)]
    for batch in images.split(FITTING_BATCH):
        levels = batch.flatten(1).int()
        one, other = (table[levels] for table in tables)
        total.addmm_(one.T, other)
    return total.cpu().double() / len(images)


def best_median(noisy: Tensor, clean: Tensor) -> Restore:
    """The median filter of the side that is best on these images, (B, C, H, W) each."""
    return _best((partial(median, side=side) for side in MEDIAN_SIDES), noisy, clean)


def median(noisy: Tensor, side: int) -> Tensor:
    """Each pixel becomes the median of a square around it, in its own channel."""
    from skimage.filters import median as filtered

    square = np.ones((1, 1, side, side))
    return torch.from_numpy(filtered(noisy.cpu().numpy(), square)).to(noisy.device)


def best_non_local_means(noisy: Tensor, clean: Tensor) -> Restore:
    """Non-local means with the settings that are best on these images, (B, C, H, W) each."""
    settings = [(cut_off, patch) for cut_off in CUT_OFFS for patch in PATCHES]
    candidates = (partial(non_local_means, cut_off=each, patch=patch) for each, patch in settings)
    return _best(candidates, noisy, clean)


def non_local_means(noisy: Tensor, cut_off: float, patch: int) -> Tensor:
    """Each pixel becomes a mean of pixels nearby whose surroundings look like its own.

    (Buades, Coll and Morel, "A non-local algorithm for image denoising", 2005.)
    """
    from skimage.restoration import denoise_nl_means

    rows = noisy.permute(0, 2, 3, 1).cpu().numpy()  # (B, H, W, C)
    denoised = [
        # scikit-image drops the axis of the channels where there is one.
        denoise_nl_means(image, patch, REACH, cut_off, fast_mode=True, channel_axis=-1).reshape(
            image.shape
        )
        for image in rows
    ]
    return torch.from_numpy(np.stack(denoised)).permute(0, 3, 1, 2).clamp(0, 1).to(noisy.device)


def _best(candidates: Iterable[Restore], noisy: Tensor, clean: Tensor) -> Restore:
    return min(candidates, key=lambda each: F.mse_loss(each(noisy), clean).item())
