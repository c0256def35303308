"""Nearest neighbours: among features, with the class they vote for, and among images."""

import torch
from torch import Tensor

from aecli.data.batches import ordered_batches

CHUNK_NUMBERS = 2**25  # distances in memory at a time
SEARCH_BATCH = 5000  # images searched at a time for the nearest one


@torch.inference_mode()
def nearest_neighbours(rows: Tensor, others: Tensor, k: int) -> Tensor:
    """Find the `k` of `others` that are nearest to each of `rows`, by Euclidean distance.

    Computes all distances, in chunks of rows, so that memory does not grow with them.

    Args:
        rows: (M, D).
        others: (N, D).
        k: at least 1, and at most N.

    Returns:
        Their indices (M, k), nearest first.
    """
    mean = others.mean(0)  # far from the origin, rounding would swamp the distances
    columns = others - mean
    squares = columns.square().sum(1)  # (N,)
    chunk = max(1, CHUNK_NUMBERS // len(others))
    indices = []
    for part in (rows - mean).split(chunk):
        distances = torch.addmm(squares, part, columns.T, alpha=-2)  # without the rows' own squares
        indices.append(distances.topk(k, dim=1, largest=False).indices)
    return torch.cat(indices)


def majority(labels: Tensor) -> Tensor:
    """The most common class among the neighbours.

    A tie goes to the class of the nearest neighbour among the tied classes.

    Args:
        labels: of the neighbours (M, k), nearest first.

    Returns:
        (M,)
    """
    votes = (labels.unsqueeze(1) == labels.unsqueeze(2)).sum(2)  # (M, k): for its class
    return labels.gather(1, votes.argmax(1, keepdim=True)).squeeze(1)  # the nearest on a tie


def neighbour_accuracy(
    features: Tensor, labels: Tensor, known: Tensor, known_labels: Tensor, k: int
) -> float:
    """The share of `features` (M, D) that have the majority class of their `k` neighbours.

    The neighbours are the nearest of the `known` features (N, D), of which there are at least `k`.
    """
    found = majority(known_labels[nearest_neighbours(features, known, k)])
    return int((found == labels).sum()) / len(labels)


@torch.inference_mode()
def nearest_image(pixels: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """For each of `pixels` (K, C, H, W), find the nearest of the uint8 `images` (N, C, H, W).

    Returns:
        The mse to it (K,), and its index (K,).
    """
    best = torch.full((len(pixels),), torch.inf, device=pixels.device)
    indices = torch.zeros(len(pixels), dtype=torch.int64, device=pixels.device)
    for batch, others in enumerate(ordered_batches(images, SEARCH_BATCH)):
        errors, batch_indices = nearest(pixels, others)
        indices = torch.where(errors < best, batch * SEARCH_BATCH + batch_indices, indices)
        best = torch.minimum(best, errors)
    return best, indices


def nearest(images: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """For each image, find the one of `others` with the smallest mean squared error.

    Args:
        images: (K, C, H, W).
        others: (N, C, H, W).

    Returns:
        The smallest errors (K,), and their indices (K,).
    """
    rows, columns = images.flatten(1), others.flatten(1)
    squares = columns.square().sum(1) - 2 * rows @ columns.T  # (K, N), without the images' own
    best = squares.min(1)
    errors = (best.values + rows.square().sum(1)).clamp_(min=0) / rows.shape[1]
    return errors, best.indices
