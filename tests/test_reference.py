"""Convolutions in every way that is taught: against the lectures' worked numbers and torch."""

from itertools import product
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from aecli.convolution.arithmetic import Sizes
from aecli.convolution.reference import (
    Array,
    convolve,
    convolve_zero_inserted,
    flipped,
    matrix,
    multiply,
    overlap,
    padded,
    transposed_convolve,
    zero_inserted,
)
from aecli.convolution.settings import ConvSettings
from aecli.errors import UsageError

NO_BIAS = np.zeros(1)

# "Denoising autoencoders": a 4x4 kernel on a 2x3 image.
IMAGE_2X3 = np.array([[[1.0, 2, 3], [4, 5, 6]]])
KERNEL_4X4 = np.arange(1, 17).reshape(1, 1, 4, 4) / 10
SUM_5X6 = [
    [0.1, 0.4, 1.0, 1.6, 1.7, 1.2],
    [0.9, 2.9, 6.2, 8.3, 7.5, 4.8],
    [2.9, 7.7, 14.6, 16.7, 13.9, 8.4],
    [4.9, 12.5, 23.0, 25.1, 20.3, 12.0],
    [5.2, 12.1, 20.8, 22.3, 17.0, 9.6],
]

# "Denoising autoencoders": what ConvTranspose2d(1, 3, 4) printed of itself and made of that image.
PRINTED_WEIGHT = np.array(
    [
        [
            [
                [0.0736, 0.1412, -0.1126, -0.0869],
                [-0.0052, -0.0345, -0.1066, -0.1232],
                [0.0374, -0.1388, 0.1351, -0.0487],
                [0.1167, -0.0326, 0.0809, 0.1032],
            ],
            [
                [-0.0486, -0.1425, 0.0687, 0.1058],
                [-0.0568, 0.0958, 0.1148, 0.0742],
                [-0.0116, 0.1167, -0.0508, 0.0655],
                [0.0117, -0.1263, 0.0123, 0.1272],
            ],
            [
                [-0.0960, 0.0174, -0.0533, -0.1426],
                [-0.0486, -0.0662, 0.0566, 0.0316],
                [0.0029, -0.0143, -0.0643, 0.1224],
                [0.0693, -0.0370, 0.0393, 0.0695],
            ],
        ]
    ]
)
PRINTED_BIAS = np.array([0.0903, -0.0196, -0.0531])
PRINTED_RESULT = np.array(
    [
        [
            [0.1639, 0.3787, 0.4809, 0.2018, -0.4212, -0.1704],
            [0.3794, 0.9781, 0.5962, -0.4129, -1.5858, -0.8007],
            [0.1067, -0.1380, -0.5704, -1.3374, -0.8573, -0.7952],
            [0.3563, -0.0773, 0.5268, -0.0942, 1.1067, 0.1077],
            [0.5569, 0.5433, 0.9511, 0.7125, 1.0920, 0.7097],
        ],
        [
            [-0.0682, -0.2593, -0.3817, -0.2039, 0.3980, 0.2977],
            [-0.2709, -0.8504, -0.6128, 0.4835, 1.4145, 0.8377],
            [-0.2585, 0.1732, 0.7259, 1.7405, 1.0190, 0.6222],
            [-0.0542, 0.2865, 0.0860, 0.4613, 0.2942, 0.7550],
            [0.0273, -0.4663, -0.5317, -0.2075, 0.6900, 0.7434],
        ],
        [
            [-0.1491, -0.2278, -0.3598, -0.2502, -0.4982, -0.4808],
            [-0.4858, -0.6271, -0.9774, -0.8398, -0.8531, -0.8138],
            [-0.2445, -0.5695, -0.5337, -0.0905, 0.4962, 0.5035],
            [0.0277, 0.0057, -0.1912, 0.0666, 0.4303, 0.8898],
            [0.2240, 0.1453, 0.3349, 0.1994, 0.5301, 0.3636],
        ],
    ]
)


def every_way(image: Array, weight: Array, bias: Array, layer: ConvSettings) -> list[Array]:
    """The output of a layer, once for each way of computing it."""
    size = image.shape[1:]
    by_matrix = multiply(matrix(weight, layer, size), image, bias, layer)
    if not layer.transposed:
        return [convolve(image, weight, bias, layer), by_matrix]
    return [
        transposed_convolve(image, weight, bias, layer),
        by_matrix,
        convolve_zero_inserted(image, weight, bias, layer),
    ]


def same(size: int, **others: int) -> ConvSettings:
    """A transposed convolution whose settings are the same for rows and columns."""
    pairs = {key: (value, value) for key, value in others.items()}
    return ConvSettings((size, size), **pairs, transposed=True)


def test_the_2x2_kernel_on_the_3x3_image_of_autoencoders_on_mnist() -> None:
    image = np.arange(1.0, 10).reshape(1, 3, 3)
    kernel = np.array([[[[0.0, 1], [2, 3]]]])
    layer = ConvSettings((2, 2))
    for output in every_way(image, kernel, NO_BIAS, layer):
        assert output.tolist() == [[[25, 31], [43, 49]]]
    assert matrix(kernel, layer, (3, 3)).tolist() == [
        [0, 1, 0, 2, 3, 0, 0, 0, 0],
        [0, 0, 1, 0, 2, 3, 0, 0, 0],
        [0, 0, 0, 0, 1, 0, 2, 3, 0],
        [0, 0, 0, 0, 0, 1, 0, 2, 3],
    ]


def test_the_4x4_kernel_on_the_2x3_image_of_denoising_autoencoders() -> None:
    layer = same(4)
    assert layer.zeros_between == (0, 0)
    assert layer.zeros_around == (3, 3)
    assert layer.output_size((2, 3)) == (5, 6)
    for output in every_way(IMAGE_2X3, KERNEL_4X4, NO_BIAS, layer):
        assert np.allclose(output, [SUM_5X6])


def test_its_sum_is_that_of_six_shifted_copies_of_the_kernel() -> None:
    # One for each pixel: as the slide draws them, from 1 in the upper left to 6 in the lower right.
    copies = []
    for row, column in product(range(2), range(3)):
        alone = np.zeros_like(IMAGE_2X3)
        alone[0, row, column] = IMAGE_2X3[0, row, column]
        copy = np.zeros((5, 6))
        copy[row : row + 4, column : column + 4] = KERNEL_4X4[0, 0] * alone.max()
        for output in every_way(alone, KERNEL_4X4, NO_BIAS, same(4)):
            assert np.allclose(output, [copy])
        copies.append(copy)
    assert copies[0][0].round(4).tolist() == [0.1, 0.2, 0.3, 0.4, 0, 0]
    assert copies[2][3].round(4).tolist() == [0, 0, 3.9, 4.2, 4.5, 4.8]
    assert copies[3][1].round(4).tolist() == [0.4, 0.8, 1.2, 1.6, 0, 0]
    assert copies[5][4].round(4).tolist() == [0, 0, 7.8, 8.4, 9.0, 9.6]
    assert np.allclose(sum(copies), SUM_5X6)


def test_the_conv_transpose_2d_with_printed_weights_of_denoising_autoencoders() -> None:
    # Weights, bias and result are rounded to 4 decimals, so each may be off by half of the last.
    half = 0.5e-4
    off = transposed_convolve(IMAGE_2X3, np.full_like(PRINTED_WEIGHT, half), NO_BIAS, same(4))
    for output in every_way(IMAGE_2X3, PRINTED_WEIGHT, PRINTED_BIAS, same(4)):
        assert output.shape == (3, 5, 6)
        assert (np.abs(output - PRINTED_RESULT) <= off + 2 * half).all()


def test_2x2_to_5x5_with_kernel_3_and_stride_2_of_convolutional_autoencoders() -> None:
    layer = same(3, stride=2)
    image = np.array([[[1.0, 2], [3, 4]]])
    assert layer.output_size((2, 2)) == (5, 5)
    assert ConvSettings((3, 3), stride=(2, 2)).output_size((5, 5)) == (2, 2)  # the way there
    # Emulated by a direct convolution: one zero between the pixels, two around them.
    assert layer.zeros_between == (1, 1)
    assert layer.zeros_around == (2, 2)
    assert zero_inserted(image, layer)[0].tolist() == [
        [0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
        [0, 0, 1, 0, 2, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
        [0, 0, 3, 0, 4, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ]
    kernel = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    for output in every_way(image, kernel, NO_BIAS, layer):
        assert output[0].tolist() == [
            [1, 2, 5, 4, 6],
            [4, 5, 14, 10, 12],
            [10, 14, 36, 24, 30],
            [12, 15, 34, 20, 24],
            [21, 24, 55, 32, 36],
        ]
    # All four kernels meet in the middle: 1*9 + 2*7 + 3*3 + 4*1 = 36.
    assert overlap(layer, (2, 2)).tolist() == [
        [1, 1, 2, 1, 1],
        [1, 1, 2, 1, 1],
        [2, 2, 4, 2, 2],
        [1, 1, 2, 1, 1],
        [1, 1, 2, 1, 1],
    ]
    # Its cure: a 2x2 kernel, with which no two positions overlap.
    assert (overlap(same(2, stride=2), (2, 2)) == 1).all()


def test_4x4_to_2x2_and_back_without_a_stride_of_convolutional_autoencoders() -> None:
    assert ConvSettings((3, 3)).output_size((4, 4)) == (2, 2)
    assert same(3).output_size((2, 2)) == (4, 4)
    assert same(3).zeros_around == (2, 2)  # "two pixels on each side"


@pytest.mark.parametrize(
    ("layer", "size", "between", "around", "surface", "output"),
    [
        (same(3, stride=2, padding=1), 4, 1, 1, 9, 7),  # the steps with Z' = 1 and P' = 1
        (same(3), 3, 0, 2, 7, 5),  # example 2
        (same(3, padding=1), 5, 0, 1, 7, 5),  # example 3
        (same(3, stride=2), 2, 1, 2, 7, 5),  # example 4
    ],
)
def test_the_changed_inputs_of_denoising_autoencoders(
    layer: ConvSettings, size: int, between: int, around: int, surface: int, output: int
) -> None:
    assert layer.zeros_between == (between, between)
    assert layer.zeros_around == (around, around)
    assert layer.output_size((size, size)) == (output, output)
    assert layer.padded_input_size((size, size)) == (surface, surface)
    assert zero_inserted(np.ones((1, size, size)), layer).shape == (1, surface, surface)


def test_the_4x3_image_with_a_3x1_kernel_of_transposed_convolutions_and_autoencoders() -> None:
    first, second, third = 2.0, 3.0, 5.0
    kernel = np.array([first, second, third]).reshape(1, 1, 3, 1)
    w = matrix(kernel, ConvSettings((3, 1)), (4, 3))
    assert w.shape == (6, 12)
    # That lecture takes the pixels of the image column by column, and the positions row by row.
    by_columns = np.arange(12).reshape(4, 3).T.ravel()
    printed = np.zeros((6, 12))
    for position, start in enumerate([0, 4, 8, 1, 5, 9]):
        printed[position, start : start + 3] = first, second, third
    assert (w[:, by_columns] == printed).all()
    # W transposed leads back from 6 numbers to 12.
    back = ConvSettings((3, 1), transposed=True)
    small = np.arange(1.0, 7).reshape(1, 2, 3)
    assert back.output_size((2, 3)) == (4, 3)
    for output in every_way(small, kernel, NO_BIAS, back):
        assert output.ravel()[by_columns].tolist() == (printed.T @ small.ravel()).tolist()


def test_the_sizes_of_autoencoders_on_mnist() -> None:
    assert ConvSettings((5, 5)).output_size((64, 64)) == (60, 60)
    assert same(5).output_size((60, 60)) == (64, 64)
    assert same(5, padding=2).output_size((64, 64)) == (64, 64)
    assert same(5, stride=2, padding=2, output_padding=1).output_size((64, 64)) == (128, 128)


def pairs(least: int, most: int) -> st.SearchStrategy[Sizes]:
    return st.tuples(st.integers(least, most), st.integers(least, most))


class Drawn(NamedTuple):
    """One random layer."""

    layer: ConvSettings
    image: Array
    weight: Array
    bias: Array


@st.composite
def layers(draw: st.DrawFn, transposed: bool) -> Drawn:
    """Layers with an output, of one to three axes and a few channels, with normally distributed
    numbers."""
    axes = draw(st.integers(1, 3))
    longest = {1: 9, 2: 7, 3: 4}[axes]

    def sizes(least: int, most: int) -> Sizes:
        return tuple(draw(st.integers(least, most)) for _ in range(axes))

    stride, dilation = sizes(1, 4), sizes(1, 3)
    most = [max(each) - 1 for each in zip(stride, dilation, strict=True)]
    extra = tuple(draw(st.integers(0, each)) for each in most) if transposed else (0,)
    layer = ConvSettings(sizes(1, 5), stride, sizes(0, 4), extra, dilation, transposed)
    size = sizes(1, longest)
    try:
        layer.output_size(size)
    except UsageError:
        assume(False)
    taken, made = draw(pairs(1, 3))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    channels = (taken, made) if transposed else (made, taken)
    return Drawn(
        layer,
        random.standard_normal((taken, *size)),
        random.standard_normal((*channels, *layer.kernel)),
        random.standard_normal(made),
    )


@settings(max_examples=300, deadline=None)
@given(layers(transposed=True))
def test_all_ways_of_a_transposed_convolution_agree_with_torch(drawn: Drawn) -> None:
    layer = drawn.layer
    compute = getattr(functional, f"conv_transpose{len(layer.kernel)}d")
    expected = compute(
        torch.from_numpy(drawn.image)[None],
        torch.from_numpy(drawn.weight),
        torch.from_numpy(drawn.bias),
        layer.stride,
        layer.padding,
        layer.output_padding,
        dilation=layer.dilation,
    )[0].numpy()
    outputs = every_way(drawn.image, drawn.weight, drawn.bias, layer)
    assert len(outputs) == 3
    for output in outputs:
        assert output.shape == expected.shape
        assert np.abs(output - expected).max() < 1e-5


@settings(max_examples=300, deadline=None)
@given(layers(transposed=False))
def test_both_ways_of_a_convolution_agree_with_torch(drawn: Drawn) -> None:
    layer = drawn.layer
    compute = getattr(functional, f"conv{len(layer.kernel)}d")
    expected = compute(
        torch.from_numpy(drawn.image)[None],
        torch.from_numpy(drawn.weight),
        torch.from_numpy(drawn.bias),
        layer.stride,
        layer.padding,
        layer.dilation,
    )[0].numpy()
    for output in every_way(drawn.image, drawn.weight, drawn.bias, layer):
        assert output.shape == expected.shape
        assert np.abs(output - expected).max() < 1e-5


@settings(deadline=None)
@given(st.booleans().flatmap(layers))
def test_the_overlap_is_what_a_kernel_of_ones_adds_up(drawn: Drawn) -> None:
    layer = drawn.layer
    size = drawn.image.shape[1:]
    ones = matrix(np.ones((1, 1, *layer.kernel)), layer, size)
    counts = overlap(layer, size)
    assert counts.ravel().tolist() == ones.sum(0).tolist()
    assert counts.shape == (layer.output_size(size) if layer.transposed else size)


@settings(deadline=None)
@given(st.booleans().flatmap(layers))
def test_the_padded_input_has_the_expected_size(drawn: Drawn) -> None:
    put_zeros = zero_inserted if drawn.layer.transposed else padded
    _, *size = put_zeros(drawn.image, drawn.layer).shape
    assert tuple(size) == drawn.layer.padded_input_size(drawn.image.shape[1:])


def test_padding_larger_than_the_kernel_crops_zeros_and_pixels() -> None:
    # 2 - 3 = -1: kernel 3 and padding 3 leave the middle of 1, 2, 3, 4.
    layer = ConvSettings((1, 3), padding=(0, 3), transposed=True)
    assert layer.zeros_around == (0, -1)
    assert zero_inserted(np.array([[[1.0, 2, 3, 4, 5]]]), layer).tolist() == [[[2, 3, 4]]]


def test_an_output_padding_shows_what_the_kernel_reaches_and_zeros_beyond() -> None:
    # Kernel 1 never reaches the extra pixel; kernel 3 with padding 1 does.
    image = np.array([[[1.0, 2]]])
    for kernel, padding, expected in ((1, 0, [1, 0, 2, 0]), (3, 1, [1, 3, 2, 2])):
        layer = ConvSettings((1, kernel), (1, 2), (0, padding), (0, 1), transposed=True)
        for output in every_way(image, np.ones((1, 1, 1, kernel)), NO_BIAS, layer):
            assert output.tolist() == [[expected]]


def test_flipped_weights_are_turned_by_180_degrees_and_change_channels() -> None:
    weight = np.arange(1.0, 13).reshape(1, 2, 2, 3)  # 1 channel to 2
    assert flipped(weight).tolist() == [[[[6, 5, 4], [3, 2, 1]]], [[[12, 11, 10], [9, 8, 7]]]]


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({"kernel": (0, 1)}, "kernel=0x1 is not valid: give whole numbers of at least 1"),
        ({"stride": (1, 0)}, "stride=1x0 is not valid"),
        ({"padding": (-1, -1)}, "padding=-1 is not valid: give whole numbers of at least 0"),
        ({"dilation": (0, 0)}, "dilation=0 is not valid"),
        ({"output_padding": (0, 1)}, "output_padding=0x1 applies to transposed convolutions only"),
        (
            {"output_padding": (1, 2), "stride": (2, 2), "transposed": True},
            "output_padding=1x2 is not valid: along the columns give less than the stride",
        ),
    ],
)
def test_invalid_settings_are_refused(others: dict[str, Sizes], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        ConvSettings(**{"kernel": (3, 3), **others})  # type: ignore[arg-type]


def test_an_output_padding_may_be_smaller_than_the_dilation_alone() -> None:
    layer = ConvSettings((2, 2), dilation=(3, 3), output_padding=(2, 2), transposed=True)
    # (1 - 1) 1 - 0 + 3 (2 - 1) + 2 + 1 = 6
    assert layer.output_size((1, 1)) == (6, 6)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (ConvSettings((1, 3)), r"along the columns: floor\(\(2 \+ 2\*0 - 3\) / 1\) \+ 1 = 0"),
        (same(2, padding=2), r"along the rows: \(2 - 1\)\*1 - 2\*2 \+ 2 \+ 0 = -1; give less pad"),
    ],
)
def test_a_layer_without_output_says_why(layer: ConvSettings, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        layer.output_size((2, 2))
