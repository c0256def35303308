"""How a layer computes one output pixel after another: the pixels that each reads, and their
sum."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aecli.convolution.arithmetic import Sizes
from aecli.convolution.layer import ConvLayer
from aecli.convolution.reference import Array, by_place, channels_last, flipped
from aecli.convolution.settings import ConvSettings

Mask = NDArray[np.bool_]

MAX_TERMS = 16  # of a sum that is written out
NEGLIGIBLE = 1e-14  # of the largest number; smaller ones are 0 but for rounding

Reading = tuple[list[Sizes], list[Sizes]]
"""The pixels that an output pixel reads, and the places of the weights that it reads them with."""


def _reading(position: Sizes, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Reading:
    """The reading of a convolution: pixels of the padded input."""
    places = [*np.ndindex(kernel)]
    pixels = [
        tuple(p * s + n * d for p, s, n, d in zip(position, stride, place, dilation, strict=True))
        for place in places
    ]
    return pixels, places


def _reading_backwards(settings: ConvSettings, size: Sizes, position: Sizes) -> Reading:
    """The reading of a transposed convolution: input pixels whose kernels reach the output
    pixel."""
    pixels, places = [], []
    for place in np.ndindex(settings.kernel):
        reached = [
            divmod(p + padding - n * d, s)
            for p, padding, n, d, s in zip(
                position, settings.padding, place, settings.dilation, settings.stride, strict=True
            )
        ]
        pixel = tuple(quotient for quotient, _ in reached)
        is_inside = all(0 <= n < length for n, length in zip(pixel, size, strict=True))
        if is_inside and not any(remainder for _, remainder in reached):
            pixels.append(pixel)
            places.append(place)
    return pixels, places


@dataclass(frozen=True)
class Gathering:
    """A way to compute a layer's output pixel by pixel, for its first image."""

    surface: str
    """The name of the image that is read."""
    pixels: Array
    """The image that is read, (channels, *size)."""
    filler: Mask
    """Which of its pixels are inserted zeros, (*size)."""
    kernel: str
    """The name of the kernel."""
    weight: Array
    """(output channels, channels, *kernel)."""
    reading: Callable[[Sizes], Reading]
    """Position of an output pixel -> the pixels that it reads, and the weights for them."""


class Step(NamedTuple):
    """One output pixel."""

    position: Sizes
    read: list[Sizes]
    """The pixels that are read."""
    used: list[Sizes]
    """The places of the weights that meet a pixel of the input."""
    totals: Array
    """(output channels,)."""
    text: str
    """The sum, written out."""


def directly(layer: ConvLayer) -> Gathering:
    """Each output pixel from the pixels that it reads: those under the kernel or, if transposed,
    those whose kernels reach it."""
    settings = layer.settings
    if settings.transposed:
        return Gathering(
            "input", layer.images[0], np.zeros(layer.size, bool), "kernel",
            layer.weight.swapaxes(0, 1),
            lambda position: _reading_backwards(settings, layer.size, position),
        )  # fmt: skip
    return Gathering(
        "padded input" if any(settings.padding) else "input", layer.with_zeros()[0],
        ~layer.is_pixel(), "kernel", layer.weight,
        lambda position: _reading(position, settings.kernel, settings.stride, settings.dilation),
    )  # fmt: skip


def by_zero_stuffing(layer: ConvLayer) -> Gathering:
    """The equal convolution with stride 1 of a transposed convolution's input with its zeros."""
    settings = layer.settings
    stride = (1,) * len(layer.size)
    return Gathering(
        "zero-stuffed input", layer.with_zeros()[0], ~layer.is_pixel(), "flipped kernel",
        flipped(layer.weight),
        lambda position: _reading(position, settings.kernel, stride, settings.dilation),
    )  # fmt: skip


def steps(layer: ConvLayer, gathering: Gathering) -> Iterator[Step]:
    """One output pixel after another."""
    pixels, filler = channels_last(gathering.pixels), gathering.filler
    kernel = by_place(gathering.weight)
    made = len(gathering.weight)
    for position in np.ndindex(layer.output_size):
        read, places = gathering.reading(position)
        weights = [kernel[place] for place in places]  # each (output channels, channels)
        values = [pixels[pixel] for pixel in read]  # each (channels,)
        totals = layer.bias + sum(map(np.matmul, weights, values), np.zeros(made))
        terms = [
            (factors[0, channel], factor[channel])
            for channel in range(pixels.shape[-1])
            for factors, factor, pixel in zip(weights, values, read, strict=True)
            if not filler[pixel]
        ]
        used = [place for pixel, place in zip(read, places, strict=True) if not filler[pixel]]
        yield Step(position, read, used, totals, _sum(terms, layer.bias[0], totals[0], made))


def sums(layer: ConvLayer) -> list[str]:
    """How each output pixel is added up, as in `0*1 + 1*2 + 2*4 + 3*5 = 25`."""
    return [step.text for step in steps(layer, directly(layer))]


def _sum(terms: list[tuple[float, float]], bias: float, total: float, channels: int) -> str:
    """As in `0*1 + 1*2 + 2*4 + 3*5 = 25`; for the first of several output channels."""
    products = [f"{number(weight)}*{number(pixel)}" for weight, pixel in terms[:MAX_TERMS]]
    more = [f"{len(terms) - MAX_TERMS} more"] * (len(terms) > MAX_TERMS)
    added = [f"bias {number(bias)}"] if bias else []
    text = " + ".join([*products, *more, *added]) or "no pixel"
    return ("channel 1: " if channels > 1 else "") + f"{text} = {number(total)}"


def number(value: float) -> str:
    """A number as it is written in a cell or a sum: at most four decimals; in brackets if
    negative."""
    is_odd = value != 0 and not 1e-3 <= abs(value) < 1e7
    text = f"{value:.4g}" if is_odd else f"{value + 0.0:.4f}".rstrip("0").rstrip(".")
    return f"({text})" if value < 0 else text


def looks_like_zero(numbers: NDArray[Any], rounded: NDArray[Any]) -> Mask:
    """Which numbers would be displayed as 0 although they are larger than rounding errors."""
    least = NEGLIGIBLE * np.abs(numbers).max(initial=0.0)
    return np.asarray((rounded == 0) & (np.abs(numbers) > least))
