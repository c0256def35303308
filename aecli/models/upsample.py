"""Decoder layers that mirror one encoder convolution, for each upsampling method."""

import math
from collections.abc import Callable
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aecli.config import LayerConfig, UpsampleConfig, Upsampling
from aecli.convolution.arithmetic import (
    conv_output_size,
    kernel_extent,
    output_padding_for,
    pooled_size,
    transposed_conv_output_size,
    transposed_paddings_for,
)
from aecli.errors import UsageError
from aecli.models.autoencoder import ImageShape
from aecli.models.pooling import MaxUnpool, crop_or_pad, zero_insert
from aecli.models.transposed import ConvTranspose2d


def mirror_layers(
    layer: LayerConfig, upsample: UpsampleConfig, source: ImageShape, target: ImageShape
) -> list[nn.Module]:
    """The decoder layers that mirror `layer`, (B, *source) -> (B, *target).

    A layer with stride 1 needs no upsampling, and its transposed convolution overlaps evenly: it is
    mirrored by one, whatever the method.

    Raises:
        UsageError: the kernel cannot restore the size of `target`.
    """
    if layer.stride == 1:
        return transposed(layer, layer.kernel, source, target)
    kernel = upsample.kernel or layer.kernel
    try:
        return UPSAMPLERS[upsample.name](layer, kernel, source, target)
    except ValueError as error:
        raise UsageError(f"upsample.kernel={kernel} is not valid: {error}") from error


def transposed(
    layer: LayerConfig, kernel: int, source: ImageShape, target: ImageShape
) -> list[nn.Module]:
    """A transposed convolution, (B, *source) -> (B, *target).

    With the encoder's kernel it uses the encoder's padding, otherwise one that gives `target`.

    Raises:
        ValueError: the kernel is too small.
    """
    stride, padding = layer.stride, layer.padding
    extent = kernel_extent(kernel, layer.dilation)
    rows, columns = (
        (padding, output_padding_for(size, goal, extent, stride, padding))
        if kernel == layer.kernel
        else transposed_paddings_for(size, goal, extent, stride)
        for size, goal in zip(source[1:], target[1:], strict=True)
    )
    paddings, output_paddings = zip(rows, columns, strict=True)
    convolution = ConvTranspose2d(
        source[0], target[0], kernel, stride, paddings, output_paddings, dilation=layer.dilation
    )
    return [convolution]


def interpolated(
    mode: str, layer: LayerConfig, kernel: int, source: ImageShape, target: ImageShape
) -> list[nn.Module]:
    """Interpolation, then a convolution with stride 1: (B, *source) -> (B, *target)."""
    return [
        nn.Upsample(_upsampled_size(layer, kernel, target), mode=mode),
        _same_conv(layer, kernel, source, target),
    ]


class Bicubic(nn.Module):
    """Bicubic interpolation: (B, C, *source) -> (B, C, *size).

    Interpolation is linear and separable: one matrix for the rows and one for the columns, both
    computed with torch's bicubic mode. On a CPU this takes a fraction of the time of that mode.
    """

    def __init__(self, source: tuple[int, int], size: tuple[int, int]) -> None:
        super().__init__()
        rows, columns = map(_bicubic_weights, source, size)
        self.register_buffer("rows", rows, persistent=False)  # (H, h)
        self.register_buffer("columns", columns, persistent=False)  # (W, w)

    def forward(self, maps: Tensor) -> Tensor:
        return cast(Tensor, self.rows) @ maps @ cast(Tensor, self.columns).T


def _bicubic_weights(source: int, size: int) -> Tensor:
    """Interpolation matrix (size, source) from `source` to `size` pixels."""
    pixels = torch.eye(source).reshape(1, 1, source, source)
    return F.interpolate(pixels, (size, source), mode="bicubic")[0, 0]


def bicubic(
    layer: LayerConfig, kernel: int, source: ImageShape, target: ImageShape
) -> list[nn.Module]:
    """Bicubic interpolation, then a convolution with stride 1: (B, *source) -> (B, *target)."""
    interpolation = Bicubic((source[1], source[2]), _upsampled_size(layer, kernel, target))
    return [interpolation, _same_conv(layer, kernel, source, target)]


class BedOfNails(nn.Module):
    """Put each pixel in the corner of a cell of zeros: (B, C, h, w) -> (B, C, *size)."""

    def __init__(self, size: tuple[int, int], stride: int) -> None:
        super().__init__()
        self.size, self.stride = size, stride

    def forward(self, maps: Tensor) -> Tensor:
        return zero_insert(maps, self.size, self.stride)


def bed_of_nails(
    layer: LayerConfig, kernel: int, source: ImageShape, target: ImageShape
) -> list[nn.Module]:
    """Zeros between pixels, then a convolution with stride 1: (B, *source) -> (B, *target)."""
    zero_insertion = BedOfNails(_upsampled_size(layer, kernel, target), layer.stride)
    return [zero_insertion, _same_conv(layer, kernel, source, target)]


def max_unpool(
    layer: LayerConfig, kernel: int, source: ImageShape, target: ImageShape
) -> list[nn.Module]:
    """Max-unpooling, then a transposed convolution with stride 1.

    The encoder has the same convolution without its stride, followed by max-pooling: see
    `conv.encoder_layers`.

    Raises:
        ValueError: the kernel is too small to reach `target`.
    """
    pooled_from = unstrided_sizes(layer, target)
    # The same for rows and columns, because neither has a stride.
    extent = kernel_extent(kernel, layer.dilation)
    surplus = transposed_conv_output_size(pooled_from[0], extent) - target[1]
    if surplus < 0:
        raise ValueError(
            f"it cannot turn {pooled_from[0]}x{pooled_from[1]} unpooled pixels into "
            f"{target[1]}x{target[2]}"
        )
    convolution = ConvTranspose2d(
        source[0], target[0], kernel, padding=surplus // 2, dilation=layer.dilation
    )
    # Replacing an even kernel by an odd one, or vice versa, gives one pixel too many.
    crop = [Crop((target[1], target[2]))] if surplus % 2 else []
    return [MaxUnpool(pooled_from, layer.stride), convolution, *crop]


def unstrided_sizes(layer: LayerConfig, image_shape: ImageShape) -> tuple[int, int]:
    """Height and width of the output of `layer` if its stride were 1."""
    height, width = (
        conv_output_size(size, layer.kernel, padding=layer.padding, dilation=layer.dilation)
        for size in image_shape[1:]
    )
    return height, width


class Crop(nn.Module):
    """The upper left part of a map: (B, C, h, w) -> (B, C, *size)."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, maps: Tensor) -> Tensor:
        return crop_or_pad(maps, self.size)


def pixel_shuffle(
    layer: LayerConfig, kernel: int, source: ImageShape, target: ImageShape
) -> list[nn.Module]:
    """A convolution to stride**2 times as many channels, which are rearranged into pixels.

    Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network", 2016.
    """
    stride = layer.stride
    # Enough cells to cover the target in each direction; the excess is cropped.
    cells = [pooled_size(goal, stride) for goal in target[1:]]
    extent = kernel_extent(kernel, layer.dilation)
    padding = [
        max(0, math.ceil((count - conv_output_size(size, extent)) / 2))
        for size, count in zip(source[1:], cells, strict=True)
    ]
    convolution = nn.Conv2d(
        source[0],
        target[0] * stride**2,
        kernel,
        padding=(padding[0], padding[1]),
        dilation=layer.dilation,
    )
    output_size = [
        conv_output_size(size, extent, padding=pad) * stride
        for size, pad in zip(source[1:], padding, strict=True)
    ]
    crop = [Crop((target[1], target[2]))] if output_size != list(target[1:]) else []
    return [convolution, nn.PixelShuffle(stride), *crop]


def _upsampled_size(layer: LayerConfig, kernel: int, target: ImageShape) -> tuple[int, int]:
    """The input size for which `_same_conv` gives `target`'s size."""
    # An even extent has no centre: one more row and column compensate.
    extent = kernel_extent(kernel, layer.dilation)
    surplus = extent - 1 - 2 * _same_padding(extent)
    return target[1] + surplus, target[2] + surplus


def _same_conv(
    layer: LayerConfig, kernel: int, source: ImageShape, target: ImageShape
) -> nn.Module:
    padding = _same_padding(kernel_extent(kernel, layer.dilation))
    return nn.Conv2d(source[0], target[0], kernel, padding=padding, dilation=layer.dilation)


def _same_padding(extent: int) -> int:
    return (extent - 1) // 2


UPSAMPLERS: dict[
    Upsampling, Callable[[LayerConfig, int, ImageShape, ImageShape], list[nn.Module]]
] = {
    Upsampling.transposed: transposed,
    Upsampling.nearest: partial(interpolated, "nearest"),
    Upsampling.bilinear: partial(interpolated, "bilinear"),
    Upsampling.bicubic: bicubic,
    Upsampling.bed_of_nails: bed_of_nails,
    Upsampling.max_unpool: max_unpool,
    Upsampling.pixel_shuffle: pixel_shuffle,
}
"""Method -> (layer, kernel, source, target) -> the layers from `source` to `target`."""
