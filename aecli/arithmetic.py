"""Sizes of convolutions and transposed convolutions, along one axis.

The one place where they are computed. The formulas are those of Dumoulin and Visin, "A guide to
convolution arithmetic for deep learning" (2016), and hold for torch's `Conv2d` and
`ConvTranspose2d`.
"""

import math


def conv_output_size(
    size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int:
    """Kernel positions along an axis of `size` pixels; below 1 where the kernel does not fit.

    floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1
    """
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def transposed_conv_output_size(
    size: int,
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
    dilation: int = 1,
) -> int:
    """Pixels that a transposed convolution makes of `size` pixels.

    (size - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1
    """
    return (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1


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
