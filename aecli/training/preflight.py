"""Checks, before a run starts, that it can succeed."""

import math
from pathlib import Path

import torch

from aecli.config import ConvConfig, ModelConfig, TrainConfig
from aecli.data import Data
from aecli.data.loaded import load_cached_data
from aecli.errors import UsageError
from aecli.errors.text import shape_text
from aecli.files.storage import check_writable, writable_folder
from aecli.models import ImageShape, build_outline
from aecli.models.conv import map_shapes
from aecli.runs.external import check_tracker
from aecli.runtime import memory
from aecli.runtime.device import check_compiler
from aecli.training.initial import check_initial

BYTES = 4  # of a float32
COPIES = 5  # numbers per weight: itself, its gradient, Adam's two moments, the kept copy


def check_runnable(config: TrainConfig, *, is_new: bool = True) -> Data:
    """Check device, data, layers and memory, then the folder; return the data.

    `is_new`: False for a resumed run, which already has its weights.
    """
    data = _check_trainable(config, is_new)
    writable_folder(Path(config.output_dir), "output_dir")
    return data


def check_without_writing(config: TrainConfig, *, is_new: bool = True) -> Data:
    """Check the same as far as is possible without creating a folder; return the data."""
    data = _check_trainable(config, is_new)
    check_writable(Path(config.output_dir), "output_dir")
    return data


def _check_trainable(config: TrainConfig, is_new: bool) -> Data:
    """Check tracker, device, data, layers and memory; return the data."""
    check_tracker(config)
    data = load_cached_data(config)
    device = data.train.images.device
    if config.compile:
        check_compiler(device)
    check_factor(config, data.image_shape)
    check_shift(config, data.image_shape)
    check_memory(config, data, total_memory(device))
    if is_new:
        check_initial(config, data.image_shape)
    return data


def check_factor(config: TrainConfig, image_shape: ImageShape) -> None:
    """Check that a downsampled image has at least one row and one column.

    Raises:
        UsageError: it does not.
    """
    factor, (_, *sides) = config.corruption.factor, image_shape
    if factor is not None and factor > min(sides):
        raise UsageError(
            f"factor={factor} is not valid: the images have {shape_text(sides)} pixels, so "
            f"give at most {min(sides)}"
        )


def check_shift(config: TrainConfig, image_shape: ImageShape) -> None:
    """Check that a shift leaves a row and a column of an image in place.

    Raises:
        UsageError: it does not.
    """
    shift, (_, *sides) = config.augment.shift, image_shape
    if shift >= min(sides):
        raise UsageError(
            f"augment.shift={shift} is not valid: the images have {shape_text(sides)} "
            f"pixels, so give at most {min(sides) - 1}"
        )


def check_memory(config: TrainConfig, data: Data, available: int) -> None:
    """Check that the weights and one batch fit in the memory of the device, in bytes.

    This is a lower bound: what passes may still turn out to be too large.

    Raises:
        UsageError: they cannot fit, or the layers do not fit the images.
    """
    model = build_outline(config, data.image_shape)
    weights = sum(weight.numel() for weight in model.parameters())
    batch = min(config.batch_size, len(data.train))
    activations = batch * numbers_per_image(config.model, data.image_shape)
    needed = BYTES * (COPIES * weights + activations)
    if needed > available:
        raise UsageError(
            f"model={config.model.name} with latent={config.latent} needs at least "
            f"{needed / 2**30:,.1f} GiB for its {weights:,} weights and a batch of {batch:,} "
            f"images, and {data.train.images.device} has {available / 2**30:,.1f} GiB: give a "
            f"smaller model or batch_size"
        )


def numbers_per_image(model: ModelConfig, image_shape: ImageShape) -> int:
    """The least count of numbers that a training step keeps for the backward pass: the input, the
    output and what the layers between them compute."""
    if isinstance(model, ConvConfig):
        layers = [math.prod(shape) for shape in map_shapes(model.layers, image_shape)[1:]]
    else:
        layers = model.widths
    return 2 * (math.prod(image_shape) + sum(layers)) + model.latent


def total_memory(device: torch.device) -> int:
    """The memory of the device, in bytes; for a device without its own, the memory that the process
    may use."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return memory.total_memory()
