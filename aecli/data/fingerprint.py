"""Digests by which a run recognises its images, and by which copies of an image are found."""

import hashlib
import json

import torch
from torch import Tensor

DIGEST_BYTES = hashlib.sha256().digest_size


def image_digests(images: Tensor) -> Tensor:
    """The sha256 of each of the uint8 images (N, C, H, W), as uint8 (N, 32), on the CPU."""
    if not len(images):
        return torch.empty(0, DIGEST_BYTES, dtype=torch.uint8)
    rows = images.cpu().flatten(1).numpy()
    digests = b"".join(hashlib.sha256(row).digest() for row in rows)
    return torch.frombuffer(bytearray(digests), dtype=torch.uint8).view(-1, DIGEST_BYTES)


def image_keys(digests: Tensor) -> Tensor:
    """The first eight bytes of each digest, as int64 (N,): enough to tell images apart."""
    return digests[:, :8].contiguous().view(torch.int64).flatten()


def split_fingerprint(digests: Tensor, names: list[str], image_shape: tuple[int, ...]) -> str:
    """One sha256 over the images of a split, the name of each one's class, and the order.

    Classes that have no image in the split do not matter.
    """
    digest = hashlib.sha256(json.dumps([image_shape, names]).encode())
    digest.update(digests.numpy().tobytes())
    return digest.hexdigest()
