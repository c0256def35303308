"""A trained network as a list of plain operations, for an engine other than PyTorch.

Everything that is the same for every image is worked out here: batch normalisation is part of the
convolution before it, and whatever resizes a map is a matrix for its rows and one for its columns,
made by PyTorch itself. What is left is a few kinds of operation; `engine.js` computes them.
"""

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from aecli.errors import UsageError
from aecli.models import Autoencoder
from aecli.models.autoencoder import PosteriorMean
from aecli.models.linear import TiedLinear
from aecli.models.pooling import MaxPool, MaxUnpool, Switches, apply_layers
from aecli.models.upsample import BedOfNails, Bicubic, Crop

Operation = dict[str, Any]
Store = Callable[[Tensor], Any]
"""Stores a tensor, and returns a reference to it for an operation."""

ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.LeakyReLU: "leaky_relu",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.SiLU: "silu",
}


def foldable(model: Autoencoder) -> Autoencoder:
    """A copy of `model` on the CPU without batch normalisation, which computes the same."""
    copy = deepcopy(model).cpu().eval()
    for part in ("encoder", "decoder"):
        setattr(copy, part, _fold_batch_norm(getattr(copy, part)))
    return copy


@torch.no_grad()
def _fold_batch_norm(part: nn.Sequential) -> nn.Sequential:
    """Multiply each convolution's weights by the factors of the batch normalisation after it."""
    layers: list[nn.Module] = []
    for layer in part:
        if not isinstance(layer, nn.BatchNorm2d):
            layers.append(layer)
            continue
        number = max(n for n, each in enumerate(layers) if isinstance(each, _CONVOLUTIONS))
        between = layers[number + 1 :]  # they only move pixels, or cut some off
        factor = math.prod(
            each.upscale_factor**2 for each in between if isinstance(each, nn.PixelShuffle)
        )
        convolution = cast(nn.Conv2d, layers[number])
        statistics = (layer.running_mean, layer.running_var, layer.weight, layer.bias)
        mean, variance, weight, bias = (
            cast(Tensor, each).double().repeat_interleave(factor) for each in statistics
        )
        is_transposed = isinstance(convolution, nn.ConvTranspose2d)
        folded = fuse_conv_bn_weights(
            convolution.weight.double(), cast(Tensor, convolution.bias).double(),
            mean, variance, layer.eps, weight, bias, transpose=is_transposed,
        )  # fmt: skip
        convolution.weight, convolution.bias = (
            nn.Parameter(each.float(), requires_grad=False) for each in folded
        )
    return nn.Sequential(*layers)


_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


@torch.inference_mode()
def operations(
    model: Autoencoder, store: Store, exact: Store
) -> tuple[list[Operation], list[Operation]]:
    """The operations of the encoder and of the decoder of `model`, which `foldable` has made.

    Args:
        store: keeps weights, in a precision of its choice.
        exact: keeps interpolation matrices.

    Raises:
        UsageError: the model has a layer of another kind.
    """
    switches: Switches = []
    maps = torch.zeros(1, *model.image_shape)
    parts = []
    for part in (model.encoder, model.decoder):
        found: list[Operation] = []
        for layer in part:
            results = apply_layers(nn.Sequential(layer), maps, switches)
            sizes = {"from": [*maps.shape[1:]], "to": [*results.shape[1:]]}
            operation = _operation(layer, sizes, store, exact)
            found += [operation] if operation else []
            maps = results
        parts.append(found)
    encoder, decoder = parts
    return encoder, decoder


def _operation(
    layer: nn.Module, sizes: dict[str, list[int]], store: Store, exact: Store
) -> Operation | None:
    """None if the layer leaves every number where it is."""
    if isinstance(layer, nn.Flatten | nn.Unflatten | nn.Identity):
        return None
    kind = next((name for each, name in ACTIVATIONS.items() if isinstance(layer, each)), None)
    if kind is not None:
        slope = {"slope": layer.negative_slope} if isinstance(layer, nn.LeakyReLU) else {}
        return {"op": kind, **sizes, **slope}
    if isinstance(layer, PosteriorMean):
        return {"op": "first", **sizes}
    if isinstance(layer, nn.Linear | TiedLinear):
        return {"op": "linear", **sizes, **_weights(layer, store)}
    if isinstance(layer, _CONVOLUTIONS):
        is_transposed = isinstance(layer, nn.ConvTranspose2d)
        pairs = {name: [*getattr(layer, name)] for name in ("stride", "padding", "dilation")}
        kernel = {"kernel": [*layer.kernel_size]}
        name = "transposed_conv" if is_transposed else "conv"
        return {"op": name, **sizes, **kernel, **pairs, **_weights(layer, store)}
    if isinstance(layer, nn.PixelShuffle):
        return {"op": "pixel_shuffle", **sizes, "factor": layer.upscale_factor}
    if isinstance(layer, MaxPool | MaxUnpool):
        name = "max_pool" if isinstance(layer, MaxPool) else "max_unpool"
        return {"op": name, **sizes, "stride": layer.stride}
    if isinstance(layer, nn.Upsample | Bicubic | BedOfNails | Crop):
        return {"op": "resize", **sizes, **resize_matrices(layer, sizes["from"][1:], exact)}
    raise UsageError(f"explore cannot compute a layer of the kind {type(layer).__name__}")


def _weights(layer: nn.Module, store: Store) -> Operation:
    return {name: store(cast(Tensor, getattr(layer, name))) for name in ("weight", "bias")}


def resize_matrices(
    resize: Callable[[Tensor], Tensor], source: list[int], store: Store
) -> Operation:
    """The matrices R and C of a `resize` that computes R x C^T for each map x of size `source`.

    Their columns are its outputs for maps with a single one among zeros.
    """
    height, width = source
    down, across = torch.zeros(height, 1, *source), torch.zeros(width, 1, *source)
    down[range(height), 0, range(height), 0] = 1
    across[range(width), 0, 0, range(width)] = 1
    rows, columns = resize(down)[:, 0, :, 0].T, resize(across)[:, 0, 0].T
    return {"rows": store(rows), "columns": store(columns / rows[0, 0])}
