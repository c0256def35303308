"""The classical answers that every autoencoder is held against."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from aecli.data.batches import ordered_batches

# Images at a time, and fewer where they are large: so many numbers.
FITTING_BATCH, FITTING_NUMBERS = 5000, 2**25
# Numbers in an image, and images, of which not both may be more for an exact answer: the time that
# an eigendecomposition takes grows with the third power.
EXACT = 4096
# Otherwise: components that are looked for at least, and beside them to find these the better; and
# how often all images are seen for it.
LEADING, SPARE, PASSES = 512, 32, 4
SMALL = 1024  # rows of a matrix whose eigenvectors take a fraction of a second
# Of the largest eigenvalue; what is smaller is rounding and belongs to no component.
MIN_EIGENVALUE = 1e-12


@dataclass(frozen=True)
class PCA:
    """Principal components of a set of images, the best linear autoencoder of every size."""

    mean: Tensor  # (P,), P = C H W
    components: Tensor  # (P, P), one unit vector a row, largest variance first; with fewer images
    # than pixels (K, P): those along which the images differ; of many large images the leading ones

    def encode(self, pixels: Tensor, latent: int) -> Tensor:
        """`pixels` (B, C, H, W) -> their first `latent` components (B, D)."""
        return (pixels.flatten(1) - self.mean) @ self.components[:latent].T

    def codes(self, images: Tensor, latent: int) -> Tensor:
        """uint8 images (N, C, H, W) -> their first `latent` components (N, D), in batches."""
        return torch.cat([self.encode(pixels, latent) for pixels in _batches(images)])

    def reconstruct(self, pixels: Tensor, latent: int) -> Tensor:
        """`pixels` (B, C, H, W) from their first `latent` components, clipped to [0, 1].

        With none of them every image becomes the mean image; a code larger than the image has no
        more to say than one of its size.
        """
        return self.decode(self.encode(pixels, latent)).reshape(pixels.shape)

    def decode(self, codes: Tensor) -> Tensor:
        """The first components (B, D) -> flat pixels (B, P), clipped to [0, 1]."""
        return (codes @ self.components[: codes.shape[1]] + self.mean).clamp_(0, 1)


def fit_pca(images: Tensor, latent: int = 0) -> PCA:
    """PCA of uint8 `images` (N, C, H, W) in pixels in [0, 1]; memory does not grow with N beyond P.

    Kept for the next call with the same tensor, as the runs of a sweep make it.

    Args:
        images: what to fit it to.
        latent: components that are needed. Of many large images there are no more than these, or
            LEADING if that is more.
    """
    if min(len(images), images[0].numel()) > EXACT:
        return _fit_leading(images, max(LEADING, latent))
    return _fit_all(images)


@lru_cache(maxsize=1)
def _fit_leading(images: Tensor, count: int) -> PCA:
    """The first `count` components, by subspace iteration from a random start.

    (Halko, Martinsson and Tropp, "Finding structure with randomness", 2011, algorithm 4.4.)
    """
    device, total = images.device, torch.zeros(images[0].numel(), device=images.device)
    for pixels in _batches(images):
        total += pixels.flatten(1).sum(0)
    mean = total / len(images)
    start = torch.randn(len(mean), count + SPARE, generator=torch.Generator().manual_seed(0))
    basis = torch.linalg.qr(start.to(device)).Q  # (P, K)
    for number in range(PASSES):
        image = torch.zeros_like(basis)  # the covariance times the basis, but for a factor
        for pixels in _batches(images):
            rows = pixels.flatten(1) - mean
            image.addmm_(rows.T, rows @ basis)
        if number < PASSES - 1:
            basis = torch.linalg.qr(image).Q
    _, vectors = _eigenvectors((basis.T @ image).cpu().double())  # smallest variance first
    leading = vectors.flip(1)[:, :count].float().to(device)
    return PCA(mean, (basis @ leading).T.contiguous())


@lru_cache(maxsize=1)
def _fit_all(images: Tensor) -> PCA:
    """Every component, exactly."""
    if len(images) < images[0].numel():
        return _fit_few(images)
    size = images[0].numel()
    total = torch.zeros(size, device=images.device)
    moment = torch.zeros(size, size, device=images.device)
    for pixels in _batches(images):
        rows = pixels.flatten(1)  # (B, P)
        total += rows.sum(0)
        moment.addmm_(rows.T, rows)
    # On the CPU, where every machine has it, and in double precision: where some pixels never vary
    # many eigenvalues are zero, and single precision may not tell them apart.
    mean = total.cpu().double() / len(images)
    covariance = moment.cpu().double() / len(images) - torch.outer(mean, mean)
    _, vectors = _eigenvectors(covariance)  # smallest variance first
    components = vectors.T.flip(0).float().contiguous()
    return PCA(mean.float().to(images.device), components.to(images.device))


def _eigenvectors(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Of a symmetric matrix (P, P): eigenvalues, the smallest first, and eigenvectors as columns.

    A small one on a single thread: beside another busy process several wait for one another, and
    take a hundred times as long.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if len(matrix) <= SMALL else threads)
    try:
        values, vectors = torch.linalg.eigh(matrix)
    finally:
        torch.set_num_threads(threads)
    return values, vectors


def _batches(images: Tensor) -> Iterator[Tensor]:
    return ordered_batches(images, max(1, min(FITTING_BATCH, FITTING_NUMBERS // images[0].numel())))


def _fit_few(images: Tensor) -> PCA:
    """The same by the products of the images with one another, of which there are fewer.

    If u is an eigenvector of X X^T, X^T u is one of X^T X (Turk and Pentland, "Eigenfaces for
    recognition", 1991). A whole (P, P) matrix of 64x64 colours would take half an hour.
    """
    flat = images.flatten(1)  # (N, P)
    parts = flat.split(max(1, FITTING_NUMBERS // len(flat)), dim=1)  # columns at a time
    products = torch.zeros(len(flat), len(flat), dtype=torch.float64)
    means = []
    for part in parts:
        rows = part.cpu().double().div_(255)
        means.append(rows.mean(0))
        rows -= means[-1]
        products.addmm_(rows, rows.T)
    values, vectors = _eigenvectors(products)  # smallest variance first
    kept = values > MIN_EIGENVALUE * values[-1].clamp(min=1)
    weights = (vectors[:, kept] / values[kept].sqrt()).T.flip(0)  # (K, N)
    components = [
        (weights @ (part.cpu().double() / 255 - mean)).float()
        for part, mean in zip(parts, means, strict=True)
    ]
    device = images.device
    return PCA(torch.cat(means).float().to(device), torch.cat(components, 1).to(device))
