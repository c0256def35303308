"""Tensors of a data set in a file, with a digest that tells a damaged one."""

import hashlib
import os
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from aecli.files import write_atomically

Tensors = dict[str, Tensor]


def cache_dir() -> Path:
    """Where the user's programs keep what can be made again (the XDG base directories)."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    return Path(os.path.expanduser(base)) / "aecli"


def write_tensors(path: Path, tensors: Tensors, facts: dict[str, str] | None = None) -> None:
    """Write `tensors`, and what else is to be known of them.

    Raises:
        OSError: the file cannot be written.
    """
    write_atomically(path, save(tensors, {**(facts or {}), "sha256": _digest(tensors)}))


def read_tensors(path: Path) -> tuple[Tensors, dict[str, str]] | None:
    """What `write_tensors` was given; None where the file is missing or damaged."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            facts: dict[str, str] = file.metadata() or {}
    except SafetensorError:
        return None
    return (tensors, facts) if facts.pop("sha256", None) == _digest(tensors) else None


def _digest(tensors: Tensors) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.numpy().data)
    return digest.hexdigest()
