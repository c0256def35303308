"""Some of the images of a split, drawn by a seed."""

import torch

from aecli.data import Split
from aecli.errors import UsageError


def image_count(n: int | None, split: Split, most: int, max_values: int) -> int:
    """How many images to draw: `n`, or `most`, or fewer if so many have more than `max_values`.

    Raises:
        UsageError: `n` is less than 1.
    """
    if n is None:
        return min(most, max(1, max_values // split.images[0].numel()))
    if n < 1:
        raise UsageError(f"n={n} is not valid: give 1 or more")
    return n


def draw(split: Split, n: int, seed: int) -> Split:
    """Up to `n` different images of `split`, in random order."""
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    return split[order[:n].to(split.images.device)]
