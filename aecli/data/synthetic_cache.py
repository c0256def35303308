"""The synthetic digits as a data set: made once, then read from a file under data_dir."""

import hashlib
import inspect
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from aecli.data import synthetic
from aecli.data.split import LoadedData, Split
from aecli.files import writable_folder, write_atomically

TRAIN_SIZE, TEST_SIZE = 60_000, 10_000
TRAIN_SEED, TEST_SEED = 0, 1
DIGITS = tuple(map(str, range(10)))


def load_synthetic(data_dir: Path) -> LoadedData:
    """The embedded digits: 60,000 to train on and 10,000 to test on, the same everywhere.

    Raises:
        StorageError: `data_dir` cannot be written.
    """
    path = data_dir / "synthetic" / f"digits-{_version()}.safetensors"
    tensors = _read(path)
    if tensors is None:
        writable_folder(path.parent, "data_dir")
        tensors = _draw()
        write_atomically(path, save(tensors, {"sha256": _digest(tensors)}))
    train = Split(tensors["train_images"], tensors["train_labels"], DIGITS)
    test = Split(tensors["test_images"], tensors["test_labels"], DIGITS)
    return LoadedData(train, test, f"{path} (drawn on this machine)")


def _draw() -> dict[str, Tensor]:
    train_images, train_labels = synthetic.synthetic_digits(TRAIN_SIZE, TRAIN_SEED)
    test_images, test_labels = synthetic.synthetic_digits(TEST_SIZE, TEST_SEED)
    return {
        "train_images": train_images,
        "train_labels": train_labels,
        "test_images": test_images,
        "test_labels": test_labels,
    }


def _version() -> str:
    """Changes with the code that draws the digits, so that a cache never outlives it."""
    return hashlib.sha256(inspect.getsource(synthetic).encode()).hexdigest()[:12]


def _read(path: Path) -> dict[str, Tensor] | None:
    """The tensors of `_draw`, or None where the file is missing or damaged and is made anew."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            recorded = (file.metadata() or {}).get("sha256")
    except SafetensorError:
        return None
    return tensors if recorded == _digest(tensors) else None


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.numpy().data)
    return digest.hexdigest()
