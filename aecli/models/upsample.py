"""How a decoder undoes one convolution of the encoder: each method makes the mirrored layers."""

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
    output_padding_for,
    pooled_size,
    transposed_conv_output_size,
    transposed_paddings_for,
)
from aecli.errors import UsageError
from aecli.models.autoencoder import ImageShape
from aecli.models.pooling import MaxUnpool, crop_or_pad, zero_insert
from aecli.models.transposed import ConvTranspose2d


def mirrored(
    layer: LayerConfig, upsample: UpsampleConfig, source: ImageShape, target: ImageShape
) -> list[nn.Module]:
    """The layers that lead back from what `layer` made of a map, (B, *source) -> (B, *target).

    A layer that does not stride has nothing to enlarge and overlaps evenly; its mirror is the
    transposed convolution, whatever the method.

    Raises:
        UsageError: a kernel that cannot lead back to `target`.
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

    With the encoder's kernel it has the encoder's padding, otherwise one that leads to `target`.

    Raises:
        ValueError: the kernel is too small for that.
    """
    stride, padding = layer.stride, layer.padding
    rows, columns = (
        (padding, output_padding_for(size, goal, kernel, stride, padding))
        if kernel == layer.kernel
        else transposed_paddings_for(size, goal, kernel, stride)
        for size, goal in zip(source[1:], target[1:], strict=True)
    )
    paddings, output_paddings = zip(rows, columns, strict=True)
    return [ConvTranspose2d(source[0], target[0], kernel, stride, paddings, output_paddings)]


def interpolated(
    mode: str, layer: LayerConfig, kernel: int, source: ImageShape, target: ImageShape
) -> list[nn.Module]:
    """Pixels between pixels, then a convolution of stride 1: (B, *source) -> (B, *target)."""
    return [
        nn.Upsample(_enlarged(kernel, target), mode=mode),
        _convolution(kernel, source, target),
    ]


class Bicubic(nn.Module):
    """Bicubic interpolation: (B, C, *source) -> (B, C, *size).

    Interpolation is linear, and separate along rows and columns: a matrix from each side. On a CPU
    that takes a fraction of the time of torch's own bicubic mode, which fills the matrices.
    """

    def __init__(self, source: tuple[int, int], size: tuple[int, int]) -> None:
        super().__init__()
        rows, columns = map(_bicubic_weights, source, size)
        self.register_buffer("rows", rows, persistent=False)  # (H, h)
        self.register_buffer("columns", columns, persistent=False)  # (W, w)

    def forward(self, maps: Tensor) -> Tensor:
        return cast(Tensor, self.rows) @ maps @ cast(Tensor, self.columns).T


def _bicubic_weights(source: int, size: int) -> Tensor:
    """What each of `source` pixels adds to each of `size`: (size, source)."""
    pixels = torch.eye(source).reshape(1, 1, source, source)
    return F.interpolate(pixels, (size, source), mode="bicubic")[0, 0]


def bicubic(
    layer: LayerConfig, kernel: int, source: ImageShape, target: ImageShape
) -> list[nn.Module]:
    """Cubic curves between pixels, then a convolution of stride 1: (B, *source) -> (B, *target)."""
    enlarge = Bicubic((source[1], source[2]), _enlarged(kernel, target))
    return [enlarge, _convolution(kernel, source, target)]


class BedOfNails(nn.Module):
    """Each pixel in the corner of a cell of zeros: (B, C, h, w) -> (B, C, *size)."""

    def __init__(self, size: tuple[int, int], stride: int) -> None:
        super().__init__()
        self.size, self.stride = size, stride

    def forward(self, maps: Tensor) -> Tensor:
        return zero_insert(maps, self.size, self.stride)


def bed_of_nails(
    layer: LayerConfig, kernel: int, source: ImageShape, target: ImageShape
) -> list[nn.Module]:
    """Zeros between the pixels, then a convolution of stride 1: (B, *source) -> (B, *target)."""
    nails = BedOfNails(_enlarged(kernel, target), layer.stride)
    return [nails, _convolution(kernel, source, target)]


def max_unpool(
    layer: LayerConfig, kernel: int, source: ImageShape, target: ImageShape
) -> list[nn.Module]:
    """Each pixel where the encoder's pooling found it, then a transposed convolution of stride 1.

    The encoder has the same convolution without its stride, and pools what that makes: see
    `conv.convolutions`.

    Raises:
        ValueError: the kernel is too small to reach `target`.
    """
    pooled_from = unstrided_sizes(layer, target)
    # Rows and columns alike, for neither has a stride.
    surplus = transposed_conv_output_size(pooled_from[0], kernel) - target[1]
    if surplus < 0:
        raise ValueError(
            f"it cannot make {target[1]}x{target[2]} pixels of the "
            f"{pooled_from[0]}x{pooled_from[1]} that were pooled"
        )
    convolution = ConvTranspose2d(source[0], target[0], kernel, padding=surplus // 2)
    # An even kernel in place of an odd one, or the other way round, makes a pixel too many.
    crop = [Crop((target[1], target[2]))] if surplus % 2 else []
    return [MaxUnpool(pooled_from, layer.stride), convolution, *crop]


def unstrided_sizes(layer: LayerConfig, image_shape: ImageShape) -> tuple[int, int]:
    """Height and width of what `layer` would make of an image if it did not stride."""
    height, width = (
        conv_output_size(size, layer.kernel, padding=layer.padding) for size in image_shape[1:]
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
    """A convolution to stride x stride as many channels, which become the pixels of a cell.

    Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network", 2016.
    """
    stride = layer.stride
    # As many cells as cover the target, in each direction; what hangs over is cut off.
    cells = [pooled_size(goal, stride) for goal in target[1:]]
    padding = [
        max(0, math.ceil((count - conv_output_size(size, kernel)) / 2))
        for size, count in zip(source[1:], cells, strict=True)
    ]
    convolution = nn.Conv2d(
        source[0], target[0] * stride**2, kernel, padding=(padding[0], padding[1])
    )
    made = [
        conv_output_size(size, kernel, padding=margin) * stride
        for size, margin in zip(source[1:], padding, strict=True)
    ]
    crop = [Crop((target[1], target[2]))] if made != list(target[1:]) else []
    return [convolution, nn.PixelShuffle(stride), *crop]


def _enlarged(kernel: int, target: ImageShape) -> tuple[int, int]:
    """The size of which `_convolution` makes `target`'s."""
    # An even kernel has no middle: one more row and column make up for it.
    surplus = kernel - 1 - 2 * _margin(kernel)
    return target[1] + surplus, target[2] + surplus


def _convolution(kernel: int, source: ImageShape, target: ImageShape) -> nn.Module:
    return nn.Conv2d(source[0], target[0], kernel, padding=_margin(kernel))


def _margin(kernel: int) -> int:
    return (kernel - 1) // 2


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
"""Method -> the layers that lead back from `source` to `target` with a kernel of that size."""
