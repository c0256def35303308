"""The images of a run, decoded once per process for all runs that use the same data."""

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path

from aecli.config import TrainConfig, check_objective, check_unread_keys, plain
from aecli.data import Data, load_data
from aecli.data.shared import load_shared, share
from aecli.errors import UsageError
from aecli.runtime.device import open_device

_loaded: dict[tuple[str, str, str], Data] = {}


def load_cached_data(config: TrainConfig, shared: Path | None = None) -> Data:
    """Load the images of a run, cached for the next run that uses the same data.

    Args:
        config: selects the data set and its location.
        shared: a folder in which `share_data` may have left the decoded images.

    Raises:
        AecliError: they cannot be loaded.
    """
    check_unread_keys(config)
    check_objective(config)
    device = open_device(config.device)
    if _data_key(config) not in _loaded:
        file = None if shared is None else _shared_file(config, shared)
        data = (
            load_shared(file, device)
            if file is not None and file.exists()
            else load_data(config.data, Path(config.data_dir), device)
        )
        _loaded.clear()  # keep one data set at a time
        _loaded[_data_key(config)] = _loaded[_data_key(resolve_config(config, data))] = data
    return _loaded[_data_key(config)]


def share_data(config: TrainConfig, folder: Path) -> None:
    """Write the images of a run to `folder`, so that no other process has to decode them.

    Memory-mapped images are already shared.
    """
    file = _shared_file(config, folder)
    if not file.exists() and not load_cached_data(config).is_mapped:
        share(load_cached_data(config), file)


def _shared_file(config: TrainConfig, folder: Path) -> Path:
    name = hashlib.sha256(json.dumps(_data_key(config)).encode()).hexdigest()[:16]
    return folder / f"{name}.safetensors"


def _data_key(config: TrainConfig) -> tuple[str, str, str]:
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
    """The configuration of a run whose images are now in another place; None: in the same.

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
    """The configuration with a folder of images that is found from any working directory."""
    if path is None:
        return config
    absolute = str(Path(path).absolute())
    return replace(config, data=replace(config.data, path=absolute))
