"""Data sets: decoded once into uint8 tensors that live on the training device.

`load_data` is the way in. To add a data set, write a loader and enter it in `DATASETS`, and put a
file with its name into `conf/data/`.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from aecli.config import DataConfig
from aecli.data.download import MissingDataError
from aecli.data.split import Data, LoadedData, Split
from aecli.data.synthetic_cache import load_synthetic
from aecli.data.vision import load_torchvision
from aecli.errors import DataError, UsageError, suggest

__all__ = ["DATASETS", "Data", "Split", "load_data"]

DATASETS: dict[str, Callable[[Path], LoadedData]] = {
    "mnist": partial(load_torchvision, "mnist"),
    "fashion_mnist": partial(load_torchvision, "fashion_mnist"),
    "kmnist": partial(load_torchvision, "kmnist"),
    "cifar10": partial(load_torchvision, "cifar10"),
    "synthetic": load_synthetic,
}

# Seconds that data=auto waits for MNIST: without a byte, and in all.
AUTO_SILENCE, AUTO_TOTAL = 5.0, 60.0


def load_data(config: DataConfig, data_dir: Path, device: torch.device) -> Data:
    """The images that `config` asks for, on `device`.

    Raises:
        DataError: the files are missing, damaged, or of another shape than `config` demands.
        StorageError: `data_dir` cannot be read or written.
        UsageError: there is no such data set, or a split is larger than it.
    """
    name, loaded, notice = _load(config.name, data_dir.expanduser())
    kept = len(loaded.train) - config.val_size
    if kept < 1:
        raise UsageError(
            f"data.val_size={config.val_size} is not valid: none of the {len(loaded.train)} "
            f"training images would be left to train on"
        )
    train_size = _split_size("data.train_size", config.train_size, kept)
    test_size = _split_size("data.test_size", config.test_size, len(loaded.test))
    data = Data(
        name,
        config.name,
        loaded.source,
        notice,
        train=loaded.train[:train_size].to(device),
        validation=loaded.train[kept:].to(device),
        test=loaded.test[:test_size].to(device),
    )
    if config.image_shape is not None and tuple(config.image_shape) != data.image_shape:
        raise DataError(
            f"data={name} has images of {'x'.join(map(str, data.image_shape))}, not of the "
            f"{'x'.join(map(str, config.image_shape))} that data.image_shape demands"
        )
    return data


def _load(name: str, data_dir: Path) -> tuple[str, LoadedData, str | None]:
    """The data set's true name, its images, and a notice where it is not what was asked for."""
    if name not in ("auto", *DATASETS):
        raise UsageError(f"data.name={name} is not valid: {suggest(name, ('auto', *DATASETS))}")
    if name != "auto":
        return name, DATASETS[name](data_dir), None
    try:
        mnist = load_torchvision("mnist", data_dir, silence=AUTO_SILENCE, total=AUTO_TOTAL)
        return "mnist", mnist, None
    except MissingDataError as error:
        notice = (
            f"This run uses the built-in synthetic digits, not MNIST: {error.reason}. "
            f"For MNIST, put its files into {error.folder}, or give their place as data_dir=..."
        )
        return "synthetic", load_synthetic(data_dir), notice


def _split_size(key: str, wanted: int | None, available: int) -> int:
    if wanted is not None and wanted > available:
        raise UsageError(f"{key}={wanted} is not valid: the data set has {available} to give")
    return available if wanted is None else wanted
