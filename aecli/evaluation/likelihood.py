"""The likelihood of images under a variational autoencoder, by importance sampling."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Encoder = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Images (B, C, H, W) -> the means and the log variances of q(z | x), both (B, D)."""
Decoder = Callable[[Tensor, Tensor], Tensor]
"""Images (B, C, H, W) and codes (S, B, D) -> log p(x | z), (S, B)."""

IMAGES_AT_A_TIME = 50
NUMBERS_AT_A_TIME = 2**20
"""Decoded pixels in memory at a time, unless an image has more."""


@dataclass(frozen=True)
class Likelihood:
    """Negative log-likelihood of images, in nats."""

    per_image: Tensor  # (N,), in double precision, on the CPU
    samples: int
    """Codes drawn for each image."""

    @property
    def mean(self) -> float:
        return self.per_image.mean().item()

    @property
    def standard_error(self) -> float | None:
        """Standard error of the mean over the images; None for a single image."""
        count = len(self.per_image)
        return self.per_image.std().item() / math.sqrt(count) if count > 1 else None


def bernoulli_log_likelihood(images: Tensor, logits: Tensor) -> Tensor:
    """log p(x | z) of images (B, C, H, W) of zeros and ones, for the logits (S, B, C, H, W) of
    their pixels: (S, B)."""
    targets = images.expand(logits.shape)
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return -loss.flatten(2).sum(2)


@torch.inference_mode()
def importance_weighted(
    images: Tensor,
    encoder: Encoder,
    decoder: Decoder,
    samples: int,
    generator: torch.Generator,
    advance: Callable[[int], None],
) -> Likelihood:
    """Estimate -log p(x) of `images` (N, C, H, W) for a standard normal prior of the codes.

    log p(x) = log 1/k sum_i p(x, z_i) / q(z_i | x), with k codes z_i drawn from q(z | x) (Burda et
    al., "Importance weighted autoencoders", 2016, equation 8). With few codes the result is too
    high on average, and less so with more; with one it is the negative evidence lower bound.

    Memory does not grow with the number of codes or of images. `advance` is called after each batch
    with the number of its images.
    """
    chunk = max(1, NUMBERS_AT_A_TIME // (IMAGES_AT_A_TIME * images[0].numel()))
    found = []
    for batch in images.split(IMAGES_AT_A_TIME):
        mean, log_variance = encoder(batch)  # (B, D)
        total = torch.full((len(batch),), -math.inf, dtype=torch.float64)
        for start in range(0, samples, chunk):
            shape = (min(chunk, samples - start), *mean.shape)
            noise = torch.randn(shape, generator=generator, device=mean.device, dtype=mean.dtype)
            codes = mean + (log_variance / 2).exp() * noise  # (S, B, D)
            # log p(z) - log q(z | x), in which the factors of 2 pi cancel
            ratio = (noise.square() - codes.square() + log_variance).sum(2) / 2
            weights = (decoder(batch, codes) + ratio).cpu().double()  # log of (S, B)
            total = torch.logaddexp(total, weights.logsumexp(0))
        found.append(math.log(samples) - total)
        advance(len(batch))
    return Likelihood(torch.cat(found), samples)
