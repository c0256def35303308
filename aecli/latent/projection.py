"""Codes on a plane: by their principal components, or so that neighbours stay neighbours."""

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from aecli.errors import UsageError
from aecli.latent.density import gaussian

# The neighbours that a code is kept near to: the usual numbers, where there are as many codes.
PERPLEXITY, UMAP_NEIGHBOURS = 30, 15
MIN_CODES = 5  # of which t-SNE and UMAP make a map


@dataclass(frozen=True)
class Principal:
    """Codes along the two directions in which others vary most."""

    points: Tensor  # (N, 2)
    shares: list[float]
    """Of the variance of those others, by direction."""


def principal(codes: Tensor, others: Tensor) -> Principal:
    """`codes` (N, D) by the first two principal components of `others` (M, D).

    Codes of a single number vary in one direction, and lie on a line. A direction and its opposite
    are as good; its largest part is taken to be above 0.
    """
    fitted = gaussian(_wide(others))
    variances, directions = torch.linalg.eigh(fitted.covariance)  # smallest variance first
    variances, directions = variances.flip(0).clamp(min=0), directions.flip(1)[:, :2]
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))  # (1, 2)
    points = (_wide(codes).cpu().double() - fitted.mean) @ (directions * largest.sign())
    total = variances.sum().clamp(min=torch.finfo(variances.dtype).tiny)  # where nothing varies
    return Principal(points, (variances[:2] / total).tolist())


def t_sne(codes: Tensor) -> Tensor:
    """A map of `codes` (N, D), (N, 2), that keeps near what is near (van der Maaten and Hinton,
    "Visualizing data using t-SNE", 2008). It has no unit, and far distances mean little. It begins
    with the principal components, so that it is always the same.

    Raises:
        UsageError: scikit-learn is not installed, or there are too few codes.
    """
    _enough("tsne", codes)
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise UsageError("map=tsne is an extra: pip install 'aecli[uses]'") from error
    perplexity = min(PERPLEXITY, (len(codes) - 1) / 3)
    varied = torch.linalg.matrix_rank(codes - codes.mean(0)) > 1  # or all would stay on a line
    how = TSNE(
        perplexity=perplexity,
        init="pca" if varied else "random",
        random_state=0,
        n_jobs=-1,
    )
    return torch.from_numpy(how.fit_transform(_wide(codes).cpu().numpy()))


def umap(codes: Tensor, seed: int) -> Tensor:
    """A map of `codes` (N, D), (N, 2), that keeps neighbours (McInnes et al., "UMAP: uniform
    manifold approximation and projection", 2018). It has no unit, and far distances mean little.

    Raises:
        UsageError: umap-learn is not installed, or there are too few codes.
    """
    _enough("umap", codes)
    with warnings.catch_warnings():
        # Of TensorFlow, which only another of its maps needs, and of what it does with few codes.
        warnings.simplefilter("ignore")
        try:
            from umap import UMAP
        except ImportError as error:
            raise UsageError("map=umap is an extra: pip install 'aecli[umap]'") from error
        neighbours = min(UMAP_NEIGHBOURS, len(codes) - 1)
        # With several threads the same seed would not give the same map.
        how = UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1)
        return torch.from_numpy(how.fit_transform(_wide(codes).cpu().numpy()))


def _wide(codes: Tensor) -> Tensor:
    """Codes of at least two numbers: a further one of 0 changes no distance."""
    return pad(codes, (0, max(0, 2 - codes.shape[1])))


def _enough(kind: str, codes: Tensor) -> None:
    if len(codes) < MIN_CODES:
        raise UsageError(f"map={kind} needs {MIN_CODES} images or more, not {len(codes)}")
