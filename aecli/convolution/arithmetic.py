"""Sizes of convolutions and transposed convolutions along one axis, and how evenly they overlap.

The one place where they are computed. The formulas are those of Dumoulin and Visin, "A guide to
convolution arithmetic for deep learning" (2016), and hold for torch's `Conv2d` and
`ConvTranspose2d`; the names of the quantities are theirs too. A `..._formula` is the same
computation as people write it, with the numbers filled in.
"""

import math
from itertools import count, islice, takewhile

# In words, of one axis.
CONV_FORMULA = "floor((input + 2*padding - kernel) / stride) + 1"
TRANSPOSED_FORMULA = "(input - 1)*stride - 2*padding + kernel + output_padding"
EXTENT_FORMULA = "dilation*(kernel - 1) + 1"  # in place of the kernel, where there is a dilation


def conv_output_size(
    size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int:
    """Kernel positions along an axis of `size` pixels; below 1 where the kernel does not fit.

    floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1
    """
    return (size + 2 * padding - kernel_extent(kernel, dilation)) // stride + 1


def conv_formula(
    size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> str:
    """As in `floor((28 + 2*1 - 3) / 2) + 1 = 14`."""
    result = conv_output_size(size, kernel, stride, padding, dilation)
    extent = _extent_formula(kernel, dilation)
    return f"floor(({size} + 2*{padding} - {extent}) / {stride}) + 1 = {result}"


def conv_input_sizes(output: int, kernel: int, stride: int, padding: int) -> range:
    """The sizes of which a convolution makes `output` pixels: as many as its stride."""
    smallest = transposed_conv_output_size(output, kernel, stride, padding)
    return range(smallest, smallest + stride)


def unread_pixels(size: int, kernel: int, stride: int, padding: int) -> int:
    """Pixels at the end of an axis that no position of a convolution's kernel reaches."""
    positions = conv_output_size(size, kernel, stride, padding)
    counts = overlap_counts(positions, size, kernel, stride, padding)
    return len(list(takewhile(lambda count: count == 0, reversed(counts))))


def transposed_conv_output_size(
    size: int,
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
    dilation: int = 1,
) -> int:
    """Pixels that a transposed convolution makes of `size` pixels; below 1: there is no output.

    (size - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1
    """
    return (size - 1) * stride - 2 * padding + kernel_extent(kernel, dilation) + output_padding


def transposed_conv_formula(
    size: int,
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
    dilation: int = 1,
) -> str:
    """As in `(14 - 1)*2 - 2*1 + 3 + 1 = 28`."""
    result = transposed_conv_output_size(size, kernel, stride, padding, output_padding, dilation)
    extent = _extent_formula(kernel, dilation)
    return f"({size} - 1)*{stride} - 2*{padding} + {extent} + {output_padding} = {result}"


Pair = tuple[int, int]
"""Along the rows and along the columns."""


def short(pair: Pair) -> str:
    """As in `3` or, where rows and columns differ, `3x1`."""
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}x{pair[1]}"


def kernel_extent(kernel: int, dilation: int = 1) -> int:
    """Pixels from the first of `kernel` weights to the last, where `dilation` sets them apart."""
    return dilation * (kernel - 1) + 1


def _extent_formula(kernel: int, dilation: int) -> str:
    return str(kernel) if dilation == 1 else f"({dilation}*({kernel} - 1) + 1)"


def pooled_size(size: int, stride: int) -> int:
    """Cells of `stride` pixels that cover `size` pixels; the last may hang over.

    What a convolution without stride makes, pooled, is as large as what the same convolution
    makes with the stride: ceil(n / s) = floor((n - 1) / s) + 1.
    """
    return math.ceil(size / stride)


def pooled_formula(size: int, stride: int) -> str:
    """As in `ceil(28 / 2) = 14`."""
    return f"ceil({size} / {stride}) = {pooled_size(size, stride)}"


def transposed_paddings_for(size: int, target: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding and output padding with which a transposed convolution makes `target` of `size`.

    The padding is the smallest that leaves nothing to cut off, so the image stays in the middle.

    Raises:
        ValueError: the kernel is too small to reach `target` pixels, or, without a stride, its
            parity is wrong.
    """
    surplus = transposed_conv_output_size(size, kernel, stride) - target
    padding = max(0, math.ceil(surplus / 2))
    return padding, output_padding_for(size, target, kernel, stride, padding)


def output_padding_for(size: int, target: int, kernel: int, stride: int, padding: int) -> int:
    """The output padding with which a transposed convolution makes `target` pixels of `size`.

    A convolution with stride s maps s neighbouring sizes to the same one; the output padding says
    which of them to go back to. So it always exists where `size` is the convolution of `target`.

    Raises:
        ValueError: no output padding from 0 to stride - 1 does it.
    """
    output_padding = target - transposed_conv_output_size(size, kernel, stride, padding)
    if not 0 <= output_padding < stride:
        raise ValueError(
            f"no output padding below the stride {stride} makes {target} pixels of {size} "
            f"with kernel {kernel} and padding {padding}"
        )
    return output_padding


def overlap_counts(
    positions: int, length: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> list[int]:
    """How many of a kernel's `positions` reach each of the `length` pixels of an axis.

    Position i reaches the pixels i stride - padding + j dilation, for j from 0 to kernel - 1. Of
    a transposed convolution these are the pixels that it writes, of a convolution those it reads.
    In two dimensions the counts of both axes are multiplied.
    """
    counts = [0] * length
    for position in range(positions):
        for weight in range(kernel):
            pixel = position * stride - padding + weight * dilation
            if 0 <= pixel < length:
                counts[pixel] += 1
    return counts


def overlaps_evenly(kernel: int, stride: int, dilation: int = 1) -> bool:
    """Whether, away from the border, as many kernel positions reach each pixel as every other.

    The pixels fall into `stride` phases, and each weight reaches one of them from all positions.
    All phases get equally many weights where the stride divides the kernel (Odena et al.,
    "Deconvolution and checkerboard artifacts", 2016), unless the dilation shares a factor with
    the stride: then some phases get none.
    """
    return stride == 1 or (kernel % stride == 0 and math.gcd(stride, dilation) == 1)


def even_kernels(stride: int, dilation: int = 1, at_most: int = 4) -> list[int]:
    """The smallest kernels that overlap evenly; none where the dilation forbids it."""
    if not overlaps_evenly(stride, stride, dilation):
        return []
    return list(islice((each for each in count(1) if overlaps_evenly(each, stride)), at_most))
