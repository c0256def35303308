"""The interface that the training loop reports to."""

from typing import Any

from aecli.runs.directory import RunDirectory


class Callback:
    """Callbacks of the training loop. This base class does nothing; ranks other than 0 use it."""

    def __init__(self, run: RunDirectory) -> None:
        self.run = run

    def on_step_end(self) -> None:
        """Called after every optimiser step."""

    def on_epoch_end(self) -> None:
        """Called after every epoch; its record is the last one in the state."""

    def on_new_weights(self) -> None:
        """Called when the weights that the run keeps have changed."""

    def on_checkpoint(self, position: int, state_dict: dict[str, Any]) -> None:
        """Called with a state to resume from; `position` increases during training."""
