"""Figures of upsampling: cells of numbers, kernels and pictures to scale."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from aecli.convolution.interpolation import BILINEAR, NEAREST, keys_bicubic
from aecli.figures import NumberPanel, kernel_curves, number_panels, theme
from aecli.figures.enlargements import CaptionedImage, enlargements
from aecli.figures.number_panels import MIN_NUMBER
from tests.test_figures import assert_all_is_readable, contrast, pixels_of

COUNTED = np.arange(1.0, 5).reshape(2, 2)


def panel(rows: int, columns: int, heading: str = "a heading") -> NumberPanel:
    return NumberPanel(heading, np.arange(float(rows * columns)).reshape(rows, columns))


def boxes(figure: Figure) -> list[tuple[float, float]]:
    """Width and height of each panel, in inches."""
    windows = [axes.get_window_extent() for axes in figure.axes]
    return [(window.width / figure.dpi, window.height / figure.dpi) for window in windows]


def test_equal_numbers_have_equal_colours_in_all_panels() -> None:
    figure = number_panels(
        "title", [[NumberPanel("input", COUNTED)], [NumberPanel("output", COUNTED.T - 1)]]
    )
    first, second = map(pixels_of, figure.axes)
    assert (first[0, 0] == second[1, 0]).all()  # both 1
    brightness = [second[0, 0], first[0, 0], first[0, 1], first[1, 0], first[1, 1]]  # 0 to 4
    assert np.diff([cell.mean() for cell in brightness]).max() < -0.05  # the larger the stronger
    words = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert words == [["1", "2", "3", "4"], ["0", "2", "1", "3"]]


def test_numbers_have_the_decimals_that_fit_the_largest() -> None:
    numbers = [[1 / 3, -0.0026], [9.2704, 2]], [[1234, 5], [0, 1]], [[1e-5, 2e-5], [0, -1e-9]]
    panels = [NumberPanel("a", np.array(each)) for each in numbers]
    words = [[each.get_text() for each in axes.texts] for axes in number_panels("", [panels]).axes]
    assert words == [
        ["0.33", "-0.003", "9.27", "2"],  # no nonzero looks like zero
        ["1234", "5", "0", "1"],
        ["1e-05", "2e-05", "0", "-1e-09"],
    ]


def test_sources_have_colours_of_their_own() -> None:
    sources = np.array([[1, 2], [2, 0]])
    (axes,) = number_panels("", [[NumberPanel("a", COUNTED, sources)]]).axes
    cells = pixels_of(axes)
    assert (cells[0, 1] == cells[1, 0]).all() and (cells[0, 0] != cells[0, 1]).any()
    assert (cells[1, 1] == 1).all()  # none: that of the paper


@pytest.mark.parametrize(
    "sizes",
    [
        [(1, 1)],
        [(2, 2), (4, 4), (4, 4), (4, 4), (4, 4), (2, 2), (2, 2), (4, 4)],
        [(3, 40), (6, 80)],
        pytest.param([(128, 128)], marks=pytest.mark.soak),
        [(1, 128), (128, 1)],
    ],
)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everything_can_be_read(sizes: list[tuple[int, int]], dark: bool) -> None:
    with theme(dark):
        panels = [panel(*size, f"bicubic, a = -0.75, of {size}") for size in sizes]
        figure = number_panels("2x2 to 4x4", [panels[:1], panels[1:]])
        assert_all_is_readable(figure)
        cells = {round(side / n, 4) for box, size in zip(boxes(figure), sizes, strict=True)
                 for side, n in zip(box, size[::-1], strict=True)}  # fmt: skip
        assert len(cells) == 1
        assert max(figure.get_size_inches()) < 22
        for axes in figure.axes:
            colours = pixels_of(axes)
            for text in axes.texts:
                column, row = map(int, text.get_position())
                assert contrast(str(text.get_color()), to_rgb(colours[row, column])) > 3  # type: ignore[arg-type]
                assert float(text.get_fontsize()) >= MIN_NUMBER


def test_a_group_that_does_not_fit_begins_a_line() -> None:
    groups = [[panel(2, 2)], [panel(4, 4), panel(4, 4)], [panel(4, 4), panel(4, 4), panel(4, 4)]]
    tops = [round(axes.get_position().y1, 6) for axes in number_panels("", groups).axes]
    assert tops[0] == tops[1] == tops[2] > tops[3] == tops[4] == tops[5]


def test_the_curves_are_the_kernels() -> None:
    kernels = (NEAREST, BILINEAR, keys_bicubic(-0.75))
    figure = kernel_curves({kernel.name: kernel.weight for kernel in kernels})
    assert_all_is_readable(figure)
    curves = figure.axes[0].lines[1:]  # the first is the axis
    assert [str(curve.get_label()) for curve in curves] == [kernel.name for kernel in kernels]
    for curve, kernel in zip(curves, kernels, strict=True):
        x, y = np.asarray(curve.get_xydata()).T
        assert y.tolist() == [kernel.weight(each) for each in x.tolist()]
        assert x.min() < -2 and x.max() > 2
    assert len({curve.get_linestyle() for curve in curves}) == 3  # told apart without colours


def grey(rows: int, columns: int) -> NDArray[np.float32]:
    return np.full((1, rows, columns), 0.5, np.float32)


@pytest.mark.parametrize("size", [(28, 28), (64, 64), (5, 60), (60, 5), (1, 1), (2, 3)], ids=str)
def test_larger_pictures_look_larger(size: tuple[int, int]) -> None:
    lines = [[CaptionedImage("original", grey(*size))]] + [
        [
            CaptionedImage(f"{method}\n12x12", grey(factor * size[0], factor * size[1]))
            for method in ("nearest", "bed_of_nails", "bilinear", "bicubic")
        ]
        for factor in (2, 3)
    ]
    figure = enlargements("photo.png, enlarged: a detail of 64x64 of its 512x512 pixels", lines)
    assert_all_is_readable(figure)
    original, *others = boxes(figure)
    for number, box in enumerate(others):
        factor = 2 if number < 4 else 3
        assert box == pytest.approx((factor * original[0], factor * original[1]))
    assert figure.get_figwidth() < 9.5


def test_pictures_keep_their_colours() -> None:
    red = np.zeros((3, 4, 5), np.float32)
    red[0] = 1
    (axes,) = enlargements("", [[CaptionedImage("red", red)]]).axes
    assert pixels_of(axes)[2, 3].tolist() == [1, 0, 0]
    (axes,) = enlargements("", [[CaptionedImage("grey", grey(4, 5))]]).axes
    assert pixels_of(axes)[2, 3].tolist() == [0.5, 0.5, 0.5]
