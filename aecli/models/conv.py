"""The convolutional autoencoder: a list of convolutions, a bottleneck, and their mirror."""

import math

from torch import nn

from aecli.arithmetic import conv_output_size
from aecli.config import Bottleneck, ConvConfig, LayerConfig, UpsampleConfig
from aecli.errors import UsageError
from aecli.models.autoencoder import Autoencoder, ImageShape, activation
from aecli.models.upsample import mirrored


class ConvAutoencoder(Autoencoder):
    """Convolutions down to a small map, a bottleneck, and the same layers mirrored."""

    def __init__(
        self, config: ConvConfig, upsample: UpsampleConfig, image_shape: ImageShape
    ) -> None:
        super().__init__(image_shape, config.latent)
        shapes = map_shapes(config.layers, image_shape)
        self.encoder = nn.Sequential(
            *self._convolutions(config, shapes),
            *_to_code(config, shapes[-1]),
        )
        self.decoder = nn.Sequential(
            *_from_code(config, shapes[-1]),
            *self._mirror(config, upsample, shapes),
        )

    def _convolutions(self, config: ConvConfig, shapes: list[ImageShape]) -> list[nn.Module]:
        modules: list[nn.Module] = []
        for layer, (channels, _, _) in zip(config.layers, shapes, strict=False):
            modules += [
                nn.Conv2d(channels, layer.channels, layer.kernel, layer.stride, layer.padding),
                *_hidden(config, layer.channels),
            ]
        return modules

    def _mirror(
        self, config: ConvConfig, upsample: UpsampleConfig, shapes: list[ImageShape]
    ) -> list[nn.Module]:
        modules: list[nn.Module] = []
        for depth in reversed(range(len(config.layers))):
            source, target = shapes[depth + 1], shapes[depth]
            modules += mirrored(config.layers[depth], upsample, source, target)
            modules += _hidden(config, target[0]) if depth else activation(config.output)
        return modules or activation(config.output)


def map_shapes(layers: list[LayerConfig], image_shape: ImageShape) -> list[ImageShape]:
    """Channels, height and width of the image and behind each layer.

    Raises:
        UsageError: a layer's kernel does not fit its map.
    """
    shapes = [image_shape]
    for number, layer in enumerate(layers, start=1):
        _, *sizes = shapes[-1]
        height, width = (
            conv_output_size(size, layer.kernel, layer.stride, layer.padding) for size in sizes
        )
        if height < 1 or width < 1:
            raise UsageError(
                f"model.layers: layer {number} of {len(layers)} (kernel {layer.kernel}, stride "
                f"{layer.stride}, padding {layer.padding}) leaves nothing of its "
                f"{sizes[0]}x{sizes[1]} map: give it a kernel of at most "
                f"{min(sizes) + 2 * layer.padding}, or fewer or less strided layers before it"
            )
        shapes.append((layer.channels, height, width))
    return shapes


def _hidden(config: ConvConfig, channels: int) -> list[nn.Module]:
    """What stands behind every convolution but the last."""
    norm = [nn.BatchNorm2d(channels)] if config.batch_norm else []
    return [*norm, *activation(config.activation)]


def _to_code(config: ConvConfig, shape: ImageShape) -> list[nn.Module]:
    """The bottleneck, (B, C, h, w) -> (B, D)."""
    channels, height, width = shape
    if config.bottleneck is Bottleneck.conv:
        layers = [nn.Conv2d(channels, config.latent, (height, width)), nn.Flatten()]
    else:
        layers = [nn.Flatten(), nn.Linear(math.prod(shape), config.latent)]
    return [*layers, *activation(config.code_activation)]


def _from_code(config: ConvConfig, shape: ImageShape) -> list[nn.Module]:
    """The bottleneck mirrored, (B, D) -> (B, C, h, w)."""
    channels, height, width = shape
    if config.bottleneck is Bottleneck.conv:
        layers = [
            nn.Unflatten(1, (config.latent, 1, 1)),
            nn.ConvTranspose2d(config.latent, channels, (height, width)),
        ]
    else:
        layers = [nn.Linear(config.latent, math.prod(shape)), nn.Unflatten(1, shape)]
    return [*layers, *(activation(config.activation) if config.layers else [])]
