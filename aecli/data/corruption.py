"""Input corruptions, applied before the encoder: pure functions on batches of pixels."""

from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from aecli.config import CorruptionConfig, CorruptionKind

Corruption = Callable[[Tensor, torch.Generator], Tensor]
"""(pixels, generator) -> corrupted pixels, both (B, C, H, W) in [0, 1]."""

LEVELS = torch.arange(256, dtype=torch.float64) / 255
"""Possible pixel values of a decoded image."""


def gaussian_noise(pixels: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """Add independent Gaussian noise to every pixel and clip to [0, 1]."""
    noise = torch.randn(pixels.shape, generator=generator, device=pixels.device)
    return noise.mul_(std).add_(pixels).clamp_(0, 1)


def masking_noise(pixels: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Set each pixel to black with probability `rate` (Vincent et al., 2010, section 3.3)."""
    draw = torch.rand(pixels.shape, generator=generator, device=pixels.device)
    return pixels * (draw >= rate)


def salt_and_pepper_noise(pixels: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Set each pixel to black or white, equally often, with probability `rate` (same section)."""
    draw = torch.rand(pixels.shape, generator=generator, device=pixels.device)
    with_black = pixels.masked_fill(draw < rate / 2, 0)
    return with_black.masked_fill_(draw >= 1 - rate / 2, 1)


def binarize(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Draw each pixel as 1 with its value as the probability, else as 0.

    Drawn anew whenever an image is seen, these are the dynamically binarised images (Salakhutdinov
    and Murray, "On the quantitative analysis of deep belief networks", 2008) of likelihoods in
    nats.
    """
    return torch.bernoulli(pixels, generator=generator)


NOISES: dict[CorruptionKind, Callable[[Tensor, float, torch.Generator], Tensor]] = {
    CorruptionKind.gaussian: gaussian_noise,
    CorruptionKind.masking: masking_noise,
    CorruptionKind.salt_and_pepper: salt_and_pepper_noise,
}
"""Noise functions with a single strength parameter."""


def noise_moments(kind: CorruptionKind, strength: float) -> tuple[Tensor, Tensor]:
    """Mean and mean square of the noisy pixel for each of `LEVELS`: two tensors (256,).

    For clipped Gaussian noise they combine a normal distribution truncated at a = -x / std and
    b = (1 - x) / std with the point masses at the two clipping values.
    """
    if kind is CorruptionKind.gaussian and strength > 0:
        normal = torch.distributions.Normal(0.0, torch.ones((), dtype=torch.float64))
        ends = torch.stack([-LEVELS, 1 - LEVELS]) / strength  # a and b
        (below, up_to_b), (at_a, at_b) = normal.cdf(ends), normal.log_prob(ends).exp()
        inside, above = up_to_b - below, 1 - up_to_b
        mean = LEVELS * inside + strength * (at_a - at_b) + above
        second_moment = inside + ends[0] * at_a - ends[1] * at_b
        square = (
            LEVELS**2 * inside + 2 * LEVELS * strength * (at_a - at_b) + strength**2 * second_moment
        )
        return mean, square + above
    if kind is CorruptionKind.gaussian:
        return LEVELS, LEVELS**2
    white = strength / 2 if kind is CorruptionKind.salt_and_pepper else 0.0
    return (1 - strength) * LEVELS + white, (1 - strength) * LEVELS**2 + white


def shrink(pixels: Tensor, factor: int) -> Tensor:
    """Reduce the resolution by `factor` with area averaging.

    (B, C, H, W) -> (B, C, ceil(H / factor), ceil(W / factor)); the averaged squares overlap if
    `factor` does not divide a side.
    """
    rows, columns = (_shrink_matrix(side, factor, pixels.device) for side in pixels.shape[-2:])
    return rows @ pixels @ columns.T


def enlarge(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize to `size` by bicubic interpolation, clipped to [0, 1].

    Uses Keys' kernel with a = -1/2 ("Cubic convolution interpolation for digital image processing",
    1981), which is exact for parabolas, instead of torch's default of -3/4.
    """
    pairs = zip(pixels.shape[-2:], size, strict=True)
    rows, columns = (_enlarge_matrix(small, large, pixels.device) for small, large in pairs)
    return (rows @ pixels @ columns.T).clamp_(0, 1)


def downsample(pixels: Tensor, factor: int) -> Tensor:
    """Lower the resolution by `factor`, then resize back to the original size."""
    height, width = pixels.shape[-2:]
    return enlarge(shrink(pixels, factor), (height, width))


# Both are linear along each axis, and multiplying by small matrices is several times as fast as
# torch's resizing.
@lru_cache
def _shrink_matrix(side: int, factor: int, device: torch.device) -> Tensor:
    """Averaging matrix (ceil(side / factor), side)."""
    return _resize_matrix(side, -(-side // factor), "area", device)


@lru_cache
def _enlarge_matrix(small: int, large: int, device: torch.device) -> Tensor:
    """Interpolation matrix (large, small)."""
    return _resize_matrix(small, large, "bicubic", device)


def _resize_matrix(source: int, target: int, mode: str, device: torch.device) -> Tensor:
    """torch's resizing along one axis as a matrix (target, source)."""
    identity = torch.eye(source, device=device).reshape(1, 1, source, source)
    # torch uses Keys' kernel only with antialiasing.
    keys = {"antialias": True} if mode == "bicubic" else {}
    return F.interpolate(identity, (target, source), mode=mode, **keys).reshape(target, source)


def build_corruption(config: CorruptionConfig, *, for_examples: bool = False) -> Corruption | None:
    """Build the corruption for training or, if `for_examples`, for the example reconstructions."""
    if config.name is CorruptionKind.none:
        return None
    if config.name is CorruptionKind.downsample:
        factor = config.factor
        assert factor is not None, "the configuration gives it a default"
        return lambda pixels, _: downsample(pixels, factor)
    if config.name is CorruptionKind.binarize:
        return binarize
    add_noise, strength = NOISES[config.name], noise_strength(config, for_examples=for_examples)
    return lambda pixels, generator: add_noise(pixels, strength, generator)


def noise_strength(config: CorruptionConfig, *, for_examples: bool = False) -> float:
    """The strength of a noise: its standard deviation, or the fraction of pixels it affects."""
    if config.name is not CorruptionKind.gaussian:
        return config.rate
    if for_examples and config.example_noise_std is not None:
        return config.example_noise_std
    return config.noise_std
