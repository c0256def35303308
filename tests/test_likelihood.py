"""The likelihood by importance sampling, against closed forms."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from aecli.evaluation import likelihood
from aecli.evaluation.likelihood import (
    Likelihood,
    bernoulli_log_likelihood,
    importance_weighted,
)

NOISE = 0.7
MATRIX = torch.tensor([[1.0, 0.5], [-0.3, 2.0], [0.8, -1.0], [0.0, 0.4]], dtype=torch.float64)
OFFSET = torch.tensor([0.5, -1.0, 0.0, 2.0], dtype=torch.float64)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ignore(_: int) -> None:
    """Do nothing."""


def linear_decoder(images: Tensor, codes: Tensor) -> Tensor:
    """x = MATRIX z + OFFSET + NOISE e: factor analysis, whose marginal is known."""
    expected = Normal(codes @ MATRIX.T + OFFSET, NOISE)
    logarithms: Tensor = expected.log_prob(images.flatten(1)).sum(2)
    return logarithms


def drawn_images(count: int) -> Tensor:
    rows = torch.randn(count, 4, generator=generator(3), dtype=torch.float64) * 2
    return rows.reshape(count, 1, 2, 2)


def marginal(images: Tensor) -> Tensor:
    """The exact -log p(x) of the linear decoder."""
    covariance = MATRIX @ MATRIX.T + NOISE**2 * torch.eye(4)
    exact: Tensor = -MultivariateNormal(OFFSET, covariance).log_prob(images.flatten(1))
    return exact


def posterior(images: Tensor) -> tuple[Tensor, Tensor]:
    """The means of the exact posterior, with the inverse of its precisions' diagonal.

    The exact posterior has correlations, so it is not a diagonal one.
    """
    precision = torch.eye(MATRIX.shape[1]) + MATRIX.T @ MATRIX / NOISE**2
    rows = (images.flatten(1) - OFFSET) @ MATRIX / NOISE**2
    means = torch.linalg.solve(precision, rows.T).T
    return means, -precision.diagonal().log().expand(means.shape)


def test_many_codes_reach_the_marginal_likelihood_and_one_gives_a_bound() -> None:
    images = drawn_images(120)  # of several batches, the last one smaller
    exact = marginal(images)
    many = importance_weighted(images, posterior, linear_decoder, 3000, generator(), ignore)
    assert torch.allclose(many.per_image, exact, atol=0.1)
    assert many.mean == pytest.approx(exact.mean().item(), abs=0.01)
    one = importance_weighted(images, posterior, linear_decoder, 1, generator(), ignore)
    assert one.mean > exact.mean() + 0.05


def test_the_exact_posterior_needs_a_single_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.MATRIX", MATRIX[:, :1])  # one unit has no correlations
    images = drawn_images(7)
    found = importance_weighted(images, posterior, linear_decoder, 1, generator(), ignore)
    assert torch.allclose(found.per_image, marginal(images), atol=1e-9)


def test_chunks_of_codes_give_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    images, means = drawn_images(3), []

    def decoder(images: Tensor, codes: Tensor) -> Tensor:
        means.append(len(codes))
        return linear_decoder(images, codes)

    monkeypatch.setattr(likelihood, "NUMBERS_AT_A_TIME", 8 * likelihood.IMAGES_AT_A_TIME * 4)
    done: list[int] = []
    small = importance_weighted(images, posterior, decoder, 20, generator(), done.append)
    assert means == [8, 8, 4] and done == [3]
    monkeypatch.undo()
    whole = importance_weighted(images, posterior, linear_decoder, 20, generator(), ignore)
    assert torch.allclose(small.per_image, whole.per_image)  # the same draws


def test_log_weights_far_below_zero_do_not_underflow() -> None:
    images = torch.zeros(2, 1, 1, 1)

    def encoder(images: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros(2, 1), torch.zeros(2, 1)  # the prior: all weights are p(x | z)

    found = importance_weighted(
        images, encoder, lambda _, codes: torch.full(codes.shape[:2], -2000.0), 9, generator(),
        ignore,
    )  # fmt: skip
    assert found.per_image.tolist() == pytest.approx([2000, 2000])


def test_the_bernoulli_likelihood_by_hand() -> None:
    images = torch.tensor([[1.0, 0.0], [1.0, 1.0]]).reshape(2, 1, 1, 2)
    logit = math.log(3)  # a probability of 3/4
    logits = torch.tensor([[logit, logit], [0.0, -logit]]).reshape(2, 1, 1, 2).expand(5, 2, 1, 1, 2)
    found = bernoulli_log_likelihood(images, logits)
    assert found.shape == (5, 2)
    expected = [math.log(3 / 4 * 1 / 4), math.log(1 / 2 * 1 / 4)]
    assert found[4].tolist() == pytest.approx(expected)


def test_the_standard_error_is_over_the_images() -> None:
    found = Likelihood(torch.tensor([1.0, 2.0, 3.0, 6.0], dtype=torch.float64), 5)
    assert found.mean == 3
    assert found.standard_error == pytest.approx(math.sqrt(14 / 3 / 4))
    assert Likelihood(torch.ones(1), 5).standard_error is None
