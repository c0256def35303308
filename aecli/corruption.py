"""What is done to images before the encoder sees them: pure functions on batches of pixels."""

from collections.abc import Callable

import torch
from torch import Tensor

from aecli.config import CorruptionConfig, CorruptionKind

Corruption = Callable[[Tensor, torch.Generator], Tensor]
"""(pixels, generator) -> damaged pixels, both (B, C, H, W) in [0, 1]."""


def gaussian_noise(pixels: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """Independent Gaussian noise on every pixel, clipped to [0, 1]."""
    noise = torch.randn(pixels.shape, generator=generator, device=pixels.device)
    return noise.mul_(std).add_(pixels).clamp_(0, 1)


def build_corruption(config: CorruptionConfig, *, shown: bool = False) -> Corruption | None:
    """The corruption of training or, with `shown`, of the reconstructions that people look at."""
    if config.name is CorruptionKind.none:
        return None
    std = config.noise_std
    if shown and config.shown_noise_std is not None:
        std = config.shown_noise_std
    return lambda pixels, generator: gaussian_noise(pixels, std, generator)
