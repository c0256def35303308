"""How an autoencoder with a single number as its code reconstructs points in the plane.

An image of two pixels is such a point. The encoder f maps the plane to a line, and the decoder g
maps that line to a curve, so g(f(x)) is the point that x is mapped to.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from aecli.baselines.contestants import Reconstruct
from aecli.config import TrainConfig
from aecli.data import Split
from aecli.data.batches import Normalisation, to_pixels
from aecli.models import Autoencoder

GRID, CURVE, STARTS = 200, 500, 30
"""Number of points along a side of the grid of codes, along the curve, and along a side of the grid
of starts."""
NEAR = 0.1
"""Largest distance of a start from the data set; others may be mapped to anywhere, since the
network was trained on nothing like them."""


@dataclass(frozen=True)
class Plane:
    """The values of f and g on the plane; all on the CPU."""

    points: Tensor  # (N, 2): those of the data set
    codes: Tensor  # (GRID, GRID): f of a grid over the plane, the first row with the smallest y
    curve: Tensor  # (CURVE, 2): g of equally spaced codes
    curve_codes: Tensor  # (CURVE,): those codes, over the range of the codes of the points
    starts: Tensor  # (K, 2): points of a grid that are near those of the data set
    ends: Tensor  # (K, 2): g(f) of them
    pca: Tensor  # (N, 2): the points reconstructed by PCA with one component


def has_plane(config: TrainConfig, image_shape: tuple[int, int, int]) -> bool:
    """Whether images are points in the plane, and codes are on a line."""
    return image_shape == (1, 1, 2) and config.latent == 1


@torch.inference_mode()
def measure_plane(config: TrainConfig, model: Autoencoder, split: Split, pca: Reconstruct) -> Plane:
    """Evaluate f and g at points of `split`, for which `has_plane` holds, and between them."""
    model, normalisation = model.eval(), Normalisation(config.data.mean, config.data.std)

    def f(points: Tensor) -> Tensor:  # (N, 2) -> (N, 1)
        return model.encode(normalisation.apply(points.reshape(-1, 1, 1, 2)))

    def g(codes: Tensor) -> Tensor:  # (N, 1) -> (N, 2)
        return normalisation.invert(model.decode(codes)).flatten(1)

    pixels = to_pixels(split.images)
    points, device = pixels.flatten(1), pixels.device
    low, high = f(points).aminmax()
    curve_codes = torch.linspace(low.item(), high.item(), CURVE, device=device)
    starts = _grid(STARTS, device)
    starts = starts[torch.cdist(starts, points).amin(1) < NEAR]
    found = (
        points,
        f(_grid(GRID, device)).reshape(GRID, GRID),
        g(curve_codes.unsqueeze(1)),
        curve_codes,
        starts,
        g(f(starts)),
        pca(pixels).flatten(1),
    )
    return Plane(*(each.cpu() for each in found))


def _grid(side: int, device: torch.device) -> Tensor:
    """The centres of side x side squares that fill the plane, (side^2, 2), row by row."""
    centres = (torch.arange(side, device=device) + 0.5) / side
    return torch.cartesian_prod(centres, centres).flip(1)
