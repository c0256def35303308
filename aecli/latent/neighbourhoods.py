"""Whether neighbours stay neighbours: trustworthiness and continuity of codes."""

import torch
from torch import Tensor

MIN_POINTS = 3
"""Fewest points that have a neighbourhood smaller than half of them."""


@torch.inference_mode()
def neighbour_ranks(points: Tensor) -> Tensor:
    """Rank all points by their Euclidean distance from each: points (N, D) -> ranks (N, N).

    In each row the nearest other point has rank 1, and the point itself 0; equal distances are
    ranked by index. Time and memory are quadratic in N.
    """
    centred = points - points.mean(0)  # far from the origin, rounding would swamp the distances
    distances = torch.cdist(centred, centred).fill_diagonal_(-1)
    return distances.argsort(dim=1, stable=True).argsort(dim=1)


def trustworthiness(ranks: Tensor, code_ranks: Tensor, k: int) -> float:
    """How well the `k` nearest neighbours by code agree with those by image.

    1 - 2 / (N k (2 N - 3 k - 1)) sum_i sum_{j in U_i} (r(i, j) - k), where U_i are the `k` nearest
    codes to code i whose images are not among the `k` nearest to image i, and r(i, j) is the rank
    of image j by its distance from image i (Venna and Kaski, "Neighborhood preservation in
    nonlinear projection methods", 2001). 1: no neighbour by code is a new one; about 0.5: by
    chance; 0: they are as far away as possible.

    With the ranks exchanged this is their continuity: how well the nearest images stay neighbours.

    Args:
        ranks, code_ranks: (N, N), as `neighbour_ranks` returns them.
        k: less than N / 2.
    """
    count = len(ranks)
    intrusion = (ranks - k).clamp(min=0) * (code_ranks <= k)  # a point is at rank 0 of itself
    return 1 - 2 * int(intrusion.sum()) / (count * k * (2 * count - 3 * k - 1))
