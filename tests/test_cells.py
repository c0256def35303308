"""The figure of one layer: what each cell says, and that all of it can be read."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from aecli.convolution.arithmetic import kernel_extent
from aecli.convolution.reference import overlap, padded, zero_inserted
from aecli.convolution.settings import ConvSettings
from aecli.figures import overlap_figure, save, theme, to_array
from aecli.figures.cells import MIN_CELL, MIN_NUMBER_SIZE, OUTLINE, PIXEL
from tests.test_figures import assert_all_is_readable, contrast, pixels_of


def draw(settings: ConvSettings, rows: int, columns: int) -> Figure:
    put_zeros = zero_inserted if settings.transposed else padded
    (surface,) = put_zeros(np.ones((1, rows, columns)), settings)
    kernel = np.zeros(tuple(map(kernel_extent, settings.kernel, settings.dilation)), bool)
    kernel[:: settings.dilation[0], :: settings.dilation[1]] = True
    counts = overlap(settings, (rows, columns))
    return overlap_figure("the layer", ("input", surface > 0), kernel, ("overlap", counts))


def square(kernel: int, **others: Any) -> ConvSettings:
    transposed = others.pop("transposed", True)
    pairs = {key: (value, value) for key, value in others.items()}
    return ConvSettings((kernel, kernel), **pairs, transposed=transposed)


def words(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_zeros_are_pale_and_pixels_strong() -> None:
    figure = draw(square(3, stride=2), 2, 2)
    cells = pixels_of(figure.axes[0])
    assert cells.shape == (7, 7, 3)
    is_pixel = (cells == PIXEL).all(-1)
    assert np.argwhere(is_pixel).tolist() == [[2, 2], [2, 4], [4, 2], [4, 4]]
    assert len(np.unique(cells[~is_pixel], axis=0)) == 1
    assert cells[0, 0].min() > 0.85
    assert labels(figure) == ["input pixel", "zero", "kernel, first position"]


def test_the_first_position_of_the_kernel_is_outlined() -> None:
    (frame,) = (p for p in draw(square(3, stride=2), 2, 2).axes[0].patches)
    assert isinstance(frame, Rectangle)
    assert frame.get_bbox().bounds == (-0.5, -0.5, 3, 3)
    assert to_rgb(frame.get_edgecolor()) == OUTLINE
    assert not frame.get_fill()


def test_lines_separate_the_cells_below_the_outline() -> None:
    figure = draw(square(3, stride=2), 2, 3)
    for axes, (rows, columns) in zip(figure.axes, ((7, 9), (5, 7)), strict=True):
        vertical, horizontal = (
            np.array(each.get_segments())
            for each in axes.collections
            if isinstance(each, LineCollection)
        )
        assert vertical[:, 0, 0].tolist() == [column + 0.5 for column in range(columns - 1)]
        assert horizontal[:, 0, 1].tolist() == [row + 0.5 for row in range(rows - 1)]
    surface = figure.axes[0]
    assert surface.patches[0].zorder > max(lines.zorder for lines in surface.collections)
    pixels = to_array(figure)
    outline = np.abs(pixels / 255 - OUTLINE).max(-1) < 0.02
    assert outline.any(0).sum() > 3 * 0.4 * figure.dpi  # as wide as three cells
    assert not draw(square(3, stride=2), 60, 60).axes[0].collections  # too small for lines


def test_the_weights_of_a_dilated_kernel_are_dotted() -> None:
    axes = draw(square(3, dilation=2, transposed=False), 7, 7).axes[0]
    assert axes.patches[0].get_bbox().bounds == (-0.5, -0.5, 5, 5)  # type: ignore[attr-defined]
    (dots,) = axes.lines
    corners = [[x, y] for y in (0, 2, 4) for x in (0, 2, 4)]
    assert np.asarray(dots.get_xydata()).tolist() == corners
    assert not draw(square(3, transposed=False), 7, 7).axes[0].lines


def test_the_overlap_is_shown_by_numbers_and_colours() -> None:
    axes = draw(square(3, stride=2), 2, 2).axes[1]
    assert words(axes) == list("1121111211224221121111211")
    cells = pixels_of(axes)
    one, two, four = cells[0, 0], cells[0, 2], cells[2, 2]
    assert (cells[4, 4] == one).all() and (cells[2, 3] == two).all()
    assert one.sum() > two.sum() > four.sum()  # the darker the more


def test_pixels_that_no_position_covers_are_as_pale_as_zeros() -> None:
    figure = draw(square(1, stride=2), 2, 2)
    surface, counts = map(pixels_of, figure.axes)
    assert (counts[1, 1] == surface[1, 1]).all()
    assert words(figure.axes[1]) == list("101000101")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_numbers_can_be_read_on_their_colours(dark: bool) -> None:
    with theme(dark):
        axes = draw(square(4, stride=1), 4, 5).axes[1]
        cells = pixels_of(axes)
        for text in axes.texts:
            column, row = (int(place) for place in text.get_position())
            ink, ground = to_rgb(text.get_color()), to_rgb(cells[row, column])
            assert contrast(ink, ground) > 4.5  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        (square(3, stride=2), (2, 2)),
        (square(4, stride=2), (5, 5)),
        (square(4), (2, 3)),
        (square(1, transposed=False), (1, 1)),
        (square(3, stride=2, padding=1, transposed=False), (28, 28)),
        (square(12), (12, 12)),
        pytest.param(square(5, stride=3, dilation=2), (12, 12), marks=pytest.mark.soak),
        (square(3, stride=2), (40, 1)),
        (square(3, stride=2), (1, 40)),
        (square(2, stride=2), (64, 64)),
    ],
)
def test_nothing_overlaps_and_cells_are_square_and_of_one_size(
    settings: ConvSettings, size: tuple[int, int]
) -> None:
    figure = draw(settings, *size)
    assert_all_is_readable(figure)
    sides = []
    for axes in figure.axes:
        rows, columns, _ = pixels_of(axes).shape
        box = axes.get_window_extent()
        sides += [box.width / columns, box.height / rows]
    assert sides == pytest.approx([sides[0]] * 4)
    assert sides[0] >= 0.999 * MIN_CELL * figure.dpi
    assert max(figure.get_size_inches()) < 12
    left, right = (axes.get_window_extent() for axes in figure.axes)
    assert left.y1 == pytest.approx(right.y1) and left.x1 < right.x0
    legend = figure.legends[0].get_window_extent()
    assert legend.y0 > 0 and legend.y1 < min(left.y0, right.y0)
    assert all(float(text.get_fontsize()) >= MIN_NUMBER_SIZE for text in figure.axes[1].texts)


def test_numbers_stay_inside_their_cells() -> None:
    figure = draw(square(11), 11, 11)  # up to 121 positions
    (axes,) = figure.axes[1:]
    assert "121" in words(axes)
    assert_all_is_readable(figure)
    cell = axes.get_window_extent().width / 21
    assert max(text.get_window_extent().width for text in axes.texts) < cell


def test_where_numbers_would_be_too_small_a_legend_names_the_counts() -> None:
    figure = draw(square(3, stride=2), 60, 60)
    assert not figure.axes[1].texts
    assert labels(figure)[3:] == ["overlap 1", "overlap 2", "overlap 4"]
    figure = draw(square(30), 30, 30)
    counts = [int(label.removeprefix("overlap ")) for label in labels(figure)[3:]]
    assert len(counts) == 8
    assert counts[0] == 1 and counts[-1] == 900
    assert counts == sorted(counts)


def test_it_is_saved_as_png_and_svg(tmp_path: Path) -> None:
    save(draw(square(3, stride=2), 2, 2), tmp_path / "below" / "overlap")
    assert {path.name for path in (tmp_path / "below").iterdir()} == {"overlap.png", "overlap.svg"}
