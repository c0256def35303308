"""Tensors as the content of a file.

PyTorch is imported when a tensor is read or written, so that runs can be listed without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Write tensors in the format of safetensors."""
    from safetensors.torch import save

    return save({name: tensor.contiguous() for name, tensor in tensors.items()})


def from_bytes(content: bytes) -> dict[str, Tensor]:
    """Read what `to_bytes` wrote."""
    from safetensors.torch import load

    return load(content)
