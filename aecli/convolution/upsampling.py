"""The upsampling methods without weights to train, on (..., height, width) and a whole factor.

`interpolation` has those that interpolate. These put numbers in their places, with zeros between
them or none: the bed of nails, max-unpooling and the pixel shuffle.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[Any]
Integers = NDArray[np.int64]


class Pooled(NamedTuple):
    """The maximum of each cell, and where it was."""

    maxima: Numbers  # (..., height / factor, width / factor)
    indices: Integers
    """The index of each maximum in the flattened image, counted from 0 row by row, as in torch; in
    the same shape."""


def bed_of_nails(image: Numbers, factor: int) -> Numbers:
    """Put each pixel into the upper left corner of a cell of factor x factor zeros."""
    *others, height, width = image.shape
    output = np.zeros((*others, height * factor, width * factor), image.dtype)
    output[..., ::factor, ::factor] = image
    return output


def max_pool(image: Numbers, factor: int) -> Pooled:
    """The maxima of cells of factor x factor pixels; of equal pixels, the first in the cell.

    Height and width are multiples of `factor`.
    """
    *others, height, width = image.shape
    rows, columns = height // factor, width // factor
    cells = image.reshape(*others, rows, factor, columns, factor).swapaxes(-2, -3)
    cells = cells.reshape(*others, rows, columns, factor * factor)
    places = cells.argmax(-1)
    maxima = np.take_along_axis(cells, places[..., None], -1)[..., 0]
    row = factor * np.arange(rows)[:, None] + places // factor
    column = factor * np.arange(columns) + places % factor
    return Pooled(maxima, row * width + column)


def max_unpool(values: Numbers, indices: Integers, factor: int) -> Numbers:
    """Put each of `values` where its maximum was, with zeros elsewhere.

    Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014.
    """
    *others, rows, columns = values.shape
    output = np.zeros((*others, rows * factor * columns * factor), values.dtype)
    flat = (*others, rows * columns)
    np.put_along_axis(output, indices.reshape(flat), values.reshape(flat), -1)
    return output.reshape(*others, rows * factor, columns * factor)


def pixel_shuffle(channels: Numbers, factor: int) -> Numbers:
    """Interleave the pixels of factor**2 channels to one image, (C factor**2, h, w) -> (C, H, W).

    Channel factor * i + j of an output channel's group holds the pixels in row i, column j of its
    cells. (Shi et al., "Real-time single image and video super-resolution using an efficient
    sub-pixel convolutional neural network", 2016.)
    """
    count, height, width = channels.shape
    parts = channels.reshape(count // factor**2, factor, factor, height, width)
    return parts.transpose(0, 3, 1, 4, 2).reshape(-1, height * factor, width * factor)


def area_mean(image: Numbers, factor: int) -> Numbers:
    """Make an image smaller: the mean of each cell of factor x factor pixels.

    Height and width are multiples of `factor`.
    """
    *others, height, width = image.shape
    cells = image.reshape(*others, height // factor, factor, width // factor, factor)
    means: Numbers = cells.mean((-3, -1), dtype=image.dtype)
    return means
