"""Codes on a plane: directions of a known variance, and maps that keep neighbours together."""

import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from aecli.errors import UsageError
from aecli.latent.projection import MIN_CODES, principal, t_sne, umap

PROJECTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tsne": t_sne,
    "umap": lambda codes: umap(codes, 0),
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clusters(count: int = 60) -> tuple[Tensor, Tensor]:
    """Two clusters that lie far apart in six dimensions."""
    labels = torch.arange(count) % 2
    return torch.randn(count, 6, generator=generator()) + 30 * labels.unsqueeze(1), labels


def test_points_of_a_plane_keep_their_distances() -> None:
    flat = torch.randn(200, 2, generator=generator()).double() * torch.tensor([3.0, 1.0])
    into = torch.linalg.qr(torch.randn(7, 7, generator=generator()).double()).Q[:2]  # isometric
    codes = flat @ into + 5
    found = principal(codes, codes)
    distances = torch.cdist(found.points, found.points)
    assert torch.allclose(distances, torch.cdist(flat, flat), atol=1e-6)
    variances = found.points.var(0)
    assert variances[0] > variances[1]
    assert sum(found.explained_variance_ratio) == pytest.approx(1)
    assert found.explained_variance_ratio[0] == pytest.approx(
        (variances[0] / variances.sum()).item()
    )


def test_the_largest_part_of_a_direction_is_above_0() -> None:
    for seed in range(5):
        others = torch.randn(50, 4, generator=generator(seed))
        directions = principal(torch.eye(4) + others.mean(0), others).points  # (4, 2)
        assert torch.equal(directions.abs().amax(0), directions.amax(0))
        assert torch.allclose(directions.norm(dim=0), torch.ones(2).double(), atol=1e-5)


def test_the_directions_are_those_of_the_others() -> None:
    others = torch.tensor([[0.0, -9.0, 1.0], [0.0, 9.0, 1.0], [-2.0, 0.0, 1.0], [2.0, 0.0, 1.0]])
    found = principal(torch.tensor([[1.0, 2.0, 3.0]]), others)
    assert found.points.tolist() == [pytest.approx([2, 1])]
    assert found.explained_variance_ratio == pytest.approx([81 / 85, 4 / 85])


def test_codes_of_one_number_lie_on_a_line_and_equal_codes_on_a_point() -> None:
    codes = torch.tensor([[1.0], [3.0], [8.0]])
    assert principal(codes, codes).points.tolist() == [[-3, 0], [-1, 0], [4, 0]]
    same = principal(torch.full((3, 4), 2.0), torch.full((5, 4), 2.0))
    assert same.points.abs().max() < 1e-6 and same.explained_variance_ratio == [0, 0]


def assert_apart(points: Tensor, labels: Tensor) -> None:
    """The nearest point is of the same cluster, for every point."""
    assert points.shape == (len(labels), 2)
    distances = torch.cdist(points, points).fill_diagonal_(torch.inf)
    assert torch.equal(labels[distances.argmin(1)], labels)


def test_t_sne_keeps_clusters_apart_and_is_always_the_same() -> None:
    codes, labels = clusters()
    points = t_sne(codes)
    assert_apart(points, labels)
    assert torch.equal(points, t_sne(codes))


def test_umap_keeps_clusters_apart_and_follows_its_seed() -> None:
    codes, labels = clusters()
    points = umap(codes, 0)
    assert_apart(points, labels)
    assert torch.equal(points, umap(codes, 0))
    assert not torch.equal(points, umap(codes, 1))
    assert umap(codes[:MIN_CODES], 0).isfinite().all()


def test_umap_leaves_the_number_of_threads_as_it_is() -> None:
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            umap(torch.randn(MIN_CODES, 2, generator=generator()), 0)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_too_few_codes_have_no_map_of_neighbours() -> None:
    codes, _ = clusters(MIN_CODES)
    assert t_sne(codes).isfinite().all()
    for kind, project in PROJECTIONS.items():
        with pytest.raises(UsageError, match=f"^map={kind} needs 5 images or more, not 4$"):
            project(codes[1:])


def test_codes_of_one_number_or_of_one_place_do_not_stay_on_a_line() -> None:
    one_number = torch.randn(30, 1, generator=generator())
    assert (t_sne(one_number).std(0) > 0.1).all()
    # How far equal codes are moved apart depends on rounding.
    shorter, longer = t_sne(torch.full((30, 4), 2.0)).std(0).sort().values
    assert shorter > 0.1 * longer and shorter > 1e-3  # they begin at a deviation of 1e-4


@pytest.mark.parametrize(
    ("kind", "library", "extra"), [("tsne", "sklearn.manifold", "uses"), ("umap", "umap", "umap")]
)
def test_a_missing_library_is_named_with_what_to_install(
    kind: str, library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    expected = rf"^map={kind} is an extra: pip install 'aecli\[{extra}\]'$"
    with pytest.raises(UsageError, match=expected):
        PROJECTIONS[kind](clusters()[0])
