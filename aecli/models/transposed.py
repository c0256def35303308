"""A transposed convolution that is faster on a CPU than torch's own."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_weight

from aecli.convolution.arithmetic import transposed_conv_output_size


class ConvTranspose2d(nn.ConvTranspose2d):
    """`nn.ConvTranspose2d` with the same weights and, except for rounding, the same results and
    gradients, without groups and dilation.

    oneDNN, which torch uses, is slow in two cases: the gradient of the bias, a sum over the maps
    (which can cost as much as the other gradients), and a single output channel. Both are computed
    differently here. On other devices and in exported graphs, this is torch's own layer.
    """

    def forward(self, maps: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(B, C, h, w) -> (B, K, H, W)."""
        if maps.device.type != "cpu" or output_size is not None or torch.compiler.is_exporting():
            return super().forward(maps, output_size)
        weight, bias = self.weight, self.bias
        assert bias is not None, "our layers have a bias"
        assert not isinstance(self.padding, str), "only nn.Conv2d accepts strings"
        settings = self.stride, self.padding, self.output_padding
        if torch.compiler.is_compiling():  # which fuses the addition and its gradient
            columns = F.conv_transpose2d(maps, weight, None, *settings)
            return columns + bias.to(columns.dtype)[:, None, None]
        if torch.is_autocast_enabled("cpu"):  # it does not reach custom autograd functions
            dtype = torch.get_autocast_dtype("cpu")
            maps, weight, bias = (tensor.to(dtype) for tensor in (maps, weight, bias))
        result: Tensor = _Transposed.apply(maps, weight, bias, settings)
        return result


Settings = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Stride, padding and output padding, each for both axes."""


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
        # The gradients of a transposed convolution are ordinary convolutions.
        grad_input = (
            F.conv2d(gradient, weight, None, stride, padding) if ctx.needs_input_grad[0] else None
        )
        grad_weight = conv2d_weight(gradient, weight.shape, maps, stride, padding)
        grad_bias = gradient.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return grad_input, grad_weight, grad_bias, None


def _single_channel_forward(
    maps: Tensor, weight: Tensor, bias: Tensor, settings: Settings
) -> Tensor:
    """Transposed convolution to a single channel: each input pixel adds a scaled kernel.

    One matrix product gives all scaled kernels, with one row per kernel element. Each row is then
    added to the output at its offset.
    """
    batch, channels, *source = maps.shape
    kernel, (stride, padding, _) = weight.shape[2:], settings
    pixels = maps.movedim(1, -1).reshape(-1, channels).T  # (C, B h w)
    columns = (weight.reshape(channels, -1).T @ pixels).view(*kernel, batch, *source)
    height, width = map(transposed_conv_output_size, source, kernel, *settings)
    # Sums of many bf16 numbers would lose precision.
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
    offset: int, source: int, target: int, stride: int, padding: int
) -> tuple[slice, slice]:
    """Along one axis: input pixels whose kernel element `offset` hits the output, and where."""
    first = max(0, -((offset - padding) // stride))
    last = min(source - 1, (target - 1 + padding - offset) // stride)
    count = max(0, last - first + 1)
    start = first * stride + offset - padding
    return slice(first, first + count), slice(start, start + count * stride, stride)
