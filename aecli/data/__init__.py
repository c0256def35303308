"""Data sets: decoded once into uint8 tensors that live on the training device.

`load_data` is the way in. To add a data set, write a loader and enter it in `DATASETS`, and put a
file with its name into `conf/data/`.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from aecli.config import DataConfig
from aecli.data.classes import limits, of_classes
from aecli.data.download import MissingDataError
from aecli.data.folder import load_folder
from aecli.data.split import Data, LoadedData, Split
from aecli.data.synthetic_cache import load_synthetic
from aecli.data.vision import load_torchvision
from aecli.errors import DataError, UsageError, suggest

__all__ = ["DATASETS", "Data", "Split", "load_data"]

Loader = Callable[[DataConfig, Path], LoadedData]
"""The data set that the configuration describes, found or kept under data_dir."""


def _fixed(load: Callable[[Path], LoadedData]) -> Loader:
    """A data set about which there is nothing to choose."""
    return lambda _, data_dir: load(data_dir)


DATASETS: dict[str, Loader] = {
    "mnist": _fixed(partial(load_torchvision, "mnist")),
    "fashion_mnist": _fixed(partial(load_torchvision, "fashion_mnist")),
    "kmnist": _fixed(partial(load_torchvision, "kmnist")),
    "cifar10": _fixed(partial(load_torchvision, "cifar10")),
    "synthetic": _fixed(load_synthetic),
    "folder": load_folder,
}

# Seconds that data=auto waits for MNIST: without a byte, and in all.
AUTO_SILENCE, AUTO_TOTAL = 5.0, 60.0

# One training image in so many is for validation where the configuration does not say how many.
VALIDATION_SHARE = 10

# What images may take of the memory that is free on a GPU; the model needs the rest.
GPU_SHARE = 0.7


def load_data(config: DataConfig, data_dir: Path, device: torch.device) -> Data:
    """The images that `config` asks for, on `device`.

    Raises:
        DataError: the files are missing, damaged, or of another shape than `config` demands.
        StorageError: `data_dir` cannot be read or written.
        UsageError: there is no such data set, or a split is larger than it.
    """
    name, loaded = _load(config, data_dir.expanduser())
    val_size = _validation_size(config.val_size, loaded)
    kept = len(loaded.train) - val_size
    if kept < 1:
        raise UsageError(
            f"data.val_size={val_size} is not valid: none of the {len(loaded.train)} "
            f"training images would be left to train on"
        )
    # The same images are for validation, whichever classes are trained on.
    parts = (loaded.train[:kept], loaded.train[kept:], loaded.test)
    train, validation, test = (of_classes(config, part) for part in parts)
    train_size = _split_size("data.train_size", config.train_size, len(train))
    test_size = _split_size("data.test_size", config.test_size, len(test))
    splits = (train[:train_size], validation, test[:test_size])
    _check_fits_device(splits, device)
    train, validation, test = (split.to(device) for split in splits)
    data = Data(
        f"{loaded.name or name}{limits(config)}",
        name,
        config.name,
        loaded.source,
        loaded.notice,
        train,
        validation,
        test,
        loaded.is_mapped,
    )
    if config.image_shape is not None and tuple(config.image_shape) != data.image_shape:
        raise DataError(
            f"data={name} has images of {'x'.join(map(str, data.image_shape))}, not of the "
            f"{'x'.join(map(str, config.image_shape))} that data.image_shape demands"
        )
    return data


def _load(config: DataConfig, data_dir: Path) -> tuple[str, LoadedData]:
    """The key of the data set that was loaded, and its images, with a notice if it is another."""
    name = config.name
    if name not in ("auto", *DATASETS):
        raise UsageError(f"data.name={name} is not valid: {suggest(name, ('auto', *DATASETS))}")
    if name != "auto":
        return name, DATASETS[name](config, data_dir)
    try:
        return "mnist", load_torchvision("mnist", data_dir, silence=AUTO_SILENCE, total=AUTO_TOTAL)
    except MissingDataError as error:
        notice = (
            f"This run uses the built-in synthetic digits, not MNIST: {error.reason}. "
            f"For MNIST, put its files into {error.folder}, or give their place as data_dir=..."
        )
        return "synthetic", replace(load_synthetic(data_dir), notice=notice)


def _validation_size(wanted: int | None, loaded: LoadedData) -> int:
    if wanted is None:
        return loaded.validation or max(1, round(len(loaded.train) / VALIDATION_SHARE))
    if loaded.validation is not None:
        raise UsageError(
            f"data.val_size={wanted} is not valid: {loaded.name} has {loaded.validation} images of "
            f"its own for validation, so leave it out"
        )
    return wanted


def _check_fits_device(splits: tuple[Split, ...], device: torch.device) -> None:
    """Images that do not fit on a GPU are an error in one line, not one in the midst of a copy."""
    if device.type != "cuda":
        return
    size = sum(split.images.numel() for split in splits)
    free, _ = torch.cuda.mem_get_info(device)
    if size > GPU_SHARE * free:
        raise UsageError(
            f"device={device} has {free / 2**30:.1f} GiB free, and the images take "
            f"{size / 2**30:.1f}: give device=cpu, where they are read from disk as they are "
            f"needed, a smaller image_size, or a data.train_size"
        )


def _split_size(key: str, wanted: int | None, available: int) -> int:
    if wanted is not None and wanted > available:
        raise UsageError(f"{key}={wanted} is not valid: the data set has {available} to give")
    return available if wanted is None else wanted
