"""Principal component analysis, the baseline of every autoencoder."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from aecli.data import Split
from aecli.data.batches import ordered_batches

# Largest number of images in a batch, and of values in it if images are large.
FITTING_BATCH, FITTING_NUMBERS = 5000, 2**25
# An exact fit needs at most this many images or at most this many values in an image: the time of
# an eigendecomposition is cubic in the smaller of the two.
MAX_EXACT = 4096
# Otherwise: the least number of components, the oversampling, and the passes over all images.
MIN_LEADING, OVERSAMPLING, PASSES = 512, 32, 4
SMALL_MATRIX = 1024  # rows; its eigendecomposition takes a fraction of a second
# Relative to the largest eigenvalue; smaller ones are rounding and belong to no component.
MIN_EIGENVALUE = 1e-12


@dataclass(frozen=True)
class PCA:
    """Principal components of a set of images: the optimal linear autoencoder of every size."""

    mean: Tensor  # (P,), P = C H W
    components: Tensor  # (P, P), unit vectors as rows, largest variance first; with fewer images
    # than pixels (K, P): those along which the images vary; of many large images the leading ones

    def encode(self, pixels: Tensor, latent: int) -> Tensor:
        """Pixels (B, C, H, W) -> their first `latent` components (B, D)."""
        return (pixels.flatten(1) - self.mean) @ self.components[:latent].T

    def codes(self, images: Tensor, latent: int) -> Tensor:
        """uint8 images (N, C, H, W) -> their first `latent` components (N, D), in batches."""
        return torch.cat([self.encode(pixels, latent) for pixels in _batches(images)])

    def reconstruct(self, pixels: Tensor, latent: int) -> Tensor:
        """Reconstruct pixels (B, C, H, W) from their first `latent` components, clipped to [0, 1].

        With none of them every image becomes the mean image; a code larger than the image adds
        nothing to one of its size.
        """
        return self.decode(self.encode(pixels, latent)).reshape(pixels.shape)

    def decode(self, codes: Tensor) -> Tensor:
        """The first components (B, D) -> flat pixels (B, P), clipped to [0, 1]."""
        return self.decode_linearly(codes).clamp_(0, 1)

    def decode_linearly(self, codes: Tensor) -> Tensor:
        """The same without clipping, so also below 0 and above 1, as in most of the literature."""
        return codes @ self.components[: codes.shape[1]] + self.mean


def fit_pca(images: Tensor, latent: int = 0) -> PCA:
    """Fit PCA to uint8 `images` (N, C, H, W) as pixels in [0, 1]; beyond N = P, memory does not
    grow with N.

    Args:
        images: the images to fit.
        latent: number of components needed. For many large images only these are computed, or
            MIN_LEADING if that is more.
    """
    count = _leading_count(images, latent)
    return _fit_exact(images) if count is None else _fit_leading(images, count)


def pca_of(split: Split, latent: int = 0) -> PCA:
    """`fit_pca` of the images of `split`, kept with them for the next call.

    The runs of a sweep share their training images.
    """
    key = f"PCA, {_leading_count(split.images, latent) or 'all'} components"
    if key not in split.derived:
        split.derived[key] = fit_pca(split.images, latent)
    pca: PCA = split.derived[key]
    return pca


def principal_angles(rows: Tensor, others: Tensor) -> list[float]:
    """The principal angles between the spans of the rows of two matrices, (K, P) and (L, P), in
    degrees, the largest first: min(K, L) of them, fewer if rows depend on one another.

    Björck and Golub, "Numerical methods for computing angles between linear subspaces", 1973.
    """
    from scipy.linalg import orth, subspace_angles  # imported late: only linear networks need it

    bases = [orth(each.cpu().double().numpy().T) for each in (rows, others)]
    if not all(basis.shape[1] for basis in bases):
        return []  # one of the spans is only the origin
    return [math.degrees(angle) for angle in subspace_angles(*bases)]


def _leading_count(images: Tensor, latent: int) -> int | None:
    """How many components are computed; None: all."""
    if min(len(images), images[0].numel()) > MAX_EXACT:
        return max(MIN_LEADING, latent)
    return None


def _fit_leading(images: Tensor, count: int) -> PCA:
    """The first `count` components, by randomised subspace iteration.

    (Halko, Martinsson and Tropp, "Finding structure with randomness", 2011, algorithm 4.4.)
    """
    device, total = images.device, torch.zeros(images[0].numel(), device=images.device)
    for pixels in _batches(images):
        total += pixels.flatten(1).sum(0)
    mean = total / len(images)
    start = torch.randn(len(mean), count + OVERSAMPLING, generator=torch.Generator().manual_seed(0))
    basis = torch.linalg.qr(start.to(device)).Q  # (P, K)
    for number in range(PASSES):
        product = torch.zeros_like(basis)  # the covariance times the basis, up to a factor
        for pixels in _batches(images):
            rows = pixels.flatten(1) - mean
            product.addmm_(rows.T, rows @ basis)
        if number < PASSES - 1:
            basis = torch.linalg.qr(product).Q
    _, vectors = _eigendecomposition((basis.T @ product).cpu().double())  # smallest variance first
    leading = vectors.flip(1)[:, :count].float().to(device)
    return PCA(mean, (basis @ leading).T.contiguous())


def _fit_exact(images: Tensor) -> PCA:
    """All components, exactly."""
    if len(images) < images[0].numel():
        return _fit_from_gram(images)
    size = images[0].numel()
    total = torch.zeros(size, device=images.device)
    moment = torch.zeros(size, size, device=images.device)
    # Far from the origin, as on white paper, rounding would swamp small variances.
    origin = next(_batches(images)).flatten(1).mean(0)
    for pixels in _batches(images):
        rows = pixels.flatten(1).sub_(origin)  # (B, P)
        total += rows.sum(0)
        moment.addmm_(rows.T, rows)
    # On the CPU, where every machine supports it, and in double precision: if some pixels never
    # vary, many eigenvalues are zero, and single precision may not tell them apart.
    offset = total.cpu().double() / len(images)
    covariance = moment.cpu().double() / len(images) - torch.outer(offset, offset)
    mean = origin.cpu().double() + offset
    _, vectors = _eigendecomposition(covariance)  # smallest variance first
    components = vectors.T.flip(0).float().contiguous()
    return PCA(mean.float().to(images.device), components.to(images.device))


def _eigendecomposition(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, smallest first, and eigenvectors, as columns, of a symmetric matrix (P, P).

    Small matrices use a single thread: next to another busy process, several threads wait for one
    another and take a hundred times as long.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if len(matrix) <= SMALL_MATRIX else threads)
    try:
        values, vectors = torch.linalg.eigh(matrix)
    finally:
        torch.set_num_threads(threads)
    return values, vectors


def _batches(images: Tensor) -> Iterator[Tensor]:
    return ordered_batches(images, max(1, min(FITTING_BATCH, FITTING_NUMBERS // images[0].numel())))


def _fit_from_gram(images: Tensor) -> PCA:
    """All components exactly, for fewer images than pixels: from the Gram matrix of the images.

    If u is an eigenvector of X X^T, X^T u is one of X^T X (Turk and Pentland, "Eigenfaces for
    recognition", 1991). The full (P, P) matrix of 64x64 colour images would take half an hour.
    """
    flat = images.flatten(1)  # (N, P)
    parts = flat.split(max(1, FITTING_NUMBERS // len(flat)), dim=1)  # columns at a time
    gram = torch.zeros(len(flat), len(flat), dtype=torch.float64)
    means = []
    for part in parts:
        rows = part.cpu().double().div_(255)
        means.append(rows.mean(0))
        rows -= means[-1]
        gram.addmm_(rows, rows.T)
    values, vectors = _eigendecomposition(gram)  # smallest variance first
    kept = values > MIN_EIGENVALUE * values[-1].clamp(min=1)
    weights = (vectors[:, kept] / values[kept].sqrt()).T.flip(0)  # (K, N)
    components = [
        (weights @ (part.cpu().double() / 255 - mean)).float()
        for part, mean in zip(parts, means, strict=True)
    ]
    device = images.device
    return PCA(torch.cat(means).float().to(device), torch.cat(components, 1).to(device))
