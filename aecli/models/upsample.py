"""How a decoder undoes one convolution of the encoder: each method makes the mirrored layers."""

import math
from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from aecli.arithmetic import conv_output_size, output_padding_for, transposed_paddings_for
from aecli.config import LayerConfig, UpsampleConfig, Upsampling
from aecli.errors import UsageError
from aecli.models.autoencoder import ImageShape


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
        return transposed(layer, source, target)
    kernel = upsample.kernel or layer.kernel
    if upsample.name is Upsampling.transposed and kernel != layer.kernel:
        return transposed_with(kernel, layer.stride, source, target)
    return UPSAMPLERS[upsample.name](
        LayerConfig(layer.channels, kernel, layer.stride, layer.padding), source, target
    )


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


def transposed_with(
    kernel: int, stride: int, source: ImageShape, target: ImageShape
) -> list[nn.Module]:
    """A transposed convolution with a kernel of its own, padded to lead to `target`.

    Raises:
        UsageError: the kernel is too small for that.
    """
    try:
        rows, columns = (
            transposed_paddings_for(size, goal, kernel, stride)
            for size, goal in zip(source[1:], target[1:], strict=True)
        )
    except ValueError as error:
        raise UsageError(f"upsample.kernel={kernel} is not valid: {error}") from error
    padding, output_padding = (rows[0], columns[0]), (rows[1], columns[1])
    return [nn.ConvTranspose2d(source[0], target[0], kernel, stride, padding, output_padding)]


def interpolated(
    mode: str, layer: LayerConfig, source: ImageShape, target: ImageShape
) -> list[nn.Module]:
    """Pixels between pixels, then a convolution of stride 1: (B, *source) -> (B, *target)."""
    return [nn.Upsample(_enlarged(layer, target), mode=mode), _convolution(layer, source, target)]


class BedOfNails(nn.Module):
    """Each pixel in the corner of a cell of zeros: (B, C, h, w) -> (B, C, *size)."""

    def __init__(self, size: tuple[int, int], stride: int) -> None:
        super().__init__()
        self.size, self.stride = size, stride

    def forward(self, maps: Tensor) -> Tensor:
        batch, channels, height, width = maps.shape
        cells = maps.new_zeros(batch, channels, height * self.stride, width * self.stride)
        cells[:, :, :: self.stride, :: self.stride] = maps
        return cut_or_fill(cells, self.size)


def bed_of_nails(layer: LayerConfig, source: ImageShape, target: ImageShape) -> list[nn.Module]:
    """Zeros between the pixels, then a convolution of stride 1: (B, *source) -> (B, *target)."""
    nails = BedOfNails(_enlarged(layer, target), layer.stride)
    return [nails, _convolution(layer, source, target)]


class Crop(nn.Module):
    """The upper left part of a map: (B, C, h, w) -> (B, C, *size)."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, maps: Tensor) -> Tensor:
        return cut_or_fill(maps, self.size)


def pixel_shuffle(layer: LayerConfig, source: ImageShape, target: ImageShape) -> list[nn.Module]:
    """A convolution to stride x stride as many channels, which become the pixels of a cell.

    Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network", 2016.
    """
    stride, kernel = layer.stride, layer.kernel
    # As many cells as cover the target; what hangs over is cut off.
    cells = [math.ceil(goal / stride) for goal in target[1:]]
    padding = [
        max(0, math.ceil((count - conv_output_size(size, kernel)) / 2))
        for size, count in zip(source[1:], cells, strict=True)
    ]
    convolution = nn.Conv2d(
        source[0], target[0] * stride**2, kernel, padding=(padding[0], padding[1])
    )
    return [convolution, nn.PixelShuffle(stride), Crop((target[1], target[2]))]


def cut_or_fill(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """`maps` (B, C, h, w) with rows and columns cut off or zeros added at the lower right."""
    height, width = maps.shape[2:]
    return F.pad(maps, (0, size[1] - width, 0, size[0] - height))


def _enlarged(layer: LayerConfig, target: ImageShape) -> tuple[int, int]:
    """The size of which `_convolution` makes `target`'s."""
    # An even kernel has no middle: one more row and column make up for it.
    surplus = layer.kernel - 1 - 2 * _margin(layer)
    return target[1] + surplus, target[2] + surplus


def _convolution(layer: LayerConfig, source: ImageShape, target: ImageShape) -> nn.Module:
    return nn.Conv2d(source[0], target[0], layer.kernel, padding=_margin(layer))


def _margin(layer: LayerConfig) -> int:
    return (layer.kernel - 1) // 2


UPSAMPLERS: dict[Upsampling, Callable[[LayerConfig, ImageShape, ImageShape], list[nn.Module]]] = {
    Upsampling.transposed: transposed,
    Upsampling.nearest: partial(interpolated, "nearest"),
    Upsampling.bilinear: partial(interpolated, "bilinear"),
    Upsampling.bicubic: partial(interpolated, "bicubic"),
    Upsampling.bed_of_nails: bed_of_nails,
    Upsampling.pixel_shuffle: pixel_shuffle,
}
