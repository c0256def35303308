"""Random changes of training images: a pure function on batches of pixels."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from aecli.config import AugmentConfig


def augment(pixels: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Shift, rotate and flip each image by its own random amounts.

    Shifts are whole pixels and rotations any angle, both uniform; one image in two is flipped, on
    average. A rotation resamples the image bilinearly; what comes from outside the image is black.

    Args:
        pixels: (B, C, H, W) in [0, 1].
        config: the largest amounts.
        generator: draws the amounts, on the device of `pixels`.

    Returns:
        (B, C, H, W) in [0, 1].
    """
    count, _, height, width = pixels.shape
    device = pixels.device
    draws = torch.rand(4, count, generator=generator, device=device)
    angles = (2 * draws[0] - 1) * math.radians(config.rotate)
    shifts = ((2 * config.shift + 1) * draws[1:3]).floor() - config.shift  # columns, rows
    sides = torch.where(draws[3] < 0.5, -1.0, 1.0) if config.flip else torch.ones_like(angles)

    # Where each pixel of the result comes from, in pixels from the centre; affine_grid counts in
    # halves of the width and the height.
    sines, cosines = angles.sin(), angles.cos()
    across = torch.stack([cosines * sides, -sines * height / width, 2 * shifts[0] / width], 1)
    down = torch.stack([sines * sides * width / height, cosines, 2 * shifts[1] / height], 1)
    places = torch.stack([across, down], 1)  # (B, 2, 3)
    grid = F.affine_grid(places, list(pixels.shape), align_corners=False)
    moved = F.grid_sample(pixels, grid, align_corners=False)
    return moved.clamp_(0, 1).contiguous(memory_format=torch.channels_last)
