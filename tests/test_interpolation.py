"""Interpolation by a whole factor: torch's numbers, the kernels of the papers, and sums by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from aecli.convolution.arrays import Array
from aecli.convolution.interpolation import (
    BILINEAR,
    NEAREST,
    TORCH_A,
    Kernel,
    bicubic,
    interpolate,
    keys_bicubic,
    phases,
    weight_matrix,
)
from aecli.convolution.weighted_sums import axis_sums, phase_formulas, pixel_sum
from aecli.data.corruption import enlarge

B_SPLINE, CATMULL_ROM, MITCHELL = bicubic(1, 0), bicubic(0, 0.5), bicubic(1 / 3, 1 / 3)
KERNELS = [NEAREST, BILINEAR, keys_bicubic(TORCH_A), B_SPLINE, CATMULL_ROM, MITCHELL]
FACTORS = range(1, 9)
SQUARE = np.array([[1.0, 2], [3, 4]])


@pytest.mark.parametrize("size", [(2, 2), (5, 7), (1, 1), (1, 6), (9, 1)])
@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("kernel", [NEAREST, BILINEAR, keys_bicubic(TORCH_A)], ids=lambda k: k.name)
def test_the_numbers_are_those_of_torch(kernel: Kernel, factor: int, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).normal(size=(3, *size))
    mode = kernel.name.partition(",")[0]
    corners = {} if mode == "nearest" else {"align_corners": False}
    expected = F.interpolate(torch.tensor(image[None]), scale_factor=factor, mode=mode, **corners)
    assert np.abs(interpolate(image, factor, kernel) - expected[0].numpy()).max() < 1e-13


@given(st.floats(-2, 2), st.floats(-2, 2), st.sampled_from(FACTORS))
def test_the_weights_of_each_phase_sum_to_one(b: float, c: float, factor: int) -> None:
    for kernel in (NEAREST, BILINEAR, bicubic(b, c)):
        assert [sum(phase.values()) for phase in phases(kernel, factor)] == pytest.approx(
            [1] * factor
        )


def test_the_parameter_of_keys_is_the_slope_at_distance_1() -> None:
    step = 1e-6
    for a in (-1, -0.75, -0.5, 0, 0.5):
        weight = keys_bicubic(a).weight
        for distance in (1 - step, 1):
            slope = (weight(distance + step) - weight(distance)) / step
            assert slope == pytest.approx(a, abs=1e-4)
        assert [weight(x) for x in (0, 1, 2, -1, 3)] == [1, 0, 0, 0, 0]  # it interpolates


def test_keys_formula_is_a_case_of_mitchells() -> None:
    def of_keys(x: float, a: float) -> float:  # equation 15 of the paper, with a = -1/2
        x = abs(x)
        if x < 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0

    for x in np.linspace(-2.5, 2.5, 101).tolist():
        for a in (-0.75, -0.5):
            assert keys_bicubic(a).weight(x) == pytest.approx(of_keys(x, a), abs=1e-12)


def test_special_cases_of_b_and_c() -> None:
    # The cubic B-spline is 2/3 in its middle and 1/6 at the next pixels.
    assert [B_SPLINE.weight(x) for x in (0, 1, 2)] == pytest.approx([2 / 3, 1 / 6, 0])
    # By Mitchell and Netravali, 8/9 and 1/18.
    assert [MITCHELL.weight(x) for x in (0, 1, 2)] == pytest.approx([8 / 9, 1 / 18, 0])
    # Catmull and Rom's spline halfway between two pixels: -1/16, 9/16, 9/16, -1/16.
    halves = [CATMULL_ROM.weight(x) for x in (-1.5, -0.5, 0.5, 1.5)]
    assert halves == pytest.approx([-1 / 16, 9 / 16, 9 / 16, -1 / 16])


def test_known_kernels_are_named() -> None:
    assert keys_bicubic(-0.75).name == "bicubic, a = -0.75 (torch's)"
    assert CATMULL_ROM.name == keys_bicubic(-0.5).name == "bicubic, a = -0.5 (Keys, Catmull-Rom)"
    assert (
        bicubic(0.3333, 0.3333).name == "bicubic, B = 0.3333, C = 0.3333 (Mitchell and Netravali)"
    )
    assert B_SPLINE.name == "bicubic, B = 1, C = 0 (B-spline)"
    assert keys_bicubic(-0.6).name == "bicubic, a = -0.6"
    assert keys_bicubic(0).name == "bicubic, a = 0"


def test_keys_kernel_reproduces_parabolas_and_torchs_does_not() -> None:
    def parabola(x: Array) -> Array:
        return np.asarray(2 * x**2 - 3 * x + 1)

    pixels = np.arange(12.0)
    places = (np.arange(36) + 0.5) / 3 - 0.5
    inside = slice(6, -6)  # where no repeated pixel counts
    for a, is_exact in ((-0.5, True), (-0.75, False)):
        found = weight_matrix(12, 3, keys_bicubic(a)) @ parabola(pixels)
        assert np.allclose(found[inside], parabola(places)[inside], atol=1e-12) is is_exact


def test_a_straight_line_stays_straight() -> None:
    places = (np.arange(20) + 0.5) / 2 - 0.5
    for kernel in KERNELS[1:2] + KERNELS[3:]:
        found = weight_matrix(10, 2, kernel) @ np.arange(10.0)
        assert np.allclose(found[4:-4], places[4:-4])


def test_inside_an_image_bicubic_is_that_of_superres() -> None:
    image = np.random.default_rng(0).random((1, 1, 12, 9))
    theirs = enlarge(torch.tensor(image, dtype=torch.float32), (24, 18)).numpy()
    ours = interpolate(image, 2, keys_bicubic(-0.5)).clip(0, 1)
    assert np.abs(ours - theirs)[..., 4:-4, 4:-4].max() < 1e-6


def test_precision_and_leading_dimensions_are_kept() -> None:
    image = np.ones((2, 3, 4, 5), np.float32)
    large = interpolate(image, 3, BILINEAR)
    assert large.dtype == np.float32 and large.shape == (2, 3, 12, 15)
    assert (large == 1).all()


def test_bilinear_by_hand() -> None:
    assert interpolate(SQUARE, 2, BILINEAR).tolist() == [
        [1, 1.25, 1.75, 2],
        [1.5, 1.75, 2.25, 2.5],
        [2.5, 2.75, 3.25, 3.5],
        [3, 3.25, 3.75, 4],
    ]


def test_sums_are_written_out() -> None:
    assert phase_formulas(BILINEAR, 2) == {
        "y[2n]": "0.25*x[n - 1] + 0.75*x[n]",
        "y[2n + 1]": "0.75*x[n] + 0.25*x[n + 1]",
    }
    assert list(phase_formulas(BILINEAR, 1)) == ["y[n]"]
    assert axis_sums(SQUARE[0], 2, BILINEAR, 9) == [
        "1*1 = 1",
        "0.75*1 + 0.25*2 = 1.25",
        "0.25*1 + 0.75*2 = 1.75",
        "1*2 = 2",
    ]
    assert (
        pixel_sum(SQUARE, 2, BILINEAR, 1, 1) == "0.5625*1 + 0.1875*2 + 0.1875*3 + 0.0625*4 = 1.75"
    )
    assert axis_sums(np.array([-1.0, 2]), 2, keys_bicubic(TORCH_A), 1) == [
        "1.105*(-1) - 0.1055*2 = -1.316"
    ]


@given(st.integers(1, 40), st.sampled_from(FACTORS), st.sampled_from(KERNELS))
def test_sums_of_a_long_row_are_those_of_the_whole(size: int, factor: int, kernel: Kernel) -> None:
    row = np.arange(size, dtype=np.float64) ** 2
    whole = weight_matrix(size, factor, kernel) @ row
    for written, total in zip(axis_sums(row, factor, kernel, 7), whole, strict=False):
        assert float(written.rpartition(" = ")[2]) == pytest.approx(total, rel=1e-3, abs=1e-9)
