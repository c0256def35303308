"""One convolution or transposed convolution with its input, parsed from options."""

import math
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from aecli.convolution.arithmetic import Sizes
from aecli.convolution.arrays import looks_like_sizes, read_array, read_sizes, split_sizes
from aecli.convolution.reference import (
    Array,
    convolve,
    convolve_zero_inserted,
    matrix,
    multiply,
    padded,
    transposed_convolve,
    zero_inserted,
)
from aecli.convolution.settings import AXES, MIN_VALUES, ConvSettings
from aecli.errors import UsageError
from aecli.errors.text import listed, shape_text, shortened

MAX_NUMBERS = 2**22  # in the images, the weights and the output
MAX_WITH_ZEROS = 2**24  # in the images with zeros around and between
MAX_STEPS = 2**29  # numbers that are added up: each weight of a kernel, at each pixel and channel
MAX_ENTRIES = 2**24  # in the matrix; above that only the other methods are compared

AXES_OF_SIZES = {1: 2, 2: 2, 3: 3, 4: 2, 5: 3}
"""How many numbers an input's size has -> how many of them are axes that the kernel moves along."""
AXES_OF_LISTS = {1: 1, 2: 2, 3: 2, 4: 2, 5: 3}
"""The same for an input that is a list; with three dimensions, the first is the channels."""
AXES_OF_WEIGHTS = {1: 1, 2: 2, 3: 1, 4: 2, 5: 3}
"""The same for weights, which have input and output channels as well."""


class ConvLayer(NamedTuple):
    """One layer and its input; shapes as in `convolution.reference`."""

    settings: ConvSettings
    images: Array
    """(images, channels, *size)."""
    weight: Array
    bias: Array

    @property
    def size(self) -> Sizes:
        """The size of an image, without its channels."""
        return self.images.shape[2:]

    @property
    def output_size(self) -> Sizes:
        return self.settings.output_size(self.size)

    @property
    def output_shape(self) -> Sizes:
        """As torch has it: (images, channels, *size)."""
        return len(self.images), len(self.bias), *self.output_size

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """Rows and columns of W."""
        positions, pixels = self.settings.positions_and_pixels(self.size)
        outer, inner = self.weight.shape[:2]
        return outer * math.prod(positions), inner * math.prod(pixels)

    def with_zeros(self) -> Array:
        """The images that the kernel slides over: padded, or zero-stuffed if transposed."""
        add_zeros = zero_inserted if self.settings.transposed else padded
        return np.stack([add_zeros(image, self.settings) for image in self.images])

    def is_pixel(self) -> NDArray[np.bool_]:
        """A mask of `with_zeros`: True at pixels of the input, False at its zeros; (*size)."""
        ones = self._replace(images=np.ones((1, 1, *self.size)))
        return np.asarray(ones.with_zeros()[0, 0] > 0)

    def matrix(self) -> Array | None:
        """W, as in `reference.matrix`; None if it is too large."""
        if math.prod(self.matrix_shape) > MAX_ENTRIES:
            return None
        return matrix(self.weight, self.settings, self.size)

    def outputs(self, matrix: Array | None) -> dict[str, Array]:
        """The output, of `output_shape`, computed with each method, the direct one first."""
        layer = self.weight, self.bias, self.settings
        direct = transposed_convolve if self.settings.transposed else convolve
        outputs = {"directly": np.stack([direct(image, *layer) for image in self.images])}
        if matrix is not None:
            name = "by W transposed" if self.settings.transposed else "by W"
            outputs[name] = np.stack(
                [multiply(matrix, image, self.bias, self.settings) for image in self.images]
            )
        if self.settings.transposed:
            outputs["by zero-stuffing"] = np.stack(
                [convolve_zero_inserted(image, *layer) for image in self.images]
            )
        return outputs


class LayerText(Protocol):
    """A layer as typed: sizes such as 3 or 3x1, lists of numbers, or file names."""

    input: str
    dims: int | None
    kernel: str | None
    out_channels: int | None
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
    weight = None if options.weight is None else read_array("weight", options.weight)
    source = read_input(options.input)
    axes = _axes(options, source, weight)
    images = _images(options.input, source, axes)
    weight = _weight(options, weight, images.shape[1], axes)
    channels = weight.shape[1 if options.transposed else 0]
    settings = _settings(options, weight.shape[2:])
    layer = ConvLayer(settings, images, weight, _read_bias(options.bias, channels))
    _check_work(layer)
    return layer


def read_settings(options: LayerText) -> tuple[ConvSettings, Sizes]:
    """Parse the settings and the input size of a layer that is not computed, however large it is.

    Raises:
        UsageError: one of them is invalid, or the kernel has no size.
        StorageError: a file cannot be read.
    """
    source = read_input(options.input)
    axes = _axes(options, source, None)
    size = _image_shape(options.input, source, axes)[2:]
    return _settings(options, _kernel(options, axes)), size


def _settings(options: LayerText, kernel: Sizes) -> ConvSettings:
    given = {
        key: read_sizes(key, getattr(options, key), len(kernel))
        for key in MIN_VALUES
        if key != "kernel"
    }
    return ConvSettings(kernel, **given, transposed=options.transposed)


def _check_work(layer: ConvLayer) -> None:
    """Refuse a layer that takes too much memory or time."""
    leading = layer.images.shape[:2]
    _check_size("the output", *layer.output_shape)
    padded_size = layer.settings.padded_input_size(layer.size)
    _check_size("the input with its zeros", *leading, *padded_size, limit=MAX_WITH_ZEROS)
    numbers = math.prod(layer.output_size) * len(layer.images) * sum(layer.weight.shape[:2])
    steps = math.prod(layer.settings.kernel) * numbers
    if steps > MAX_STEPS:
        raise UsageError(
            f"this layer is too large: a kernel of {shape_text(layer.settings.kernel)} at "
            f"{numbers:,} pixels of all channels takes {steps:,} additions, and the limit is "
            f"{MAX_STEPS:,}"
        )


def read_input(text: str) -> Sizes | Array:
    """Parse `input` as a size or as an array of numbers."""
    if not looks_like_sizes(text):
        return read_array("input", text, "a size such as 2x3, ")
    sizes = split_sizes(text)
    if sizes is None:
        raise UsageError(
            f"input={text} is not valid: give a size such as 3, 2x3 (rows x columns) or 2x8x64x64 "
            "(images x channels x rows x columns)"
        )
    if min(sizes) < 1:
        raise UsageError(f"input={text} is not valid: give at least one pixel along each axis")
    return sizes


def _axes(options: LayerText, source: Sizes | Array, weight: Array | None) -> int:
    """How many axes the kernel moves along: 1, 2 or 3."""
    if options.dims is not None:
        if options.dims not in AXES:
            raise UsageError(f"dims={options.dims} is not valid: give 1, 2 or 3")
        return options.dims
    for key in MIN_VALUES:
        sizes = split_sizes(getattr(options, key) or "")
        if sizes and len(sizes) in AXES and len(sizes) > 1:
            return len(sizes)
    if weight is not None and weight.ndim in AXES_OF_WEIGHTS:
        return AXES_OF_WEIGHTS[weight.ndim]
    if isinstance(source, tuple):
        return AXES_OF_SIZES[len(source)]
    return AXES_OF_LISTS.get(source.ndim, 2)


def _images(text: str, source: Sizes | Array, axes: int) -> Array:
    """The input as (images, channels, *size)."""
    shape = _image_shape(text, source, axes)
    _check_size("input", *shape)
    return consecutive("input", *shape) if isinstance(source, tuple) else source.reshape(shape)


def _image_shape(text: str, source: Sizes | Array, axes: int) -> Sizes:
    """The shape of the input: images, channels, and one for each axis."""
    shape = source if isinstance(source, tuple) else source.shape
    if isinstance(source, tuple) and len(shape) == 1:
        shape *= axes
    if not axes <= len(shape) <= axes + 2:
        raise UsageError(
            f"input={shortened(text)} has {len(shape)} dimensions: give {axes}, "
            f"{listed(AXES[axes])}, or {axes + 1} with channels first, or {axes + 2} with images "
            "and channels first"
        )
    return (1,) * (axes + 2 - len(shape)) + shape


def _kernel(options: LayerText, axes: int) -> Sizes:
    """The size of the kernel along each axis."""
    if options.kernel is None:
        raise UsageError("conv needs kernel=..., as in kernel=3, or weight=...")
    return ConvSettings(read_sizes("kernel", options.kernel, axes)).kernel


def _weight(options: LayerText, weight: Array | None, channels: int, axes: int) -> Array:
    """The weights in torch's layout, for images with `channels` channels."""
    has_size = weight is None or options.kernel is not None
    kernel = _kernel(options, axes) if has_size else ()
    if options.out_channels is not None and options.out_channels < 1:
        raise UsageError(f"out_channels={options.out_channels} is not valid: give at least 1")
    if weight is None:
        made = options.out_channels or 1
        layers = (channels, made) if options.transposed else (made, channels)
        return consecutive("kernel", *layers, *kernel)
    if weight.ndim not in (axes, axes + 2):
        raise UsageError(
            f"weight has {weight.ndim} dimensions: give {axes}, {listed(AXES[axes])}, or torch's "
            f"{axes + 2}"
        )
    _check_size("weight", *weight.shape)
    weight = weight if weight.ndim == axes + 2 else weight[None, None]
    if kernel not in ((), weight.shape[2:]):
        raise UsageError(
            f"kernel={options.kernel} is not the size of weight, {shape_text(weight.shape[2:])}: "
            "leave kernel out"
        )
    taken, made = weight.shape[:2] if options.transposed else weight.shape[1::-1]
    order = "input, output" if options.transposed else "output, input"
    if taken != channels:
        raise UsageError(
            f"weight and input differ in channels, {taken} and {channels}: the dimensions of "
            f"weight are {order}, {', '.join(AXES[axes])}"
        )
    if options.out_channels not in (None, made):
        raise UsageError(
            f"out_channels={options.out_channels} is not what weight has, {made}: leave "
            "out_channels out"
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


def consecutive(what: str, *shape: int) -> Array:
    """1, 2, 3, ... in row-major order, so that each number can be traced."""
    _check_size(what, *shape)
    return np.arange(1.0, math.prod(shape) + 1).reshape(shape)


def _check_size(what: str, *shape: int, limit: int = MAX_NUMBERS) -> None:
    if math.prod(shape) > limit:
        raise UsageError(
            f"{what} is too large: {shape_text(shape)} is more than the limit of {limit:,} numbers"
        )
