"""The convolutional autoencoder: convolutions, a bottleneck, and their mirror image."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from aecli.config import Bottleneck, ConvConfig, LayerConfig, UpsampleConfig, Upsampling
from aecli.convolution.arithmetic import conv_formula, conv_output_size
from aecli.errors import UsageError
from aecli.models.autoencoder import Autoencoder, ImageShape, PosteriorMean, activation
from aecli.models.linear import Linear
from aecli.models.normalisation import BatchNorm2d
from aecli.models.pooling import MaxPool, Switches
from aecli.models.transposed import ConvTranspose2d
from aecli.models.upsample import mirror_layers


class ConvAutoencoder(Autoencoder):
    """Convolutions down to a small feature map, a bottleneck, and a mirrored decoder."""

    def __init__(
        self,
        config: ConvConfig,
        upsample: UpsampleConfig,
        image_shape: ImageShape,
        *,
        gaussian_code: bool = False,
    ) -> None:
        super().__init__(image_shape, config.latent)
        shapes = map_shapes(config.layers, image_shape)
        self.encoder = nn.Sequential(
            *encoder_layers(config, upsample, shapes),
            *_encoder_bottleneck(config, shapes[-1], config.latent * (1 + gaussian_code)),
            *([PosteriorMean()] if gaussian_code else []),
        )
        self.decoder = nn.Sequential(
            *_decoder_bottleneck(config, shapes[-1]),
            *_decoder_layers(config, upsample, shapes),
        )
        for part in (self.encoder, self.decoder):
            _fix_cancelled_biases(part)

    def reconstruct(self, images: Tensor) -> tuple[Tensor, Tensor]:
        switches: Switches = []  # passed from the encoder to the decoder, bypassing the code
        codes = self.run_encoder(images, switches)
        return codes, self.run_decoder(codes, switches)


def encoder_layers(
    config: ConvConfig, upsample: UpsampleConfig, shapes: list[ImageShape]
) -> list[nn.Module]:
    """The encoder layers before the bottleneck.

    If the decoder unpools, pooling replaces each stride; the feature maps have the same sizes.

    Raises:
        UsageError: the decoder unpools, and no layer has a stride to replace.
    """
    uses_pooling = upsample.name is Upsampling.max_unpool
    if uses_pooling and all(layer.stride == 1 for layer in config.layers):
        raise UsageError(
            f"upsample=max_unpool needs an encoder that pools, but no layer of "
            f"model={config.name} has a stride: give one a stride, as in "
            f"model.layers.0.stride=2, or choose another upsample=..."
        )
    modules: list[nn.Module] = []
    for layer, (channels, _, _) in zip(config.layers, shapes, strict=False):
        stride = 1 if uses_pooling else layer.stride
        modules += [
            nn.Conv2d(
                channels, layer.channels, layer.kernel, stride, layer.padding, layer.dilation
            ),
            *_norm_act(config, layer.channels),
            *([MaxPool(layer.stride)] if layer.stride > stride else []),
        ]
    return modules


def _decoder_layers(
    config: ConvConfig, upsample: UpsampleConfig, shapes: list[ImageShape]
) -> list[nn.Module]:
    """The decoder layers after the bottleneck."""
    modules: list[nn.Module] = []
    for depth in reversed(range(len(config.layers))):
        source, target = shapes[depth + 1], shapes[depth]
        modules += mirror_layers(config.layers[depth], upsample, source, target)
        modules += _norm_act(config, target[0]) if depth else activation(config.output_activation)
    return modules or activation(config.output_activation)


class MisfitError(UsageError):
    """A layer's kernel does not fit its input map."""

    def __init__(self, message: str, shapes: list[ImageShape]) -> None:
        super().__init__(message)
        self.shapes = shapes
        """Shapes of the image and after each layer before the failing one."""


def map_shapes(layers: list[LayerConfig], image_shape: ImageShape) -> list[ImageShape]:
    """Channels, height and width of the image and after each layer.

    Raises:
        MisfitError: a layer's kernel does not fit its input map.
    """
    shapes = [image_shape]
    for number, layer in enumerate(layers, start=1):
        _, *sizes = shapes[-1]
        settings = layer.kernel, layer.stride, layer.padding, layer.dilation
        height, width = (conv_output_size(size, *settings) for size in sizes)
        if height < 1 or width < 1:
            smallest = min(sizes)
            largest = (smallest + 2 * layer.padding - 1) // layer.dilation + 1
            dilation = f", dilation {layer.dilation}" if layer.dilation > 1 else ""
            raise MisfitError(
                f"model.layers: layer {number} of {len(layers)} (kernel {layer.kernel}, stride "
                f"{layer.stride}, padding {layer.padding}{dilation}) leaves nothing of its "
                f"{sizes[0]}x{sizes[1]} map, {conv_formula(smallest, *settings)}: give it a kernel "
                f"of at most {largest}"
                f"{', or less dilation' if layer.dilation > 1 else ''}, or fewer layers or smaller "
                "strides before it",
                shapes,
            )
        shapes.append((layer.channels, height, width))
    return shapes


def _norm_act(config: ConvConfig, channels: int) -> list[nn.Module]:
    """The layers after every convolution but the last."""
    norm = [BatchNorm2d(channels)] if config.batch_norm else []
    return [*norm, *activation(config.activation)]


def _fix_cancelled_biases(part: nn.Sequential) -> None:
    """Freeze biases that a following batch normalisation cancels by subtracting the mean.

    Their gradients are zero except for rounding errors, which Adam would turn into useless updates.
    """
    for layer, following in pairwise(part):
        if isinstance(following, nn.BatchNorm2d) and isinstance(
            layer, nn.Conv2d | nn.ConvTranspose2d
        ):
            assert layer.bias is not None, "our layers have a bias"
            layer.bias.requires_grad_(False)


def _encoder_bottleneck(config: ConvConfig, shape: ImageShape, units: int) -> list[nn.Module]:
    """The encoder's bottleneck, (B, C, h, w) -> (B, units)."""
    channels, height, width = shape
    if config.bottleneck is Bottleneck.conv:
        layers = [nn.Conv2d(channels, units, (height, width)), nn.Flatten()]
    else:
        layers = [Flatten(), Linear(math.prod(shape), units)]
    return [*layers, *activation(config.code_activation)]


class Flatten(nn.Flatten):
    """`nn.Flatten` whose gradient is returned in channels_last layout.

    In contiguous layout it would not match the feature maps, and the preceding activation would
    take several times as long.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C h w)."""
        if maps.requires_grad and not torch.compiler.is_compiling():
            maps.register_hook(_to_channels_last)
        return super().forward(maps)


class Unflatten(nn.Unflatten):
    """`nn.Unflatten` with its output in channels_last layout, for the same reason."""

    def forward(self, rows: Tensor) -> Tensor:
        """(B, C h w) -> (B, C, h, w)."""
        return _to_channels_last(super().forward(rows))


def _to_channels_last(maps: Tensor) -> Tensor:
    return maps.contiguous(memory_format=torch.channels_last)


def _decoder_bottleneck(config: ConvConfig, shape: ImageShape) -> list[nn.Module]:
    """The decoder's bottleneck, (B, D) -> (B, C, h, w)."""
    channels, height, width = shape
    if config.bottleneck is Bottleneck.conv:
        layers = [
            nn.Unflatten(1, (config.latent, 1, 1)),
            ConvTranspose2d(config.latent, channels, (height, width)),
        ]
    else:
        layers = [Linear(config.latent, math.prod(shape)), Unflatten(1, shape)]
    return [*layers, *(activation(config.activation) if config.layers else [])]
