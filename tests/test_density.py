"""Densities over codes: what is fitted comes out again, and distances are the known ones."""

import math
import sys

import pytest
import torch
from torch import Tensor

from aecli.errors import UsageError
from aecli.latent.density import (
    MIXTURE_CODES,
    Gaussian,
    Mixture,
    fit_diagonal,
    fit_full,
    fit_mixture,
    frechet_distance,
    gaussian,
)

COVARIANCE = torch.tensor([[4.0, 1.5], [1.5, 1.0]])  # a correlation of 0.75


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def correlated(count: int = 20_000) -> Tensor:
    noise = torch.randn(count, 2, generator=generator())
    codes: Tensor = noise @ torch.linalg.cholesky(COVARIANCE).T + torch.tensor([3.0, -1.0])
    return codes


def part(mean: list[float], covariance: list[list[float]]) -> Gaussian:
    return Gaussian(torch.tensor(mean).double(), torch.tensor(covariance).double())


def test_a_gaussian_has_the_mean_and_the_covariance_of_its_rows() -> None:
    found = gaussian(torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0], [2.0, 4.0]]))
    assert found.mean.tolist() == [1, 2]
    assert found.covariance.tolist() == [[1, 0], [0, 4]]
    assert gaussian(torch.tensor([[1.0], [3.0]])).covariance.tolist() == [[1]]  # of one number


def test_draws_have_the_mean_and_the_covariance_that_was_fitted() -> None:
    codes = correlated()
    drawn = gaussian(fit_full(codes).draw(50_000, generator(1)))
    assert drawn.mean.tolist() == pytest.approx([3, -1], abs=0.05)
    assert torch.allclose(drawn.covariance, COVARIANCE.double(), atol=0.08)


def test_a_diagonal_gaussian_keeps_the_variances_and_loses_the_correlation() -> None:
    drawn = gaussian(fit_diagonal(correlated()).draw(50_000, generator(1)))
    assert drawn.mean.tolist() == pytest.approx([3, -1], abs=0.05)
    assert torch.allclose(drawn.covariance, COVARIANCE.diag().diag().double(), atol=0.08)


def test_a_dead_unit_is_constant_in_every_density() -> None:
    codes = torch.cat([correlated(2000), torch.full((2000, 1), 0.25)], dim=1)
    for density in (fit_diagonal(codes), fit_full(codes), fit_mixture(codes, 3, seed=0)):
        drawn = density.draw(500, generator())
        assert torch.allclose(drawn[:, 2], torch.tensor(0.25), atol=1e-6)
        assert drawn[:, 0].std() > 1


def test_codes_on_a_line_are_drawn_on_that_line() -> None:
    t = torch.randn(2000, 1, generator=generator())
    codes = torch.cat([t, 2 * t + 1], dim=1)  # the covariance is singular, and no number is dead
    for density in (fit_full(codes), fit_mixture(codes, 2, seed=0)):
        drawn = density.draw(1000, generator(1))
        assert torch.allclose(drawn[:, 1], 2 * drawn[:, 0] + 1, atol=1e-5)
        assert drawn[:, 0].std().item() == pytest.approx(1, abs=0.1)


def test_codes_that_are_all_the_same_are_drawn_again() -> None:
    codes = torch.full((50, 3), 2.0)
    for density in (fit_diagonal(codes), fit_full(codes), fit_mixture(codes, 4, seed=0)):
        assert torch.allclose(density.draw(5, generator()), codes[:5])


def test_a_mixture_finds_two_clusters() -> None:
    noise = torch.randn(4000, 2, generator=generator())
    centres = torch.tensor([[-10.0, 0.0], [10.0, 5.0]])
    spread = torch.tensor([1.0, 2.0])
    which = (torch.arange(4000) % 4 == 0).long()  # a quarter is in the second cluster
    found = fit_mixture(noise * spread[which].unsqueeze(1) + centres[which], 2, seed=0)
    first, second = sorted(range(2), key=lambda number: found.components[number].mean[0].item())
    assert found.weights[[first, second]].tolist() == pytest.approx([0.75, 0.25], abs=0.01)
    for number, centre, std in ((first, [-10, 0], 1.0), (second, [10, 5], 2.0)):
        its = found.components[number]
        assert its.mean.tolist() == pytest.approx(centre, abs=0.2)
        assert its.covariance.diagonal().sqrt().tolist() == pytest.approx([std, std], rel=0.06)
        assert abs(its.covariance[0, 1]) < 0.06 * std**2
    drawn = found.draw(4000, generator(1))
    assert ((drawn[:, 0] > 0).double().mean()).item() == pytest.approx(0.25, abs=0.03)
    assert (abs(drawn[:, 0]) > 3).all()  # a single Gaussian would fill the gap between them


def test_a_mixture_depends_on_its_seed_and_not_on_the_scale() -> None:
    codes = correlated(1000)
    once, again = fit_mixture(codes, 3, seed=1), fit_mixture(codes, 3, seed=1)
    assert torch.equal(once.draw(10, generator()), again.draw(10, generator()))
    small = fit_mixture(codes * 1e-4, 3, seed=1)
    assert torch.allclose(small.weights, once.weights, atol=1e-3)
    for tiny, usual in zip(small.components, once.components, strict=True):
        assert torch.allclose(tiny.covariance * 1e8, usual.covariance, rtol=0.01, atol=0.01)


@pytest.mark.parametrize("period", [2, 3, 4, 40_000])
def test_a_mixture_of_many_codes_does_not_depend_on_their_order(period: int) -> None:
    phase = torch.arange(4 * MIXTURE_CODES) % period / (period - 1)  # from 0 to 1, evenly
    (only,) = fit_mixture(phase.reshape(-1, 1), 1, seed=0).components
    assert only.mean.item() == pytest.approx(phase.mean().item(), abs=0.02)
    assert only.covariance.item() == pytest.approx(phase.var().item(), rel=0.03)


def test_components_are_drawn_by_their_weights() -> None:
    parts = [part([0.0], [[0.0]]), part([1.0], [[0.0]])]
    drawn = Mixture(torch.tensor([0.2, 0.8]), parts).draw(10_000, generator())
    assert drawn.unique().tolist() == [0, 1]
    assert drawn.mean().item() == pytest.approx(0.8, abs=0.02)


def test_without_scikit_learn_a_mixture_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.mixture", None)
    with pytest.raises(UsageError, match=r"density=gmm is an extra: pip install 'aecli\[uses\]'"):
        fit_mixture(correlated(50), 2, seed=0)
    assert fit_full(correlated(50)).draw(2, generator()).shape == (2, 2)


def test_the_distance_of_equal_sets_is_0() -> None:
    rows = correlated(500)
    assert frechet_distance(gaussian(rows), gaussian(rows)) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(gaussian(rows), gaussian(rows.flip(0))) == pytest.approx(0, abs=1e-9)


def test_with_equal_covariances_the_means_alone_count() -> None:
    covariance = COVARIANCE.tolist()
    first, second = part([0.0, 0.0], covariance), part([3.0, 4.0], covariance)
    assert frechet_distance(first, second) == pytest.approx(25)


def test_between_diagonal_gaussians_the_deviations_count() -> None:
    # (2 - 1)^2 + (sqrt(3) - 0)^2 of the deviations, and 1 of the means; one direction is flat.
    first, second = part([0.0, 1.0], [[4.0, 0], [0, 3.0]]), part([0.0, 0.0], [[1.0, 0], [0, 0]])
    assert frechet_distance(first, second) == pytest.approx(1 + 3 + 1)
    assert frechet_distance(second, first) == pytest.approx(1 + 3 + 1)


def test_a_correlation_counts_with_equal_deviations() -> None:
    # (C1 C2)^1/2 has the trace sqrt(1.5) + sqrt(0.5): of C2's eigenvalues, C1 being 1.
    first = part([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])
    second = part([0.0, 0.0], [[1.0, 0.5], [0.5, 1.0]])
    expected = 2 + 2 - 2 * (math.sqrt(1.5) + math.sqrt(0.5))
    assert frechet_distance(first, second) == pytest.approx(expected)


def test_the_distance_is_that_of_the_matrix_root() -> None:
    from scipy.linalg import sqrtm

    draws = torch.randn(2, 30, 5, generator=generator(), dtype=torch.float64)
    first, second = gaussian(draws[0]), gaussian(draws[1] * torch.arange(1, 6) + 0.5)
    root = torch.from_numpy(sqrtm((first.covariance @ second.covariance).numpy()).real)
    expected = (first.mean - second.mean).square().sum() + (
        first.covariance + second.covariance - 2 * root
    ).trace()
    assert frechet_distance(first, second) == pytest.approx(expected.item(), rel=1e-9)
