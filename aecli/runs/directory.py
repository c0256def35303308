"""A run directory: the name of every file in it, and how each is written and read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aecli.config import TrainConfig, from_plain, from_yaml, to_yaml
from aecli.errors import StorageError, UsageError
from aecli.errors.text import one_line
from aecli.files.documents import MAX_YAML_BYTES, parse_json, parse_yaml, to_json
from aecli.files.storage import (
    MAX_JSON_BYTES,
    damage_as_storage_error,
    make_folder,
    read_file,
    read_json,
    remove_scratch,
    write_atomically,
)
from aecli.runs.checkpoints import Checkpoints
from aecli.runs.lock import locked
from aecli.runs.owned import MANIFEST, NEXT, OwnedFiles
from aecli.runs.tensors import from_bytes, to_bytes

if TYPE_CHECKING:  # runs are listed without waiting for torch
    from torch import Tensor, nn

CONFIG, SUMMARY, FAILURE = "config.yaml", "summary.json", "failure.json"
METRICS, WEIGHTS, IMAGES = "metrics.jsonl", "best.safetensors", "images.safetensors"
IMAGE_KEYS, IMAGE_ERRORS = "seen.safetensors", "errors.safetensors"
CHECKPOINTS, FIGURES = "checkpoints", "figures"
RUN_FIGURES = LOSS, RECONSTRUCTIONS, EPOCHS, CURVE = "loss", "reconstructions", "epochs", "curve"
"""Figures of a run; the last is only for points in the plane."""
FIGURE_KINDS = ("png", "svg")
EVENTS = "events.out.tfevents.*"
"""Event files, named by TensorBoard's convention."""
HYDRA = ".hydra"
"""Where Hydra writes copies of the configuration."""
HYDRA_FILES = tuple(f"{HYDRA}/{name}.yaml" for name in ("config", "hydra", "overrides"))
RESULTS = (
    *(CONFIG, METRICS, WEIGHTS, IMAGES, IMAGE_KEYS, IMAGE_ERRORS, SUMMARY),
    *(f"{FIGURES}/{name}.{kind}" for name in RUN_FIGURES for kind in FIGURE_KINDS),
)
"""The files of a finished run, besides checkpoints and event files."""
FILES = (*RESULTS, MANIFEST, FAILURE, NEXT)
"""All that a run writes, besides checkpoints and event files."""

MAX_METRICS_BYTES = 2**30  # of some four million epochs


class Status(Enum):
    """The state of a run."""

    finished = "finished"
    failed = "failed"
    interrupted = "interrupted"
    """Interrupted, or still running: the files do not tell which."""
    planned = "not started"


class RunDirectory:
    """The directory that holds everything about one run. A run with a summary is finished.

    The manifest holds the fingerprint of every result that is read back: a damaged file raises an
    error instead of giving wrong numbers. If a finished run is trained further, its results stay in
    force until the new ones are complete, and what is written until then goes to a subfolder; see
    `OwnedFiles`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / CONFIG
        self.manifest_file = path / MANIFEST
        self.metrics_file = path / METRICS
        self.checkpoints = Checkpoints(path / CHECKPOINTS)
        self.weights_file = path / WEIGHTS
        self.images_file = path / IMAGES
        self.summary_file = path / SUMMARY
        self.failure_file = path / FAILURE
        self.figures = path / FIGURES
        self._files = OwnedFiles(path)
        self._check_lock: Callable[[], None] | None = None
        self.has_begun = False
        """Whether a training has begun through this object, so that it can fail."""

    @property
    def status(self) -> Status:
        if self._files.locate(SUMMARY).exists():
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
        make_folder(self.path)
        with locked(self.path) as self._check_lock:
            try:
                self._files.complete()
                remove_scratch(self.path)
                yield
            finally:
                self._check_lock = None

    def check_lock(self) -> None:
        """Check that this process, if it locked the directory, still holds the lock.

        Raises:
            StorageError: another process has taken over the directory.
        """
        if self._check_lock is not None:
            self._check_lock()

    def check_vacant(self, *others: str) -> None:
        """Check that a new run would overwrite nothing in its folder.

        Args:
            others: names of what others write there for the run.

        Raises:
            UsageError: the folder holds a run, or a file with the name of one that a run writes.
        """
        names = (*FILES, *others)
        taken = [self.path / name for name in names if os.path.lexists(self.path / name)]
        taken += [*self.checkpoints.files(), *sorted(self.path.glob(EVENTS))]
        if self.config_file in taken and self._files.owns(CONFIG):
            raise UsageError(
                f"{self.path} already holds a run: resume it with resume={self.path}, or give "
                f"another hydra.run.dir"
            )
        if taken:
            raise UsageError(
                f"{taken[0]} is in the way of a new run: give another hydra.run.dir, such as a "
                f"folder that does not exist, unless another run is just starting in this one"
            )

    def working_file(self, name: str) -> Path:
        """The path for writing a file during training, so that it does not overwrite one in
        force."""
        self.check_lock()
        return self._files.stage(name) if self.status is Status.finished else self.path / name

    def working_path(self, name: str) -> Path:
        """The path of that file, if it has been written."""
        return (self._files.next if self.status is Status.finished else self.path) / name

    def begin(self, config: TrainConfig) -> None:
        """Save the configuration of a training that starts or resumes, and forget its failure."""
        self.save_working_config(config)
        self.failure_file.unlink(missing_ok=True)
        self.has_begun = True

    def save_working_config(self, config: TrainConfig) -> None:
        """Save the configuration that comes into force with the next summary."""
        self.check_lock()
        content = to_yaml(config).encode()
        if METRICS not in self._files.manifest():  # a new run
            self._files.adopt(HYDRA_FILES)
        if self.status is Status.finished:
            write_atomically(self._files.stage(CONFIG), content)
        else:
            self._files.save(CONFIG, content)
            self._files.claim(METRICS, WEIGHTS)

    def save_config(self, config: TrainConfig) -> None:
        """Save the configuration of a run that is planned."""
        self._files.save(CONFIG, to_yaml(config).encode())

    def load_config(self) -> TrainConfig:
        """Load the configuration of the run.

        Raises:
            StorageError: the file is damaged.
            UsageError: it is not an aecli configuration.
        """
        return _parse_config(self.config_file, self._files.read(CONFIG, MAX_YAML_BYTES))

    def load_next_config(self) -> TrainConfig | None:
        """Load the configuration with which a finished run was being trained further or again, if
        that was interrupted.

        Raises:
            UsageError: it is not an aecli configuration.
        """
        file = self._files.staged().get(CONFIG)
        return None if file is None else _parse_config(file, read_file(file, MAX_YAML_BYTES))

    def save_checkpoint(self, position: int, state: dict[str, Any]) -> None:
        """Save a state to resume from; `position` increases during training.

        Raises:
            OSError: it cannot be written; earlier checkpoints stay valid.
            StorageError: another process has taken over the directory.
        """
        self.check_lock()
        self.checkpoints.save(position, state)
        if CHECKPOINTS not in self._files.manifest():
            self._files.claim(CHECKPOINTS)

    def newest_checkpoint(self) -> tuple[dict[str, Any] | None, list[str]]:
        """Load the newest undamaged state, and list the problems of any newer ones.

        The state is None if there is no checkpoint.

        Raises:
            StorageError: all checkpoints are damaged or missing.
        """
        state, problems = self.checkpoints.newest()
        if state is None and CHECKPOINTS in self._files.manifest():
            raise StorageError(
                f"{self.checkpoints.folder} lacks the checkpoints of this run, each a .pt and a "
                f".json file: put them back, or train it from the beginning with "
                f"resume={self.path} restart=true"
            )
        return state, problems

    def remove_checkpoints(self) -> None:
        """Remove all checkpoints, to train from the beginning."""
        self.check_lock()
        self._files.disclaim(CHECKPOINTS)
        self.checkpoints.remove_all()

    def save_weights(self, weights: dict[str, Tensor]) -> None:
        """Save the weights that are kept so far."""
        write_atomically(self.working_file(WEIGHTS), to_bytes(weights))

    def load_weights(self, model: nn.Module) -> None:
        """Load the weights of a finished run into `model`."""
        model.load_state_dict(from_bytes(self._files.read(WEIGHTS)))

    def weights_digest(self) -> str:
        """The sha256 of the weights of a finished run, according to its manifest."""
        recorded = self._files.manifest()[WEIGHTS]
        return "" if recorded is None else str(recorded["sha256"])

    def save_images(self, images: dict[str, Tensor], means: dict[str, Tensor]) -> None:
        """Save the images that a comparison shows of the run.

        Args:
            images: name -> images (K, C, H, W) in [0, 1], stored as uint8.
            means: name -> means over many images, same shape and range; stored as floats, because
                rounding to uint8 would hide the patterns they share.
        """
        self.check_lock()
        pixels = {name: (image * 255).round().byte() for name, image in images.items()}
        write_atomically(self._files.stage(IMAGES), to_bytes({**pixels, **means}))

    def load_images(self) -> dict[str, Tensor]:
        """Load what `save_images` wrote, as float32 in [0, 1]."""
        tensors = from_bytes(self._files.read(IMAGES))
        return {
            name: tensor if tensor.is_floating_point() else tensor.float() / 255
            for name, tensor in tensors.items()
        }

    def save_seen_images(self, keys: dict[str, Tensor]) -> None:
        """Save a number for each image that was used in training: `train` and `validation` -> the
        `image_keys` of the split."""
        self.check_lock()
        write_atomically(self._files.stage(IMAGE_KEYS), to_bytes(keys))

    def load_seen_images(self) -> dict[str, Tensor]:
        """Load what `save_seen_images` wrote."""
        return from_bytes(self._files.read(IMAGE_KEYS))

    def save_image_errors(self, errors: dict[str, Tensor]) -> None:
        """Save the mse of each test image, (N,): of `model`, and of each baseline by its name."""
        self.check_lock()
        write_atomically(self._files.stage(IMAGE_ERRORS), to_bytes(errors))

    def load_image_errors(self) -> dict[str, Tensor]:
        """Load what `save_image_errors` wrote; empty if an earlier version trained the run."""
        return from_bytes(self._files.read(IMAGE_ERRORS)) if self._files.owns(IMAGE_ERRORS) else {}

    def load_metrics(self) -> list[dict[str, Any]]:
        """The records in `metrics.jsonl` of a finished run, one per epoch."""
        lines = self._files.read(METRICS, MAX_METRICS_BYTES).splitlines()
        return [_parse_object(self.metrics_file, line) for line in lines]

    def finished_epochs(self) -> int:
        """The number of epochs of the latest training; 0 if no metrics file can be read yet."""
        try:
            file = self._files.staged().get(METRICS, self.metrics_file)
            return read_file(file, MAX_METRICS_BYTES).count(b"\n")
        except StorageError:
            return 0

    def figure(self, name: str) -> Path:
        """The path at which to write a figure, without suffix."""
        self.check_lock()
        self._files.stage_all(f"{FIGURES}/{name}.{kind}" for kind in FIGURE_KINDS)
        return self._files.next / FIGURES / name

    def check_replaceable(self) -> None:
        """Check that nobody has changed the results that are about to be replaced, or put a file in
        the way of the new ones.

        Raises:
            StorageError: somebody has; the message names the file.
        """
        self._files.check_replaceable({*self._files.manifest(), *RESULTS} - {*HYDRA_FILES})

    def save_summary(self, summary: dict[str, Any]) -> None:
        """Save the summary, last of all: with it, all files of this training come into force.

        Raises:
            StorageError: a file that aecli did not write is in the way; nothing has changed.
        """
        self.check_lock()
        write_atomically(self._files.stage(SUMMARY), to_json(summary))
        self._files.publish(RESULTS, kept=HYDRA_FILES)
        self.failure_file.unlink(missing_ok=True)  # the failure of a run that has been closed

    def load_summary(self) -> dict[str, Any]:
        """Load the summary of a finished run.

        Raises:
            StorageError: it is damaged, or missing because the run is not finished.
        """
        if self.status is not Status.finished:
            raise StorageError(f"{self.path} is not a finished run: it has no {SUMMARY}")
        return _parse_object(self.summary_file, self._files.read(SUMMARY, MAX_JSON_BYTES))

    def show_results(self, command: str, files: dict[str, bytes]) -> None:
        """Replace what TensorBoard shows of a command's results.

        Args:
            command: the end of the names of its event files.
            files: name -> content; event files, and what TensorBoard looks for next to them.

        Raises:
            StorageError: another process is training the run, or a file that aecli did not write is
                in the way.
        """
        with self.locked():
            self._files.check_replaceable(files)
            earlier = [name for name in self._files.manifest() if name.endswith(f".{command}")]
            for name in earlier:
                self._files.remove(name)
            for name, content in files.items():
                self._files.save(name, content)

    def save_failure(self, reason: str) -> None:
        """Record in one line why the run failed."""
        self.check_lock()
        write_atomically(self.failure_file, (json.dumps({"reason": reason}) + "\n").encode())

    def failure(self) -> str:
        """The reason that `save_failure` recorded."""
        try:
            return one_line(read_json(self.failure_file)["reason"])
        except StorageError as error:
            return str(error)
        except (KeyError, TypeError):
            return f"{self.failure_file} is damaged: it gives no reason"

    def exists(self) -> bool:
        """Whether there is a run: a configuration that aecli wrote, or could have written."""
        if not self.config_file.exists():
            return False
        if self._files.owns(CONFIG):
            return True
        try:
            from_yaml(read_file(self.config_file, MAX_YAML_BYTES).decode())
        except (StorageError, ValueError, UsageError):
            return False
        return True


def _parse_config(file: Path, content: bytes) -> TrainConfig:
    try:
        with damage_as_storage_error(file):
            return from_plain(parse_yaml(content))
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from error


def _parse_object(file: Path, content: bytes) -> dict[str, Any]:
    """Parse `content` of `file`, a JSON object.

    Raises:
        StorageError: it is something else.
    """
    with damage_as_storage_error(file):
        value = parse_json(content)
    if not isinstance(value, dict):
        raise StorageError(f"{file} is damaged: it does not hold named values")
    return value
