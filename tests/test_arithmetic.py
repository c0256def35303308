"""Sizes of convolutions and transposed convolutions."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from aecli.arithmetic import (
    conv_output_size,
    output_padding_for,
    transposed_conv_output_size,
    transposed_paddings_for,
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
    assume(expected >= 1)
    layer = torch.nn.ConvTranspose1d(
        1, 1, kernel, stride, padding, output_padding, dilation=dilation, device="meta"
    )
    assert layer(torch.empty(1, 1, size, device="meta")).shape[-1] == expected


@given(sizes, kernels, strides, paddings)
def test_the_output_padding_leads_back_to_the_size_before_the_convolution(
    size: int, kernel: int, stride: int, padding: int
) -> None:
    smaller = conv_output_size(size, kernel, stride, padding)
    assume(smaller >= 1)
    extra = output_padding_for(smaller, size, kernel, stride, padding)
    assert transposed_conv_output_size(smaller, kernel, stride, padding, extra) == size


@pytest.mark.parametrize("target", [12, 15])
def test_a_size_out_of_reach_is_refused(target: int) -> None:
    # 7 pixels with kernel 3, stride 2, padding 1 make 13 or, with output padding 1, 14.
    with pytest.raises(ValueError, match=f"makes {target} pixels of 7"):
        output_padding_for(7, target, kernel=3, stride=2, padding=1)


@pytest.mark.parametrize(
    ("kernel", "paddings"), [(2, (0, 0)), (3, (1, 1)), (4, (1, 0)), (5, (2, 1)), (1, (0, 1))]
)
def test_paddings_that_double_a_map(kernel: int, paddings: tuple[int, int]) -> None:
    # 7 -> 14 with stride 2: 6 * 2 - 2 padding + kernel + output padding = 14
    assert transposed_paddings_for(7, 14, kernel, stride=2) == paddings


@given(sizes, st.integers(1, 80), kernels, strides)
def test_paddings_are_found_where_there_are_any(
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
