"""The models: `build_model` makes one, `describe` lists its layers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from aecli.config import ModelConfig, UpsampleConfig
from aecli.models.autoencoder import Autoencoder, ImageShape
from aecli.models.conv import ConvAutoencoder
from aecli.models.fc import FCAutoencoder

__all__ = ["MODELS", "Autoencoder", "ImageShape", "Layer", "build_model", "describe"]

MODELS: dict[str, Callable[..., Autoencoder]] = {"fc": FCAutoencoder, "conv": ConvAutoencoder}


def build_model(
    model: ModelConfig, upsample: UpsampleConfig, image_shape: ImageShape
) -> Autoencoder:
    """An autoencoder for images of `image_shape`, with torch's initial weights.

    Raises:
        UsageError: a layer list that leaves nothing of the image.
    """
    return MODELS[model.kind](model, upsample, image_shape)


@dataclass(frozen=True)
class Layer:
    """One row of a model's description."""

    part: str
    """encoder or decoder."""

    operation: str
    """The operation with its sizes, such as `Conv2d 1 -> 16, k3 s2 p1`."""

    output_shape: tuple[int, ...]
    """Without the batch."""

    parameters: int


def describe(model: Autoencoder) -> list[Layer]:
    """Every layer of `model` in the order in which an image passes through them."""
    layers: list[Layer] = []

    def listen(part: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def record(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
            parameters = sum(p.numel() for p in module.parameters())
            layers.append(Layer(part, _operation(module), tuple(output.shape[1:]), parameters))

        return module.register_forward_hook(record)

    handles = [
        listen(part, module)
        for part in ("encoder", "decoder")
        for module in cast(nn.Module, getattr(model, part)).modules()
        if not list(module.children())
    ]
    was_training = model.training
    weights = next(model.parameters())
    with torch.inference_mode():
        model.eval()(torch.zeros(1, *model.image_shape, device=weights.device))
    model.train(was_training)
    for handle in handles:
        handle.remove()
    return layers


def _operation(module: nn.Module) -> str:
    """A leaf module in a few words: k kernel, s stride, p padding, op output padding."""
    name = type(module).__name__
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        padding = cast(tuple[int, ...], module.padding)  # never torch's words, "same" or "valid"
        sizes = f"k{_size(module.kernel_size)} s{_size(module.stride)} p{_size(padding)}"
        if any(module.output_padding):
            sizes += f" op{_size(module.output_padding)}"
        return f"{name} {module.in_channels} -> {module.out_channels}, {sizes}"
    if isinstance(module, nn.Linear):
        return f"{name} {module.in_features} -> {module.out_features}"
    if isinstance(module, nn.Upsample):
        return f"{name} {module.mode}"
    return name


def _size(values: tuple[int, ...]) -> str:
    return str(values[0]) if len(set(values)) == 1 else "x".join(map(str, values))
