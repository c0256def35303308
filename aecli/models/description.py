"""Description of a model: every layer with its sizes, parameters and multiply-adds."""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from aecli.config import ConvConfig, UpsampleConfig
from aecli.convolution.arithmetic import (
    Sizes,
    conv_formula,
    pooled_formula,
    sizes_text,
    transposed_conv_formula,
)
from aecli.models.autoencoder import Autoencoder
from aecli.models.conv import MisfitError, encoder_layers
from aecli.models.linear import TiedLinear
from aecli.models.pooling import MaxPool, MaxUnpool, apply_layers
from aecli.models.upsample import BedOfNails, Bicubic, Crop

Shape = Sequence[int]


@dataclass(frozen=True)
class Layer:
    """One row of a model's description."""

    part: str
    """encoder or decoder."""

    name: str
    """The operation with its channels or units, as in `Conv2d 1 -> 16`."""

    kernel: Sizes | None
    stride: Sizes | None
    padding: Sizes | None
    output_padding: Sizes | None
    dilation: Sizes | None
    """None if the operation has no such parameter."""

    output_shape: tuple[int, ...]
    """Without the batch dimension."""

    formulas: tuple[str, ...]
    """The formulas for the output's height and width, with numbers filled in; one if both are the
    same, none if the operation keeps the size."""

    parameters: int

    multiply_adds: int
    """Per image, for convolutions and linear layers: one for each weight and position where it is
    applied, including the padding."""

    @property
    def operation(self) -> str:
        """The name with its sizes, as in `Conv2d 1 -> 16, k3 s2 p1`; op: output padding, d:
        dilation."""
        sizes = {"k": self.kernel, "s": self.stride, "p": self.padding}
        if self.output_padding is not None and any(self.output_padding):
            sizes["op"] = self.output_padding
        if self.dilation is not None and max(self.dilation) > 1:
            sizes["d"] = self.dilation
        words = [
            f"{letter}{sizes_text(pair)}" for letter, pair in sizes.items() if pair is not None
        ]
        return ", ".join([self.name, " ".join(words)] if words else [self.name])


def describe(model: Autoencoder) -> list[Layer]:
    """List every layer of `model` in forward order."""
    weights = next(model.parameters())
    image = torch.zeros(1, *model.image_shape, device=weights.device)
    was_training = model.training
    with _recording({"encoder": model.encoder, "decoder": model.decoder}) as layers:
        model.eval()(image)
    model.train(was_training)
    return layers


def describe_fitting(
    config: ConvConfig, upsample: UpsampleConfig, error: MisfitError
) -> list[Layer]:
    """List the encoder's layers before the one that does not fit."""
    *before, _ = error.shapes
    with torch.device("meta"):
        encoder = nn.Sequential(*encoder_layers(config, upsample, before))
        image = torch.zeros(1, *error.shapes[0])
        with _recording({"encoder": encoder}) as layers:
            apply_layers(encoder.eval(), image, switches=[])
    return layers


def stages(
    layers: list[Layer], image_shape: tuple[int, ...]
) -> list[tuple[str, tuple[int, ...], list[str]]]:
    """The outputs of the layers of a network: the part, the shape, and the operations that compute
    it.

    Parts are input, encoder, code, decoder and output. Operations that keep the shape, and a
    reshaping from or to a map of a single pixel, are with the one before or after them.
    """
    found: list[tuple[str, tuple[int, ...], list[str]]] = [("input", tuple(image_shape), [])]
    pending: list[str] = []
    for layer in layers:
        part, shape, operations = found[-1]
        operation = re.sub(r" [0-9]+ -> [0-9]+", "", layer.operation)
        if layer.part == "decoder" and part == "encoder":
            found[-1] = ("code", shape, operations)
        is_one_pixel = shape[1:] == (1, 1) or layer.output_shape[1:] == (1, 1)
        if layer.name == "Unflatten" and is_one_pixel:
            pending.append(operation)
        elif layer.name == "Flatten" and is_one_pixel:
            found[-1] = (part, layer.output_shape, [*operations, operation])
        elif layer.output_shape == shape and not (layer.kernel or layer.name.startswith("Linear")):
            operations.append(operation)
        else:
            found.append((layer.part, layer.output_shape, [*pending, operation]))
            pending = []
    _, shape, operations = found[-1]
    return [*found[:-1], ("output", shape, operations)]


@contextmanager
def _recording(parts: dict[str, nn.Module]) -> Iterator[list[Layer]]:
    """Yield a list to which a row is appended for each layer of `parts` that is called."""
    layers: list[Layer] = []

    def register(part: str, module: nn.Module) -> RemovableHandle:
        def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            layers.append(_layer(part, module, inputs[0].shape[1:], output.shape[1:]))

        return module.register_forward_hook(record)

    handles = [
        register(part, module)
        for part, whole in parts.items()
        for module in whole.modules()
        if not list(module.children()) and module is not whole
    ]
    try:
        with torch.inference_mode():
            yield layers
    finally:
        for handle in handles:
            handle.remove()


def _layer(part: str, module: nn.Module, inputs: Shape, outputs: Shape) -> Layer:
    is_conv = isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    stride = (module.stride, module.stride) if isinstance(module, MaxPool | MaxUnpool) else None
    return Layer(
        part=part,
        name=_name(module),
        kernel=_pair(module.kernel_size) if is_conv else None,
        stride=_pair(module.stride) if is_conv else stride,
        padding=_pair(module.padding) if is_conv else None,
        output_padding=(
            _pair(module.output_padding) if isinstance(module, nn.ConvTranspose2d) else None
        ),
        dilation=_pair(module.dilation) if is_conv else None,
        output_shape=tuple(outputs),
        formulas=tuple(dict.fromkeys(_formulas(module, inputs, outputs))),
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        multiply_adds=_multiply_adds(module, inputs, outputs),
    )


def _name(module: nn.Module) -> str:
    """The operation with its channels, units or mode."""
    name = type(module).__name__
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        return f"{name} {module.in_channels} -> {module.out_channels}"
    if isinstance(module, nn.Linear | TiedLinear):
        return f"{name} {module.in_features} -> {module.out_features}"
    return f"{name} {module.mode}" if isinstance(module, nn.Upsample) else name


def _formulas(module: nn.Module, inputs: Shape, outputs: Shape) -> list[str]:
    """One formula per axis of a feature map; one for a flattened map."""
    if isinstance(module, nn.Flatten):
        return [f"{'*'.join(map(str, inputs))} = {outputs[0]}"] if len(inputs) > 1 else []
    if len(outputs) < 3 or len(inputs) < 3:
        return []
    return [
        formula
        for axis in (0, 1)
        if (formula := _formula(module, axis, inputs[axis + 1], outputs[axis + 1]))
    ]


def _formula(module: nn.Module, axis: int, size: int, result: int) -> str:
    """The formula from `size` to `result` pixels along an axis; empty if the size is kept."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        kernel, stride, padding, dilation = (
            _pair(each)[axis]
            for each in (module.kernel_size, module.stride, module.padding, module.dilation)
        )
        if isinstance(module, nn.Conv2d):
            return conv_formula(size, kernel, stride, padding, dilation)
        output_padding = _pair(module.output_padding)[axis]
        return transposed_conv_formula(size, kernel, stride, padding, output_padding, dilation)
    if isinstance(module, MaxPool):
        return pooled_formula(size, module.stride)
    if isinstance(module, nn.PixelShuffle):
        return f"{size}*{module.upscale_factor} = {result}"
    if isinstance(module, nn.Upsample | Bicubic | BedOfNails | MaxUnpool | Crop):
        return f"from {size} to {result}"
    return ""


def _multiply_adds(module: nn.Module, inputs: Shape, outputs: Shape) -> int:
    if isinstance(module, nn.Conv2d):
        return module.weight.numel() * math.prod(outputs[1:])
    if isinstance(module, nn.ConvTranspose2d):
        return module.weight.numel() * math.prod(inputs[1:])
    return module.weight.numel() if isinstance(module, nn.Linear | TiedLinear) else 0


def _pair(values: object) -> Sizes:
    rows, columns = cast(Sizes, values)  # never torch's padding strings "same" or "valid"
    return rows, columns
