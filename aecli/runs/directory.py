"""A run directory: the name of every file in it, and how each is written and read."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from aecli.config import TrainConfig, from_yaml, to_yaml
from aecli.errors import StorageError, UsageError
from aecli.files import fingerprint, natural_key, read_verified, remove_scratch, write_atomically
from aecli.runs.checkpoints import Checkpoints
from aecli.runs.lock import locked

CONFIG = "config.yaml"
EVENTS = "events.out.tfevents.*"
"""Event files, named by TensorBoard's convention."""
SWEEP_FILE = "multirun.yaml"
"""In a sweep folder: the command line, as Hydra records it."""


class Status(Enum):
    """The state of a run."""

    finished = "finished"
    failed = "failed"
    interrupted = "interrupted"
    """Or still running: the files do not tell which."""
    planned = "not started"


class RunDirectory:
    """The directory that holds everything about one run. A run with a summary is finished.

    A manifest holds the fingerprints of the configuration and, once the run is finished, of every
    file that is read back: a damaged file raises an error instead of giving wrong numbers.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / CONFIG
        self.manifest_file = path / "manifest.json"
        self.metrics_file = path / "metrics.jsonl"
        self.checkpoints = Checkpoints(path / "checkpoints")
        self.weights_file = path / "best.safetensors"
        self.images_file = path / "images.safetensors"
        self.summary_file = path / "summary.json"
        self.failure_file = path / "failure.json"
        self.figures = path / "figures"
        self._check_lock: Callable[[], None] | None = None

    @property
    def status(self) -> Status:
        if self.summary_file.exists():
            return Status.finished
        if self.failure_file.exists():
            return Status.failed
        return Status.interrupted if self.metrics_file.exists() else Status.planned

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the directory for this process.

        Raises:
            StorageError: another process holds the lock.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with locked(self.path) as self._check_lock:
            yield

    def clear(self) -> None:
        """Remove what an attempt without a checkpoint has left; keep the configuration."""
        for events in self.path.glob(EVENTS):
            events.unlink()
        for file in (self.metrics_file, self.weights_file, self.images_file, self.failure_file):
            file.unlink(missing_ok=True)
        for folder in (self.figures, self.checkpoints.folder):
            if folder.exists():
                shutil.rmtree(folder)
        remove_scratch(self.path)

    def save_config(self, config: TrainConfig) -> None:
        content = to_yaml(config).encode()
        self._save_manifest({self.config_file: content})
        write_atomically(self.config_file, content)

    def load_config(self) -> TrainConfig:
        """Load the configuration of the run.

        Raises:
            StorageError: the file is damaged.
            UsageError: it is not an aecli configuration.
        """
        try:
            return from_yaml(self._read(self.config_file).decode())
        except UsageError as error:
            raise UsageError(f"{self.config_file}: {error}") from error

    def save_checkpoint(self, position: int, state: dict[str, Any]) -> None:
        """Save a state to resume from; `position` increases during training.

        Raises:
            OSError: it cannot be written; earlier checkpoints stay valid.
            StorageError: another process has taken over the directory.
        """
        if self._check_lock is not None:
            self._check_lock()
        self.checkpoints.save(position, state)

    def save_weights(self, weights: dict[str, Tensor]) -> None:
        """Save the weights of the best epoch so far."""
        contiguous = {name: tensor.contiguous() for name, tensor in weights.items()}
        write_atomically(self.weights_file, save(contiguous))

    def load_weights(self, model: nn.Module) -> None:
        """Load the best epoch's weights of a finished run into `model`."""
        model.load_state_dict(load(self._read(self.weights_file)))

    def save_images(self, images: dict[str, Tensor], means: dict[str, Tensor]) -> None:
        """Save the images that a comparison shows of the run.

        Args:
            images: name -> images (K, C, H, W) in [0, 1], stored as uint8.
            means: name -> means over many images, same shape and range; stored as floats, because
                rounding to uint8 would hide the patterns they share.
        """
        pixels = {name: (image * 255).round().to(torch.uint8) for name, image in images.items()}
        tensors = {name: tensor.contiguous() for name, tensor in {**pixels, **means}.items()}
        write_atomically(self.images_file, save(tensors))

    def load_images(self) -> dict[str, Tensor]:
        """Load what `save_images` wrote, as float32 in [0, 1]."""
        tensors = load(self._read(self.images_file))
        return {
            name: tensor.to(torch.float32) / 255 if tensor.dtype is torch.uint8 else tensor
            for name, tensor in tensors.items()
        }

    def load_metrics(self) -> list[dict[str, Any]]:
        """The records in `metrics.jsonl` of a finished run, one per epoch."""
        return [json.loads(line) for line in self._read(self.metrics_file).splitlines()]

    def finished_epochs(self) -> int:
        """The number of epochs in the metrics file; 0 if there is no file yet."""
        if not self.metrics_file.exists():
            return 0
        return self.metrics_file.read_bytes().count(b"\n")

    def save_summary(self, summary: dict[str, Any]) -> None:
        """Save the summary, last of all, and the fingerprints of every file that is read back."""
        content = (json.dumps(summary, indent=2) + "\n").encode()
        others = (self.config_file, self.metrics_file, self.weights_file, self.images_file)
        contents = {file: file.read_bytes() for file in others if file.exists()}
        self._save_manifest({**contents, self.summary_file: content})
        write_atomically(self.summary_file, content)

    def load_summary(self) -> dict[str, Any]:
        """Load the summary of a finished run.

        Raises:
            StorageError: it is damaged, or missing because the run is not finished.
        """
        if not self.summary_file.exists():
            raise StorageError(
                f"{self.path} is not a finished run: it has no {self.summary_file.name}"
            )
        summary: dict[str, Any] = json.loads(self._read(self.summary_file))
        return summary

    def _save_manifest(self, contents: dict[Path, bytes]) -> None:
        manifest = {file.name: fingerprint(content) for file, content in contents.items()}
        write_atomically(self.manifest_file, (json.dumps(manifest, indent=2) + "\n").encode())

    def _read(self, file: Path) -> bytes:
        """Read a file and verify it against the manifest.

        Raises:
            StorageError: it does not match, or the manifest cannot be read.
        """
        try:
            expected = json.loads(self.manifest_file.read_bytes())[file.name]
        except OSError as error:
            problem = error.strerror or error
        except (ValueError, KeyError, TypeError):
            problem = f"it has no entry for {file.name}"
        else:
            return read_verified(file, expected)
        raise StorageError(f"{self.manifest_file} is damaged or cannot be read: {problem}")

    def save_failure(self, reason: str) -> None:
        """Record in one line why the run failed."""
        write_atomically(self.failure_file, (json.dumps({"reason": reason}) + "\n").encode())

    def failure(self) -> str:
        """The reason that `save_failure` recorded."""
        try:
            return str(json.loads(self.failure_file.read_text(encoding="utf-8"))["reason"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"{self.failure_file.name} cannot be read: {error}"


def runs_below(folder: Path) -> list[RunDirectory]:
    """All runs in `folder`, at any depth and including itself, in natural order of their paths.

    Raises:
        UsageError: it contains none.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: give run folders or folders that hold runs")
    runs = [
        RunDirectory(file.parent)
        for file in folder.rglob(CONFIG)
        if file.parent.name != ".hydra"  # Hydra's own copy
    ]
    if not runs:
        raise UsageError(f"{folder} holds no runs: give a folder that aecli train has written")
    return sorted(runs, key=lambda run: natural_key(str(run.path)))
