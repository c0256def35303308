"""How a decoder undoes one convolution of the encoder: each method makes the mirrored layers."""

from collections.abc import Callable

from torch import nn

from aecli.arithmetic import output_padding_for
from aecli.config import LayerConfig, Upsampling
from aecli.models.autoencoder import ImageShape


def transposed(layer: LayerConfig, source: ImageShape, target: ImageShape) -> list[nn.Module]:
    """A transposed convolution, (B, *source) -> (B, *target)."""
    output_padding = [
        output_padding_for(size, goal, layer.kernel, layer.stride, layer.padding)
        for size, goal in zip(source[1:], target[1:], strict=True)
    ]
    return [
        nn.ConvTranspose2d(
            source[0],
            target[0],
            layer.kernel,
            layer.stride,
            layer.padding,
            (output_padding[0], output_padding[1]),
        )
    ]


def nearest(layer: LayerConfig, source: ImageShape, target: ImageShape) -> list[nn.Module]:
    """Each pixel repeated, then a convolution of stride 1: (B, *source) -> (B, *target).

    A layer that does not stride has nothing to enlarge and overlaps evenly; its mirror is the
    transposed convolution.
    """
    if layer.stride == 1:
        return transposed(layer, source, target)
    padding = (layer.kernel - 1) // 2
    # An even kernel has no middle: one more row and column make up for it.
    surplus = layer.kernel - 1 - 2 * padding
    enlarged = (target[1] + surplus, target[2] + surplus)
    return [
        nn.Upsample(enlarged, mode="nearest"),
        nn.Conv2d(source[0], target[0], layer.kernel, padding=padding),
    ]


UPSAMPLERS: dict[Upsampling, Callable[[LayerConfig, ImageShape, ImageShape], list[nn.Module]]] = {
    Upsampling.transposed: transposed,
    Upsampling.nearest: nearest,
}
