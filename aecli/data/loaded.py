"""The images of a run, decoded once for all runs of a process that want the same."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from aecli.config import TrainConfig, check_unread_keys, plain
from aecli.data import Data, load_data
from aecli.data.shared import load_shared, share
from aecli.runtime.device import open_device

_loaded: dict[tuple[str, str, str], Data] = {}


def load_cached_data(config: TrainConfig, shared: Path | None = None) -> Data:
    """The images of a run, kept for the next run that wants the same.

    Args:
        config: says which, and where they lie.
        shared: a folder in which `share_data` has left them, decoded.

    Raises:
        AecliError: they cannot be had.
    """
    check_unread_keys(config)
    device = open_device(config.device)
    if _data_key(config) not in _loaded:
        file = None if shared is None else _shared_file(config, shared)
        data = (
            load_shared(file, device)
            if file is not None and file.exists()
            else load_data(config.data, Path(config.data_dir), device)
        )
        _loaded.clear()  # one data set at a time
        _loaded[_data_key(config)] = _loaded[_data_key(resolve_config(config, data))] = data
    return _loaded[_data_key(config)]


def share_data(config: TrainConfig, folder: Path) -> None:
    """Leave the images of a run in `folder`, so that no other process has to decode them.

    Those that lie in a mapped file are shared already.
    """
    file = _shared_file(config, folder)
    if not file.exists() and not load_cached_data(config).is_mapped:
        share(load_cached_data(config), file)


def _shared_file(config: TrainConfig, folder: Path) -> Path:
    name = hashlib.sha256(json.dumps(_data_key(config)).encode()).hexdigest()[:16]
    return folder / f"{name}.safetensors"


def _data_key(config: TrainConfig) -> tuple[str, str, str]:
    """What two runs must share to use the same tensors."""
    return json.dumps(plain(config.data)), config.data_dir, config.device


def resolve_config(config: TrainConfig, data: Data) -> TrainConfig:
    """The configuration to save: it names the data set that was used, and the shape built for."""
    # auto became another
    return replace(
        config, data=replace(config.data, name=data.key, image_shape=list(data.image_shape))
    )
