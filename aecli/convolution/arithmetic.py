"""Sizes of convolutions and transposed convolutions along one axis, and how evenly they overlap.

All size computations are here. The formulas and the names of the quantities are those of Dumoulin
and Visin, "A guide to convolution arithmetic for deep learning" (2016), and hold for torch's
`Conv2d` and `ConvTranspose2d`. Each `..._formula` function returns the same computation as text,
with the numbers filled in.
"""

import math

# As text, for one axis.
CONV_FORMULA = "floor((input + 2*padding - kernel) / stride) + 1"
TRANSPOSED_FORMULA = "(input - 1)*stride - 2*padding + kernel + output_padding"
EXTENT_FORMULA = "dilation*(kernel - 1) + 1"  # replaces the kernel if there is a dilation


def conv_output_size(
    size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int:
    """Kernel positions along an axis of `size` pixels; below 1 if the kernel does not fit.

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
    """The input sizes for which a convolution gives `output` pixels: as many as its stride."""
    smallest = transposed_conv_output_size(output, kernel, stride, padding)
    return range(smallest, smallest + stride)


def unread_pixels(size: int, kernel: int, stride: int, padding: int) -> int:
    """Pixels at the end of an axis that no kernel position of a convolution covers."""
    positions = conv_output_size(size, kernel, stride, padding)
    last = min(positions - 1, (size - 1 + padding) // stride)  # that begins before the end
    return max(0, min(size, size - (last * stride - padding + kernel)))


def transposed_conv_output_size(
    size: int,
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
    dilation: int = 1,
) -> int:
    """Output pixels of a transposed convolution for `size` input pixels; below 1: no output.

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


Sizes = tuple[int, ...]
"""One number for each axis, such as (rows, columns)."""


def sizes_text(sizes: Sizes) -> str:
    """As in `3` or, if the axes differ, `3x1`."""
    return str(sizes[0]) if len({*sizes}) == 1 else "x".join(map(str, sizes))


def kernel_extent(kernel: int, dilation: int = 1) -> int:
    """Pixels spanned by `kernel` weights that are `dilation` pixels apart."""
    return dilation * (kernel - 1) + 1


def _extent_formula(kernel: int, dilation: int) -> str:
    return str(kernel) if dilation == 1 else f"({dilation}*({kernel} - 1) + 1)"


def pooled_size(size: int, stride: int) -> int:
    """Output size of pooling `size` pixels in cells of `stride` pixels; the last may be partial.

    Pooling the output of a convolution with stride 1 gives the size of the same convolution with
    the stride: ceil(n / s) = floor((n - 1) / s) + 1.
    """
    return math.ceil(size / stride)


def pooled_formula(size: int, stride: int) -> str:
    """As in `ceil(28 / 2) = 14`."""
    return f"ceil({size} / {stride}) = {pooled_size(size, stride)}"


def transposed_paddings_for(size: int, target: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding and output padding with which a transposed convolution maps `size` to `target`.

    The padding is the smallest that leaves nothing to crop, so the image stays centred.

    Raises:
        ValueError: the kernel is too small to give `target` pixels or, with stride 1, has the
            wrong parity.
    """
    surplus = transposed_conv_output_size(size, kernel, stride) - target
    padding = max(0, math.ceil(surplus / 2))
    return padding, output_padding_for(size, target, kernel, stride, padding)


def output_padding_for(size: int, target: int, kernel: int, stride: int, padding: int) -> int:
    """The output padding with which a transposed convolution maps `size` to `target` pixels.

    A convolution with stride s maps s consecutive sizes to the same one; the output padding selects
    one of them. It always exists if `size` is the convolution's output size for `target`.

    Raises:
        ValueError: no output padding from 0 to stride - 1 gives `target`.
    """
    output_padding = target - transposed_conv_output_size(size, kernel, stride, padding)
    if not 0 <= output_padding < stride:
        raise ValueError(
            f"no output padding below the stride {stride} gives {target} pixels from {size} "
            f"with kernel {kernel} and padding {padding}"
        )
    return output_padding


def overlap_counts(
    positions: int, length: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> list[int]:
    """How many of a kernel's `positions` cover each of the `length` pixels of an axis.

    Position i covers the pixels i stride - padding + j dilation, for j from 0 to kernel - 1. A
    convolution reads these pixels, a transposed convolution writes them. In two dimensions the
    counts of both axes are multiplied.
    """
    counts = [0] * length
    for position in range(positions):
        for weight in range(kernel):
            pixel = position * stride - padding + weight * dilation
            if 0 <= pixel < length:
                counts[pixel] += 1
    return counts


def overlaps_evenly(kernel: int, stride: int, dilation: int = 1) -> bool:
    """Whether, away from the border, the same number of kernel positions covers each pixel.

    The pixels fall into `stride` phases, and each weight covers only one of them. All phases get
    the same number of weights if the stride divides the kernel (Odena et al., "Deconvolution and
    checkerboard artifacts", 2016), unless the dilation shares a factor with the stride: then some
    phases get none.
    """
    return stride == 1 or (kernel % stride == 0 and math.gcd(stride, dilation) == 1)


def even_kernels(stride: int, dilation: int = 1, count: int = 4) -> list[int]:
    """The smallest kernels that overlap evenly; none if the dilation rules it out."""
    if not overlaps_evenly(stride, stride, dilation):
        return []
    return [stride * multiple for multiple in range(1, count + 1)]
