"""The fully connected autoencoder."""

import math
from itertools import pairwise

from torch import nn

from aecli.config import Activation, FCConfig, UpsampleConfig, Upsampling
from aecli.errors import UsageError
from aecli.models.autoencoder import Autoencoder, ImageShape, PosteriorMean, activation
from aecli.models.linear import Linear


class FCAutoencoder(Autoencoder):
    """Image - hidden widths - code - reversed hidden widths - image."""

    def __init__(
        self,
        config: FCConfig,
        upsample: UpsampleConfig,
        image_shape: ImageShape,
        *,
        gaussian_code: bool = False,
    ) -> None:
        super().__init__(image_shape, config.latent)
        if upsample.name is Upsampling.max_unpool:
            raise UsageError(
                f"upsample=max_unpool needs an encoder that pools, but model={config.name} has no "
                f"map to pool: choose a convolutional model, such as model=conv"
            )
        sizes = [math.prod(image_shape), *config.widths, config.latent]
        widths = [*sizes[:-1], config.latent * (1 + gaussian_code)]
        self.encoder = nn.Sequential(
            nn.Flatten(),  # (B, C, H, W) -> (B, C H W)
            *_linear_layers(widths, config.activation, config.code_activation),  # -> (B, D)
            *([PosteriorMean()] if gaussian_code else []),
        )
        self.decoder = nn.Sequential(
            *_linear_layers(
                sizes[::-1], config.activation, config.output_activation
            ),  # (B, D) -> (B, C H W)
            nn.Unflatten(1, image_shape),  # -> (B, C, H, W)
        )


def _linear_layers(sizes: list[int], hidden: Activation, last: Activation) -> list[nn.Module]:
    """Linear layers between consecutive sizes, each with its activation."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [Linear(inputs, outputs), *activation(hidden)]
    return layers[: -len(activation(hidden)) or None] + activation(last)
