"""Sizes of convolutions and transposed convolutions, and their overlaps."""

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from aecli.convolution.arithmetic import (
    conv_formula,
    conv_input_sizes,
    conv_output_size,
    even_kernels,
    kernel_extent,
    output_padding_for,
    overlap_counts,
    overlaps_evenly,
    pooled_formula,
    pooled_size,
    transposed_conv_formula,
    transposed_conv_output_size,
    transposed_paddings_for,
    unread_pixels,
)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "expected"),
    [
        (64, 5, 1, 0, 60),  # the lecture on MNIST: Conv2d(8, 8, 5) on 64 x 64
        (28, 3, 2, 1, 14),  # its convolutional model, layer by layer
        (14, 3, 2, 1, 7),
        (7, 7, 1, 0, 1),
        (20, 4, 2, 0, 9),  # the deep model
        (9, 3, 2, 0, 4),
        (5, 3, 2, 0, 2),  # the drawing of a convolution of stride 2
        (4, 7, 1, 0, -2),  # a kernel that does not fit
    ],
)
def test_convolutions_of_the_lectures(
    size: int, kernel: int, stride: int, padding: int, expected: int
) -> None:
    assert conv_output_size(size, kernel, stride, padding) == expected


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "output_padding", "expected"),
    [
        (60, 5, 1, 0, 0, 64),  # the lecture on MNIST: back from 60 to 64
        (64, 5, 1, 2, 0, 64),
        (64, 5, 2, 2, 1, 128),
        (2, 3, 2, 0, 0, 5),  # the drawing of a transposed convolution
        (4, 3, 2, 1, 0, 7),
        (7, 3, 2, 1, 1, 14),
        (4, 3, 2, 0, 0, 9),  # the deep model
        (9, 4, 2, 0, 0, 20),
    ],
)
def test_transposed_convolutions_of_the_lectures(
    size: int, kernel: int, stride: int, padding: int, output_padding: int, expected: int
) -> None:
    result = transposed_conv_output_size(size, kernel, stride, padding, output_padding)
    assert result == expected


sizes = st.integers(1, 40)
kernels = st.integers(1, 7)
strides = st.integers(1, 4)
paddings = st.integers(0, 4)
dilations = st.integers(1, 3)


@given(sizes, kernels, strides, paddings, dilations)
def test_conv_output_size_is_what_torch_gives(
    size: int, kernel: int, stride: int, padding: int, dilation: int
) -> None:
    expected = conv_output_size(size, kernel, stride, padding, dilation)
    layer = torch.nn.Conv1d(1, 1, kernel, stride, padding, dilation, device="meta")
    image = torch.empty(1, 1, size, device="meta")
    if expected >= 1:
        assert layer(image).shape[-1] == expected
    else:
        with pytest.raises(RuntimeError):
            layer(image)


@given(sizes, kernels, strides, paddings, st.integers(0, 3), dilations)
def test_transposed_conv_output_size_is_what_torch_gives(
    size: int, kernel: int, stride: int, padding: int, output_padding: int, dilation: int
) -> None:
    assume(output_padding < max(stride, dilation))
    expected = transposed_conv_output_size(size, kernel, stride, padding, output_padding, dilation)
    layer = torch.nn.ConvTranspose1d(
        1, 1, kernel, stride, padding, output_padding, dilation=dilation, device="meta"
    )
    image = torch.empty(1, 1, size, device="meta")
    if expected >= 1:
        assert layer(image).shape[-1] == expected
    else:
        with pytest.raises(RuntimeError):
            layer(image)


@given(sizes, kernels, strides, paddings)
def test_the_output_padding_restores_the_size_before_the_convolution(
    size: int, kernel: int, stride: int, padding: int
) -> None:
    smaller = conv_output_size(size, kernel, stride, padding)
    assume(smaller >= 1)
    extra = output_padding_for(smaller, size, kernel, stride, padding)
    assert transposed_conv_output_size(smaller, kernel, stride, padding, extra) == size


@pytest.mark.parametrize("target", [12, 15])
def test_an_impossible_size_is_refused(target: int) -> None:
    # 7 pixels with kernel 3, stride 2, padding 1 make 13 or, with output padding 1, 14.
    with pytest.raises(ValueError, match=f"gives {target} pixels from 7"):
        output_padding_for(7, target, kernel=3, stride=2, padding=1)


@pytest.mark.parametrize(
    ("kernel", "paddings"), [(2, (0, 0)), (3, (1, 1)), (4, (1, 0)), (5, (2, 1)), (1, (0, 1))]
)
def test_paddings_that_double_a_map(kernel: int, paddings: tuple[int, int]) -> None:
    # 7 -> 14 with stride 2: 6 * 2 - 2 padding + kernel + output padding = 14
    assert transposed_paddings_for(7, 14, kernel, stride=2) == paddings


@given(sizes, st.integers(1, 80), kernels, strides)
def test_paddings_are_found_where_they_exist(
    size: int, target: int, kernel: int, stride: int
) -> None:
    solutions = {
        (padding, extra)
        for padding in range(200)
        for extra in range(stride)
        if transposed_conv_output_size(size, kernel, stride, padding, extra) == target
    }
    try:
        found = transposed_paddings_for(size, target, kernel, stride)
    except ValueError:
        assert not solutions
    else:
        assert found == min(solutions)  # the smallest padding


@given(sizes, kernels, strides, paddings, dilations)
def test_overlaps_are_counted_as_torch_adds_them_up(
    size: int, kernel: int, stride: int, padding: int, dilation: int
) -> None:
    # A kernel of ones on an image of ones: each pixel of the output counts its kernel positions.
    length = transposed_conv_output_size(size, kernel, stride, padding, dilation=dilation)
    assume(length >= 1)
    written = torch.nn.functional.conv_transpose1d(
        torch.ones(1, 1, size),
        torch.ones(1, 1, kernel),
        stride=stride,
        padding=padding,
        dilation=dilation,
    )
    counts = overlap_counts(size, length, kernel, stride, padding, dilation)
    assert counts == written[0, 0].tolist()


@given(kernels, strides, dilations)
def test_even_overlap_is_what_the_counts_show_away_from_the_border(
    kernel: int, stride: int, dilation: int
) -> None:
    positions = 40
    length = transposed_conv_output_size(positions, kernel, stride, dilation=dilation)
    counts = overlap_counts(positions, length, kernel, stride, dilation=dilation)
    border = kernel_extent(kernel, dilation)
    inside = counts[border:-border]
    assert len(inside) >= stride
    assert overlaps_evenly(kernel, stride, dilation) == (len(set(inside)) == 1)


def test_the_overlap_of_the_lectures() -> None:
    # "Convolutional autoencoders": kernel 3, stride 2 on 2 x 2: four kernels meet in the middle.
    counts = overlap_counts(2, 5, kernel=3, stride=2)
    assert counts == [1, 1, 2, 1, 1]
    assert max(counts) ** 2 == 4
    # "Autoencoders on MNIST": kernels 2 and 4 cure what 3 does with stride 2.
    assert [overlaps_evenly(kernel, stride=2) for kernel in (2, 3, 4)] == [True, False, True]


def test_kernels_that_would_overlap_evenly() -> None:
    assert even_kernels(stride=2) == [2, 4, 6, 8]
    assert even_kernels(stride=3, dilation=2, count=2) == [3, 6]
    assert even_kernels(stride=1, dilation=5) == [1, 2, 3, 4]  # any
    assert even_kernels(stride=4, dilation=2) == []  # every second pixel is never reached
    assert even_kernels(stride=10**9, count=2) == [10**9, 2 * 10**9]  # without counting there
    assert unread_pixels(10**9, kernel=3, stride=10**8, padding=0) == 10**8 - 3


@given(sizes, kernels, strides, paddings)
def test_sizes_with_the_same_output_and_pixels_that_are_not_read(
    size: int, kernel: int, stride: int, padding: int
) -> None:
    output = conv_output_size(size, kernel, stride, padding)
    assume(output >= 1)
    alike = [n for n in range(200) if conv_output_size(n, kernel, stride, padding) == output]
    found = conv_input_sizes(output, kernel, stride, padding)
    assert alike == [n for n in found if n >= 0]
    reached = overlap_counts(output, size, kernel, stride, padding)
    ends = [pixel for pixel in range(size) if any(reached[pixel:])]
    assert unread_pixels(size, kernel, stride, padding) == size - len(ends)


@given(sizes, kernels, strides, paddings)
def test_pooling_gives_the_same_sizes_as_a_stride(
    size: int, kernel: int, stride: int, padding: int
) -> None:
    unstrided = conv_output_size(size, kernel, padding=padding)
    assume(unstrided >= 1)
    assert pooled_size(unstrided, stride) == conv_output_size(size, kernel, stride, padding)
    pooled = torch.nn.functional.max_pool1d(
        torch.zeros(1, 1, unstrided), stride, stride, ceil_mode=True
    )
    assert pooled.shape[-1] == pooled_size(unstrided, stride)


def filled_in(formula: str) -> int:
    """The left side of a formula, worked out by Python."""
    names = {"floor": math.floor, "ceil": math.ceil, "__builtins__": {}}
    return int(eval(formula.rpartition(" = ")[0], names))


@given(sizes, kernels, strides, paddings, st.integers(0, 3), dilations)
def test_the_formulas_filled_in_give_the_sizes(
    size: int, kernel: int, stride: int, padding: int, output_padding: int, dilation: int
) -> None:
    settings = (kernel, stride, padding)
    for formula, expected in (
        (
            conv_formula(size, *settings, dilation),
            conv_output_size(size, *settings, dilation),
        ),
        (
            transposed_conv_formula(size, *settings, output_padding, dilation),
            transposed_conv_output_size(size, *settings, output_padding, dilation),
        ),
        (pooled_formula(size, stride), pooled_size(size, stride)),
    ):
        assert filled_in(formula) == expected
        assert formula.endswith(f" = {expected}")


def test_formulas_as_the_lectures_fill_them_in() -> None:
    # "Denoising autoencoders": 4 x 4 to 7 x 7, kernel 3, stride 2, padding 1
    assert transposed_conv_formula(4, 3, 2, 1) == "(4 - 1)*2 - 2*1 + 3 + 0 = 7"
    assert conv_formula(28, 3, 2, 1) == "floor((28 + 2*1 - 3) / 2) + 1 = 14"
    assert conv_formula(28, 3, dilation=2) == "floor((28 + 2*0 - (2*(3 - 1) + 1)) / 1) + 1 = 24"
    assert pooled_formula(27, 2) == "ceil(27 / 2) = 14"
