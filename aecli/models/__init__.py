"""The models: `build_network` creates that of a run, `describe` lists its layers."""

from collections.abc import Callable

import torch

from aecli.config import ModelConfig, TrainConfig, UpsampleConfig
from aecli.errors import UsageError
from aecli.models.autoencoder import Autoencoder, ImageShape
from aecli.models.conv import ConvAutoencoder, MisfitError
from aecli.models.description import Layer, describe, describe_fitting
from aecli.models.fc import FCAutoencoder

__all__ = [
    "MODELS",
    "Autoencoder",
    "ImageShape",
    "Layer",
    "MisfitError",
    "build_model",
    "build_network",
    "build_outline",
    "describe",
    "describe_fitting",
]

MODELS: dict[str, Callable[..., Autoencoder]] = {"fc": FCAutoencoder, "conv": ConvAutoencoder}


def build_model(
    model: ModelConfig,
    upsample: UpsampleConfig,
    image_shape: ImageShape,
    *,
    gaussian_code: bool = False,
) -> Autoencoder:
    """Build an autoencoder for images of `image_shape` with newly drawn weights.

    With a Gaussian code its encoder has a mean and a log variance for each number of the code.

    Raises:
        UsageError: the layers reduce the image to nothing, a decoder kernel cannot restore its
            size, or the model does not support the upsampling.
    """
    return MODELS[model.kind](model, upsample, image_shape, gaussian_code=gaussian_code)


def build_network(config: TrainConfig, image_shape: ImageShape) -> Autoencoder:
    """Build the autoencoder of a run, with newly drawn weights.

    Raises:
        UsageError: as `build_model`.
    """
    is_gaussian = config.has_gaussian_code
    return build_model(config.model, config.upsample, image_shape, gaussian_code=is_gaussian)


def build_outline(config: TrainConfig, image_shape: ImageShape) -> Autoencoder:
    """Build the autoencoder of a run on the meta device: shapes only, without memory and
    arithmetic.

    Raises:
        UsageError: as `build_model`, or a layer has more weights than torch can count.
    """
    try:
        with torch.device("meta"):
            return build_network(config, image_shape)
    except RuntimeError as error:
        raise UsageError(
            f"model={config.model.name} has a layer with more weights than any machine can hold: "
            f"give a smaller latent, fewer units or channels, or smaller images"
        ) from error
