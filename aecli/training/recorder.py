"""A callback that writes the output of a training run to its directory."""

from functools import cached_property
from typing import Any

import torch

from aecli.config import Keep, TrainConfig
from aecli.data import Data
from aecli.evaluation.examples import example_images, reconstruction_figure
from aecli.evaluation.scores import ReferenceScores, make_reconstruct_fn, reference_scores
from aecli.runs.directory import RunDirectory
from aecli.runs.display import Standing
from aecli.runs.records import EpochRecord
from aecli.runs.tracker import Tracker
from aecli.training.callback import Callback
from aecli.training.state import TrainingState

# Snapshots per run, including the first and last epoch. TensorBoard keeps ten images per tag.
SNAPSHOTS = 6


class Recorder(Callback):
    """Writes curves, figures, weights and checkpoints to the run directory."""

    def __init__(
        self,
        config: TrainConfig,
        data: Data,
        state: TrainingState,
        run: RunDirectory,
        tracker: Tracker,
    ) -> None:
        super().__init__(run)
        self._config, self._data, self._state, self._tracker = config, data, state, tracker
        self._title = f"{config.name} on {data.name}"
        self._examples = example_images(config, data.test)
        if state.records:
            self._log(state.records[-1])  # earlier events of it and of later epochs are ignored

    def on_step_end(self) -> None:
        self._tracker.step()

    def on_epoch_end(self) -> None:
        record = self._state.records[-1]
        if self._state.is_over(self._config) or record.epoch in snapshot_epochs(
            self._config.epochs
        ):
            with torch.inference_mode():
                outputs = make_reconstruct_fn(self._state.model, self._config)(
                    self._examples.inputs
                )
            self._state.snapshots[record.epoch] = outputs.cpu()
        self._log(record)
        best, patience = self._state.best, self._config.patience
        self._tracker.line(
            record,
            Standing(
                best.epoch if self._config.keep is Keep.best else None,
                self._state.training_seconds,
                patience,
                max(0, (patience or 0) - best.stale_validations),
            ),
        )

    def on_new_weights(self) -> None:
        self.run.save_weights(self._state.kept_weights)

    def on_checkpoint(self, position: int, saved: dict[str, Any]) -> None:
        self._tracker.sync()
        self.run.save_checkpoint(position, saved)

    @cached_property
    def references(self) -> ReferenceScores:
        """Scores of the baselines, measured after the first epoch so as not to delay it."""
        return reference_scores(self._config, self._data)

    def _log(self, record: EpochRecord) -> None:
        constants = {
            "mse/pca": self.references.mse.get("pca"),
            "upsampling/checkerboard_of_originals": self.references.checkerboard,
        }
        self._tracker.epoch(record, constants)
        if record.epoch in self._state.snapshots:
            title = f"{self._title}, epoch {record.epoch}"
            outputs = {"reconstruction": self._state.snapshots[record.epoch]}
            self._tracker.figure(
                "reconstructions",
                reconstruction_figure(title, self._examples, outputs),
                record.epoch,
            )


def snapshot_epochs(epochs: int) -> set[int]:
    """The epochs whose reconstructions are kept: the first, the last, and some in between."""
    return {1} | {max(1, round(epochs * part / (SNAPSHOTS - 1))) for part in range(1, SNAPSHOTS)}
