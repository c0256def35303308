"""Reference implementations of convolutions and transposed convolutions of small images.

The methods are those of Dumoulin and Visin, "A guide to convolution arithmetic for deep learning"
(2016), chapters 2 and 4: each output pixel gathers the pixels under its kernel position; each input
pixel of a transposed convolution adds a scaled kernel to the output; one matrix does either; and a
transposed convolution is a convolution of an input with zeros between and around its pixels. They
give the same numbers and are implemented independently so that they can be compared.

Shapes: an image is (channels, height, width). Weights have torch's layout, (output channels, input
channels, kernel height, kernel width) for a convolution and (input channels, output channels,
kernel height, kernel width) for a transposed one. A bias is (output channels,). Every pair is
(rows, columns). "Convolution" is used as in deep learning: the kernel is not flipped.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aecli.convolution.arithmetic import (
    Pair,
    conv_formula,
    conv_output_size,
    kernel_extent,
    overlap_counts,
    pair_text,
    transposed_conv_formula,
    transposed_conv_output_size,
)
from aecli.errors import UsageError

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Indices = tuple[Integers, Integers]
"""Row indices (n, 1) and column indices (m,), which together select n x m pixels of a map."""

AXES = ("rows", "columns")
MIN_VALUES = {"kernel": 1, "stride": 1, "padding": 0, "output_padding": 0, "dilation": 1}
"""The smallest valid value of each setting."""


def shape_text(size: tuple[int, ...]) -> str:
    """As in `2x3`."""
    return "x".join(map(str, size))


@dataclass(frozen=True)
class ConvSettings:
    """The settings of a layer, without its weights."""

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    output_padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    transposed: bool = False

    def __post_init__(self) -> None:
        for key, least in MIN_VALUES.items():
            pair: Pair = getattr(self, key)
            if min(pair) < least:
                raise UsageError(
                    f"{key}={pair_text(pair)} is not valid: give whole numbers of at least {least}"
                )
        if self.output_padding != (0, 0) and not self.transposed:
            raise UsageError(
                f"output_padding={pair_text(self.output_padding)} applies to transposed "
                "convolutions only: leave it out, or give transposed=true"
            )
        limits = map(max, self.stride, self.dilation)
        for axis, extra, limit in zip(AXES, self.output_padding, limits, strict=True):
            if extra >= limit:
                raise UsageError(
                    f"output_padding={pair_text(self.output_padding)} is not valid: along the "
                    f"{axis} give less than the stride or the dilation, so at most {limit - 1}"
                )

    def output_size(self, size: Pair) -> Pair:
        """Height and width of the layer's output for an image of `size`.

        Raises:
            UsageError: the output is empty.
        """
        compute = transposed_conv_output_size if self.transposed else conv_output_size
        rows, columns = (compute(size[axis], **self._along(axis)) for axis in (0, 1))
        for axis, length in enumerate((rows, columns)):
            if length < 1:
                remedy = (
                    "less padding or a larger input or kernel"
                    if self.transposed
                    else "a smaller kernel or dilation, or more padding or a larger input"
                )
                raise UsageError(
                    f"nothing is left along the {AXES[axis]}: {self.formula(size, axis)}; "
                    f"give {remedy}"
                )
        return rows, columns

    def formula(self, size: Pair, axis: int) -> str:
        """The output size along the rows (axis 0) or the columns (1), with numbers filled in."""
        formula = transposed_conv_formula if self.transposed else conv_formula
        return formula(size[axis], **self._along(axis))

    def _along(self, axis: int) -> dict[str, int]:
        """The settings of one axis as keyword arguments for the functions of `arithmetic`."""
        names = set(MIN_VALUES) if self.transposed else set(MIN_VALUES) - {"output_padding"}
        return {name: getattr(self, name)[axis] for name in names}

    def positions_and_pixels(self, size: Pair) -> tuple[Pair, Pair]:
        """For an input of `size`: the numbers of kernel positions and of pixels that they cover.

        A convolution has one position per output pixel and reads its input there; a transposed one
        has one position per input pixel and writes its output there.
        """
        output = self.output_size(size)
        return (size, output) if self.transposed else (output, size)

    def padded_input_size(self, size: Pair) -> Pair:
        """Height and width of the image that the kernel slides over, for an input of `size`.

        For a convolution this is the padded input, for a transposed convolution the zero-stuffed
        input, sized so that a kernel with stride 1 gives the output.
        """
        if self.transposed:
            unstrided = ConvSettings(self.kernel, dilation=self.dilation, transposed=True)
            return unstrided.output_size(self.output_size(size))
        return ConvSettings((1, 1), padding=self.padding).output_size(size)

    @property
    def zeros_between(self) -> Pair:
        """Zeros between neighbouring pixels of the zero-stuffed input; see `zero_inserted`."""
        return self.stride[0] - 1, self.stride[1] - 1

    @property
    def zeros_around(self) -> Pair:
        """Zeros on each side of the zero-stuffed input; if negative, as many lines are cropped."""
        rows, columns = map(kernel_extent, self.kernel, self.dilation)
        return rows - 1 - self.padding[0], columns - 1 - self.padding[1]


def convolve(image: Array, weight: Array, bias: Array, settings: ConvSettings) -> Array:
    """Convolution: each output pixel is the weighted sum of the pixels under the kernel.

    Args:
        image: (C, H, W).
        weight: (K, C, kernel height, kernel width).
        bias: (K,).
    """
    rows, columns = settings.output_size(_size(image))
    padded_image = padded(image, settings)
    output = np.zeros((len(weight), rows, columns))
    for row, column in np.ndindex(settings.kernel):
        top, left = row * settings.dilation[0], column * settings.dilation[1]
        window = padded_image[:, top :: settings.stride[0], left :: settings.stride[1]]
        output += np.tensordot(weight[:, :, row, column], window[:, :rows, :columns], 1)
    return output + bias[:, None, None]


def transposed_convolve(image: Array, weight: Array, bias: Array, settings: ConvSettings) -> Array:
    """Transposed convolution: each input pixel adds the kernel, scaled by it, to the output.

    Neighbouring pixels add it `stride` apart. The padding is cropped from the result.

    Args:
        image: (C, H, W).
        weight: (C, K, kernel height, kernel width).
        bias: (K,).
    """
    output = np.zeros((weight.shape[1], *settings.output_size(_size(image))))
    for row, column in np.ndindex(settings.kernel):
        (rows, columns), (down, across) = _weight_indices(
            settings, (row, column), _size(image), _size(output)
        )
        scaled = np.tensordot(weight[:, :, row, column].T, image[:, rows, columns], 1)
        output[:, down, across] += scaled
    return output + bias[:, None, None]


def matrix(weight: Array, settings: ConvSettings, size: Pair) -> Array:
    """The matrix W by which the convolution with these settings multiplies its flattened input.

    Images are flattened channel by channel, row by row. W has a row for each kernel position and a
    column for each pixel that a position may cover, in all channels. A transposed convolution
    multiplies by W transposed: its positions are its input pixels, and the pixels its output.

    Args:
        weight: the layer's weights; the layout of a transposed convolution is that of the
            convolution that it transposes.
        size: height and width of the layer's input.
    """
    positions, pixels = settings.positions_and_pixels(size)
    outer, inner = weight.shape[:2]
    result = np.zeros((outer, *positions, inner, *pixels))
    for row, column in np.ndindex(settings.kernel):
        (rows, columns), (down, across) = _weight_indices(
            settings, (row, column), positions, pixels
        )
        result[:, rows, columns, :, down, across] = weight[:, :, row, column]
    return result.reshape(outer * positions[0] * positions[1], -1)


def multiply(matrix: Array, image: Array, bias: Array, settings: ConvSettings) -> Array:
    """The layer's output computed with its `matrix`, or the transpose if it is transposed."""
    vector = (matrix.T if settings.transposed else matrix) @ image.ravel()
    return vector.reshape(len(bias), *settings.output_size(_size(image))) + bias[:, None, None]


def padded(image: Array, settings: ConvSettings) -> Array:
    """An image with a convolution's zero padding on all sides."""
    rows, columns = settings.padding
    return np.pad(image, ((0, 0), (rows, rows), (columns, columns)))


def zero_inserted(image: Array, settings: ConvSettings) -> Array:
    """The input whose convolution with `flipped` weights, stride 1, is the transposed convolution.

    It has stride - 1 zeros between the pixels, dilation (kernel - 1) - padding on each side, and
    the output padding in addition below and to the right (Dumoulin and Visin, 2016, section 4.6).
    If the padding exceeds dilation (kernel - 1), lines are cropped instead.
    """
    size = settings.padded_input_size(_size(image))
    result = np.zeros((len(image), *size))
    (rows, columns), (down, across) = _valid_slices(
        _size(image), size, settings.stride, settings.zeros_around
    )
    result[:, down, across] = image[:, rows, columns]
    return result


def flipped(weight: Array) -> Array:
    """A transposed convolution's weights for the convolution of its `zero_inserted` input.

    Each kernel is rotated by 180 degrees, and the two channel axes are swapped.
    """
    return weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]


def convolve_zero_inserted(
    image: Array, weight: Array, bias: Array, settings: ConvSettings
) -> Array:
    """Compute the transposed convolution as a convolution of the zero-stuffed input.

    Args:
        image, weight, bias: as for `transposed_convolve`.
    """
    direct = ConvSettings(settings.kernel, dilation=settings.dilation)
    return convolve(zero_inserted(image, settings), flipped(weight), bias, direct)


def overlap(settings: ConvSettings, size: Pair) -> Integers:
    """How many kernel positions cover each pixel: integers (height, width).

    That is how often a convolution reads each pixel of its input, of height and width `size`, and
    how often a transposed one writes each pixel of its output.
    """
    rows, columns = map(
        overlap_counts,
        *settings.positions_and_pixels(size),
        settings.kernel,
        settings.stride,
        settings.padding,
        settings.dilation,
    )
    return np.outer(rows, columns)


def _size(image: Array) -> Pair:
    _, height, width = image.shape
    return height, width


def _weight_indices(
    settings: ConvSettings, weight: Pair, positions: Pair, pixels: Pair
) -> tuple[Indices, Indices]:
    """Where one kernel weight covers a pixel: the positions, and the pixels."""
    (row, column), (down, across) = weight, settings.dilation
    offset = row * down - settings.padding[0], column * across - settings.padding[1]
    return _valid_slices(positions, pixels, settings.stride, offset)


def _valid_slices(
    positions: Pair, pixels: Pair, step: Pair, offset: Pair
) -> tuple[Indices, Indices]:
    """For positions `step` apart, starting at `offset`: those on a pixel, and their pixels."""
    rows, down = _valid_slice(positions[0], pixels[0], step[0], offset[0])
    columns, across = _valid_slice(positions[1], pixels[1], step[1], offset[1])
    return (rows[:, None], columns), (down[:, None], across)


def _valid_slice(positions: int, pixels: int, step: int, offset: int) -> tuple[Integers, Integers]:
    places = np.arange(positions) * step + offset
    inside = np.flatnonzero((places >= 0) & (places < pixels))
    return inside, places[inside]
