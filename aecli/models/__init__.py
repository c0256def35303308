"""The models: `build_model` creates one, `describe` lists its layers."""

from collections.abc import Callable

from aecli.config import ModelConfig, UpsampleConfig
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
    "describe",
    "describe_fitting",
]

MODELS: dict[str, Callable[..., Autoencoder]] = {"fc": FCAutoencoder, "conv": ConvAutoencoder}


def build_model(
    model: ModelConfig, upsample: UpsampleConfig, image_shape: ImageShape
) -> Autoencoder:
    """Build an autoencoder for images of `image_shape` with torch's default initialisation.

    Raises:
        UsageError: the layers reduce the image to nothing, a decoder kernel cannot restore its
            size, or the model does not support the upsampling.
    """
    return MODELS[model.kind](model, upsample, image_shape)
