"""A transposed convolution that takes a CPU less time than torch's own."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_weight

from aecli.convolution.arithmetic import transposed_conv_output_size


class ConvTranspose2d(nn.ConvTranspose2d):
    """`nn.ConvTranspose2d` with the same weights and, but for rounding, the same results and
    gradients, without groups and dilation.

    oneDNN, which torch asks, takes long for two things: the gradient of the bias, which is a sum
    over the maps (it costs up to what the other gradients cost), and a single map as the result.
    These are computed otherwise. Elsewhere, and in a graph that is exported, the layer is torch's
    own.
    """

    def forward(self, maps: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(B, C, h, w) -> (B, K, H, W)."""
        if maps.device.type != "cpu" or output_size is not None or torch.compiler.is_exporting():
            return super().forward(maps, output_size)
        weight, bias = self.weight, self.bias
        assert bias is not None, "our layers have one"
        assert not isinstance(self.padding, str), "convolutions alone know words for it"
        settings = self.stride, self.padding, self.output_padding
        if torch.compiler.is_compiling():  # the sum, and its gradient, join the code that follows
            columns = F.conv_transpose2d(maps, weight, None, *settings)
            return columns + bias.to(columns.dtype)[:, None, None]
        if torch.is_autocast_enabled("cpu"):  # which does not see what follows
            dtype = torch.get_autocast_dtype("cpu")
            maps, weight, bias = (tensor.to(dtype) for tensor in (maps, weight, bias))
        result: Tensor = _Transposed.apply(maps, weight, bias, settings)
        return result


Settings = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Stride, padding and output padding, along both axes each."""


class _Transposed(torch.autograd.Function):
    """maps (B, C, h, w), weight (C, K, k, l), bias (K) -> (B, K, H, W)."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor, settings: Settings) -> Tensor:
        ctx.save_for_backward(maps, weight)
        ctx.settings = settings
        if weight.shape[1] == 1:
            return _single_channel_forward(maps, weight, bias, settings)
        return F.conv_transpose2d(maps, weight, bias, *settings)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, None]:
        maps, weight = ctx.saved_tensors
        stride, padding, _ = ctx.settings
        # The gradients of a transposed convolution are those of a convolution that goes back.
        grad_input = (
            F.conv2d(gradient, weight, None, stride, padding) if ctx.needs_input_grad[0] else None
        )
        grad_weight = conv2d_weight(gradient, weight.shape, maps, stride, padding)
        grad_bias = gradient.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return grad_input, grad_weight, grad_bias, None


def _single_channel_forward(
    maps: Tensor, weight: Tensor, bias: Tensor, settings: Settings
) -> Tensor:
    """The one map that results: each pixel lays the kernel down, as large as it is bright.

    All that the pixels lay down is one matrix product, whose rows are the kernel's cells. Each of
    them is then added where it falls.
    """
    batch, channels, *source = maps.shape
    kernel, (stride, padding, _) = weight.shape[2:], settings
    pixels = maps.movedim(1, -1).reshape(-1, channels).T  # (C, B h w)
    columns = (weight.reshape(channels, -1).T @ pixels).view(*kernel, batch, *source)
    height, width = map(transposed_conv_output_size, source, kernel, *settings)
    # Of bf16 numbers a sum of many would lose what they have.
    bias = bias.to(torch.promote_types(bias.dtype, torch.float32))
    result = bias.expand(batch, 1, height, width).contiguous()
    for row in range(kernel[0]):
        from_rows, to_rows = _valid_slices(row, source[0], height, stride[0], padding[0])
        for column in range(kernel[1]):
            from_columns, to_columns = _valid_slices(
                column, source[1], width, stride[1], padding[1]
            )
            result[:, 0, to_rows, to_columns] += columns[row, column, :, from_rows, from_columns]
    return result.to(maps.dtype)


def _valid_slices(
    cell: int, source: int, target: int, stride: int, padding: int
) -> tuple[slice, slice]:
    """Along one axis: the pixels whose `cell` of the kernel falls on the result, and where."""
    first = max(0, -((cell - padding) // stride))
    last = min(source - 1, (target - 1 + padding - cell) // stride)
    count = max(0, last - first + 1)
    start = first * stride + cell - padding
    return slice(first, first + count), slice(start, start + count * stride, stride)
