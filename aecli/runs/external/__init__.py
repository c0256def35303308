"""External trackers that show a run while it trains, in addition to TensorBoard."""

import hashlib
import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from aecli.config import TrackerKind, TrainConfig, settings
from aecli.errors import UsageError, missing_extra
from aecli.errors.text import one_line
from aecli.runs.discovery import is_sweep

PROJECT = "aecli"
"""The project, or experiment, of the runs where the tracker's own environment names none."""


@dataclass(frozen=True)
class RunFacts:
    """The facts about a run that a tracker receives before it trains."""

    id: str
    """Stays the same when a run is resumed."""
    name: str
    group: str | None
    """The sweep that it belongs to."""
    folder: Path
    settings: dict[str, object]
    """Every setting that affects the result, keyed as on the command line."""


class TrackedRun(Protocol):
    """One run at a tracker. Any method may raise what its package raises."""

    @property
    def place(self) -> str:
        """Where the run can be viewed: an address, a folder or a database."""

    def metrics(self, values: dict[str, float], epoch: int) -> None:
        """Log the scalars of an epoch, by their tags."""

    def image(self, tag: str, pixels: NDArray[np.uint8], epoch: int) -> None:
        """Log an image (H, W, C) of an epoch."""

    def close(self, *, is_complete: bool) -> None:
        """Send what is left, and mark the run as complete or as failed."""


def check_tracker(config: TrainConfig) -> None:
    """Check that the package of the tracker is installed.

    Raises:
        UsageError: it is not.
    """
    if config.tracker is TrackerKind.none:
        return
    name = config.tracker.name
    found = find_spec(name)
    # A folder of that name, as wandb makes one, passes for a package without an origin.
    if found is None or found.origin is None:
        raise missing_extra(f"tracker={name}", name)


class ExternalTracker:
    """The tracker that a run has chosen, or none; a context manager that closes the run there.

    One that fails later, as without a network, is left out from there on: the run goes on.
    """

    def __init__(self, config: TrainConfig, folder: Path, warn: Callable[[str], None]) -> None:
        """Open the run of `folder` there; the same one for a run that is resumed.

        Args:
            config: the configuration of the run.
            folder: its run directory.
            warn: receives where the run is logged, and a message if that fails.

        Raises:
            UsageError: the tracker refuses, as without a login.
        """
        self._name, self._warn = config.tracker.name, warn
        self._run: TrackedRun | None = None
        if config.tracker is TrackerKind.none:
            return
        check_tracker(config)
        # Imported late: each is an extra, and takes a second.
        module = importlib.import_module(f"aecli.runs.external.{self._name}")
        try:
            self._run = module.start(_facts(config, folder))
        except module.ERRORS as error:
            reason = one_line(error).rstrip(".")
            raise UsageError(f"tracker={self._name}: {reason}. {module.ADVICE}") from error
        warn(f"tracker={self._name} logs to {self._run.place}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self._try(lambda run: run.close(is_complete=kind is None))

    def metrics(self, values: dict[str, float], epoch: int) -> None:
        """Log scalars of an epoch, by their tags."""
        self._try(lambda run: run.metrics(values, epoch))

    def image(self, tag: str, pixels: NDArray[np.uint8], epoch: int) -> None:
        """Log an image (H, W, C) of an epoch."""
        self._try(lambda run: run.image(tag, pixels, epoch))

    def _try(self, action: Callable[[TrackedRun], None]) -> None:
        if self._run is None:
            return
        try:
            action(self._run)
        except Exception as error:  # of any kind: the training matters more
            self._run = None
            self._warn(
                f"tracker={self._name} failed: {one_line(error)}; the run goes on without it"
            )


def _facts(config: TrainConfig, folder: Path) -> RunFacts:
    home, decided = folder.resolve(), settings(config)
    sweep = home.parent
    return RunFacts(
        id=_id(home, decided),
        name=config.name,
        group=f"{sweep.parent.name}/{sweep.name}" if is_sweep(sweep) else None,
        folder=home,
        settings=decided,
    )


def _id(home: Path, decided: dict[str, object]) -> str:
    """An id from the folder and all settings that cannot change on resuming, so that a new training
    in the folder of a removed run is a new run."""
    kept = {key: value for key, value in decided.items() if key not in ("epochs", "minutes")}
    text = json.dumps([str(home), kept], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
