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
"""TensorBoard's files, whose names it makes up itself."""
SWEEP_FILE = "multirun.yaml"
"""In the folder of a sweep: its command line, as Hydra notes it."""


class Status(Enum):
    """How far a run is."""

    finished = "finished"
    failed = "failed"
    interrupted = "interrupted"
    """Or still going on: the files do not tell."""
    planned = "not started"


class RunDirectory:
    """Where one run keeps everything. With a summary in it the run is finished.

    A manifest holds the fingerprints of the configuration and, once the run is finished, of all
    that is read from it again: a damaged file is an error, and no wrong number.
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
        """Have the folder for this process alone.

        Raises:
            StorageError: another process has it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with locked(self.path) as self._check_lock:
            yield

    def clear(self) -> None:
        """Remove what an attempt has left that came to no checkpoint; the configuration stays."""
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
        """The configuration that the run was planned with.

        Raises:
            StorageError: the file is damaged.
            UsageError: it is not a configuration of this program.
        """
        try:
            return from_yaml(self._read(self.config_file).decode())
        except UsageError as error:
            raise UsageError(f"{self.config_file}: {error}") from error

    def save_checkpoint(self, position: int, state: dict[str, Any]) -> None:
        """Keep a state to go on from; positions grow as the training goes on.

        Raises:
            OSError: it cannot be written; those before it are still good.
            StorageError: the folder has been taken over by another process.
        """
        if self._check_lock is not None:
            self._check_lock()
        self.checkpoints.save(position, state)

    def save_weights(self, weights: dict[str, Tensor]) -> None:
        """The weights to use: those of the best epoch so far."""
        whole = {name: tensor.contiguous() for name, tensor in weights.items()}
        write_atomically(self.weights_file, save(whole))

    def load_weights(self, model: nn.Module) -> None:
        """Put the best epoch's weights of a finished run into `model`."""
        model.load_state_dict(load(self._read(self.weights_file)))

    def save_images(self, images: dict[str, Tensor], means: dict[str, Tensor]) -> None:
        """What a comparison shows of the run.

        Args:
            images: pictures by name, (K, C, H, W) each in [0, 1], kept as uint8.
            means: means of many, likewise; kept as they are, for a uint8 would hide what they
                have in common.
        """
        pixels = {name: (each * 255).round().to(torch.uint8) for name, each in images.items()}
        tensors = {name: each.contiguous() for name, each in {**pixels, **means}.items()}
        write_atomically(self.images_file, save(tensors))

    def load_images(self) -> dict[str, Tensor]:
        """What `save_images` wrote, all of it in [0, 1] again."""
        tensors = load(self._read(self.images_file))
        return {
            name: each.to(torch.float32) / 255 if each.dtype is torch.uint8 else each
            for name, each in tensors.items()
        }

    def load_metrics(self) -> list[dict[str, Any]]:
        """What `metrics.jsonl` of a finished run holds, an object an epoch."""
        return [json.loads(line) for line in self._read(self.metrics_file).splitlines()]

    def finished_epochs(self) -> int:
        """How many epochs are in the metrics file; 0 where there is none yet."""
        if not self.metrics_file.exists():
            return 0
        return self.metrics_file.read_bytes().count(b"\n")

    def save_summary(self, summary: dict[str, Any]) -> None:
        """The last thing a run writes; now the manifest vouches for all that is read again."""
        content = (json.dumps(summary, indent=2) + "\n").encode()
        others = (self.config_file, self.metrics_file, self.weights_file, self.images_file)
        contents = {file: file.read_bytes() for file in others if file.exists()}
        self._save_manifest({**contents, self.summary_file: content})
        write_atomically(self.summary_file, content)

    def load_summary(self) -> dict[str, Any]:
        """What the run ended with.

        Raises:
            StorageError: there is none, so the run is not finished, or it is damaged.
        """
        if not self.summary_file.exists():
            raise StorageError(
                f"{self.path} is no finished run: it has no {self.summary_file.name}"
            )
        summary: dict[str, Any] = json.loads(self._read(self.summary_file))
        return summary

    def _save_manifest(self, contents: dict[Path, bytes]) -> None:
        manifest = {file.name: fingerprint(content) for file, content in contents.items()}
        write_atomically(self.manifest_file, (json.dumps(manifest, indent=2) + "\n").encode())

    def _read(self, file: Path) -> bytes:
        """What a file holds for which the manifest vouches.

        Raises:
            StorageError: the manifest does not, or cannot be read.
        """
        try:
            expected = json.loads(self.manifest_file.read_bytes())[file.name]
        except OSError as error:
            problem = error.strerror or error
        except (ValueError, KeyError, TypeError):
            problem = f"it says nothing of {file.name}"
        else:
            return read_verified(file, expected)
        raise StorageError(f"{self.manifest_file} is damaged or cannot be read: {problem}")

    def save_failure(self, reason: str) -> None:
        """Why the run came to no end, in one line."""
        write_atomically(self.failure_file, (json.dumps({"reason": reason}) + "\n").encode())

    def failure(self) -> str:
        """The reason that `save_failure` wrote."""
        try:
            return str(json.loads(self.failure_file.read_text(encoding="utf-8"))["reason"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"{self.failure_file.name} cannot be read: {error}"


def runs_below(folder: Path) -> list[RunDirectory]:
    """The runs in `folder`, itself or at any depth, by name with numbers in their order.

    Raises:
        UsageError: there are none.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder: give run folders or folders that hold some")
    runs = [
        RunDirectory(file.parent)
        for file in folder.rglob(CONFIG)
        if file.parent.name != ".hydra"  # Hydra's own copy
    ]
    if not runs:
        raise UsageError(
            f"{folder} holds no runs: give a folder in which aecli train has left some"
        )
    return sorted(runs, key=lambda run: natural_key(str(run.path)))
