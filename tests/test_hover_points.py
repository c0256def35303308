"""The points of charts: where they lie in the picture, and what is said of each."""

import pytest
from matplotlib.figure import Figure

from aecli.figures import (
    Curve,
    Point,
    error_by_latent,
    hover_points,
    score_by_family,
    study_losses,
    to_array,
)
from aecli.figures.hover_points import MAX_HOVER_POINTS


def drawn(figure: Figure) -> Figure:
    to_array(figure)
    return figure


def test_a_point_lies_where_it_is_drawn() -> None:
    figure = Figure((4, 2))
    axes = figure.add_axes((0.25, 0.5, 0.5, 0.25), xlim=(0, 4), ylim=(0, 10), ylabel="mse")
    axes.set_xlabel("epoch")
    axes.plot([1, 4, 5], [10, 5, 5], label="fc")  # the last is outside
    axes.plot([1, 2], [1, 1])  # without a name
    axes.axhline(5, label="PCA")
    first, second = hover_points(drawn(figure))
    assert first[:2] == pytest.approx((0.375, 0.25))
    assert second[:2] == pytest.approx((0.75, 0.375))
    assert (first.text, second.text) == ("fc · epoch 1: 10", "fc · epoch 4: 5")


def test_only_some_of_very_many_points_are_shown() -> None:
    for points, expected in (
        (MAX_HOVER_POINTS, MAX_HOVER_POINTS),
        (MAX_HOVER_POINTS + 1, (MAX_HOVER_POINTS + 2) // 2),
        (0, 0),
    ):
        figure = Figure()
        figure.add_subplot().plot(range(points), range(points), label="fc")
        assert len(hover_points(drawn(figure))) == expected


def test_the_charts_of_a_comparison_name_their_points() -> None:
    points = {"fc": [Point(2, 0.05, None), Point(5, 0.04, None)]}
    errors = error_by_latent("errors", points, {2: 0.045}, 0.1)
    assert [point.text for point in hover_points(drawn(errors))] == [
        "fc · latent size 2: 0.05",
        "fc · latent size 5: 0.04",
        "PCA · latent size 2: 0.045",
    ]
    curve = Curve("fc", train={1: 0.5, 2: 0.25}, validation={2: 0.3}, mse={2: 0.03})
    assert [point.text for point in hover_points(drawn(study_losses("losses", [curve])))] == [
        "fc, train · epoch 1: 0.5",
        "fc, train · epoch 2: 0.25",
        "fc · epoch 2: 0.3",
        "fc · epoch 2: 0.03",
    ]
    scores = score_by_family("scores", "ppm", points, 0.01, "test images")
    assert [point.text for point in hover_points(drawn(scores))] == [
        "fc, latent 2: 0.05",
        "fc, latent 5: 0.04",
    ]
