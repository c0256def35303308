"""The synthetic digits as a data set: drawn once, then read from a file under data_dir."""

from pathlib import Path

from torch import Tensor

from aecli.data import synthetic
from aecli.data.fingerprint import image_digests
from aecli.data.split import LoadedData, Split
from aecli.data.tensor_cache import read_tensors, write_tensors
from aecli.files.storage import writable_folder

VERSION = 1
"""Increased whenever digits are drawn differently, which tests/test_synthetic.py detects."""
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
    # A file that an earlier version has written holds no digests.
    train, test = (
        Split(
            tensors[f"{part}_images"],
            tensors[f"{part}_labels"],
            DIGITS,
            digests=tensors.get(f"{part}_digests"),
        )
        for part in ("train", "test")
    )
    return LoadedData(train, test, f"{path} (drawn on this machine)")


def _draw() -> dict[str, Tensor]:
    train_images, train_labels = synthetic.synthetic_digits(TRAIN_SIZE, TRAIN_SEED)
    test_images, test_labels = synthetic.synthetic_digits(TEST_SIZE, TEST_SEED)
    return {
        "train_images": train_images,
        "train_labels": train_labels,
        "train_digests": image_digests(train_images),
        "test_images": test_images,
        "test_labels": test_labels,
        "test_digests": image_digests(test_images),
    }
