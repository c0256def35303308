"""The fully connected autoencoder."""

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from aecli.config import Activation, FCConfig, Initialisation, UpsampleConfig, Upsampling
from aecli.errors import UsageError
from aecli.models.autoencoder import Autoencoder, ImageShape, PosteriorMean, activation
from aecli.models.linear import Linear, TiedLinear


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
        encoding = [Linear(*pair) for pair in pairwise(widths)]
        self.encoder = nn.Sequential(
            nn.Flatten(),  # (B, C, H, W) -> (B, C H W)
            *_activated(encoding, config.activation, config.code_activation),  # -> (B, D)
            *([PosteriorMean()] if gaussian_code else []),
        )
        decoding: list[nn.Module] = [
            TiedLinear(encoding[depth - 1], sizes[depth])
            if config.tied
            else Linear(sizes[depth], sizes[depth - 1])
            for depth in reversed(range(1, len(sizes)))
        ]
        self.decoder = nn.Sequential(
            *_activated(decoding, config.activation, config.output_activation),  # -> (B, C H W)
            nn.Unflatten(1, image_shape),  # -> (B, C, H, W)
        )
        if config.initialisation is Initialisation.kaiming:
            self.apply(_initialise)


def _activated(
    linear: Sequence[nn.Module], hidden: Activation, last: Activation
) -> list[nn.Module]:
    """Linear layers, each with its activation."""
    layers: list[nn.Module] = []
    for layer in linear[:-1]:
        layers += [layer, *activation(hidden)]
    return [*layers, linear[-1], *activation(last)]


def _initialise(layer: nn.Module) -> None:
    """Draw the weights as He et al. do: see `Initialisation.kaiming`."""
    if isinstance(layer, Linear):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
