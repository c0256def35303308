"""Checks, before a run starts, that it can work at all."""

from pathlib import Path

import torch

from aecli.config import TrainConfig
from aecli.data import Data
from aecli.data.loaded import load_cached_data
from aecli.files import writable_folder
from aecli.models import build_model
from aecli.runtime.device import check_compiler


def check_runnable(config: TrainConfig) -> Data:
    """Check device, data and layer list before creating a folder; return the data."""
    data = load_cached_data(config)
    if config.compile:
        check_compiler(data.train.images.device)
    with torch.device("meta"):  # shapes only: no memory, no arithmetic
        build_model(config.model, config.upsample, data.image_shape)
    writable_folder(Path(config.output_dir), "output_dir")
    return data
