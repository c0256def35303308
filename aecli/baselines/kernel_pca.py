"""Kernel PCA with a way back to the images that is learned: a classical code that is not linear."""

from collections.abc import Collection, Iterator
from typing import Any

import torch
from torch import Tensor

from aecli.data.batches import to_pixels
from aecli.errors import missing_extra

# Time and memory grow with the square of the number of fitted images or faster.
MAX_FITTED = 4000
MAX_CHOOSING = 1000
# Of the ridge; the best by training images that neither part is fitted to.
STRENGTHS = (1.0, 0.1, 0.01, 0.001)
BATCH = 2000  # images whose kernels with all fitted ones are in memory at once


def kernel_pca_errors(
    train: Tensor, test: Tensor, sizes: Collection[int]
) -> Iterator[tuple[int, float]]:
    """The test mse of kernel PCA by the size of its code, as soon as each is known.

    The kernel is exp(-d²/v) of the distance d of two images, where v is the sum of the variances
    of all pixels (Schölkopf, Smola and Müller, "Nonlinear component analysis as a kernel eigenvalue
    problem", 1998). It has no exact way back: kernel ridge regression, with such a kernel of the
    codes, learns one (Bakır, Weston and Schölkopf, "Learning to find pre-images", 2003).

    Args:
        train: uint8 images (N, C, H, W), at least 5, of which the first `MAX_FITTED` are fitted, or
            four fifths if there are few; those that follow choose the strength of the ridge.
        test: uint8 images (M, C, H, W).
        sizes: numbers of components; those that are not below the number of fitted images are
            left out.

    Raises:
        UsageError: scikit-learn is not installed.
    """
    decomposition, regression = _scikit_learn()
    images = _rows(train[: MAX_FITTED + MAX_CHOOSING])
    count = min(MAX_FITTED, len(images) * 4 // 5)
    fitted, choosing, tested = images[:count], images[count:], _rows(test)
    possible = sorted(size for size in {*sizes} if size < count)
    if not possible:
        return
    fit = decomposition(possible[-1], kernel="rbf", gamma=_gamma(fitted), random_state=0)
    codes = torch.from_numpy(fit.fit_transform(fitted.numpy()))
    choosing_codes, tested_codes = (
        torch.cat([torch.from_numpy(fit.transform(part.numpy())) for part in each.split(BATCH)])
        for each in (choosing, tested)
    )
    mean = fitted.mean(0)
    for size in possible:
        gamma = _gamma(codes[:, :size])
        ridges = [
            regression(alpha=strength, kernel="rbf", gamma=gamma).fit(
                codes[:, :size].numpy(), (fitted - mean).numpy()
            )
            for strength in STRENGTHS
        ]
        errors = [_error(each, choosing_codes[:, :size], choosing, mean) for each in ridges]
        best = ridges[errors.index(min(errors))]
        yield size, _error(best, tested_codes[:, :size], tested, mean)


def _error(ridge: Any, codes: Tensor, images: Tensor, mean: Tensor) -> float:
    """The mse of the images (N, P) that a ridge makes of codes (N, D), clipped to [0, 1]."""
    total = 0.0
    for part, pixels in zip(codes.split(BATCH), images.split(BATCH), strict=True):
        outputs = (torch.from_numpy(ridge.predict(part.numpy())) + mean).clamp_(0, 1)
        total += (outputs - pixels).square().sum().item()
    return total / images.numel()


def _gamma(rows: Tensor) -> float:
    """One over the sum of the variances of all columns."""
    variance = rows.var(0, correction=0).sum().item()
    return 1 / variance if variance > 0 else 1.0


def _rows(images: Tensor) -> Tensor:
    """uint8 images (N, C, H, W) -> pixels (N, P) in double precision, on the CPU."""
    return to_pixels(images.cpu()).flatten(1).double()


def _scikit_learn() -> tuple[Any, Any]:
    try:
        from sklearn.decomposition import KernelPCA
        from sklearn.kernel_ridge import KernelRidge
    except ImportError as error:
        raise missing_extra("kernel_pca=true", "uses") from error
    return KernelPCA, KernelRidge
