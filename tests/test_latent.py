"""Ways through a latent space."""

import math

import pytest
import torch

from aecli.latent.interpolation import spherical, straight
from aecli.latent.neighbours import nearest


def test_a_straight_line_has_equal_steps_and_both_ends() -> None:
    start, end = torch.tensor([[0.0, 4.0], [1.0, 1.0]]), torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    assert straight(start, end, 3).tolist() == [[[0, 4], [1, 2], [2, 0]], [[1, 1], [1, 2], [1, 3]]]


def test_images_are_mixed_like_codes() -> None:
    black, white = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    line = straight(black, white, 5)
    assert line.shape == (1, 5, 3, 2, 2)
    assert line[0, :, 0, 0, 0].tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_an_arc_keeps_the_length_and_has_equal_angles() -> None:
    # From (2, 0) to (0, 2): a quarter of a circle of radius 2.
    arc = spherical(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]]), 4)[0]
    for number, point in enumerate(arc.tolist()):
        angle = number * math.pi / 6
        assert point == pytest.approx([2 * math.cos(angle), 2 * math.sin(angle)], abs=1e-6)


def test_the_length_changes_in_equal_steps_even_between_codes_that_are_almost_opposite() -> None:
    start, end = torch.tensor([[2.0, 0.0]]), torch.tensor([[-5.0, 0.01]])
    arc = spherical(start, end, 4)[0]
    assert arc.norm(dim=1).tolist() == pytest.approx([2, 3, 4, 5], rel=1e-4)
    angles = torch.atan2(arc[:, 1], arc[:, 0])
    assert angles.diff().tolist() == pytest.approx([(math.pi - 0.002) / 3] * 3, rel=1e-3)


def test_an_arc_between_codes_of_different_length_has_both_ends() -> None:
    start, end = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    arcs = spherical(start, 3 * end, 6)
    assert torch.allclose(arcs[:, 0], start, atol=1e-5)
    assert torch.allclose(arcs[:, -1], 3 * end, atol=1e-5)


@pytest.mark.parametrize(
    ("start", "end"),
    [([1.0, 2.0], [2.0, 4.0]), ([1.0, 0.0], [-1.0, 0.0]), ([0.0, 0.0], [1.0, 1.0]),
     ([1.0, 1.0], [0.0, 0.0]), ([3.0, 1.0], [3.0, 1.0])],
    ids=["parallel", "opposite", "from the origin", "to the origin", "nowhere"],
)  # fmt: skip
def test_without_a_unique_arc_the_line_is_straight(start: list[float], end: list[float]) -> None:
    first, second = torch.tensor([start]), torch.tensor([end])
    assert torch.allclose(spherical(first, second, 5), straight(first, second, 5), atol=1e-4)


def test_the_nearest_image_is_found_with_its_error() -> None:
    others = torch.stack([torch.full((1, 2, 2), level) for level in (0.0, 0.5, 1.0)])
    images = torch.stack([torch.full((1, 2, 2), level) for level in (0.9, 0.4, 0.5)])
    errors, which = nearest(images, others)
    assert which.tolist() == [2, 1, 1]
    assert errors.tolist() == pytest.approx([0.01, 0.01, 0], abs=1e-6)
