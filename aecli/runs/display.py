"""How a run shows its progress while it trains: a bar on a terminal or in a notebook, elsewhere a
line per epoch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Self

from aecli.runs.records import EpochRecord
from aecli.runtime.progress import Bar, can_draw
from aecli.runtime.terminal import out


class Log(Enum):
    """What `log=` accepts."""

    bar = "bar"
    lines = "lines"


@dataclass(frozen=True)
class Display:
    """How a run is shown."""

    name: str
    """The run, as its bar names it."""

    log: Log = Log.bar
    """A bar needs a terminal; without one there are lines."""

    is_alone: bool = True
    """Whether no other run's lines need to be told apart from this one's."""

    is_watched: bool = False
    """Whether another process draws the bars."""

    @property
    def has_lines(self) -> bool:
        return self.log is Log.lines or not can_draw()

    @property
    def has_bar(self) -> bool:
        return not self.has_lines and not self.is_watched


@dataclass(frozen=True)
class Standing:
    """The state of a training run after an epoch."""

    best_epoch: int | None
    """The epoch whose weights are kept; None if those of the last are."""

    seconds: float
    """Training time of all epochs so far."""

    patience: int | None
    """Validations without improvement before training stops; None: never."""

    patience_left: int
    """How many of these are left."""


class Progress:
    """The bar or the lines of a run; a context manager that draws the bar."""

    def __init__(
        self, display: Display | None, epochs: int, steps: int, epochs_done: int, steps_done: int
    ) -> None:
        """
        Args:
            display: what is shown; None for nothing.
            epochs: total number of epochs.
            steps: total number of optimiser steps.
            epochs_done: those before this process.
            steps_done: those before this process.
        """
        self._epochs = epochs
        self._name = display.name if display else ""
        self._has_lines = display is not None and display.has_lines
        self._prefix = "" if display is None or display.is_alone else f"{self._name}: "
        has_bar = display is not None and display.has_bar
        self._title, self._details = self._epoch_title(epochs_done + 1), ""
        self.bar = Bar(self._title, steps, "steps", done=steps_done, is_kept=True, is_shown=has_bar)

    def __enter__(self) -> Self:
        self.bar.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.__exit__(*exception)

    def losses(self, record: EpochRecord) -> None:
        """Show the losses of an epoch next to the bar."""
        losses = {"train": record.train_loss, "val": record.val_loss}
        shown = [f"{name} {loss:.5f}" for name, loss in losses.items() if loss is not None]
        self._title, self._details = self._epoch_title(record.epoch + 1), " ".join(shown)
        self.bar.describe(self._title, self._details)

    def line(self, record: EpochRecord, standing: Standing) -> None:
        """Print the line of an epoch."""
        if self._has_lines:
            self._print(f"epoch {record.epoch}/{self._epochs}: {_described(record, standing)}")

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Show a phase after the training, such as testing, while it lasts."""
        if self._has_lines:
            self._print(name)
        self.bar.describe(f"{self._name}, {name}", self._details)
        yield
        self.bar.describe(self._title, self._details)

    def _epoch_title(self, epoch: int) -> str:
        return f"{self._name}, epoch {min(epoch, self._epochs)}/{self._epochs}"

    def _print(self, text: str) -> None:
        out.print(self._prefix + text, markup=False, soft_wrap=True)
        out.file.flush()  # a log file is read while the run goes on


def _described(record: EpochRecord, standing: Standing) -> str:
    """An epoch in one line: its losses, whether it was kept, the time and the speed."""
    losses = [f"train {record.train_loss:.5f}"]
    if record.val_loss is not None:
        losses.append(f"validation {record.val_loss:.5f}")
        if standing.best_epoch is not None:
            is_kept = standing.best_epoch == record.epoch
            losses.append("kept" if is_kept else f"epoch {standing.best_epoch} is better")
        if standing.patience is not None:
            losses += [f"patience {standing.patience_left} of {standing.patience} left"]
    speed = f"{1 / record.seconds:.3g} epochs/s" if record.seconds else ""
    return ", ".join([*losses, str(timedelta(seconds=round(standing.seconds))), speed])
