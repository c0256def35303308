"""A finished run's network for a web page: operations as JSON, and their weights as bytes."""

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aecli.analysis.explore.layers import foldable, operations
from aecli.models import Autoencoder

TOLERANCE = 1e-4
"""Largest difference from PyTorch's pixels; for codes, relative to the largest if that is above
1."""
MARGIN = 4
"""Factor below `TOLERANCE` within which rounded weights must keep the images on which this is
measured."""
HALF, SINGLE = "float16", "float32"
ALIGNMENT = 4  # bytes


@dataclass
class Arrays:
    """Arrays one after another in one block of bytes."""

    content: bytearray = field(default_factory=bytearray)

    def add(self, values: Tensor, kind: str = SINGLE) -> list[Any]:
        """Append `values` as float16, float32 or uint8.

        Returns:
            Where they begin, how many there are, and their kind.
        """
        array = np.ascontiguousarray(
            values.detach().cpu().numpy(), np.dtype(kind).newbyteorder("<")
        )
        self.content += bytes(-len(self.content) % ALIGNMENT)
        begin = len(self.content)
        self.content += array.tobytes()
        return [begin, array.size, kind]


def network(
    model: Autoencoder, mean: float, std: float, images: Tensor, arrays: Arrays
) -> dict[str, Any]:
    """Describe `model`, whose weights are added to `arrays`.

    They are half-precision floats if that keeps all pixels and codes well within `TOLERANCE`.

    Args:
        mean, std: subtracted from pixels, and what they are divided by then.
        images: on which this is measured, normalised, (N, C, H, W) on the CPU.

    Raises:
        UsageError: it has a layer that cannot be described.
    """
    folded = foldable(model)
    kind = HALF if _halves(folded, images) else SINGLE
    encoder, decoder = operations(folded, lambda each: arrays.add(each, kind), arrays.add)
    return {
        "shape": [*model.image_shape],
        "latent": model.latent,
        "mean": mean,
        "std": std,
        "precision": kind,
        "encoder": encoder,
        "decoder": decoder,
    }


@torch.inference_mode()
def _halves(model: Autoencoder, images: Tensor) -> bool:
    """Whether weights rounded to half precision give the same codes and images, nearly."""
    rounded = deepcopy(model)
    for parameter in rounded.parameters():
        parameter.copy_(parameter.half())
    codes = model.encode(images)
    pairs = [
        (codes, rounded.encode(images), max(1.0, codes.abs().max().item())),
        (model.decode(codes), rounded.decode(codes), 1.0),
        (model(images), rounded(images), 1.0),
    ]
    allowed = TOLERANCE / MARGIN
    return all((one - other).abs().max().item() <= allowed * by for one, other, by in pairs)
