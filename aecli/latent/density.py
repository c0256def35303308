"""Densities over codes: fitting, sampling and comparing."""

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from aecli.errors import missing_extra

MIXTURE_CODES = 10_000  # codes that a mixture is fitted to at most; takes a few seconds
ROUNDING = 1e-9  # relative to the largest variance; anything below is rounding


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution, possibly degenerate: the variance may be 0 in some directions.

    A dead code unit, such as a ReLU that never activates, makes it so.
    """

    mean: Tensor  # (D,), double precision
    covariance: Tensor  # (D, D), double precision

    @property
    def root(self) -> Tensor:
        """The symmetric square root of the covariance, (D, D).

        From its eigenvectors, which a singular covariance has as well: where a variance is 0, so
        is its root, and no sample leaves the mean there. Nothing is added to the diagonal.
        """
        variances, directions = torch.linalg.eigh(self.covariance)
        root: Tensor = directions * variances.clamp(min=0).sqrt() @ directions.T
        return root


@dataclass(frozen=True)
class Mixture:
    """A weighted sum of Gaussians, possibly of a single one."""

    weights: Tensor  # (K,), sum to 1
    components: list[Gaussian]

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw independent codes, (count, D)."""
        chosen = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        size = len(self.components[0].mean)
        noise = torch.randn(count, size, generator=generator, dtype=torch.float64)
        codes = torch.empty_like(noise)
        for index, component in enumerate(self.components):
            mask = chosen == index
            codes[mask] = component.mean + noise[mask] @ component.root
        return codes.float()


def gaussian(rows: Tensor) -> Gaussian:
    """The maximum likelihood Gaussian of rows (N, D), with full covariance."""
    rows = rows.cpu().double()
    mean = rows.mean(0)
    return Gaussian(mean, torch.cov(rows.T, correction=0).reshape(len(mean), len(mean)))


def standard_normal(latent: int) -> Mixture:
    """The density N(0, I) of codes of `latent` numbers: the prior of a variational autoencoder."""
    return _single(Gaussian(torch.zeros(latent).double(), torch.eye(latent).double()))


def fit_diagonal(codes: Tensor) -> Mixture:
    """Fit the mean and variance of each dimension of `codes` (N, D), without correlations."""
    full = gaussian(codes)
    return _single(Gaussian(full.mean, full.covariance.diagonal().diag()))


def fit_full(codes: Tensor) -> Mixture:
    """Fit the mean and full covariance of `codes` (N, D)."""
    return _single(gaussian(codes))


def fit_mixture(codes: Tensor, components: int, seed: int) -> Mixture:
    """Fit full-covariance Gaussians by expectation maximisation, initialised with k-means.

    scikit-learn does not accept degenerate codes. So they are projected onto the directions in
    which they vary, and scaled by their mean deviation there, as its `reg_covar` of 1e-6 expects.
    If it has not converged after its 100 steps, the result is good enough to sample from.

    Args:
        codes: (N, D), a random `MIXTURE_CODES` of them if there are more. Not every n-th: a file
            may be ordered, like MNIST's, whose even images differ from its odd ones; with an even
            step a mixture came out twice as far from the test images.
        components: at least 1 and at most the number of codes.
        seed: for the choice of codes, and for k-means.

    Raises:
        UsageError: scikit-learn is not installed.
    """
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed))
    codes = codes.cpu()[order[:MIXTURE_CODES]]
    full = gaussian(codes)
    variances, directions = torch.linalg.eigh(full.covariance)
    varies = variances > ROUNDING * variances.max()
    if not varies.any():
        return _single(full)
    deviation = variances[varies].mean().sqrt()
    basis = directions[:, varies]  # (D, R)
    rows = (codes.double() - full.mean) @ basis / deviation  # (N, R)
    mixture = _expectation_maximisation(rows, components, seed)
    scaled = deviation * basis
    parts = [
        Gaussian(full.mean + scaled @ part.mean, scaled @ part.covariance @ scaled.T)
        for part in mixture.components
    ]
    return Mixture(mixture.weights, parts)


def _expectation_maximisation(rows: Tensor, components: int, seed: int) -> Mixture:
    """Run scikit-learn's algorithm without the warning that it has not converged."""
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture
    except ImportError as error:
        raise missing_extra("density=gmm", "uses") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = GaussianMixture(components, random_state=seed).fit(rows.numpy())
    weights, means, covariances = (
        torch.from_numpy(each) for each in (fitted.weights_, fitted.means_, fitted.covariances_)
    )
    parts = [Gaussian(*each) for each in zip(means, covariances, strict=True)]
    return Mixture(weights, parts)


def _single(part: Gaussian) -> Mixture:
    return Mixture(torch.ones(1), [part])


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1^1/2 C2 C1^1/2)^1/2), in squared units of the features.

    The squared Fréchet distance of two Gaussians (Dowson and Landau, "The Fréchet distance between
    multivariate normal distributions", 1982), which Heusel et al. ("GANs trained by a two
    time-scale update rule converge to a local Nash equilibrium", 2017) measure between features of
    real and generated images, and call by that name without the square. The trace of the last
    root is the sum of the roots of the eigenvalues, which singular covariances have as well.
    """
    root = first.root
    product = torch.linalg.eigvalsh(root @ second.covariance @ root)
    common = product.clamp(min=0).sqrt().sum()
    apart = (first.mean - second.mean).square().sum()
    spread = first.covariance.trace() + second.covariance.trace() - 2 * common
    return max(0.0, float(apart + spread))
