"""Kernel PCA with an inverse that is learned: a classical code that is not linear."""

from collections.abc import Collection, Iterator
from typing import Any

import torch
from torch import Tensor

from aecli.data.batches import to_pixels
from aecli.errors import missing_extra

# Time and memory grow with the square of the number of fitted images or faster.
MAX_FITTED = 4000
MAX_CHOOSING = 1000
MAX_NUMBERS = 2**26  # in all these images; of large ones there are fewer
# Strengths of the ridge to choose from, by training images that neither part is fitted to.
STRENGTHS = (1.0, 0.1, 0.01, 0.001)
# Largest number of images in a batch, and of values in it if images are large.
BATCH, BATCH_NUMBERS = 2000, 2**24


def kernel_pca_errors(
    train: Tensor, test: Tensor, sizes: Collection[int]
) -> Iterator[tuple[int, float]]:
    """The test mse of kernel PCA by the size of its code, as soon as each is known.

    The kernel is exp(-d²/v) of the distance d of two images, where v is the sum of the variances
    of all pixels (Schölkopf, Smola and Müller, "Nonlinear component analysis as a kernel eigenvalue
    problem", 1998). It has no exact inverse: kernel ridge regression, with such a kernel of the
    codes, learns one (Bakır, Weston and Schölkopf, "Learning to find pre-images", 2003).

    Args:
        train: uint8 images (N, C, H, W), of which the first `MAX_FITTED` are fitted, or four fifths
            if there are fewer or they are large; those that follow choose the strength of the
            ridge.
        test: uint8 images (M, C, H, W).
        sizes: numbers of components; those that are not below the number of fitted images are
            left out.

    Raises:
        UsageError: scikit-learn is not installed.
    """
    decomposition, regression = _scikit_learn()
    images = train[: min(MAX_FITTED + MAX_CHOOSING, MAX_NUMBERS // train[0].numel())]
    count = min(MAX_FITTED, len(images) * 4 // 5)
    fitted, choosing = _rows(images[:count]), images[count:]
    possible = sorted(size for size in {*sizes} if size < count)
    if not possible:
        return
    fit = decomposition(possible[-1], kernel="rbf", gamma=_gamma(fitted), random_state=0)
    codes = torch.from_numpy(fit.fit_transform(fitted.numpy()))
    chosen_by, tested = (
        [(torch.from_numpy(fit.transform(_rows(part).numpy())), part) for part in _batches(each)]
        for each in (choosing, test)
    )
    mean = fitted.mean(0)
    for size in possible:
        ridges = (
            regression(alpha=strength, kernel="rbf", gamma=_gamma(codes[:, :size])).fit(
                codes[:, :size].numpy(), (fitted - mean).numpy()
            )
            for strength in STRENGTHS
        )
        best = min(ridges, key=lambda ridge: _error(ridge, chosen_by, size, mean))
        yield size, _error(best, tested, size, mean)


def _error(ridge: Any, batches: list[tuple[Tensor, Tensor]], size: int, mean: Tensor) -> float:
    """The mse of a ridge's reconstructions from the first `size` components, clipped to [0, 1].

    Args:
        batches: codes (B, D) and their uint8 images (B, C, H, W).
        mean: of the fitted images, (P,).
    """
    total, numbers = 0.0, 0
    for codes, images in batches:
        outputs = torch.from_numpy(ridge.predict(codes[:, :size].numpy())).add_(mean).clamp_(0, 1)
        total += (outputs - _rows(images)).square().sum().item()
        numbers += images.numel()
    return total / numbers


def _batches(images: Tensor) -> list[Tensor]:
    return [*images.split(max(1, min(BATCH, BATCH_NUMBERS // images[0].numel())))]


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
