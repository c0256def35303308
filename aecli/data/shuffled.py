"""Images with shuffled pixels: the grey levels stay, and the correlations between neighbours are
lost."""

from dataclasses import replace

import torch

from aecli.data.split import Split

BATCH_NUMBERS = 2**24  # positions that are permuted at a time, which bounds the memory


def shuffle_split(split: Split, seed: int) -> Split:
    """The images of `split`, with the pixels of each permuted differently.

    The channels of a pixel stay together.

    Args:
        split: N images, (N, C, H, W).
        seed: the same seed gives the same permutations of as many images.
    """
    generator = torch.Generator().manual_seed(seed)
    pixels = split.images[0, 0].numel()
    parts = []
    for images in split.images.split(max(1, BATCH_NUMBERS // pixels)):
        order = torch.rand(len(images), pixels, generator=generator).argsort(1)
        index = order.to(images.device).unsqueeze(1).expand(-1, images.shape[1], -1)
        parts.append(images.flatten(2).gather(2, index).reshape(images.shape))
    return replace(split, images=torch.cat(parts), derived={}, digests=None)
