"""Codes projected to two dimensions: by principal components, t-SNE or UMAP."""

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from aecli.errors import UsageError, missing_extra
from aecli.latent.density import gaussian

# Neighbours near which a code is kept: the usual values, or fewer if there are few codes.
PERPLEXITY, UMAP_NEIGHBOURS = 30, 15
MIN_CODES = 5  # codes that t-SNE and UMAP need


@dataclass(frozen=True)
class PrincipalProjection:
    """Codes projected onto the first two principal components of a reference set."""

    points: Tensor  # (N, 2)
    explained_variance_ratio: list[float]
    """The share of the reference set's variance along each direction."""


@dataclass(frozen=True)
class Directions:
    """The directions of largest variance of codes, that of the largest first."""

    mean: Tensor  # (D,), double precision
    vectors: Tensor  # (K, D), double precision, of length 1
    deviations: Tensor  # (K,): the standard deviation along each
    explained_variance_ratio: list[float]
    """The share of the variance along each direction."""


def principal_directions(codes: Tensor, count: int) -> Directions:
    """The first `count` principal components of codes (M, D), or all if there are fewer.

    The sign of a direction is arbitrary; it is chosen so that the largest component is positive.
    """
    fitted = gaussian(codes)
    variances, directions = torch.linalg.eigh(fitted.covariance)  # smallest variance first
    variances, directions = variances.flip(0).clamp(min=0), directions.flip(1)[:, :count]
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))  # (1, K)
    total = variances.sum().clamp(min=torch.finfo(variances.dtype).tiny)  # if nothing varies
    vectors, variances = (directions * largest.sign()).T, variances[:count]
    return Directions(fitted.mean, vectors, variances.sqrt(), (variances / total).tolist())


def principal(codes: Tensor, others: Tensor) -> PrincipalProjection:
    """Project `codes` (N, D) onto the first two principal components of `others` (M, D).

    Codes of size 1 vary in one direction and lie on a line.
    """
    found = principal_directions(_pad_to_two(others), 2)
    points = (_pad_to_two(codes).cpu().double() - found.mean) @ found.vectors.T
    return PrincipalProjection(points, found.explained_variance_ratio)


def t_sne(codes: Tensor) -> Tensor:
    """Map `codes` (N, D) to (N, 2) so that near codes stay near (van der Maaten and Hinton,
    "Visualizing data using t-SNE", 2008). The map has no unit, and large distances mean little. It
    starts from the principal components, or from a fixed seed if the codes are on a line, so that
    it is deterministic.

    Raises:
        UsageError: scikit-learn is not installed, or there are too few codes.
    """
    _check_count("tsne", codes)
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise missing_extra("map=tsne", "uses") from error
    perplexity = min(PERPLEXITY, (len(codes) - 1) / 3)
    varied = torch.linalg.matrix_rank(codes - codes.mean(0)) > 1  # if not, all stay on a line
    tsne = TSNE(
        perplexity=perplexity,
        init="pca" if varied else "random",
        random_state=0,
        n_jobs=-1,
    )
    return torch.from_numpy(tsne.fit_transform(_pad_to_two(codes).cpu().numpy()))


def umap(codes: Tensor, seed: int) -> Tensor:
    """Map `codes` (N, D) to (N, 2) so that neighbours stay neighbours (McInnes et al., "UMAP:
    uniform manifold approximation and projection", 2018). The map has no unit, and large distances
    mean little.

    Raises:
        UsageError: umap-learn is not installed, or there are too few codes.
    """
    _check_count("umap", codes)
    with warnings.catch_warnings():
        # About TensorFlow, which only another of its maps needs, and about few codes.
        warnings.simplefilter("ignore")
        try:
            from umap import UMAP
        except ImportError as error:
            raise missing_extra("map=umap", "umap") from error
        neighbours = min(UMAP_NEIGHBOURS, len(codes) - 1)
        # With several threads the same seed would not give the same map.
        reducer = UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1)
        threads = torch.get_num_threads()
        try:
            return torch.from_numpy(reducer.fit_transform(_pad_to_two(codes).cpu().numpy()))
        finally:
            # Numba changes the number of threads for all of OpenMP, and later sums would be rounded
            # differently.
            torch.set_num_threads(threads)


def _pad_to_two(codes: Tensor) -> Tensor:
    """Pad codes of size 1 to 2: a second value of 0 changes no distance."""
    return pad(codes, (0, max(0, 2 - codes.shape[1])))


def _check_count(kind: str, codes: Tensor) -> None:
    if len(codes) < MIN_CODES:
        raise UsageError(f"map={kind} needs {MIN_CODES} images or more, not {len(codes)}")
