"""Data sets, decoded once into uint8 tensors on the training device.

The entry point is `load_data`. To add a data set, write a loader, register it in `DATASETS`, and
add a file with its name to `conf/data/`.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from aecli.config import FOLDER, DataConfig
from aecli.config.choices import SPLITS
from aecli.data.classes import class_suffix, select_classes
from aecli.data.curve import load_curve
from aecli.data.download import MissingDataError
from aecli.data.folder import load_folder
from aecli.data.split import Data, LoadedData, Split
from aecli.data.synthetic_cache import load_synthetic
from aecli.data.vision import load_torchvision
from aecli.errors import DataError, UsageError
from aecli.errors.text import invalid_choice, shape_text
from aecli.runtime.status import show_status

__all__ = ["DATASETS", "Data", "Split", "load_data"]

Loader = Callable[[DataConfig, Path], LoadedData]
"""(config, data_dir) -> the data set, read from or cached under data_dir."""


def _without_options(load: Callable[[Path], LoadedData]) -> Loader:
    """A loader for a data set that has no options."""
    return lambda _, data_dir: load(data_dir)


DATASETS: dict[str, Loader] = {
    "mnist": _without_options(partial(load_torchvision, "mnist")),
    "fashion_mnist": _without_options(partial(load_torchvision, "fashion_mnist")),
    "kmnist": _without_options(partial(load_torchvision, "kmnist")),
    "cifar10": _without_options(partial(load_torchvision, "cifar10")),
    "curve": lambda *_: load_curve(),
    "synthetic": _without_options(load_synthetic),
    FOLDER: load_folder,
}

# Seconds that data=auto waits for MNIST: without new data, and in total.
AUTO_STALL_TIMEOUT, AUTO_TOTAL_TIMEOUT = 5.0, 60.0

# One in this many training images is used for validation if the configuration sets no number.
VALIDATION_DIVISOR = 10

# Fraction of the free GPU memory that images may occupy; the model needs the rest.
GPU_MEMORY_FRACTION = 0.7


def load_data(config: DataConfig, data_dir: Path, device: torch.device) -> Data:
    """Load the images selected by `config` onto `device`.

    Raises:
        DataError: the files are missing or damaged, or not of the shape that `config` requires.
        StorageError: `data_dir` cannot be read or written.
        UsageError: there is no such data set, or a split is larger than the data set.
    """
    show_status(f"loading {config.name} ...")
    name, loaded = _load(config, data_dir)
    val_size = _validation_size(config.val_size, loaded)
    kept = len(loaded.train) - val_size
    if kept < 1:
        raise UsageError(
            f"data.val_size={val_size} is not valid: none of the {len(loaded.train)} "
            f"training images would be left to train on"
        )
    # Split before selecting classes: the validation images do not depend on the classes.
    parts = zip((loaded.train[:kept], loaded.train[kept:], loaded.test), SPLITS, strict=True)
    train, validation, test = (
        select_classes(config, split, name) if len(split) else split for split, name in parts
    )
    train_size = _split_size("data.train_size", config.train_size, len(train))
    test_size = _split_size("data.test_size", config.test_size, len(test))
    splits = (train[:train_size], validation, test[:test_size])
    _check_fits_device(splits, device)
    # Digests are computed before the images are moved to a GPU.
    train, validation, test = (split.with_digests().to(device) for split in splits)
    data = Data(
        f"{loaded.name or name}{class_suffix(config)}",
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
            f"data={name} has {shape_text(data.image_shape)} images, but data.image_shape "
            f"requires {shape_text(config.image_shape)}"
        )
    if data.copies and not loaded.may_repeat:
        notices = filter(None, [data.notice, _copies_notice(data)])
        data = replace(data, notice=". ".join(notice.rstrip(".") for notice in notices))
    return data


def _copies_notice(data: Data) -> str:
    return (
        f"{data.copies:,} of the {len(data.test):,} test images are copies of training or "
        f"validation images, so their errors are not those of new images: keep each image in one "
        f"split only"
    )


def _load(config: DataConfig, data_dir: Path) -> tuple[str, LoadedData]:
    """The key and the images of the loaded data set, with a notice if it is a fallback."""
    name = config.name
    if name not in ("auto", *DATASETS):
        raise UsageError(invalid_choice("data.name", name, ("auto", *DATASETS)))
    if name != "auto":
        return name, DATASETS[name](config, data_dir)
    try:
        return "mnist", load_torchvision("mnist", data_dir, AUTO_STALL_TIMEOUT, AUTO_TOTAL_TIMEOUT)
    except MissingDataError as error:
        notice = (
            f"This run uses the built-in synthetic digits, not MNIST: {error.reason}. "
            f"For MNIST, put its files into {error.folder}, or set data_dir=... to their folder"
        )
        return "synthetic", replace(load_synthetic(data_dir), notice=notice)


def _validation_size(wanted: int | None, loaded: LoadedData) -> int:
    if wanted is None:
        return loaded.validation or max(1, round(len(loaded.train) / VALIDATION_DIVISOR))
    if loaded.validation is not None:
        raise UsageError(
            f"data.val_size={wanted} is not valid: {loaded.name} has its own "
            f"validation split of size {loaded.validation}, so leave it out"
        )
    return wanted


def _check_fits_device(splits: tuple[Split, ...], device: torch.device) -> None:
    """Raise a one-line error for images that do not fit on a GPU, before they are copied."""
    if device.type != "cuda":
        return
    size = sum(split.images.numel() for split in splits)
    free, _ = torch.cuda.mem_get_info(device)
    if size > GPU_MEMORY_FRACTION * free:
        raise UsageError(
            f"device={device} has {free / 2**30:.1f} GiB free, but the images need "
            f"{size / 2**30:.1f} GiB: give device=cpu, which reads them from disk as needed, "
            f"a smaller image_size, or a data.train_size"
        )


def _split_size(key: str, wanted: int | None, available: int) -> int:
    if wanted is not None and wanted > available:
        raise UsageError(f"{key}={wanted} is not valid: the data set has only {available} images")
    return available if wanted is None else wanted
