"""Trustworthiness and continuity, by hand and as scikit-learn computes them."""

import pytest
import torch
from torch import Tensor

from aecli.latent.neighbourhoods import neighbour_ranks, trustworthiness

LINE = torch.tensor([[0.0], [1.0], [3.0], [7.0], [15.0]])
FOLDED = torch.tensor([[0.0], [1.0], [3.0], [7.0], [-0.5]])  # its end lies at its beginning
SWAPPED = torch.tensor([[0.0], [1.0], [3.0], [15.0], [7.0]])


def measured(points: Tensor, codes: Tensor, k: int) -> tuple[float, float]:
    """Trustworthiness and continuity of `codes` of `points`."""
    ranks, code_ranks = neighbour_ranks(points), neighbour_ranks(codes)
    return trustworthiness(ranks, code_ranks, k), trustworthiness(code_ranks, ranks, k)


def test_ranks_count_from_the_nearest_other_point() -> None:
    assert neighbour_ranks(LINE).tolist() == [
        [0, 1, 2, 3, 4],
        [1, 0, 2, 3, 4],
        [2, 1, 0, 3, 4],
        [3, 2, 1, 0, 4],
        [4, 3, 2, 1, 0],
    ]


def test_codes_that_keep_the_order_of_distances_are_perfect() -> None:
    for codes in (LINE, 5 - 2 * LINE, LINE.expand(5, 3) + 1e4):
        for k in (1, 2):
            assert measured(LINE, codes, k) == (1, 1)


def test_intruders_lower_trustworthiness_and_lost_neighbours_lower_continuity() -> None:
    # By code the end (15) is nearest to the beginning (0), and the other way round; by the line it
    # has rank 4 there: 3 too many for each of the two, of at most 15.
    # By the line 1 is nearest to 0, and by code has rank 2; 7 is nearest to 15, and has rank 4.
    assert measured(LINE, FOLDED, 1) == pytest.approx((1 - 6 / 15, 1 - 4 / 15))
    # By code 7 is nearest to 15, which has rank 4 there, and 3 to 7, which has rank 2.
    assert measured(LINE, SWAPPED, 1) == pytest.approx((1 - 4 / 15, 1 - 4 / 15))


def test_equal_codes_have_no_neighbours_but_by_chance() -> None:
    points = torch.randn(400, 5, generator=torch.Generator().manual_seed(0))
    for each in measured(points, torch.zeros(400, 2), 10):
        assert each == pytest.approx(0.5, abs=0.05)


def test_both_agree_with_scikit_learn() -> None:
    manifold = pytest.importorskip("sklearn.manifold")
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(300, 6, generator=generator) * torch.tensor([9.0, 7, 5, 3, 2, 1])
    codes = points[:, :2] + torch.randn(300, 2, generator=generator)
    for k in (1, 10, 149):
        reference = [
            manifold.trustworthiness(a.numpy(), b.numpy(), n_neighbors=k)
            for a, b in ((points, codes), (codes, points))
        ]
        assert measured(points, codes, k) == pytest.approx(reference)
        assert len(set(reference)) == 2
