"""Densities over codes: fitted, drawn from, and compared."""

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from aecli.errors import UsageError

MIXTURE_CODES = 10_000  # that a mixture is fitted to, at most: a few seconds
ROUNDING = 1e-9  # of the largest variance: what is below it is rounding, and no variance


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution, which may be flat: a variance of 0 in some directions.

    A code unit that is dead, such as a ReLU that is never on, makes it so.
    """

    mean: Tensor  # (D,), double precision
    covariance: Tensor  # (D, D), likewise

    @property
    def root(self) -> Tensor:
        """The symmetric square root of the covariance, (D, D).

        By its eigenvectors, which a singular covariance has as well: where a variance is 0 so is
        its root, and no draw leaves the mean there. Nothing is added to the diagonal.
        """
        variances, directions = torch.linalg.eigh(self.covariance)
        root: Tensor = directions * variances.clamp(min=0).sqrt() @ directions.T
        return root


@dataclass(frozen=True)
class Mixture:
    """A sum of Gaussians, each with its share; of a single one, that Gaussian."""

    weights: Tensor  # (K,), which sum to 1
    components: list[Gaussian]

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Codes (count, D), independent of one another."""
        chosen = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        size = len(self.components[0].mean)
        noise = torch.randn(count, size, generator=generator, dtype=torch.float64)
        codes = torch.empty_like(noise)
        for number, part in enumerate(self.components):
            its = chosen == number
            codes[its] = part.mean + noise[its] @ part.root
        return codes.float()


def gaussian(rows: Tensor) -> Gaussian:
    """The Gaussian of the greatest likelihood, with all covariances: rows (N, D)."""
    rows = rows.cpu().double()
    mean = rows.mean(0)
    return Gaussian(mean, torch.cov(rows.T, correction=0).reshape(len(mean), len(mean)))


def fit_diagonal(codes: Tensor) -> Mixture:
    """Each number of `codes` (N, D) by itself: its mean and its variance, and no correlations."""
    full = gaussian(codes)
    return _single(Gaussian(full.mean, full.covariance.diagonal().diag()))


def fit_full(codes: Tensor) -> Mixture:
    """The mean and all covariances of `codes` (N, D)."""
    return _single(gaussian(codes))


def fit_mixture(codes: Tensor, components: int, seed: int) -> Mixture:
    """`components` Gaussians with all covariances, by expectation maximisation from k-means.

    scikit-learn does not take codes that are flat. So it sees them in the directions in which they
    vary, and in units of their mean deviation there, as its `reg_covar` of 1e-6 expects. If it has
    not converged after its 100 steps, what it has by then is good enough to be drawn from.

    Args:
        codes: (N, D), of which `MIXTURE_CODES` are drawn where there are more. Not every so many:
            a file may have an order, as MNIST's, whose even images differ from its odd ones; with
            an even step a mixture came out twice as far from the test images.
        components: at least 1, and no more than there are codes.
        seed: of the codes that are drawn, and of k-means.

    Raises:
        UsageError: scikit-learn is not installed.
    """
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed))
    codes = codes.cpu()[order[:MIXTURE_CODES]]
    whole = gaussian(codes)
    variances, directions = torch.linalg.eigh(whole.covariance)
    varies = variances > ROUNDING * variances.max()
    if not varies.any():
        return _single(whole)
    deviation = variances[varies].mean().sqrt()
    basis = directions[:, varies]  # (D, R)
    rows = (codes.double() - whole.mean) @ basis / deviation  # (N, R)
    found = _maximise_expectation(rows, components, seed)
    back = deviation * basis
    parts = [
        Gaussian(whole.mean + back @ part.mean, back @ part.covariance @ back.T)
        for part in found.components
    ]
    return Mixture(found.weights, parts)


def _maximise_expectation(rows: Tensor, components: int, seed: int) -> Mixture:
    """By scikit-learn, without its word on having stopped early."""
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture
    except ImportError as error:
        raise UsageError("density=gmm is an extra: pip install 'aecli[uses]'") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = GaussianMixture(components, random_state=seed).fit(rows.numpy())
    shares, means, covariances = (
        torch.from_numpy(each) for each in (found.weights_, found.means_, found.covariances_)
    )
    parts = [Gaussian(*each) for each in zip(means, covariances, strict=True)]
    return Mixture(shares, parts)


def _single(part: Gaussian) -> Mixture:
    return Mixture(torch.ones(1), [part])


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1^1/2 C2 C1^1/2)^1/2), in squared units of the features.

    The squared Frechet distance of two Gaussians (Dowson and Landau, "The Frechet distance between
    multivariate normal distributions", 1982), which Heusel et al. ("GANs trained by a two
    time-scale update rule converge to a local Nash equilibrium", 2017) measure between features of
    real images and of generated ones, and call by that name without the square. The trace of the
    last root is the sum of the roots of the eigenvalues, which singular covariances have as well.
    """
    root = first.root
    product = torch.linalg.eigvalsh(root @ second.covariance @ root)
    common = product.clamp(min=0).sqrt().sum()
    apart = (first.mean - second.mean).square().sum()
    spread = first.covariance.trace() + second.covariance.trace() - 2 * common
    return max(0.0, float(apart + spread))
