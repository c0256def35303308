"""Points on a curve in the plane, as images of two pixels: signals with one degree of freedom.

The first pixel is x and the second y, both in [0, 1]. Like all pixels they have 256 levels: a point
is up to 0.3 % of the plane away from the curve, which is hardly visible. The nearest point of the
curve has an mse of 6e-7: half of 1 / (12 * 255^2), the variance of rounding, because only the
distance from the curve counts, and not that along it.
"""

import math

import torch
from torch import Tensor

from aecli.data.split import LoadedData, Split

TRAIN_SIZE, TEST_SIZE = 5500, 1000
TRAIN_SEED, TEST_SEED = 0, 1
TURNS = 1.0
INNER, OUTER = 0.1, 0.45
"""Distance from the middle at the beginning and at the end."""
SECTIONS = tuple(map(str, range(10)))
"""Tenths of the curve, from the inside to the outside: the classes of its points."""


def spiral(t: Tensor) -> Tensor:
    """The points (N, 2) in [0, 1] at the positions `t` (N,) from 0, the inner end, to 1."""
    angle, radius = 2 * math.pi * TURNS * t, INNER + (OUTER - INNER) * t
    return 0.5 + radius.unsqueeze(1) * torch.stack([angle.cos(), angle.sin()], dim=1)


def load_curve() -> LoadedData:
    """Points at random positions, the same everywhere."""
    train, test = _points(TRAIN_SIZE, TRAIN_SEED), _points(TEST_SIZE, TEST_SEED)
    return LoadedData(train, test, "its formula", may_repeat=True)


def _points(count: int, seed: int) -> Split:
    t = torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    images = (spiral(t) * 255).round().to(torch.uint8).reshape(count, 1, 1, 2)
    return Split(images, (t * len(SECTIONS)).long(), SECTIONS)
