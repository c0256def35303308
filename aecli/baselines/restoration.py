"""Classical image restoration: a linear (Wiener) filter, and filters that need no training images:
the median, non-local means, total variation."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from aecli.config import CorruptionKind
from aecli.data.batches import ordered_batches, to_pixels
from aecli.data.corruption import LEVELS, noise_moments, shrink

Restore = Callable[[Tensor], Tensor]
"""Degraded pixels (B, C, H, W) -> restored ones, in [0, 1]."""

# Most values in an image for linear restoration, which needs a square matrix of this size.
MAX_NUMBERS = 4096
FITTING_BATCH = 5000  # images at a time
# Relative to the largest variance: keeps the equations solvable if pixels never vary.
RIDGE = 1e-9
MEDIAN_SIDES = (3, 5)  # pixels
# scikit-image's h: differences between patches that count as noise, in pixel units; its patch
# sizes and patch distance, the range in which similar patches are searched, in pixels.
CUT_OFFS, PATCH_SIZES, PATCH_DISTANCE = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8), (3, 5), 4
TV_WEIGHTS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8)  # of the total variation; larger ones smooth more


@dataclass(frozen=True)
class LinearRestoration:
    """The Wiener filter: the linear function of degraded pixels with the smallest mse."""

    mean: Tensor  # (P,): of the clean pixels, P = C H W
    degraded_mean: Tensor  # (Q,)
    weights: Tensor  # (P, Q): degraded to clean
    image_shape: tuple[int, ...]
    """Of the clean images: channels, height, width."""

    def __call__(self, pixels: Tensor) -> Tensor:
        """Degraded pixels (B, C, H', W') -> restored (B, C, H, W), clipped to [0, 1]."""
        clean = (pixels.flatten(1) - self.degraded_mean) @ self.weights.T + self.mean
        return clean.clamp_(0, 1).reshape(len(pixels), *self.image_shape)


def _wiener_filter(
    images: Tensor, mean: Tensor, degraded_mean: Tensor, cross: Tensor, auto: Tensor
) -> LinearRestoration:
    """Cov(clean, degraded) Cov(degraded, degraded)^-1 in double precision.

    (Wiener, "Extrapolation, interpolation, and smoothing of stationary time series", 1949.)
    """
    auto.diagonal().add_(RIDGE * auto.diagonal().max())
    factor, failed_at = torch.linalg.cholesky_ex(auto)
    if failed_at:  # some pixels never vary, or vary alike: the smallest of all solutions
        weights = torch.linalg.lstsq(auto, cross.T, driver="gelsd").solution.T
    else:
        weights = torch.cholesky_solve(cross.T, factor).T
    mean, degraded_mean, weights = (
        each.float().to(images.device) for each in (mean, degraded_mean, weights)
    )
    return LinearRestoration(mean, degraded_mean, weights, tuple(images.shape[1:]))


def fit_upscaler(images: Tensor, factor: int) -> LinearRestoration:
    """Fit the best linear upscaling to uint8 `images` (N, C, H, W) shrunk by `factor`.

    In double precision, and so on the CPU: no noise is added to the covariances here that would
    exceed the rounding of single precision.
    """
    size, small_size = images[0].numel(), shrink(to_pixels(images[:1]), factor).numel()
    mean, small_mean = (torch.zeros(each, dtype=torch.float64) for each in (size, small_size))
    cross = torch.zeros(size, small_size, dtype=torch.float64)
    auto = torch.zeros(small_size, small_size, dtype=torch.float64)
    for pixels in ordered_batches(images, FITTING_BATCH):
        clean = pixels.flatten(1).cpu().double()
        small = shrink(pixels, factor).flatten(1).cpu().double()
        mean += clean.sum(0) / len(images)
        small_mean += small.sum(0) / len(images)
        cross.addmm_(clean.T, small, alpha=1 / len(images))
        auto.addmm_(small.T, small, alpha=1 / len(images))
    cross -= torch.outer(mean, small_mean)
    auto -= torch.outer(small_mean, small_mean)
    return _wiener_filter(images, mean, small_mean, cross, auto)


class ImageMoments:
    """Moments of uint8 images (N, C, H, W) that every linear denoiser needs, whatever the noise."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    @cached_property
    def level_shares(self) -> Tensor:
        """The share of images that have each grey level at each pixel, (P, 256)."""
        size = self.images[0].numel()
        counts = torch.zeros(size * 256, dtype=torch.int64)
        first = torch.arange(size) * 256
        for batch in self.images.split(FITTING_BATCH):
            levels = batch.flatten(1).cpu() + first
            counts += torch.bincount(levels.flatten(), minlength=len(counts))
        return counts.reshape(size, 256).double() / len(self.images)

    @cached_property
    def covariance(self) -> Tensor:
        """Cov(x, x) of the pixels x, (P, P)."""
        return self.covariance_of(LEVELS, LEVELS)

    def covariance_of(self, left: Tensor, right: Tensor) -> Tensor:
        """Cov(left(x), right(x)) over all images x, (P, P); both are lookup tables (256,).

        Of values less their means: far from these, rounding to single precision would exceed the
        variance of weak noise.
        """
        size, device = self.images[0].numel(), self.images.device
        total = torch.zeros(size, size, device=device)
        tables = [
            (table.float().to(device), (self.level_shares @ table).float().to(device))
            for table in (left, right)
        ]
        for batch in self.images.split(FITTING_BATCH):
            levels = batch.flatten(1).int()
            left_values, right_values = (table[levels] - mean for table, mean in tables)
            total.addmm_(left_values.T, right_values)
        return total.cpu().double() / len(self.images)


def fit_denoiser(moments: ImageMoments, kind: CorruptionKind, strength: float) -> LinearRestoration:
    """Fit the best linear denoiser to images, given by their moments, and a kind of noise.

    No noise is drawn: it is independent from pixel to pixel, so its moments at each grey level
    determine what it adds to the covariances.
    """
    mean_level, square_level = noise_moments(kind, strength)
    shares = moments.level_shares
    mean, noisy_mean = shares @ LEVELS, shares @ mean_level
    noise = shares @ (square_level - mean_level**2)
    slope = mean_level[-1] - mean_level[0]
    if torch.allclose(mean_level, mean_level[0] + slope * LEVELS):
        cross, auto = slope * moments.covariance, slope**2 * moments.covariance
    else:
        cross = moments.covariance_of(LEVELS, mean_level)
        auto = moments.covariance_of(mean_level, mean_level)
    auto.diagonal().add_(noise)
    return _wiener_filter(moments.images, mean, noisy_mean, cross, auto)


def level_from_mean(kind: CorruptionKind, strength: float) -> Restore:
    """The inverse of what noise does to the mean of a pixel: it makes black grey, for example.

    A filter that averages pixels finds the mean of the noisy ones. For noise that is clipped this
    is worth up to 4 dB (Foi, "Clipped noisy images: heteroskedastic modeling and practical
    denoising", 2009).
    """
    means, _ = noise_moments(kind, strength)

    def correct(pixels: Tensor) -> Tensor:
        levels = np.interp(pixels.cpu().numpy(), means.numpy(), LEVELS.numpy())
        return torch.from_numpy(levels).to(pixels)

    return correct


def best_median(noisy: Tensor, clean: Tensor, correct: Restore) -> Restore:
    """The median filter that works best on these images, as in `_best`."""
    return _best((partial(median, side=side) for side in MEDIAN_SIDES), noisy, clean, correct)


def median(noisy: Tensor, side: int) -> Tensor:
    """Replace each pixel by the median of a square around it, channel by channel."""
    from skimage.filters import median as filtered

    square = np.ones((1, 1, side, side))
    return torch.from_numpy(filtered(noisy.cpu().numpy(), square)).to(noisy.device)


def best_non_local_means(noisy: Tensor, clean: Tensor, correct: Restore) -> Restore:
    """Non-local means with the settings that work best on these images, as in `_best`."""
    settings = [(cut_off, patch) for cut_off in CUT_OFFS for patch in PATCH_SIZES]
    filters = (partial(non_local_means, cut_off=each, patch=patch) for each, patch in settings)
    return _best(filters, noisy, clean, correct)


def non_local_means(noisy: Tensor, cut_off: float, patch: int) -> Tensor:
    """Replace each pixel by a mean of nearby pixels with similar surroundings.

    (Buades, Coll and Morel, "A non-local algorithm for image denoising", 2005.)
    """
    from skimage.restoration import denoise_nl_means

    return _one_by_one(
        noisy,
        lambda image: denoise_nl_means(
            image, patch, PATCH_DISTANCE, cut_off, fast_mode=True, channel_axis=-1
        ),
    )


def best_total_variation(noisy: Tensor, clean: Tensor, correct: Restore) -> Restore:
    """Total variation with the weight that works best on these images, as in `_best`."""
    filters = (partial(total_variation, weight=weight) for weight in TV_WEIGHTS)
    return _best(filters, noisy, clean, correct)


def total_variation(noisy: Tensor, weight: float) -> Tensor:
    """The image close to the noisy one whose total variation is small.

    (Rudin, Osher and Fatemi, "Nonlinear total variation based noise removal algorithms", 1992.)
    """
    from skimage.restoration import denoise_tv_chambolle

    return _one_by_one(noisy, lambda image: denoise_tv_chambolle(image, weight, channel_axis=-1))


def _one_by_one(noisy: Tensor, restore: Callable[[NDArray[Any]], NDArray[Any]]) -> Tensor:
    """Apply scikit-image's `restore`, (H, W, C) -> (H, W, C), to each image (B, C, H, W)."""
    rows = noisy.permute(0, 2, 3, 1).cpu().numpy()
    # It may drop the channel axis if there is only one channel.
    restored = np.stack([restore(image).reshape(image.shape) for image in rows])
    return torch.from_numpy(restored).permute(0, 3, 1, 2).clamp(0, 1).to(noisy.device)


def _best(filters: Iterable[Restore], noisy: Tensor, clean: Tensor, correct: Restore) -> Restore:
    """Of the filters, each with and without `correct` after it, the one with the smallest mse.

    Args:
        filters: to choose from.
        noisy, clean: the images to choose by, (B, C, H, W) each.
        correct: of the kind of noise, as from `level_from_mean`.
    """

    def corrected(pixels: Tensor, restore: Restore) -> Tensor:
        return correct(restore(pixels))

    candidates: list[tuple[float, Restore]] = []
    for restore in filters:
        restored = restore(noisy)  # which takes far longer than the correction
        for outputs, candidate in (
            (restored, restore),
            (correct(restored), partial(corrected, restore=restore)),
        ):
            candidates.append((F.mse_loss(outputs, clean).item(), candidate))
    _, best = min(candidates, key=lambda each: each[0])
    return best
