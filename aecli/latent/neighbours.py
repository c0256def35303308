"""The nearest neighbours among features: which class is around a point."""

import torch
from torch import Tensor

CHUNK_NUMBERS = 2**25  # distances in memory at a time


@torch.inference_mode()
def nearest_neighbours(rows: Tensor, others: Tensor, k: int) -> Tensor:
    """Which of the `others` are the nearest to each of the `rows`, by Euclidean distance.

    By all distances, and in chunks of the rows, so that memory does not grow with them.

    Args:
        rows: (M, D).
        others: (N, D).
        k: at least 1, and at most N.

    Returns:
        Their numbers (M, k), the nearest first.
    """
    mean = others.mean(0)  # far from the origin, rounding would take the place of distances
    columns = others - mean
    squares = columns.square().sum(1)  # (N,)
    chunk = max(1, CHUNK_NUMBERS // len(others))
    numbers = []
    for some in (rows - mean).split(chunk):
        distances = torch.addmm(squares, some, columns.T, alpha=-2)  # less the rows' own squares
        numbers.append(distances.topk(k, dim=1, largest=False).indices)
    return torch.cat(numbers)


def majority(labels: Tensor) -> Tensor:
    """The class that most of the neighbours are of.

    Of several with as many neighbours it is the one to which the nearest of these belongs.

    Args:
        labels: of the neighbours (M, k), those of the nearest first.

    Returns:
        (M,)
    """
    votes = (labels.unsqueeze(1) == labels.unsqueeze(2)).sum(2)  # (M, k): for each one's class
    return labels.gather(1, votes.argmax(1, keepdim=True)).squeeze(1)  # the first, where they tie


def neighbour_accuracy(
    features: Tensor, labels: Tensor, known: Tensor, known_labels: Tensor, k: int
) -> float:
    """The share of `features` (M, D) that have the class of most of their `k` neighbours.

    These are the nearest among the `known` features (N, D), of which there are at least `k`.
    """
    found = majority(known_labels[nearest_neighbours(features, known, k)])
    return int((found == labels).sum()) / len(labels)
