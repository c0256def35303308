"""One convolution in numbers: grids of its input, kernel, output, and of the steps between."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aecli.cli.console import bullets, out, paragraph
from aecli.cli.layer_text import SYNONYMS, zero_steps
from aecli.cli.number_grids import NumberGrid, is_printable, number_grids
from aecli.convolution.arithmetic import Sizes
from aecli.convolution.gather import MAX_TERMS, Mask, number, sums
from aecli.convolution.layer import ConvLayer
from aecli.convolution.reference import Array, flipped, matrix, transposed_convolve
from aecli.convolution.settings import ConvSettings
from aecli.convolution.walk import cropped_mask, output_slices, stamps
from aecli.errors.text import shape_text

MAX_SUMS = 9  # sums that are written out; more would hide the rest
Words = NDArray[np.str_]


def weight_names(layer: ConvLayer, by_columns: bool) -> Words:
    """A name for each weight, f1, f2, ..., numbered row by row or column by column, in torch's
    layout."""
    kernel = layer.settings.kernel
    count = int(np.prod(kernel))
    shape = layer.weight.shape
    order = np.arange(count).reshape(kernel, order="F" if by_columns else "C")
    numbers = count * np.arange(shape[0] * shape[1])[:, None] + order.ravel() + 1
    return np.array([f"f{number}" for number in numbers.flat]).reshape(shape)


def print_numbers(layer: ConvLayer, outputs: Array, names: Words | None) -> None:
    """Print the input, the kernel, the bias and the output.

    Args:
        outputs: as `layer.images`.
        names: of the weights, if they are shown in place of their numbers.
    """
    weights = layer.weight if names is None else names
    shown = weights.swapaxes(0, 1) if layer.settings.transposed else weights
    bias = [NumberGrid("bias", layer.bias[:, None])] if layer.bias.any() else []
    number_grids(
        maps("input", layer.images), _kernels("kernel", shown), bias, maps("output", outputs)
    )


def print_sums(layer: ConvLayer) -> None:
    """Print how each output pixel is added up, if they are few."""
    is_one = len(layer.images) == len(layer.bias) == 1
    if len(layer.size) > 2 or np.prod(layer.output_size) > MAX_SUMS or not is_one:
        return
    if layer.weight.size <= MAX_TERMS:
        bullets(sums(layer))


def print_stamps(layer: ConvLayer, names: Words | None) -> None:
    """Print the scaled kernels that the pixels of a transposed convolution add to its output, if
    they are few, and what the padding crops.

    Args:
        names: as for `print_numbers`.
    """
    if len(layer.images) > 1:
        return
    is_cut = cropped_mask(layer)
    if layer.weight.shape[:2] == (1, 1) and len(layer.size) <= 2:
        if np.prod(layer.size) <= MAX_SUMS:
            out.print()
            bias = f" and the bias, {number(float(layer.bias[0]))}" if layer.bias.any() else ""
            paragraph(f"The output is the sum of one scaled kernel for each input pixel{bias}:")
            number_grids([_stamp(layer, names, *each) for each in stamps(layer)])
    if is_cut.any() and len(layer.size) <= 2:
        uncut = transposed_convolve(layer.images[0], layer.weight, layer.bias, layer.settings.uncut)
        name = "the output, in parentheses what the padding cuts off,"
        number_grids(maps(name, uncut[None], cut=is_cut))


def _stamp(
    layer: ConvLayer,
    names: Words | None,
    position: Sizes,
    place: tuple[slice, ...],
    numbers: Array,
) -> NumberGrid:
    """The kernel that the pixel at `position` adds to the output at `place`."""
    is_cut = cropped_mask(layer)
    scale = number(float(layer.images[0, 0][position]))
    words = numbers[0]
    if names is not None:
        words = np.array([f"{scale}*{name}" for name in names[0, 0].flat]).reshape(numbers[0].shape)
    stamp, is_stamp = np.zeros(is_cut.shape, words.dtype), np.zeros(is_cut.shape, bool)
    stamp[place], is_stamp[place] = words, True
    output = output_slices(layer)
    return NumberGrid(f"{scale} x kernel", _flat(stamp[output]), _flat(is_stamp[output]))


def maps(
    name: str, images: NDArray[Any], real: Mask | None = None, cut: Mask | None = None
) -> list[NumberGrid]:
    """A grid for each image, channel and slice of `images`, (images, channels, *size)."""
    size = images.shape[2:]
    grids = []
    for image, channel in np.ndindex(images.shape[:2]):
        where = f", image {image + 1}" if len(images) > 1 else ""
        where += f", channel {channel + 1}" if images.shape[1] > 1 else ""
        title = f"{name} {shape_text(size)}{where}"
        grids += _slices(title, images[image, channel], real, cut)
    return grids


def _kernels(name: str, weight: NDArray[Any]) -> list[NumberGrid]:
    """A grid for each kernel of `weight`, (output channels, input channels, *kernel)."""
    grids = []
    for target, source in np.ndindex(weight.shape[:2]):
        where = f", channel {source + 1} to {target + 1}" if weight.shape[:2] != (1, 1) else ""
        title = f"{name} {shape_text(weight.shape[2:])}{where}"
        grids += _slices(title, weight[target, source])
    return grids


def _slices(
    title: str, numbers: NDArray[Any], real: Mask | None = None, cut: Mask | None = None
) -> list[NumberGrid]:
    """One grid, or with three axes one for each depth."""
    if numbers.ndim < 3:
        masks = (None if mask is None else _flat(mask) for mask in (real, cut))
        return [NumberGrid(title, _flat(numbers), *masks)]
    return [
        NumberGrid(
            f"{title}, depth {depth + 1}", numbers[depth], None if real is None else real[depth]
        )
        for depth in range(len(numbers))
    ]


def _flat(numbers: NDArray[Any]) -> NDArray[Any]:
    """Rows and columns; a single axis is one row."""
    return numbers.reshape(-1, numbers.shape[-1])


def print_matrix(
    layer: ConvLayer, by_matrix: Array | None, by_columns: bool, names: Words | None
) -> None:
    """Print W, or its transpose if only that fits, and how the layer multiplies by it.

    Args:
        by_matrix: W, with its pixels row by row; None if it is too large.
        by_columns: whether to print it with the pixels column by column.
        names: of the weights, if they are shown in place of their numbers.
    """
    shape = layer.matrix_shape
    entries = np.broadcast_to(0.0, shape) if by_matrix is None else by_matrix
    upright = NumberGrid(f"W {shape_text(shape)}", entries)
    across = NumberGrid(f"W transposed {shape_text(shape[::-1])}", entries.T)
    if is_printable(upright) or is_printable(across):
        numbered = np.arange(1.0, layer.weight.size + 1).reshape(layer.weight.shape)
        places = matrix(numbered, layer.settings, layer.size).astype(int)
        shown = entries if names is None else np.array(["", *names.flat])[places]
        if by_columns:
            rows, columns = _column_orders(layer)
            shown, places = shown[rows][:, columns], places[rows][:, columns]
        upright = upright._replace(numbers=shown, real=places > 0)
        across = across._replace(numbers=shown.T, real=places.T > 0)
    number_grids([across if is_printable(across) and not is_printable(upright) else upright])
    order = "column by column" if by_columns else "row by row"
    if layer.weight.shape[:2] != (1, 1):
        order = f"channel by channel and {order}"
    flattened = f"its input, flattened {order}," if len(layer.size) > 1 else "its input"
    if layer.settings.transposed:
        paragraph(
            "W is the matrix of the convolution with the same settings. The transposed convolution "
            f"multiplies {flattened} by W transposed. {SYNONYMS}"
        )
    else:
        paragraph(f"The convolution multiplies {flattened} by W.")


def _column_orders(layer: ConvLayer) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows and the columns of W in the order in which pixels are taken column by column."""
    positions, pixels = layer.settings.positions_and_pixels(layer.size)
    outer, inner = layer.weight.shape[:2]
    return _by_columns(outer, positions), _by_columns(inner, pixels)


def _by_columns(channels: int, size: tuple[int, ...]) -> NDArray[np.int64]:
    numbered = np.arange(channels * int(np.prod(size))).reshape(channels, *size)
    return np.concatenate([channel.ravel(order="F") for channel in numbered])


def print_surface(layer: ConvLayer, names: Words | None) -> None:
    """Print the padded input, or the steps to the zero-stuffed input and its purpose.

    Args:
        names: as for `print_numbers`.
    """
    settings = layer.settings
    if settings.transposed:
        out.print()
        paragraph(
            "The same by a convolution of an input with zeros, in the letters of lectures (input "
            "I, kernel F, padding P, stride S, output padding V, output O):"
        )
        bullets([f"Step {n}: {step}" for n, step in enumerate(zero_steps(layer), 1)])
        number_grids(
            _between(layer),
            maps("zero-stuffed input", layer.with_zeros(), layer.is_pixel()),
            _kernels("flipped kernel", flipped(layer.weight if names is None else names)),
        )
    elif any(settings.padding):
        number_grids(maps("padded input", layer.with_zeros(), layer.is_pixel()))


def _between(layer: ConvLayer) -> list[NumberGrid]:
    """The input with zeros between its pixels only, if there are any."""
    if not any(layer.settings.zeros_between):
        return []
    unpadded = ConvSettings((1,) * len(layer.size), layer.settings.stride, transposed=True)
    spread = layer._replace(settings=unpadded)
    return maps("zeros between", spread.with_zeros(), spread.is_pixel())
