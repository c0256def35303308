"""The synthetic digits as a data set: drawn once, then read from a file under data_dir."""

from pathlib import Path

from torch import Tensor

from aecli.data import synthetic
from aecli.data.split import LoadedData, Split
from aecli.data.tensor_cache import read_tensors, write_tensors
from aecli.files import writable_folder

VERSION = 1
"""To be raised whenever digits are drawn differently, which tests/test_synthetic.py notices."""
TRAIN_SIZE, TEST_SIZE = 60_000, 10_000
TRAIN_SEED, TEST_SEED = 0, 1
DIGITS = tuple(map(str, range(10)))


def load_synthetic(data_dir: Path) -> LoadedData:
    """Load the synthetic digits: 60,000 training and 10,000 test images, the same everywhere.

    Raises:
        StorageError: `data_dir` cannot be written.
    """
    path = data_dir / "synthetic" / f"digits-{VERSION}.safetensors"
    found = read_tensors(path)
    if found:
        tensors, _ = found
    else:
        writable_folder(path.parent, "data_dir")
        tensors = _draw()
        write_tensors(path, tensors)
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
