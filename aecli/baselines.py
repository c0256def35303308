"""The classical answers that every autoencoder is held against."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from aecli.data.batches import ordered_batches

FITTING_BATCH = 5000


@dataclass(frozen=True)
class PCA:
    """Principal components of a set of images, the best linear autoencoder of every size."""

    mean: Tensor  # (P,), P = C H W
    components: Tensor  # (P, P), one unit vector a row, largest variance first

    def reconstruct(self, pixels: Tensor, latent: int) -> Tensor:
        """`pixels` (B, C, H, W) from their first `latent` components, clipped to [0, 1].

        With none of them every image becomes the mean image; a code larger than the image has no
        more to say than one of its size.
        """
        basis = self.components[:latent]  # (D, P)
        centred = pixels.flatten(1) - self.mean  # (B, P)
        reconstructed = centred @ basis.T @ basis + self.mean
        return reconstructed.clamp_(0, 1).reshape(pixels.shape)


@lru_cache(maxsize=1)
def fit_pca(images: Tensor) -> PCA:
    """PCA of uint8 `images` (N, C, H, W) in pixels in [0, 1], by the covariance's eigenvectors.

    One pass in chunks, so that memory does not grow with the images; kept for the next call with
    the same tensor, as the runs of a sweep make it.
    """
    size = images[0].numel()
    total = torch.zeros(size, device=images.device)
    moment = torch.zeros(size, size, device=images.device)
    for pixels in ordered_batches(images, FITTING_BATCH):
        rows = pixels.flatten(1)  # (B, P)
        total += rows.sum(0)
        moment.addmm_(rows.T, rows)
    # On the CPU, where every machine has it, and in double precision: with fewer images than pixels
    # many eigenvalues are zero, and single precision may not tell them apart.
    mean = total.cpu().double() / len(images)
    covariance = moment.cpu().double() / len(images) - torch.outer(mean, mean)
    _, vectors = torch.linalg.eigh(covariance)  # smallest variance first
    components = vectors.T.flip(0).float().contiguous()
    return PCA(mean.float().to(images.device), components.to(images.device))
