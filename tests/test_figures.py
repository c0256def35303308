"""Figures: what is where, so that a reader sees what the numbers say."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from aecli.figures import Row, image_grid, loss_figure, save, to_array

BLACK, WHITE = torch.zeros(3, 1, 8, 8), torch.ones(3, 1, 8, 8)


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
