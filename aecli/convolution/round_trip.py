"""A convolution and the transposed convolution with the same settings and weights, one after the
other: which shape is recovered, and which numbers are not."""

from dataclasses import dataclass, replace

import numpy as np

from aecli.convolution.arithmetic import Sizes
from aecli.convolution.layer import ConvLayer
from aecli.convolution.reference import Array, convolve, transposed_convolve
from aecli.errors import UsageError

MAX_VALUE = 1e30
MAX_INVERTED = 2**20  # entries of a matrix whose pseudo-inverse is computed


@dataclass(frozen=True)
class RoundTrip:
    """The result of going there and back, for the first image."""

    forth: Array
    """The convolution's output y, (channels, *size)."""
    back: Array
    """W transposed times y, (channels, *size), in the input's size."""
    plain_size: Sizes
    """The size after the way back without output padding; less than 1 where there would be no
    output."""
    output_padding: Sizes
    """The output padding with which the way back gives the input's size."""
    rank: int | None
    """The rank of W; None if W is too large."""
    least_squares: Array | None
    """The pseudo-inverse of W times y; None if W is too large."""


def round_trip(layer: ConvLayer) -> RoundTrip:
    """Go there and back with a convolution, without its bias.

    The way back has the convolution's own weights: it multiplies by W transposed.

    Raises:
        UsageError: the numbers are so large that their squares would overflow.
    """
    settings, image = layer.settings, layer.images[0]
    largest = max(float(np.abs(image).max()), float(np.abs(layer.weight).max()))
    if largest > MAX_VALUE:
        raise UsageError(f"round_trip=true takes numbers of at most {MAX_VALUE:g}: {largest:g}")
    forth = convolve(image, layer.weight, np.zeros(len(layer.bias)), settings)
    back = replace(settings, transposed=True)
    plain = back.formula_size(layer.output_size)
    extra = tuple(n - m for n, m in zip(layer.size, plain, strict=True))
    back = replace(back, output_padding=extra)
    numbers = transposed_convolve(forth, layer.weight, np.zeros(len(image)), back)
    by_matrix = layer.matrix() if np.prod(layer.matrix_shape) <= MAX_INVERTED else None
    rank, least_squares = None, None
    if by_matrix is not None:
        solved, _, found, _ = np.linalg.lstsq(by_matrix, forth.ravel(), rcond=None)
        rank = int(found)
        least_squares = solved.reshape(image.shape)
    return RoundTrip(forth, numbers, plain, extra, rank, least_squares)
