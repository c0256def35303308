"""The tables and figures that show an upsampling method on a small image of numbers."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aecli.cli.layer_grids import maps
from aecli.cli.number_grids import NumberGrid, is_printable
from aecli.convolution.arrays import Array
from aecli.convolution.interpolation import (
    BILINEAR,
    NEAREST,
    NEGLIGIBLE,
    TORCH_A,
    Kernel,
    interpolate,
    is_cubic,
    keys_bicubic,
    weight_matrix,
)
from aecli.convolution.upsampling import bed_of_nails, max_pool, max_unpool, pixel_shuffle
from aecli.convolution.upsampling_options import check_poolable, read_values
from aecli.convolution.weighted_sums import axis_sums, phase_formulas, pixel_sum
from aecli.errors.text import shape_text

MAX_SUMS = 12  # written out

Cells = tuple[str, NDArray[Any], NDArray[np.int64] | None]
"""A panel of a figure: its heading, its numbers, and what its colours stand for."""


class Section(NamedTuple):
    """What one method prints and draws."""

    heading: str
    explanation: str
    grids: list[list[NumberGrid]]
    facts: dict[str, str]
    cells: list[Cells]


def interpolated(image: Array, factor: int, kernel: Kernel) -> Section:
    """Nearest, bilinear or bicubic interpolation of (channels, height, width), with its weights."""
    output = interpolate(image, factor, kernel)
    grids = [maps("input", image[None]), maps("output", output[None])]
    facts = phase_formulas(kernel, factor)
    explanation = f"Each pixel is repeated {factor} times down and {factor} times across."
    if kernel is NEAREST:
        facts |= {"aecli": _as_convolution([[1] * factor] * factor, factor)}
    else:
        grids.append([_weights(image.shape[1], factor, kernel)])
        facts |= _written_out(image[0], factor, kernel)
        what = "sum of the 16 nearest, with weights of" if is_cubic(kernel) else "mean of the 4"
        how = " a cubic kernel" if is_cubic(kernel) else " nearest, weighted by how near they are"
        explanation = (
            f"Each new pixel is a {what}{how}: along the columns, from x to y below, and then "
            f"along the rows. Output pixel i lies at (i + 1/2)/{factor} - 1/2 of the input, "
            "counted from 0; beyond the border the edge pixel is repeated."
        )
        if (own := kernel.weight(0)) != 1:
            explanation += (
                f" This kernel also smooths: the weight at distance 0 is {own:.4g}, and not 1."
            )
    facts["torch"] = _torch_call(kernel, factor)
    return Section(kernel.name, explanation, grids, facts, _cells(kernel.name, output))


def _weights(size: int, factor: int, kernel: Kernel) -> NumberGrid:
    """The matrix of weights of an axis; without numbers if they would not be printed."""
    shape = size * factor, size
    heading = f"weights of the rows {shape_text(shape)}"
    blank = NumberGrid(heading, np.broadcast_to(0.0, shape))
    if not is_printable(blank):
        return blank
    weights = weight_matrix(size, factor, kernel)
    return NumberGrid(heading, weights, abs(weights) > NEGLIGIBLE)


def _written_out(channel: Array, factor: int, kernel: Kernel) -> dict[str, str]:
    """The sums of the first row of (height, width) and, of four pixels, of one pixel."""
    sums = axis_sums(channel[0], factor, kernel, MAX_SUMS)
    more = channel.shape[1] * factor - len(sums)
    written = {"first row of y": "\n".join([*sums, *([f"... and {more} more"] if more else [])])}
    if kernel is BILINEAR and min(channel.shape) > 1:
        place = factor - 1
        written[f"pixel {place},{place}"] = pixel_sum(channel, factor, kernel, place, place)
    return written


def _torch_call(kernel: Kernel, factor: int) -> str:
    """The line of PyTorch code that gives the same numbers, if there is one."""
    if is_cubic(kernel) and kernel.name != keys_bicubic(TORCH_A).name:
        return f"has only a = {TORCH_A:g}"
    mode = "bicubic" if is_cubic(kernel) else kernel.name
    corners = "" if kernel is NEAREST else ", align_corners=False"
    return f'nn.functional.interpolate(x, scale_factor={factor}, mode="{mode}"{corners})'


def _as_convolution(weight: list[list[int]], factor: int) -> str:
    """The `aecli conv` command that gives the same numbers."""
    return f"conv input=... weight={weight} stride={factor} transposed=true".replace(", ", ",")


def bed_of_nails_section(image: Array, factor: int) -> Section:
    """The bed of nails of (channels, height, width)."""
    output = bed_of_nails(image, factor)
    nail = bed_of_nails(np.ones((1, 1), int), factor).tolist()
    return Section(
        "bed_of_nails",
        f"Each pixel goes to the upper left corner of {factor}x{factor} pixels; the others are 0.",
        [maps("input", image[None]), maps("output", output[None])],
        {"aecli": _as_convolution(nail, factor)},
        _cells("bed_of_nails", output),
    )


def unpooled(image: Array, factor: int, typed: str | None) -> Section:
    """Max-pooling of (channels, height, width), and unpooling of the values in `typed`, or of the
    maxima.

    Raises:
        UsageError: the cells do not fill the image, or the values are not one for each.
        StorageError: the file of values cannot be read.
    """
    check_poolable(image, factor)
    pooled = max_pool(image, factor)
    values = pooled.maxima if typed is None else read_values(typed, pooled.maxima.shape)
    output = max_unpool(values, pooled.indices, factor)
    own = {} if typed is None else {"values": values}
    indices = _cells("indices", pooled.indices)
    return Section(
        "max_unpool",
        f"Max-pooling keeps the largest of each {factor}x{factor} pixels and its index: pixels are "
        "counted from 0, row by row, and of equal ones the first is taken. Unpooling puts "
        f"{'each maximum back' if typed is None else 'each value where the maximum was'}; the "
        "others are 0.",
        [
            maps("input", image[None]),
            maps("pooled", pooled.maxima[None]),
            maps("indices", pooled.indices[None]),
            *(maps(name, each[None]) for name, each in own.items()),
            maps("output", output[None]),
        ],
        {"torch": f"nn.MaxPool2d({factor}, return_indices=True), then nn.MaxUnpool2d({factor})"},
        [
            *_cells("pooled", pooled.maxima),
            *((name, each, np.zeros_like(each)) for name, each, _ in indices),
            *(cell for name, each in own.items() for cell in _cells(name, each)),
            *_cells("max_unpool", output),
        ],
    )


def shuffled(channels: Array, factor: int) -> Section:
    """The pixel shuffle of (factor**2 or a multiple, height, width)."""
    output = pixel_shuffle(channels, factor)
    numbers = np.arange(1, len(channels) + 1)[:, None, None] + np.zeros(channels.shape, int)
    sources = pixel_shuffle(numbers, factor)
    parts = zip(channels[: factor**2], numbers, strict=False)
    return Section(
        "pixel_shuffle",
        f"The pixels of {factor**2} channels become {factor}x{factor} neighbours, the channels row "
        "by row. In a network, a convolution computes the channels.",
        [
            maps("input", channels[None]),
            maps("output", output[None]),
            maps("channel of each pixel", sources[None]),
        ],
        {"torch": f"nn.PixelShuffle({factor})"},
        [
            *((f"channel {number[0, 0]}", channel, number) for channel, number in parts),
            ("pixel_shuffle", output[0], sources[0]),
        ],
    )


def _cells(name: str, channels: NDArray[Any]) -> list[Cells]:
    """The panel of a map, or of its first channel."""
    return [(f"{name}, channel 1" if len(channels) > 1 else name, channels[0], None)]


def input_cells(image: Array) -> list[Cells]:
    """The panel of the input."""
    return _cells("input", image)
