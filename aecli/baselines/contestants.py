"""The baselines that a model is compared with, as functions like the model itself."""

from collections.abc import Callable

from torch import Tensor

from aecli.baselines.pca import pca_of
from aecli.config import TrainConfig
from aecli.data import Data
from aecli.data.corruption import build_corruption

Reconstruct = Callable[[Tensor], Tensor]
"""Pixels (B, C, H, W) -> pixels of the same shape, clipped to [0, 1]."""


def baselines(config: TrainConfig, data: Data) -> dict[str, Reconstruct]:
    """The baselines that a model is compared with, keyed as in `LABELS`."""
    pca = pca_of(data.train, config.latent)
    functions: dict[str, Reconstruct] = {
        "pca": lambda pixels: pca.reconstruct(pixels, config.latent),
        "mean_image": lambda pixels: pca.reconstruct(pixels, 0),
    }
    if build_corruption(config.corruption) is not None:
        functions["corrupted_input"] = lambda pixels: pixels
    return functions


LABELS = {
    "model": "autoencoder",
    "pca": "PCA, same latent size",
    "mean_image": "mean image",
    "corrupted_input": "corrupted input, unchanged",
}
