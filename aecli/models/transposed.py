"""A transposed convolution that is faster on a CPU than torch's own."""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from aecli.convolution.arithmetic import transposed_conv_output_size


class ConvTranspose2d(nn.ConvTranspose2d):
    """`nn.ConvTranspose2d` with the same weights and, except for rounding, the same results and
    gradients, without groups.

    oneDNN, which torch uses, is slow in two cases: the gradient of the bias, a sum over the maps
    (which can cost as much as the other gradients), and a single output channel. Both are computed
    differently here. On other devices, in exported graphs and with a dilation, this is torch's own
    layer.
    """

    def forward(self, maps: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(B, C, h, w) -> (B, K, H, W)."""
        if maps.device.type != "cpu" or output_size is not None or torch.compiler.is_exporting():
            return super().forward(maps, output_size)
        if self.dilation != (1, 1):  # too rare to be worth special treatment
            return super().forward(maps, output_size)
        if not torch.compiler.is_compiling() and not _has_gradients():
            return super().forward(maps, output_size)
        weight, bias = self.weight, self.bias
        assert bias is not None, "our layers have a bias"
        assert not isinstance(self.padding, str), "only nn.Conv2d accepts strings"
        settings = self.stride, self.padding, self.output_padding
        if torch.compiler.is_compiling():  # the compiler fuses the addition and its gradient
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
        grad_input, grad_weight = _gradients(
            gradient, maps, weight, ctx.settings, ctx.needs_input_grad[0]
        )
        grad_bias = gradient.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return grad_input, grad_weight, grad_bias, None


def _gradients(
    gradient: Tensor, maps: Tensor, weight: Tensor, settings: Settings, needs_input_grad: bool
) -> tuple[Tensor | None, Tensor]:
    """The gradients of the maps and of the weight, without that of the bias."""
    stride, padding, output_padding = settings
    grad_input, grad_weight, _ = torch.ops.aten.convolution_backward(
        gradient, maps, weight, None, stride, padding, (1, 1), True, output_padding, 1,
        (needs_input_grad, True, False),
    )  # fmt: skip
    return grad_input, grad_weight


@cache
def _has_gradients() -> bool:
    """Whether the operator of `_gradients`, which is not public, computes what it should."""
    settings = (2, 3), (1, 0), (1, 2)  # chosen so that swapped arguments would be noticed
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast("cpu", enabled=False),
    ):
        maps = torch.arange(8.0).view(1, 2, 2, 2).requires_grad_()
        weight = torch.arange(54.0).view(2, 3, 3, 3).requires_grad_()
        gradient = torch.arange(96.0).view(1, 3, 4, 8)
        result = F.conv_transpose2d(maps, weight, None, *settings)
        expected = torch.autograd.grad(result, (maps, weight), gradient)
        try:
            found = _gradients(gradient, maps.detach(), weight.detach(), settings, True)
        except (AttributeError, RuntimeError, TypeError):
            return False
    return all(
        each is not None and torch.allclose(each, other)
        for each, other in zip(found, expected, strict=True)
    )


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
