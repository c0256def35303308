"""What is done to images before the encoder sees them: pure functions on batches of pixels."""

from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from aecli.config import CorruptionConfig, CorruptionKind

Corruption = Callable[[Tensor, torch.Generator], Tensor]
"""(pixels, generator) -> damaged pixels, both (B, C, H, W) in [0, 1]."""

LEVELS = torch.arange(256, dtype=torch.float64) / 255
"""The values that a pixel of a decoded image may have."""


def gaussian_noise(pixels: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """Independent Gaussian noise on every pixel, clipped to [0, 1]."""
    noise = torch.randn(pixels.shape, generator=generator, device=pixels.device)
    return noise.mul_(std).add_(pixels).clamp_(0, 1)


def masking_noise(pixels: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Each pixel is black with probability `rate` (Vincent et al., 2010, section 3.3)."""
    draw = torch.rand(pixels.shape, generator=generator, device=pixels.device)
    return pixels * (draw >= rate)


def salt_and_pepper_noise(pixels: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Each pixel is black or white, both as often, with probability `rate` (likewise)."""
    draw = torch.rand(pixels.shape, generator=generator, device=pixels.device)
    peppered = pixels.masked_fill(draw < rate / 2, 0)
    return peppered.masked_fill_(draw >= 1 - rate / 2, 1)


NOISES: dict[CorruptionKind, Callable[[Tensor, float, torch.Generator], Tensor]] = {
    CorruptionKind.gaussian: gaussian_noise,
    CorruptionKind.masking: masking_noise,
    CorruptionKind.salt_and_pepper: salt_and_pepper_noise,
}
"""Noise whose strength is one number."""


def noise_moments(kind: CorruptionKind, strength: float) -> tuple[Tensor, Tensor]:
    """Mean and mean square of what the noise makes of each of `LEVELS`: (256,) twice.

    Of clipped Gaussian noise they are those of a normal distribution that is truncated at
    a = -x / std and b = (1 - x) / std, and of the two points where it is clipped.
    """
    if kind is CorruptionKind.gaussian and strength > 0:
        normal = torch.distributions.Normal(0.0, torch.ones((), dtype=torch.float64))
        ends = torch.stack([-LEVELS, 1 - LEVELS]) / strength  # a and b
        (below, until), (at_a, at_b) = normal.cdf(ends), normal.log_prob(ends).exp()
        inside, above = until - below, 1 - until
        mean = LEVELS * inside + strength * (at_a - at_b) + above
        spread = inside + ends[0] * at_a - ends[1] * at_b
        square = LEVELS**2 * inside + 2 * LEVELS * strength * (at_a - at_b) + strength**2 * spread
        return mean, square + above
    if kind is CorruptionKind.gaussian:
        return LEVELS, LEVELS**2
    white = strength / 2 if kind is CorruptionKind.salt_and_pepper else 0.0
    return (1 - strength) * LEVELS + white, (1 - strength) * LEVELS**2 + white


def shrink(pixels: Tensor, factor: int) -> Tensor:
    """Pixels at 1 / `factor` of the resolution: the mean over each square.

    (B, C, H, W) -> (B, C, ceil(H / factor), ceil(W / factor)); squares overlap where `factor` does
    not divide a side.
    """
    rows, columns = (_shrinking(side, factor, pixels.device) for side in pixels.shape[-2:])
    return rows @ pixels @ columns.T


def enlarge(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Pixels at another resolution, by bicubic interpolation, clipped to [0, 1].

    With Keys' kernel of a = -1/2 ("Cubic convolution interpolation for digital image processing",
    1981), which is exact for parabolas, and not torch's own of -3/4.
    """
    pairs = zip(pixels.shape[-2:], size, strict=True)
    rows, columns = (_enlarging(small, large, pixels.device) for small, large in pairs)
    return (rows @ pixels @ columns.T).clamp_(0, 1)


def downsample(pixels: Tensor, factor: int) -> Tensor:
    """Pixels that have lost resolution: made smaller by `factor`, and as large again."""
    height, width = pixels.shape[-2:]
    return enlarge(shrink(pixels, factor), (height, width))


# Both are linear along each axis, and small matrices are several times as fast as torch's resizing.
@lru_cache
def _shrinking(side: int, factor: int, device: torch.device) -> Tensor:
    """The matrix (ceil(side / factor), side) of the means."""
    return _matrix(side, -(-side // factor), "area", device)


@lru_cache
def _enlarging(small: int, large: int, device: torch.device) -> Tensor:
    """The matrix (large, small) of the interpolation."""
    return _matrix(small, large, "bicubic", device)


def _matrix(source: int, target: int, mode: str, device: torch.device) -> Tensor:
    """What torch's resizing does along one axis, (target, source)."""
    identity = torch.eye(source, device=device).reshape(1, 1, source, source)
    keys = {"antialias": True} if mode == "bicubic" else {}  # which is where torch has Keys' kernel
    return F.interpolate(identity, (target, source), mode=mode, **keys).reshape(target, source)


def build_corruption(config: CorruptionConfig, *, shown: bool = False) -> Corruption | None:
    """The corruption of training or, with `shown`, of the reconstructions that people look at."""
    if config.name is CorruptionKind.none:
        return None
    if config.name is CorruptionKind.downsample:
        factor = config.factor
        assert factor is not None, "the configuration gives it a default"
        return lambda pixels, _: downsample(pixels, factor)
    make, strength = NOISES[config.name], noise_strength(config, shown=shown)
    return lambda pixels, generator: make(pixels, strength, generator)


def noise_strength(config: CorruptionConfig, *, shown: bool = False) -> float:
    """The one number of a noise: its standard deviation, or the rate of pixels that it hits."""
    if config.name is not CorruptionKind.gaussian:
        return config.rate
    if shown and config.example_noise_std is not None:
        return config.example_noise_std
    return config.noise_std
