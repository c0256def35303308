"""One convolution by torch itself: its weights drawn from a seed, and its output."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from aecli.convolution.layer import ConvLayer
from aecli.convolution.reference import Array

LAYERS = {
    (1, False): nn.Conv1d,
    (2, False): nn.Conv2d,
    (3, False): nn.Conv3d,
    (1, True): nn.ConvTranspose1d,
    (2, True): nn.ConvTranspose2d,
    (3, True): nn.ConvTranspose3d,
}
"""Number of axes, and whether it is transposed -> the class."""


def drawn(layer: ConvLayer, seed: int, draws_input: bool, draws_bias: bool) -> ConvLayer:
    """The layer with the numbers that torch draws for it after `torch.manual_seed(seed)`.

    First the input, by `torch.randn`, then the weights and the bias, as the layer's class
    initialises them. Numbers that were given are kept.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        images = torch.randn(layer.images.shape) if draws_input else torch.from_numpy(layer.images)
        module = _module(layer)
    assert module.bias is not None
    return layer._replace(
        images=images.double().numpy(),
        weight=module.weight.detach().double().numpy(),
        bias=module.bias.detach().double().numpy() if draws_bias else layer.bias,
    )


def torch_output(layer: ConvLayer) -> Array:
    """The output that torch computes, in double precision, shaped as `layer.output_shape`."""
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        module = _module(layer).double()  # this also draws weights, which are overwritten
        assert module.bias is not None
        module.weight.copy_(torch.from_numpy(layer.weight))
        module.bias.copy_(torch.tensor(layer.bias))
        output: Array = module(torch.from_numpy(np.ascontiguousarray(layer.images))).numpy()
    return output


def _module(layer: ConvLayer) -> nn.Conv2d | nn.ConvTranspose2d:
    """The layer as a torch module."""
    settings = layer.settings
    build: Any = LAYERS[len(settings.kernel), settings.transposed]
    extra = {"output_padding": settings.output_padding} if settings.transposed else {}
    module: nn.Conv2d | nn.ConvTranspose2d = build(
        layer.images.shape[1],
        len(layer.bias),
        settings.kernel,
        stride=settings.stride,
        padding=settings.padding,
        dilation=settings.dilation,
        **extra,
    )
    return module
