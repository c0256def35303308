"""A run directory: the name of every file in it, and how each is written and read."""

import io
import json
import shutil
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from aecli.config import TrainConfig, load_config, to_yaml
from aecli.errors import StorageError, UsageError
from aecli.files import natural_key, write_atomically

CONFIG = "config.yaml"
EVENTS = "events.out.tfevents.*"
"""TensorBoard's files, whose names it makes up itself."""


class Status(Enum):
    """How far a run is."""

    finished = "finished"
    failed = "failed"
    interrupted = "interrupted"
    """Or still going on: the files do not tell."""
    planned = "not started"


class RunDirectory:
    """Where one run keeps everything. With a summary in it the run is finished."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / CONFIG
        self.metrics_file = path / "metrics.jsonl"
        self.checkpoint_file = path / "last.pt"
        self.weights_file = path / "best.safetensors"
        self.images_file = path / "images.safetensors"
        self.summary_file = path / "summary.json"
        self.failure_file = path / "failure.json"
        self.figures = path / "figures"

    @property
    def status(self) -> Status:
        if self.summary_file.exists():
            return Status.finished
        if self.failure_file.exists():
            return Status.failed
        return Status.interrupted if self.metrics_file.exists() else Status.planned

    def clear(self) -> None:
        """Remove what an attempt that came to no end has left; the configuration stays."""
        for events in self.path.glob(EVENTS):
            events.unlink()
        for file in (
            self.metrics_file,
            self.checkpoint_file,
            self.weights_file,
            self.images_file,
            self.failure_file,
        ):
            file.unlink(missing_ok=True)
        if self.figures.exists():
            shutil.rmtree(self.figures)

    def save_config(self, config: TrainConfig) -> None:
        write_atomically(self.config_file, to_yaml(config).encode())

    def load_config(self) -> TrainConfig:
        return load_config(self.config_file)

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Everything that a later process needs to go on from here."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(self.checkpoint_file, buffer.getvalue())

    def load_checkpoint(self) -> dict[str, Any]:
        """What `save_checkpoint` wrote; nothing in the file is executed."""
        state: dict[str, Any] = torch.load(
            self.checkpoint_file, map_location="cpu", weights_only=True
        )
        return state

    def save_weights(self, model: nn.Module) -> None:
        """The weights to use: those of the best epoch."""
        weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        write_atomically(self.weights_file, save(weights))

    def load_weights(self, model: nn.Module) -> None:
        """Put the best epoch's weights into `model`."""
        model.load_state_dict(load(self.weights_file.read_bytes()))

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
        tensors = load(self.images_file.read_bytes())
        return {
            name: each.to(torch.float32) / 255 if each.dtype is torch.uint8 else each
            for name, each in tensors.items()
        }

    def load_metrics(self) -> list[dict[str, Any]]:
        """What `metrics.jsonl` holds, an object an epoch."""
        lines = self.metrics_file.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def finished_epochs(self) -> int:
        """How many epochs are in the metrics file; 0 where there is none yet."""
        if not self.metrics_file.exists():
            return 0
        return len(self.metrics_file.read_text(encoding="utf-8").splitlines())

    def save_summary(self, summary: dict[str, Any]) -> None:
        """The last thing a run writes."""
        write_atomically(self.summary_file, (json.dumps(summary, indent=2) + "\n").encode())

    def load_summary(self) -> dict[str, Any]:
        """What the run ended with.

        Raises:
            StorageError: there is none, so the run is not finished.
        """
        try:
            summary: dict[str, Any] = json.loads(self.summary_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StorageError(f"{self.path} is no finished run: {error}") from error
        return summary

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
