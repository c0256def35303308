"""Figures: what is where, so that a reader sees what the numbers say."""

import os
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.axis import Axis, Tick
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from PIL import Image

from aecli.errors.text import printable
from aecli.figures import (
    Accuracy,
    Curve,
    Point,
    Row,
    accuracy_by_labels,
    error_by_latent,
    error_histogram,
    error_scale,
    grouped_bars,
    image_grid,
    loss_figure,
    panels,
    roc_curves,
    save,
    study_losses,
    theme,
    to_array,
)
from aecli.figures.theme import CATEGORIES, categories, sequence

BLACK, WHITE = torch.zeros(3, 1, 8, 8), torch.ones(3, 1, 8, 8)
FAMILIES = {
    "conv, nearest": [Point(5, 0.03, 0.002), Point(25, 0.006, 0.001)],
    "fc": [Point(5, 0.04, None), Point(25, 0.014, None), Point(125, 0.004, None)],
}
PCA = {1: 0.06, 5: 0.044, 25: 0.0186, 125: 0.0035, 512: 0.00004, 784: 0.0}
LONG = "conv, nearest, lr=0.01, mean=0.1307, std=0.3081, widths=[256, 64], latent 125"


def pixels_of(axes: Axes) -> NDArray[np.float32]:
    grid = axes.images[0].get_array()
    assert grid is not None
    return np.asarray(grid)


def in_sight(axis: Axis, tick: Tick) -> bool:
    low, high = sorted(axis.get_view_interval())
    return bool(low <= tick.get_loc() <= high)


def tick_labels(axis: Axis) -> list[str]:
    return [tick.label1.get_text() for tick in axis.get_major_ticks() if in_sight(axis, tick)]


def texts(figure: Figure) -> list[tuple[str, Bbox]]:
    """Every text that is drawn, and where, in pixels."""
    FigureCanvasAgg(figure).draw()
    undrawn = {
        tick.label1
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        if not in_sight(axis, tick)
    }
    return [
        (text.get_text(), text.get_window_extent())
        for text in figure.findobj(Text)
        if isinstance(text, Text)
        and text.get_visible()
        and text.get_text().strip()
        and text not in undrawn
    ]


def assert_all_is_readable(figure: Figure) -> None:
    """No text is cut off by the figure's edge or lies on another."""
    drawn = texts(figure)
    for text, box in drawn:
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1, text
        assert box.y0 >= 0 and box.y1 <= figure.bbox.y1, text
    for (text, box), (other, other_box) in combinations(drawn, 2):
        assert not box.overlaps(other_box), (text, other)


def contrast(colour: str, ground: str) -> float:
    """By the Web Content Accessibility Guidelines 2.2: 1 for none, 21 for black on white."""
    linear = [
        [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(each)]
        for each in (colour, ground)
    ]
    light = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in linear)
    return (light[1] + 0.05) / (light[0] + 0.05)


def test_a_grid_has_a_labelled_row_for_each_kind_of_image() -> None:
    figure = image_grid("title", [Row("original", BLACK), Row("output", WHITE)])
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["original", "output"]
    grid = axes.images[0].get_array()
    assert grid is not None
    assert grid.shape == (2 * 10, 3 * 10, 3)  # images of 8 pixels with a pixel of white around
    assert (grid[1:9, 1:9] == 0).all()
    assert (grid[11:19, 1:9] == 1).all()


def test_colour_images_keep_their_colours() -> None:
    red = torch.zeros(1, 3, 4, 4)
    red[:, 0] = 1
    grid = image_grid("", [Row("red", red)]).axes[0].images[0].get_array()
    assert grid is not None
    assert grid[2, 2].tolist() == [1, 0, 0]


def test_an_error_is_coloured_by_its_size() -> None:
    rows = [Row("no error", BLACK, is_error=True), Row("large error", WHITE, is_error=True)]
    grid = image_grid("", rows).axes[0].images[0].get_array()
    assert grid is not None
    none, large = grid[5, 5], grid[15, 5]
    assert none.sum() < 0.1
    assert large.sum() > 2
    assert len(set(large.tolist())) > 1  # not grey


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 64, 64), (1, 27, 31)], ids=str)
def test_pixels_are_square(shape: tuple[int, int, int]) -> None:
    figure = image_grid("", [Row("a", torch.zeros(10, *shape))] * 3)
    box = figure.axes[0].get_window_extent()
    grid = figure.axes[0].images[0].get_array()
    assert grid is not None
    assert box.width / grid.shape[1] == pytest.approx(box.height / grid.shape[0])


def test_the_curves_are_those_that_were_measured() -> None:
    figure = loss_figure(
        "title", {1: 0.3, 2: 0.2}, {2: 0.25}, {2: 0.05}, {"PCA": 0.04, "mean image": 0.07}
    )
    left, right = figure.axes
    curves = {line.get_label(): np.asarray(line.get_xydata()).tolist() for line in left.lines}
    assert curves == {
        "train": [[1, 0.3], [2, 0.2]],
        "validation": [[2, 0.25]],
    }
    levels = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in right.lines}
    assert levels["PCA"] == [0.04, 0.04]
    assert left.get_yscale() == "log"
    assert left.get_xlabel() == "epoch"
    assert "mse" in right.get_ylabel()


def test_a_figure_is_saved_as_png_and_svg(tmp_path: Path) -> None:
    save(image_grid("title", [Row("a", BLACK)]), tmp_path / "new" / "picture")
    with Image.open(tmp_path / "new" / "picture.png") as picture:
        assert picture.width > 300
    assert ElementTree.parse(tmp_path / "new" / "picture.svg").getroot().tag.endswith("svg")


def test_an_array_of_a_figure_has_its_pixels() -> None:
    array = to_array(image_grid("", [Row("a", BLACK)]))
    assert array.ndim == 3 and array.shape[2] == 3
    assert array.min() == 0 and array.max() == 255


@pytest.mark.parametrize(("dark", "ground"), [(False, (255, 255, 255)), (True, (22, 24, 29))])
def test_a_theme_colours_what_is_drawn_and_saved_inside(
    dark: bool, ground: tuple[int, int, int], tmp_path: Path
) -> None:
    with theme(dark):
        figure = loss_figure("title", {1: 0.3, 2: 0.3}, {1: 0.2}, {1: 0.1}, {"PCA": 0.04})
        save(figure, tmp_path / "picture")
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.convert("RGB").getpixel((0, 0)) == ground
    paper = "#" + bytes(ground).hex()
    axes = figure.axes[1]
    for label in (axes.yaxis.label, *axes.get_yticklabels(), *figure.texts):
        assert contrast(str(label.get_color()), paper) > 12
    assert (sum(to_rgb(axes.lines[1].get_color())) > 1.5) == dark  # the line of the baseline


def test_without_validation_images_the_training_loss_is_drawn_alone() -> None:
    (axes,) = loss_figure("title", {1: 0.3, 2: 0.2}, {}, {}, {}).axes
    assert axes.get_ylabel().startswith("training loss") and len(axes.lines) == 1
    assert len(loss_figure("title", {1: 0.3}, {}, {}, {"PCA": 0.04}).axes) == 1
    figure = study_losses("title", [Curve("fc", {1: 0.3, 2: 0.2}, {}, {})])
    assert len(figure.axes) == 1 and len(figure.axes[0].lines) == 2
    mixed = [Curve("a", {1: 0.3, 2: 0.2}, {}, {}), Curve("b", {1: 0.3, 2: 0.2}, {1: 0.2}, {1: 0.1})]
    assert len(study_losses("title", mixed).axes) == 2


def test_a_theme_ends() -> None:
    with theme(dark=True):
        pass
    assert to_array(image_grid("", [Row("a", BLACK)]))[0, 0].tolist() == [255, 255, 255]


def test_the_gaps_between_images_have_the_background_colour() -> None:
    with theme(dark=True):
        grid = pixels_of(image_grid("", [Row("a", WHITE)]).axes[0])
    assert np.allclose(grid[0, 0], np.array([22, 24, 29]) / 255)
    assert np.allclose(grid[:, 9:11], grid[0, 0])
    assert (grid[1:9, 1:9] == 1).all()


@pytest.mark.parametrize(("dark", "ground"), [(False, "#ffffff"), (True, "#16181d")])
def test_no_curve_fades_into_the_background(dark: bool, ground: str) -> None:
    curves = [Curve(str(number), {1: 1.0, 2: 1.0}, {1: 1.0}, {1: 1.0}) for number in range(20)]
    with theme(dark):
        lines = study_losses("", curves).axes[1].lines
    assert len({str(line.get_color()) for line in lines}) == 20
    assert all(contrast(line.get_color(), ground) > 2.3 for line in lines)  # type: ignore[arg-type]


def test_panels_are_side_by_side_with_labels_only_on_the_left() -> None:
    left, right = [Row("a", BLACK), Row("b", WHITE)], [Row("a", WHITE), Row("b", BLACK)]
    figure = panels("title", {"networks": left, "PCA": right})
    first, second = figure.axes
    assert [axes.get_title("left") for axes in figure.axes] == ["networks", "PCA"]
    assert [label.get_text() for label in first.get_yticklabels()] == ["a", "b"]
    assert second.get_yticklabels() == []
    assert (pixels_of(first)[1:9, 1:9] == 0).all() and (pixels_of(second)[1:9, 1:9] == 1).all()
    assert first.get_position().x1 < second.get_position().x0
    assert first.get_position().y0 == second.get_position().y0
    assert first.get_position().y1 == second.get_position().y1


def test_a_shorter_row_ends_earlier() -> None:
    grid = pixels_of(image_grid("", [Row("three", BLACK), Row("one", BLACK[:1])]).axes[0])
    assert (grid[11:19, 1:9] == 0).all()
    assert (grid[10:20, 10:] == 1).all()


def test_a_caption_is_above_its_image() -> None:
    rows = [Row("a", BLACK), Row("b", BLACK, captions=("0.1", "0.2", "0.3"))]
    axes = image_grid("", rows).axes[0]
    height = 2 * 10
    room = len(pixels_of(axes)) - height
    assert room > 0
    assert (pixels_of(axes)[10 : 10 + room] == 1).all()
    assert [text.get_text() for text in axes.texts] == ["0.1", "0.2", "0.3"]
    for number, text in enumerate(axes.texts):
        x, bottom = text.get_position()
        assert x == pytest.approx(10 * number + 4.5)  # the middle of ten pixels
        assert bottom == 10 + room
    to_array(axes.figure)  # type: ignore[arg-type]
    upper = axes.transData.transform((0, 9.5))[1]
    assert all(text.get_window_extent().y1 <= upper for text in axes.texts)


@pytest.mark.parametrize(
    ("label", "pairs", "count", "shape"),
    [
        ("a", 1, 1, (1, 28, 28)),
        (LONG, 12, 5, (1, 28, 28)),
        (f"{LONG}, {LONG}", 2, 8, (3, 27, 41)),
        (f"{LONG}, {LONG}", 1, 1, (1, 8, 8)),
        (LONG.replace(" ", ""), 2, 10, (1, 28, 28)),
    ],
    ids=["short", "long", "of many lines", "of many lines over one image", "of one word"],
)
def test_labels_are_neither_cut_nor_overlap(
    label: str, pairs: int, count: int, shape: tuple[int, int, int]
) -> None:
    images = torch.zeros(count, *shape)
    captions = [f"0.00{number}" for number in range(count)]
    rows = [Row(label, images, captions=captions), Row(label, images)] * pairs
    figure = panels("Best and worst reconstructions on mnist", {label: rows, "PCA": rows})
    assert_all_is_readable(figure)
    drawn = texts(figure)
    for axes in figure.axes:
        box, pixels = axes.get_window_extent(), pixels_of(axes)
        assert box.width / pixels.shape[1] == pytest.approx(box.height / pixels.shape[0])
        assert not [text for text, place in drawn if text not in captions and place.overlaps(box)]


def test_images_are_as_large_as_a_page_allows() -> None:
    row = Row(LONG, torch.zeros(8, 1, 28, 28))
    wide = panels("title", {"conv": [row] * 5, "PCA": [row] * 5})
    assert wide.get_figwidth() == pytest.approx(9)
    tall = image_grid("title", [row._replace(label="a")] * 24)
    assert tall.axes[0].get_window_extent().height == pytest.approx(1000)  # 10 inches
    small = image_grid("title", [Row("a", BLACK)])
    assert small.axes[0].get_window_extent().width == pytest.approx(3 * 60)  # 0.6 inches each


CURVES = [
    Curve("fc, latent 5", {1: 0.3, 2: 0.2}, {2: 0.25}, {2: 0.05}),
    Curve("fc, latent 5", {1: 0.4, 2: 0.3}, {2: 0.35}, {2: 0.06}),
    Curve("fc, latent 25", {1: 0.2, 2: 0.1}, {2: 0.15}, {2: 0.04}),
]


def test_the_curves_of_a_study_are_those_that_were_measured() -> None:
    losses, errors = study_losses("title", CURVES).axes
    drawn = [np.asarray(line.get_xydata()) for line in losses.lines]
    expected = [
        [[1, 0.35], [2, 0.25]], [[2, 0.3]],  # the means of two seeds
        [[1, 0.2], [2, 0.1]], [[2, 0.15]],
    ]  # fmt: skip
    for found, points in zip(drawn, expected, strict=True):
        assert np.allclose(found, points)
    means = [np.asarray(line.get_ydata()).item() for line in errors.lines]
    assert means == pytest.approx([0.055, 0.04])
    assert losses.get_yscale() == errors.get_yscale() == "log"
    assert "model units" in losses.get_ylabel() and "pixels" in errors.get_ylabel()


def test_several_seeds_have_a_band_of_one_standard_deviation() -> None:
    losses, errors = study_losses("title", CURVES).axes
    half = 0.1 / 2**0.5  # of 0.3 and 0.4
    corners = losses.collections[0].get_paths()[0].vertices
    assert {(x, round(y, 6)) for x, y in np.asarray(corners)[:-1]} == {
        (x, round(mean + sign * half, 6)) for x, mean in ((1, 0.35), (2, 0.25)) for sign in (-1, 1)
    }
    assert len(errors.collections) == 1  # one seed has none


def test_an_epoch_that_one_seed_did_not_reach_has_the_mean_of_the_others() -> None:
    short, long = Curve("a", {}, {}, {1: 0.2}), Curve("a", {}, {}, {1: 0.4, 2: 0.1})
    (line,) = study_losses("title", [short, long]).axes[1].lines
    assert np.allclose(np.asarray(line.get_xydata()), [[1, 0.3], [2, 0.1]])


def test_curves_with_one_label_share_a_colour_and_an_entry() -> None:
    figure = study_losses("title", CURVES)
    losses, errors = figure.axes
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["fc, latent 5", "fc, latent 25"]
    colours = [line.get_color() for line in errors.lines]
    assert colours[0] != colours[1]
    assert [line.get_color() for line in legend.get_lines()] == colours
    assert [line.get_color() for line in losses.lines[::2]] == colours
    assert [line.get_color() for line in losses.lines[1::2]] == colours
    kinds = losses.get_legend()
    assert kinds is not None
    assert [text.get_text() for text in kinds.get_texts()] == ["train", "validation"]
    assert [line.get_linestyle() for line in kinds.get_lines()] == ["--", "-"]
    assert [line.get_linestyle() for line in losses.lines[:2]] == ["--", "-"]


@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize("label", ["fc, latent", f"{LONG}, {LONG}"], ids=["short", "long"])
def test_a_legend_covers_nothing_and_is_whole(label: str, count: int) -> None:
    curves = [Curve(f"{label} {n}", {1: 0.3, 2: 0.3}, {1: 0.3}, {1: 0.3}) for n in range(count)]
    figure = study_losses("Training on mnist (1x28x28, 10,000 test images)", curves)
    assert_all_is_readable(figure)
    (legend,) = figure.legends
    shown = [text.get_text().replace("\n", " ") for text in legend.get_texts()]
    assert shown == [curve.label for curve in curves]
    for axes in figure.axes:
        assert axes.get_tightbbox().y0 >= legend.get_window_extent().y1  # type: ignore[union-attr]
        assert axes.get_window_extent().height > 200  # for the figure grows with its legend


def test_a_legend_names_the_first_twenty_and_counts_the_others() -> None:
    curves = [Curve(f"setting {n}", {1: 0.3, 2: 0.3}, {1: 0.3}, {1: 0.3}) for n in range(23)]
    figure = study_losses("title", curves)
    assert len(figure.axes[1].lines) == 23
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(shown) == 21
    assert shown[19:] == ["setting 19", "... and 3 more"]


def test_the_points_of_a_family_are_those_that_were_measured() -> None:
    axes = error_by_latent("title", FAMILIES, PCA, 0.067).axes[0]
    drawn = {line.get_label(): np.asarray(line.get_xydata()).tolist() for line in axes.lines}
    assert drawn["conv, nearest"] == [[5, 0.03], [25, 0.006]]
    assert drawn["fc"] == [[5, 0.04], [25, 0.014], [125, 0.004]]
    assert drawn["PCA"] == [[size, mse] for size, mse in PCA.items()]
    styles = {str(line.get_label()): line for line in axes.lines}
    assert styles["mean image"].get_ydata() == [0.067, 0.067]
    assert styles["PCA"].get_linestyle() == "--" and styles["mean image"].get_linestyle() == ":"
    assert styles["fc"].get_marker() != styles["conv, nearest"].get_marker()
    assert styles["fc"].get_color() != styles["conv, nearest"].get_color()
    assert axes.get_xscale() == axes.get_yscale() == "log"


def test_errors_of_several_seeds_have_a_band_or_a_bar() -> None:
    axes = error_by_latent("title", FAMILIES, PCA, 0.067).axes[0]
    (band,) = axes.collections
    corners = np.asarray(band.get_paths()[0].vertices)[:-1]
    assert {(x, round(y, 6)) for x, y in corners} == {
        (5, 0.028), (5, 0.032), (25, 0.005), (25, 0.007),
    }  # fmt: skip
    alone = {"fc": [Point(25, 0.006, 0.001)]}
    axes = error_by_latent("title", alone, PCA, 0.067).axes[0]
    bars = [each.get_segments()[0] for each in axes.collections if isinstance(each, LineCollection)]
    assert np.allclose(bars, [[[25, 0.005], [25, 0.007]]])


def test_accuracies_are_at_their_numbers_of_labels_with_error_bars() -> None:
    kinds = {
        "codes, 25": [Accuracy(100, 0.75, 0.02), Accuracy(1000, 0.87, 0.01)],
        "PCA codes, 25": [Accuracy(100, 0.7, 0.01), Accuracy(1000, 0.8, None)],
        "pixels": [Accuracy(100, 0.72, 0.02), Accuracy(1000, 0.9, None)],
    }
    figure = accuracy_by_labels("title", kinds)
    (axes,) = figure.axes
    bars = [each.get_segments() for each in axes.collections if isinstance(each, LineCollection)]
    assert np.allclose([segment[:, 1] for segment in bars[0]], [[0.73, 0.77], [0.86, 0.88]])
    assert bars[1][1].size == 0  # one set of labels varies by nothing that is known
    places = [segments[0][0, 0] for segments in bars]
    assert places[1] == 100 and places == sorted(set(places))  # beside each other
    assert tick_labels(axes.xaxis) == ["100", "1,000"]
    assert_all_is_readable(figure)


def test_several_subjects_have_colours_and_bars_reach_to_the_ends_of_intervals() -> None:
    points = [Accuracy(100, 0.5, 0.1), Accuracy(1000, 0.8, None, (0.7, 0.85))]
    names = ["1: a", "2: b", *(f"PCA codes, {size}" for size in range(9)), "pixels"]
    figure = accuracy_by_labels("title", dict.fromkeys(names, points), subjects=2)
    (axes,) = figure.axes
    bars = [each.get_segments() for each in axes.collections if isinstance(each, LineCollection)]
    assert len(bars) == len(names)  # none is left out
    for each in bars:
        assert np.allclose([segment[:, 1] for segment in each], [[0.4, 0.6], [0.7, 0.85]])
    lines = [line for line in axes.lines if len(np.asarray(line.get_xdata())) == 2]
    colours = [line.get_color() for line in lines if line.get_linestyle() == "-"]
    assert colours == categories(2)
    low, high = axes.get_xlim()
    places = [x for line in lines for x in np.asarray(line.get_xdata())]
    assert low < min(places) and max(places) < high
    assert_all_is_readable(figure)


@pytest.mark.parametrize("counts", [[60], [10, 20, 30, 40, 50], [100, 55_000, 56_000]])
def test_numbers_of_labels_do_not_overlap(counts: list[int]) -> None:
    points = [Accuracy(count, 0.5, None) for count in counts]
    assert_all_is_readable(accuracy_by_labels("title", {"codes, 3": points, "pixels": points}))


def test_a_histogram_has_a_step_for_each_group_and_a_line_at_the_threshold() -> None:
    edges = [0.001, 0.01, 0.1]
    groups = {"9,876 normal test images": [0.25, 0.75], "1,234 of other classes": [0.0, 1.0]}
    figure = error_histogram("title", edges, groups, 0.2, "threshold, 0.2")
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    for patch, shares in zip(axes.patches, groups.values(), strict=True):
        assert isinstance(patch, StepPatch)
        heights, places, _ = patch.get_data()
        assert (heights.tolist(), places.tolist()) == (shares, edges)
    assert axes.patches[0].get_facecolor() != axes.patches[1].get_facecolor()
    (line,) = axes.lines
    assert line.get_xdata() == [0.2, 0.2]
    low, high = axes.get_xlim()
    assert low < 0.001 and high > 0.2  # the threshold is in sight, wherever it lies
    assert_all_is_readable(figure)
    assert tick_labels(axes.yaxis) == ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]


def test_a_roc_curve_begins_with_nothing_and_has_the_threshold_on_it() -> None:
    curves = {"autoencoder: AUROC 0.9": [0.25, 0.75, 1.0], "isolation forest": [0.0, 0.5, 1.0]}
    figure = roc_curves("title", [0.0, 0.5, 1.0], curves, 0.25, 0.5)
    (axes,) = figure.axes
    first, second, point = axes.lines
    assert np.asarray(first.get_xydata()).tolist() == [[0, 0], [0, 0.25], [0.5, 0.75], [1, 1]]
    assert np.asarray(point.get_xydata()).tolist() == [[0.25, 0.5]]
    assert point.get_color() == first.get_color() != second.get_color()
    legend = axes.get_legend()
    assert legend is not None
    assert [each.get_text() for each in legend.get_texts()] == [*curves, "at the threshold"]
    assert_all_is_readable(figure)
    for axis in (axes.xaxis, axes.yaxis):
        assert tick_labels(axis) == ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]


def test_pca_leaves_the_chart_below_half_of_what_is_compared() -> None:
    axes = error_by_latent("title", FAMILIES, PCA, 0.067).axes[0]
    low, high = axes.get_ylim()
    assert low == pytest.approx(PCA[125] / 2)  # 512 and 784 are below
    assert high > 0.067
    left, right = axes.get_xlim()
    assert 0.5 < left < 1 and 125 < right < 200


def test_pca_at_the_size_of_a_network_that_loses_stays_in_the_chart() -> None:
    for pca, low in ({125: 0.0035}, 0.0035 * 0.9), ({125: 1e-12}, 0.031 / 2):
        axes = error_by_latent("title", {"fc": [Point(125, 0.031, None)]}, pca, 0.067).axes[0]
        assert axes.get_ylim()[0] == pytest.approx(low)


def test_ticks_are_at_the_sizes_and_plain() -> None:
    figure = error_by_latent("title", FAMILIES, PCA, 0.067)
    axes = figure.axes[0]
    assert tick_labels(axes.xaxis) == ["1", "5", "25", "125"]
    assert tick_labels(axes.yaxis) == ["0.002", "0.005", "0.01", "0.02", "0.05"]
    assert_all_is_readable(figure)


def test_ticks_that_would_touch_are_left_out() -> None:
    points = [Point(size, 1 / size, None) for size in (4, 5, 6, 120, 125, 128, 784)]
    figure = error_by_latent("title", {"fc": points}, {4: 0.3}, 1.0)
    assert tick_labels(figure.axes[0].xaxis) == ["4", "5", "6", "120", "784"]
    assert_all_is_readable(figure)


def test_the_sizes_of_networks_come_before_those_of_pca() -> None:
    figure = error_by_latent("title", {"fc": [Point(125, 0.1, None)]}, {1: 0.3, 128: 0.1}, 1.0)
    assert tick_labels(figure.axes[0].xaxis) == ["1", "125"]


@pytest.mark.parametrize("pca", [{}, {25: 0.0186}, PCA], ids=len)
def test_a_single_setting_makes_a_chart(pca: dict[int, float]) -> None:
    figure = error_by_latent("title", {"fc": [Point(25, 0.0139, None)]}, pca, 0.067)
    assert "25" in tick_labels(figure.axes[0].xaxis)
    assert_all_is_readable(figure)


def test_errors_that_hardly_differ_have_ticks_as_well() -> None:
    points = [Point(5, 0.0681, None), Point(25, 0.0652, None)]
    figure = error_by_latent("title", {"fc": points}, {}, 0.0675)
    assert tick_labels(figure.axes[0].yaxis) == ["0.06", "0.065", "0.07"]


def test_small_errors_are_written_out() -> None:
    points = [Point(5, 0.0004, None), Point(25, 0.00006, None)]
    figure = error_by_latent("title", {"fc": points}, {}, 0.0007)
    assert tick_labels(figure.axes[0].yaxis)[:3] == ["0.00007", "0.0001", "0.0002"]


def test_epochs_are_whole_numbers() -> None:
    figure = study_losses("title", [Curve("fc", {1: 0.3, 2: 0.2}, {1: 0.2}, {1: 0.1})])
    to_array(figure)
    assert tick_labels(figure.axes[0].xaxis) == ["1", "2"]


ODD_NAMES = ["$\\frac", "$x$", "a\x1b[2J\u202eb", os.fsdecode(b"caf\xe9"), "100 $ and 50 $", "\\$"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_in_a_figure_is_drawn_literally(name: str, tmp_path: Path) -> None:
    curves = {name: 0.1, f"{name} 2": 0.2}
    figure = loss_figure(name, {1: 0.1, 2: 0.05}, {1: 0.2}, {1: 0.2}, references=curves)
    save(figure, tmp_path / "figure")
    to_array(figure)
    shown = printable(name).encode(errors="backslashreplace").decode()
    texts = {each.get_text() for each in figure.findobj(Text) if isinstance(each, Text)}
    assert {shown, f"{shown} 2"} <= texts


def test_powers_of_ten_on_an_axis_stay_formulas(tmp_path: Path) -> None:
    figure = Figure()
    axes = figure.add_subplot(yscale="log")
    axes.plot([1, 2], [1e-5, 1])
    to_array(figure)
    save(figure, tmp_path / "figure")  # whose labels have been drawn before
    labels = [each for each in axes.get_yticklabels() if each.get_text()]
    assert labels and all(each.get_parse_math() for each in labels)
    assert all("mathdefault" in each.get_text() for each in labels)


def bars(axes: Axes) -> dict[str, tuple[float, str]]:
    """Label -> length and the number beside it."""
    (container,) = axes.containers
    names = [label.get_text() for label in axes.get_yticklabels()]
    lengths = [patch.get_width() for patch in axes.patches]  # type: ignore[attr-defined]
    numbers = [text.get_text() for text in axes.texts]
    return dict(zip(names, zip(lengths, numbers, strict=True), strict=True))


def test_the_losses_of_a_single_epoch_are_bars_with_numbers() -> None:
    figure = loss_figure("title", {1: 0.3}, {1: 0.25}, {1: 0.125}, {"PCA": 0.04})
    losses, errors = figure.axes
    assert bars(losses) == {"train": (0.3, "0.3"), "validation": (0.25, "0.25")}
    assert bars(errors) == {"validation": (0.125, "0.125"), "PCA": (0.04, "0.04")}
    assert_all_is_readable(figure)


def test_a_study_of_a_single_epoch_has_bars_of_the_means_over_the_seeds() -> None:
    seeds = [Curve("fc", {1: 0.3}, {1: 0.2}, {1: 0.1}), Curve("fc", {1: 0.5}, {}, {1: 0.2})]
    conv = [Curve(f"conv {n}", {1: 0.4}, {1: 0.4}, {1: 0.4}) for n in range(23)]
    losses, errors = study_losses("title", seeds + conv).axes
    assert bars(losses)["fc, train"][0] == pytest.approx(0.4)
    assert bars(losses)["fc, validation"] == (0.2, "0.2")
    assert bars(errors)["fc"][0] == pytest.approx(0.15)
    assert len(bars(errors)) == 20
    assert "the first 20 of 24 settings" in losses.figure.get_suptitle()


def test_bars_have_their_numbers() -> None:
    groups = [("all", {"model": 0.25, "PCA": 0.125}), ("cats", {"model": 0.5, "PCA": 1 / 3})]
    figure = grouped_bars("title", "mse", groups)
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.25", "0.5", "0.125", "0.333"]
    assert_all_is_readable(figure)


def test_families_differ_by_hue_and_their_sizes_by_darkness() -> None:
    def colours(*families: str) -> list[str]:
        curves = [Curve(f"{n}", {1: 1.0, 2: 1.0}, {}, {1: 1.0}, each)
                  for n, each in enumerate(families)]  # fmt: skip
        return [to_hex(line.get_color()) for line in study_losses("", curves).axes[1].lines]

    assert colours("conv", "fc") == list(CATEGORIES[:2])
    assert colours("fc", "fc", "fc") == [to_hex(colour) for colour in sequence(3)]
    small, large, other = colours("conv", "conv", "fc")
    assert (large, other) == CATEGORIES[:2]
    ink, hue = to_rgb(matplotlib.rcParams["text.color"]), to_rgb(large)
    mixed = [0.6 * dark + 0.4 * bright for dark, bright in zip(ink, hue, strict=True)]
    assert to_rgb(small) == pytest.approx(mixed, abs=1 / 255)


def test_categories_are_distinguishable_with_deuteranopia() -> None:
    """Machado, Oliveira and Fernandes, 2009: deuteranopia, full strength; CIE 1976 differences."""
    simulate = np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.01182, 0.04294, 0.968881]]
    )  # fmt: skip
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    labs = []
    for colour in CATEGORIES:
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
                  for v in to_rgb(colour)]  # fmt: skip
        seen = np.clip(simulate @ linear, 0, 1)
        x, y, z = np.cbrt(to_xyz @ seen / [0.9505, 1, 1.089])
        labs.append(np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)]))
    assert min(np.linalg.norm(a - b) for a, b in combinations(labs, 2)) > 15
    for ground in ("#ffffff", "#16181d"):
        assert min(contrast(colour, ground) for colour in CATEGORIES[:7]) > 2.3


def test_the_scale_of_errors_goes_from_none_to_the_largest() -> None:
    scale = error_scale("scale", WHITE, 0.2)
    assert scale.images[:, 0, 0, 0].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert scale.captions == ["0", "0.05", "0.1", "0.15", "0.2"] and scale.is_error


def test_a_long_title_does_not_make_a_figure_of_few_images_wide() -> None:
    assert image_grid(" ".join(["title"] * 30), [Row("a", BLACK)]).get_figwidth() < 4
