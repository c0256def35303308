"""A model in a folder of its own: weights, configuration and a model card."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from aecli import __version__
from aecli.api.card import model_card
from aecli.api.model import Model
from aecli.config import FOLDER, TrainConfig, from_plain, plain
from aecli.data import Data
from aecli.data.loaded import load_cached_data, relocate
from aecli.errors import DataError, StorageError, UsageError
from aecli.errors.text import one_line
from aecli.files.documents import to_json
from aecli.files.storage import read_file, read_json, write_atomically
from aecli.models import build_network
from aecli.runs.directory import RunDirectory, Status
from aecli.runs.file_set import check_file_set, file_set
from aecli.runs.summary import check_summary, closed_early, image_fingerprints
from aecli.runs.tensors import from_bytes, to_bytes
from aecli.runtime.device import open_device

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
FORMAT = 1
"""The format of `config.json`; a later version may write another."""


def is_pretrained(folder: Path) -> bool:
    """Whether `save` has written the folder, as far as its files tell."""
    return (folder / CONFIG).is_file() and not RunDirectory(folder).config_file.exists()


def save(model: Model, folder: Path) -> Path:
    """Write a model to `folder`; an earlier version there is replaced all at once.

    Raises:
        UsageError: the folder is a run.
        StorageError: a file that aecli did not write is in the way, or the folder cannot be
            written.
    """
    described = {
        "format": FORMAT,
        "aecli": __version__,
        "config": _without_places(model.config),
        "summary": _without_source(model.summary),
    }
    contents = {
        WEIGHTS: to_bytes(model.network.state_dict()),
        CONFIG: to_json(described),
        CARD: model_card(model).encode(),
    }
    check_file_set(folder, contents, "folder")
    with file_set(folder) as new:
        for name, content in contents.items():
            write_atomically(new / name, content)
    return folder


def load_pretrained(folder: Path, device: str, data_dir: str | None) -> Model:
    """Read what `save` has written.

    Raises:
        UsageError: this machine does not have the device.
        StorageError: a file is damaged, or was written by a later version.
    """
    config, summary = _read(folder / CONFIG)
    config = relocate(replace(config, device=device), data_dir, None)
    torch_device = open_device(device)
    channels, height, width = config.data.image_shape or (0, 0, 0)
    network = build_network(config, (channels, height, width))
    weights = folder / WEIGHTS
    try:
        network.load_state_dict(from_bytes(read_file(weights)))
    except (SafetensorError, RuntimeError) as error:
        raise StorageError(f"{weights} cannot be used: {one_line(error)}") from error
    return Model(folder, config, summary, network.to(torch_device), partial(_data, config, summary))


def _read(file: Path) -> tuple[TrainConfig, dict[str, Any]]:
    """The configuration and the summary.

    Raises:
        StorageError: the file does not hold them.
    """
    content = read_json(file)
    if not isinstance(content, dict) or "format" not in content:
        raise StorageError(f"{file} was not written by save_pretrained")
    if content["format"] != FORMAT:
        raise StorageError(
            f"{file} has the format {content['format']!r:.40}, and this version of aecli reads "
            f"{FORMAT}: install the version {content.get('aecli')!r:.40}"
        )
    summary = content.get("summary")
    if not isinstance(summary, dict):
        raise StorageError(f"{file} is damaged: it has no summary")
    check_summary(summary, str(file))
    try:
        return from_plain(content.get("config")), summary
    except UsageError as error:
        raise StorageError(f"{file} is damaged: {error}") from error


def _data(config: TrainConfig, summary: dict[str, Any]) -> Data:
    """The images that a model was trained on, if this machine has them.

    Raises:
        DataError: the images on this machine are different ones, or cannot be loaded.
    """
    if config.data.name == FOLDER:
        raise DataError("the model was trained on its author's own images, which are not included")
    data = load_cached_data(config)
    kept = image_fingerprints(summary)
    if kept is not None and kept != data.fingerprints:
        raise DataError(f"{data.name} in {config.data_dir} is not what the model was trained on")
    return data


def _without_places(config: TrainConfig) -> dict[str, Any]:
    """The configuration without the folders and the device of the machine that trained it: where it
    is loaded, the defaults take their place. Of the folder of an `init` run, the name is kept."""
    saved: dict[str, Any] = plain(config)
    for key in ("data_dir", "output_dir", "device"):
        del saved[key]
    if config.data.path is not None:
        saved["data"]["path"] = FOLDER
    if config.init is not None:
        saved["init"] = Path(config.init).name
    return saved


def _without_source(summary: dict[str, Any]) -> dict[str, Any]:
    """The summary without the place of the images, and without the message of a failure, which may
    name the folder of the run."""
    data = {key: value for key, value in summary["data"].items() if key != "source"}
    has_failed = closed_early(summary) not in (None, Status.interrupted.value)
    closed = {"closed": Status.failed.value} if has_failed else {}
    return {**summary, **closed, "data": data}
