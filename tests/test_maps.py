"""Maps of a latent space: each point and each image where its code is."""

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from aecli.figures import Direction, LabelledPath, image_plane, save, scatter_map
from aecli.figures.axes import MAX_LABELS
from aecli.figures.maps import Points
from aecli.figures.theme import ink

CODES = (Direction("code 1"), Direction("code 2"))


def points_of(count: int, seed: int = 0) -> Points:
    return np.random.default_rng(seed).normal(size=(count, 2))


def drawn(figure: Figure) -> PathCollection:
    (points,) = figure.axes[0].collections
    assert isinstance(points, PathCollection)
    return points


def shades(figure: Figure) -> list[tuple[float, float, float]]:
    """The colour of each point."""
    return [to_rgb(colour) for colour in np.asarray(drawn(figure).get_facecolor())]


def test_points_are_drawn_in_place_in_the_colour_of_their_class() -> None:
    classes = {"cats": np.array([[0.0, 1.0], [2.0, 3.0]]), "dogs": np.array([[4.0, -5.0]])}
    figure = scatter_map("title", CODES, classes)
    points, (legend,) = drawn(figure), figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["cats", "dogs"]
    colours = [to_rgb(dot.get_color()) for dot in legend.get_lines()]
    assert colours[0] != colours[1]
    found = dict(zip(map(tuple, np.asarray(points.get_offsets())), shades(figure), strict=True))
    assert found == {(0, 1): colours[0], (2, 3): colours[0], (4, -5): colours[1]}


def test_classes_are_mixed_so_that_none_hides_another() -> None:
    figure = scatter_map("", CODES, {"a": points_of(50), "b": points_of(50, 1)})
    colours = shades(figure)
    assert 20 < sum(one != other for one, other in zip(colours, colours[1:], strict=False)) < 80


def test_paths_lead_from_a_ring_to_a_disc_over_the_points() -> None:
    paths = [LabelledPath(np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 9.0]]), "here", "there")]
    figure = scatter_map("", CODES, {"a": points_of(20), "b": points_of(20)}, paths)
    (axes,) = figure.axes
    path, ring, disc = axes.lines
    assert np.array_equal(np.asarray(path.get_xydata()), paths[0].points)
    for end, place, colour in ((ring, (0, 0), to_rgb("white")), (disc, (3, 9), ink())):
        assert np.array_equal(np.asarray(end.get_xydata()), [place])
        assert end.get_markerfacecolor() == colour
    assert [text.get_text() for text in axes.texts] == ["here", "there"]  # and no class
    assert len(figure.legends) == 1
    figure.draw_without_rendering()
    low, high = axes.get_ylim()
    assert low < 0 and high > 9


def test_the_names_of_paths_that_meet_do_not_overlap() -> None:
    angles = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    rim = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    paths = [LabelledPath(np.array([[0, 0], end]), "in the middle", "on the rim") for end in rim]
    figure = scatter_map("", CODES, {"": points_of(50)}, paths)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 12
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])


def test_the_names_of_paths_stay_within_the_map() -> None:
    corners = np.array([[-9.0, 0.0], [9.0, 0.0], [0.0, 9.0], [0.0, -9.0]])
    paths = [LabelledPath(np.array([end, [0, 0]]), "a name that is long", "0") for end in corners]
    figure = scatter_map("", CODES, {"": points_of(50)}, paths)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    for name in axes.texts:
        box = name.get_window_extent()
        assert axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1
        assert axes.bbox.y0 <= box.y0 and box.y1 <= axes.bbox.y1


def test_both_directions_have_one_scale() -> None:
    figure = scatter_map("", CODES, {"": points_of(20) * [100, 1]})
    figure.draw_without_rendering()
    (axes,) = figure.axes
    box = axes.get_window_extent()
    scales = [size / np.ptp(limits) for size, limits in
              ((box.width, axes.get_xlim()), (box.height, axes.get_ylim()))]  # fmt: skip
    assert scales[0] == pytest.approx(scales[1])


def test_a_direction_without_a_unit_has_no_numbers() -> None:
    directions = (Direction("t-SNE 1", has_unit=False), Direction("code 2"))
    (axes,) = scatter_map("", directions, {"": points_of(20)}).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("t-SNE 1", "code 2")
    assert len(axes.get_xticks()) == 0 and len(axes.get_yticks()) > 2


def test_a_legend_is_drawn_for_as_many_classes_as_can_be_distinguished() -> None:
    for count in (1, 2, MAX_LABELS, MAX_LABELS + 1):
        figure = scatter_map("", CODES, {str(label): points_of(3, label) for label in range(count)})
        assert len(figure.legends) == (1 < count <= MAX_LABELS)
        assert len(set(shades(figure))) == count


def test_names_are_shown_as_they_are(tmp_path: Path) -> None:
    names = ["_hidden", "cats and dogs", "3-d"]
    figure = scatter_map("", CODES, {name: points_of(2) for name in names})
    save(figure, tmp_path / "map")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == names


def test_a_long_title_and_long_names_leave_the_map_its_size() -> None:
    short, long = (
        scatter_map(word, CODES, {f"{word} {number}": points_of(5) for number in range(3)})
        for word in ("cats", "all kinds of cats that live in houses, in gardens and in the woods")
    )
    sides = []
    for figure in (short, long):
        figure.draw_without_rendering()
        (legend,), (axes,) = figure.legends, figure.axes
        assert axes.get_window_extent().x1 <= legend.get_window_extent().x0
        assert legend.get_window_extent().x1 <= figure.bbox.x1
        assert figure._suptitle.get_window_extent().x0 >= 0  # type: ignore[attr-defined]
        sides.append(axes.get_window_extent().width)
    assert sides[1] == pytest.approx(sides[0], rel=0.05)


def test_points_in_one_place_are_drawn(tmp_path: Path) -> None:
    save(scatter_map("", CODES, {"": np.zeros((3, 2))}), tmp_path / "map")


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 4, 6)], ids=str)
def test_each_image_of_a_plane_is_at_its_code(shape: tuple[int, int, int]) -> None:
    x, y = [1.0, 2.0, 3.0], [-10.0, 0.0]
    levels = torch.tensor([[0.0, 0.2, 0.4], [0.6, 0.8, 1.0]])
    images = levels.reshape(2, 3, 1, 1, 1).expand(-1, -1, *shape)
    figure = image_plane("title", x, y, images)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    pixels = np.asarray(axes.images[0].get_array())
    left, right, bottom, top = axes.images[0].get_extent()
    assert (left, right, bottom, top) == (0.5, 3.5, -15, 5)
    for row, second in enumerate(y):
        for column, first in enumerate(x):
            across = int((first - left) / (right - left) * pixels.shape[1])
            down = int((top - second) / (top - bottom) * pixels.shape[0])
            assert pixels[down, across, 0] == round(levels[row, column].item() * 255)
    box = axes.get_window_extent()
    assert box.width / pixels.shape[1] == pytest.approx(box.height / pixels.shape[0])


def test_the_name_of_a_class_is_over_the_middle_of_its_points() -> None:
    cats, dogs = np.array([[0.0, 0], [1, 2], [50, 3]]), np.array([[8.0, 9]])
    figure = scatter_map("", CODES, {"cats": cats, "dogs with a very long name": dogs})
    named = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert named == {"cats": (1, 2), "dogs with a v...": (8, 9)}
    assert not scatter_map("", CODES, {"all": cats}).axes[0].texts


def test_a_flat_map_is_not_padded_to_a_square() -> None:
    def shape(width: float, height: float) -> float:
        points = np.array([[0.0, 0], [width, height]])
        figure = scatter_map("", CODES, {"": points})
        return figure.get_figheight() / figure.get_figwidth()

    assert [shape(4, 4), shape(4, 3), shape(100, 1)] == pytest.approx([1, 0.75, 0.6])
    assert shape(0, 0) == 1
