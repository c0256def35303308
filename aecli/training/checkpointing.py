"""When a checkpoint is saved."""

import time

from aecli.config import TrainConfig
from aecli.errors import Interrupted
from aecli.runtime.signals import StopRequest
from aecli.training.callback import Callback
from aecli.training.state import TrainingState


class CheckpointScheduler:
    """Triggers a checkpoint whenever one is due."""

    def __init__(
        self, config: TrainConfig, state: TrainingState, callback: Callback, steps: int
    ) -> None:
        self._config, self._state, self._callback, self._steps = config, state, callback, steps
        self._last_saved = self._position
        self._due = self._next_due()

    def on_step_end(self, stop: StopRequest) -> None:
        """Save a checkpoint if checkpoint.minutes have passed or a stop is requested, and then
        stop."""
        any_process = self._state.group.any_process
        if any_process(stop.is_pending or time.monotonic() >= self._due):
            self._save()
            if any_process(stop.is_pending):
                stop.check()
                raise Interrupted  # another rank received a signal

    def on_epoch_end(self, stop: StopRequest) -> None:
        """Also save a checkpoint after every checkpoint.epochs epochs and after the last one."""
        epochs = len(self._state.records)
        if epochs % self._config.checkpoint.epochs == 0 or self._state.is_over(self._config):
            self._save()
        self.on_step_end(stop)

    @property
    def _position(self) -> int:
        """A number that increases with every step, and once more at the end of every epoch."""
        return len(self._state.records) * (self._steps + 1) + self._state.step

    def _save(self) -> None:
        if self._position != self._last_saved:
            self._callback.on_checkpoint(self._position, self._state.state_dict())
            self._last_saved = self._position
        self._due = self._next_due()

    def _next_due(self) -> float:
        return time.monotonic() + 60 * self._config.checkpoint.minutes
