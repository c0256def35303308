"""The options of `aecli upsample`, parsed: factors, the bicubic kernel, and small images."""

import math
from collections.abc import Collection

from aecli.config.limits import check_number, check_valid
from aecli.convolution.arrays import Array, looks_like_sizes, read_array
from aecli.convolution.interpolation import TORCH_A, Kernel, bicubic, keys_bicubic
from aecli.convolution.layer import MAX_NUMBERS, consecutive, read_input
from aecli.errors import UsageError
from aecli.errors.text import shape_text, shortened

MAX_FACTOR = 8
MAX_PARAMETER = 10.0  # of a bicubic kernel; beyond it, no image would be recognisable


def read_factors(text: str) -> list[int]:
    """Parse whole numbers, such as 2 or 2,3, without duplicates.

    Raises:
        UsageError: `factor=text` is not that.
    """
    parts = text.split(",")
    valid = {str(factor) for factor in range(1, MAX_FACTOR + 1)}
    check_valid(
        {*parts} <= valid, "factor", text, f"a whole number from 1 to {MAX_FACTOR}, or several: 2,3"
    )
    return [int(part) for part in dict.fromkeys(parts)]


def read_bicubic(methods: Collection[str], **given: float | None) -> Kernel:
    """The kernel with the `given` parameters, a, or b and c; without any, torch's.

    Raises:
        UsageError: they are not valid together, or without the method bicubic.
    """
    values = {key: value for key, value in given.items() if value is not None}
    for key, value in values.items():
        if "bicubic" not in methods:
            raise UsageError(f"{key}={value:g} is a parameter of bicubic: add method=bicubic")
        check_number(key, value, MAX_PARAMETER, -MAX_PARAMETER)
    names = {*values}
    if "a" in names and len(names) > 1:
        raise UsageError("a is the parameter of Keys' kernel: give a, or b and c, not both")
    if names in ({"b"}, {"c"}):
        (one,) = names
        raise UsageError(f"{one} needs {'c' if one == 'b' else 'b'} as well: give b=... and c=...")
    if "b" in values:
        return bicubic(values["b"], values["c"])
    return keys_bicubic(values.get("a", TORCH_A))


def read_small_image(text: str, factor: int) -> Array:
    """Parse `input` as (channels, height, width).

    Raises:
        UsageError: it is not valid, or `factor` times as large it would be too large.
        StorageError: a file cannot be read.
    """
    source = read_input(text)
    shape = source if isinstance(source, tuple) else source.shape
    if isinstance(source, tuple) and len(shape) == 1:
        shape *= 2
    if len(shape) not in (2, 3):
        raise UsageError(
            f"input={shortened(text)} has {len(shape)} dimensions: give rows and columns, or 3 "
            "dimensions with channels first"
        )
    channels, height, width = (1, *shape)[-3:]
    enlarged = channels, height * factor, width * factor
    if math.prod(enlarged) > MAX_NUMBERS:
        raise UsageError(
            f"the output is too large: {shape_text(enlarged)} is more than the limit of "
            f"{MAX_NUMBERS:,} numbers: give a smaller input or factor"
        )
    if isinstance(source, tuple):
        return consecutive("input", channels, height, width)
    return source.reshape(channels, height, width)


def channels_to_shuffle(text: str, image: Array, factor: int) -> Array:
    """The channels of `image` or, if `text` is a size, factor**2 channels filled with 1, 2, 3, ...

    Raises:
        UsageError: `image` has another number of channels.
    """
    count, height, width = image.shape
    needed = factor**2
    if looks_like_sizes(text) and count == 1:
        return consecutive("input", needed, height, width)
    if count % needed:
        raise UsageError(
            f"pixel_shuffle with factor={factor} makes an image of {needed} channels, and the "
            f"input has {count}: give {needed}, as in [[[1]],[[2]],...], or a multiple, or a size"
        )
    return image


def check_poolable(image: Array, factor: int) -> None:
    """Raise a UsageError unless cells of factor x factor pixels fill the image."""
    size = image.shape[1:]
    if size[0] % factor or size[1] % factor:
        raise UsageError(
            f"max_unpool with factor={factor} pools cells of {factor}x{factor} pixels, and the "
            f"input is {shape_text(size)}: give rows and columns that {factor} divides"
        )


def read_values(text: str, shape: tuple[int, ...]) -> Array:
    """Parse `values`, the numbers to unpool, as an array of `shape`, (channels, height, width).

    Raises:
        UsageError: it has another shape.
        StorageError: a file cannot be read.
    """
    values = read_array("values", text)
    if values.shape not in (shape, shape[1:] if shape[0] == 1 else shape):
        expected = shape_text(shape[1:] if shape[0] == 1 else shape)
        found = shape_text(values.shape) or "a single number"
        raise UsageError(
            f"values is {found}, but the pooled input is {expected}: give a number for each maximum"
        )
    return values.reshape(shape)
