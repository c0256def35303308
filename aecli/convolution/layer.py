"""One convolution or transposed convolution with its image, parsed from options."""

import math
from typing import NamedTuple, Protocol

import numpy as np

from aecli.convolution.arithmetic import Pair
from aecli.convolution.arrays import looks_like_sizes, read_array, read_sizes
from aecli.convolution.reference import (
    MIN_VALUES,
    Array,
    ConvSettings,
    convolve,
    convolve_zero_inserted,
    matrix,
    multiply,
    shape_text,
    transposed_convolve,
)
from aecli.errors import UsageError

MAX_NUMBERS = 2**19  # in the image, the weights, the output, and the padded image
MAX_PRODUCTS = 2**26  # multiplications of a weight and a pixel
MAX_ENTRIES = 2**24  # in the matrix; above that only the other methods are compared


class ConvLayer(NamedTuple):
    """One layer and its input image; shapes as in `convolution.reference`."""

    settings: ConvSettings
    image: Array
    weight: Array
    bias: Array

    @property
    def size(self) -> Pair:
        """Height and width of the image."""
        _, height, width = self.image.shape
        return height, width

    @property
    def output_size(self) -> Pair:
        return self.settings.output_size(self.size)

    @property
    def matrix_shape(self) -> Pair:
        """Rows and columns of W."""
        positions, pixels = self.settings.positions_and_pixels(self.size)
        outer, inner = self.weight.shape[:2]
        return outer * math.prod(positions), inner * math.prod(pixels)

    def matrix(self) -> Array | None:
        """W, as in `reference.matrix`; None if it is too large."""
        if math.prod(self.matrix_shape) > MAX_ENTRIES:
            return None
        return matrix(self.weight, self.settings, self.size)

    def outputs(self, matrix: Array | None) -> dict[str, Array]:
        """The output computed with each method, the direct one first."""
        layer = self.image, self.weight, self.bias, self.settings
        direct = transposed_convolve if self.settings.transposed else convolve
        outputs = {"directly": direct(*layer)}
        if matrix is not None:
            name = "by W transposed" if self.settings.transposed else "by W"
            outputs[name] = multiply(matrix, self.image, self.bias, self.settings)
        if self.settings.transposed:
            outputs["by zero-stuffing"] = convolve_zero_inserted(*layer)
        return outputs


class LayerText(Protocol):
    """A layer as typed: sizes such as 3 or 3x1, lists of numbers, or file names."""

    input: str
    kernel: str | None
    stride: str
    padding: str
    output_padding: str
    dilation: str
    transposed: bool
    weight: str | None
    bias: str | None


def read_layer(options: LayerText) -> ConvLayer:
    """Parse the layer that `options` describe.

    Raises:
        UsageError: the layer is invalid, has no output, or is too large to compute.
        StorageError: a file cannot be read.
    """
    image = _read_image(options.input)
    weight = _read_weight(options, len(image))
    outer, inner, rows, columns = weight.shape
    channels = inner if options.transposed else outer
    settings = ConvSettings(
        (rows, columns),
        **{key: read_sizes(key, getattr(options, key)) for key in MIN_VALUES if key != "kernel"},
        transposed=options.transposed,
    )
    layer = ConvLayer(settings, image, weight, _read_bias(options.bias, channels))
    _check_size("the output", channels, *layer.output_size)
    _check_size("the input with its zeros", len(image), *settings.padded_input_size(layer.size))
    products = weight.size * math.prod(layer.output_size)
    if products > MAX_PRODUCTS:
        raise UsageError(
            f"this layer is too large: it needs {products:,} multiplications of a weight and a "
            f"pixel, and the limit is {MAX_PRODUCTS:,}"
        )
    return layer


def _read_image(text: str) -> Array:
    """Parse `input` as (channels, height, width)."""
    if looks_like_sizes(text):
        size = read_sizes("input", text)
        if min(size) < 1:
            raise UsageError(f"input={text} is not valid: give at least one row and one column")
        return _consecutive("input", 1, *size)
    image = read_array("input", text, "a size such as 2x3, ")
    if image.ndim not in (2, 3):
        raise UsageError(
            f"input has {image.ndim} dimensions: give 2, rows and columns, or 3 with channels first"
        )
    _check_size("input", *image.shape)
    return image if image.ndim == 3 else image[None]


def _read_weight(options: LayerText, channels: int) -> Array:
    """Parse the weights in torch's layout, for an image with `channels` channels."""
    kernel = None
    if options.kernel is not None:
        kernel = ConvSettings(read_sizes("kernel", options.kernel)).kernel
    if options.weight is None:
        if kernel is None:
            raise UsageError("conv needs kernel=..., as in kernel=3, or weight=...")
        layers = (channels, 1) if options.transposed else (1, channels)
        return _consecutive("kernel", *layers, *kernel)
    weight = read_array("weight", options.weight)
    if weight.ndim not in (2, 4):
        raise UsageError(
            f"weight has {weight.ndim} dimensions: give 2, rows and columns, or torch's 4"
        )
    _check_size("weight", *weight.shape)
    weight = weight if weight.ndim == 4 else weight[None, None]
    if kernel not in (None, weight.shape[2:]):
        raise UsageError(
            f"kernel={options.kernel} is not the size of weight, {shape_text(weight.shape[2:])}: "
            "leave kernel out"
        )
    input_channels = weight.shape[0 if options.transposed else 1]
    if input_channels != channels:
        order = "input, output" if options.transposed else "output, input"
        raise UsageError(
            f"weight and input differ in channels, {input_channels} and {channels}: the "
            f"dimensions of weight are {order}, rows, columns"
        )
    return weight


def _read_bias(text: str | None, channels: int) -> Array:
    """Parse `bias` as (output channels,)."""
    if text is None:
        return np.zeros(channels)
    bias = read_array("bias", text, "a number, ").ravel()
    if bias.size not in (1, channels):
        raise UsageError(
            f"bias has {bias.size} numbers: give a number, or a list of {channels}, one for each "
            "output channel"
        )
    return np.broadcast_to(bias, channels)


def _consecutive(what: str, *shape: int) -> Array:
    """1, 2, 3, ... in row-major order, so that each number can be traced."""
    _check_size(what, *shape)
    return np.arange(1.0, math.prod(shape) + 1).reshape(shape)


def _check_size(what: str, *shape: int) -> None:
    if math.prod(shape) > MAX_NUMBERS:
        raise UsageError(
            f"{what} is too large: {shape_text(shape)} is more than the limit of {MAX_NUMBERS:,} "
            f"numbers"
        )
