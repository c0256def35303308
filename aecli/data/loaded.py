"""The images of a run, decoded once for all runs of a command that use the same data."""

import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path

from aecli.config import TrainConfig, check_objective, check_unread_keys, plain
from aecli.data import Data, load_data
from aecli.data.shared import load_shared, share
from aecli.errors import UsageError
from aecli.runtime.device import open_device

_DataKey = tuple[str, str, str]
_kept: ContextVar[dict[_DataKey, Data]] = ContextVar("kept")


@contextmanager
def keep_data() -> Iterator[None]:
    """A context in which `load_cached_data` keeps the last data set for the next run that uses it.

    It is for one command: before the next one, files may have been added or replaced.
    """
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def load_cached_data(config: TrainConfig, shared: Path | None = None) -> Data:
    """Load the images of a run, or return those that `keep_data` has kept.

    Args:
        config: selects the data set and its location.
        shared: a folder in which `share_data` may have left the decoded images.

    Raises:
        AecliError: they cannot be loaded.
    """
    check_unread_keys(config)
    check_objective(config)
    kept = _kept.get({})
    if (key := _data_key(config)) not in kept:
        kept.clear()  # one data set at a time, also while the next one is loaded
        data = _load(config, shared)
        kept[key] = kept[_data_key(resolve_config(config, data))] = data
    return kept[key]


def _load(config: TrainConfig, shared: Path | None) -> Data:
    device = open_device(config.device)
    file = None if shared is None else _shared_file(config, shared)
    if file is not None and file.exists():
        return load_shared(file, device)
    return load_data(config.data, Path(config.data_dir), device)


def share_data(config: TrainConfig, folder: Path) -> None:
    """Write the images of a run to `folder`, so that no other process has to decode them.

    Memory-mapped images are already shared.
    """
    file = _shared_file(config, folder)
    if not file.exists() and not (data := load_cached_data(config)).is_mapped:
        share(data, file)


def _shared_file(config: TrainConfig, folder: Path) -> Path:
    name = hashlib.sha256(json.dumps(_data_key(config)).encode()).hexdigest()[:16]
    return folder / f"{name}.safetensors"


def _data_key(config: TrainConfig) -> _DataKey:
    """The settings that two runs must have in common to use the same tensors."""
    return json.dumps(plain(config.data)), config.data_dir, config.device


def resolve_config(config: TrainConfig, data: Data) -> TrainConfig:
    """The configuration to save: with the data set that was used, its image shape, and the number
    of epochs that the steps take."""
    # data=auto was replaced by the data set it resolved to.
    used = replace(config.data, name=data.key, image_shape=list(data.image_shape))
    if config.steps is not None:
        epochs = math.ceil(config.steps / config.steps_per_epoch(len(data.train)))
        config = replace(config, epochs=epochs, steps=None)
    return _with_path(replace(config, data=used), used.path)


def relocate(config: TrainConfig, data_dir: str | None, path: str | None) -> TrainConfig:
    """The configuration of a run whose images are now elsewhere; a place of None is unchanged.

    Raises:
        UsageError: a path is given to a run that has no folder of images.
    """
    if data_dir is not None:
        config = replace(config, data_dir=data_dir)
    if path is None:
        return config
    if config.data.path is None:
        raise UsageError(
            f"path={path} is for runs on images of your own, and this one is on "
            f"data={config.data.name}: give data_dir=..., or leave it out"
        )
    return _with_path(config, path)


def _with_path(config: TrainConfig, path: str | None) -> TrainConfig:
    """The configuration with an absolute path of the folder with images."""
    if path is None:
        return config
    absolute = str(Path(path).absolute())
    return replace(config, data=replace(config.data, path=absolute))
