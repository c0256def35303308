"""Reference implementations of convolutions and transposed convolutions of small images.

The methods are those of Dumoulin and Visin, "A guide to convolution arithmetic for deep learning"
(2016), chapters 2 and 4: each output pixel gathers the pixels under its kernel position; each input
pixel of a transposed convolution adds a scaled kernel to the output; one matrix does either; and a
transposed convolution is a convolution of an input with zeros between and around its pixels. They
give the same numbers and are implemented independently so that they can be compared.

Shapes: an image is (channels, *size), where a size has one to three axes, such as (rows, columns).
Weights have torch's layout, (output channels, input channels, *kernel) for a convolution and (input
channels, output channels, *kernel) for a transposed one. A bias is (output channels,).
"Convolution" is used as in deep learning: the kernel is not flipped.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aecli.convolution.arithmetic import Sizes, overlap_counts
from aecli.convolution.settings import ConvSettings

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Indices = tuple[Integers, ...]
"""Indices along each axis, shaped so that together they select a block of a map."""


def convolve(image: Array, weight: Array, bias: Array, settings: ConvSettings) -> Array:
    """Convolution: each output pixel is the weighted sum of the pixels under the kernel.

    Args:
        image: (C, *size).
        weight: (K, C, *kernel).
        bias: (K,).
    """
    size = settings.output_size(image.shape[1:])
    pixels, kernel = channels_last(padded(image, settings)), by_place(weight)
    output = np.zeros((*size, len(weight)))
    for place in np.ndindex(settings.kernel):
        first = [n * step for n, step in zip(place, settings.dilation, strict=True)]
        window = tuple(
            slice(start, start + (count - 1) * stride + 1, stride)
            for start, count, stride in zip(first, size, settings.stride, strict=True)
        )
        output += np.tensordot(pixels[window], kernel[place].T, 1)
    return _channels_first(output + bias)


def transposed_convolve(image: Array, weight: Array, bias: Array, settings: ConvSettings) -> Array:
    """Transposed convolution: each input pixel adds the kernel, scaled by it, to the output.

    Neighbouring pixels add it `stride` apart. The padding is cropped from the result.

    Args:
        image: (C, *size).
        weight: (C, K, *kernel).
        bias: (K,).
    """
    size = image.shape[1:]
    scales, kernel = channels_last(image), by_place(weight)
    output = np.zeros((*settings.output_size(size), weight.shape[1]))
    for place in np.ndindex(settings.kernel):
        positions, pixels = _weight_indices(settings, place, size, output.shape[:-1])
        output[pixels] += np.tensordot(scales[positions], kernel[place], 1)
    return _channels_first(output + bias)


def matrix(weight: Array, settings: ConvSettings, size: Sizes) -> Array:
    """The matrix W by which the convolution with these settings multiplies its flattened input.

    Images are flattened channel by channel, row by row. W has a row for each kernel position and a
    column for each pixel that a position may cover, in all channels. A transposed convolution
    multiplies by W transposed: its positions are its input pixels, and the pixels its output.

    Args:
        weight: the layer's weights; the layout of a transposed convolution is that of the
            convolution that it transposes.
        size: of the layer's input.
    """
    positions, pixels = settings.positions_and_pixels(size)
    outer, inner = weight.shape[:2]
    kernel = by_place(weight)
    result = np.zeros((math.prod(positions), math.prod(pixels), outer, inner))
    for place in np.ndindex(settings.kernel):
        at, covered = _weight_indices(settings, place, positions, pixels)
        rows = np.ravel_multi_index(np.broadcast_arrays(*at), positions)
        columns = np.ravel_multi_index(np.broadcast_arrays(*covered), pixels)
        result[rows, columns] = kernel[place]
    return result.transpose(2, 0, 3, 1).reshape(outer * math.prod(positions), -1)


def multiply(matrix: Array, image: Array, bias: Array, settings: ConvSettings) -> Array:
    """The layer's output computed with its `matrix`, or the transpose if it is transposed."""
    vector = (matrix.T if settings.transposed else matrix) @ image.ravel()
    output = vector.reshape(len(bias), *settings.output_size(image.shape[1:]))
    return _channels_first(channels_last(output) + bias)


def padded(image: Array, settings: ConvSettings) -> Array:
    """An image with a convolution's zero padding on all sides."""
    return np.pad(image, ((0, 0), *((padding, padding) for padding in settings.padding)))


def zero_inserted(image: Array, settings: ConvSettings) -> Array:
    """The input whose convolution with `flipped` weights, stride 1, is the transposed convolution.

    It has stride - 1 zeros between the pixels, dilation (kernel - 1) - padding on each side, and
    the output padding in addition at the end of each axis (Dumoulin and Visin, 2016, section 4.6).
    If the padding exceeds dilation (kernel - 1), lines are cropped instead.
    """
    size = settings.padded_input_size(image.shape[1:])
    result = np.zeros((*size, len(image)))
    positions, pixels = _valid_indices(
        image.shape[1:], size, settings.stride, settings.zeros_around
    )
    result[pixels] = channels_last(image)[positions]
    return _channels_first(result)


def flipped(weight: NDArray[Any]) -> NDArray[Any]:
    """A transposed convolution's weights for the convolution of its `zero_inserted` input.

    Each kernel is reversed along all its axes, which turns one with rows and columns by 180
    degrees, and the two channel axes are swapped.
    """
    return np.flip(weight.swapaxes(0, 1), tuple(range(2, weight.ndim)))


def convolve_zero_inserted(
    image: Array, weight: Array, bias: Array, settings: ConvSettings
) -> Array:
    """Compute the transposed convolution as a convolution of the zero-stuffed input.

    Args:
        image, weight, bias: as for `transposed_convolve`.
    """
    direct = ConvSettings(settings.kernel, dilation=settings.dilation)
    return convolve(zero_inserted(image, settings), flipped(weight), bias, direct)


def overlap(settings: ConvSettings, size: Sizes) -> Integers:
    """How many kernel positions cover each pixel.

    That is how often a convolution reads each pixel of its input, which has `size`, and how often a
    transposed one writes each pixel of its output.
    """
    along_axes = map(
        overlap_counts,
        *settings.positions_and_pixels(size),
        settings.kernel,
        settings.stride,
        settings.padding,
        settings.dilation,
    )
    result = np.ones((), np.int64)
    for counts in along_axes:
        result = np.multiply.outer(result, np.array(counts, np.int64))
    return result


def channels_last(image: Array) -> Array:
    """A view of (channels, *size) as (*size, channels)."""
    return np.moveaxis(image, 0, -1)


def _channels_first(image: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(image, -1, 0))


def by_place(weight: Array) -> Array:
    """Weights as (*kernel, channels, channels), so that a place in the kernel has a matrix."""
    return np.moveaxis(weight, (0, 1), (-2, -1))


def _weight_indices(
    settings: ConvSettings, place: Sizes, positions: Sizes, pixels: Sizes
) -> tuple[Indices, Indices]:
    """Where the kernel weight at `place` covers a pixel: the positions, and the pixels."""
    offset = tuple(
        number * dilation - padding
        for number, dilation, padding in zip(
            place, settings.dilation, settings.padding, strict=True
        )
    )
    return _valid_indices(positions, pixels, settings.stride, offset)


def _valid_indices(
    positions: Sizes, pixels: Sizes, step: Sizes, offset: Sizes
) -> tuple[Indices, Indices]:
    """For positions `step` apart, starting at `offset`: those on a pixel, and their pixels."""
    along_axes = [*map(_valid_along_axis, positions, pixels, step, offset)]
    return _block(inside for inside, _ in along_axes), _block(places for _, places in along_axes)


def _valid_along_axis(
    positions: int, pixels: int, step: int, offset: int
) -> tuple[Integers, Integers]:
    places = np.arange(positions) * step + offset
    inside = np.flatnonzero((places >= 0) & (places < pixels))
    return inside, places[inside]


def _block(indices: Iterable[Integers]) -> Indices:
    return tuple(np.ix_(*indices))
