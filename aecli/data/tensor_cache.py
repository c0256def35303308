"""Tensors of a data set in a file, with a digest that detects damage."""

import hashlib
import os
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from aecli.files.storage import write_atomically

Tensors = dict[str, Tensor]


def cache_dir() -> Path:
    """The user's cache directory for aecli (XDG base directory specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    return Path(os.path.expanduser(base)) / "aecli"


def write_tensors(path: Path, tensors: Tensors, metadata: dict[str, str] | None = None) -> None:
    """Write `tensors`, with `metadata` about them.

    Raises:
        OSError: the file cannot be written.
    """
    write_atomically(path, save(tensors, {**(metadata or {}), "sha256": _digest(tensors)}))


def read_tensors(path: Path) -> tuple[Tensors, dict[str, str]] | None:
    """Read what `write_tensors` wrote; None if the file is missing or damaged."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            metadata: dict[str, str] = file.metadata() or {}
    except SafetensorError:
        return None
    return (tensors, metadata) if metadata.pop("sha256", None) == _digest(tensors) else None


def _digest(tensors: Tensors) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.numpy().data)
    return digest.hexdigest()
