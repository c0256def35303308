"""A callback that writes the output of a training run to its directory."""

from collections.abc import Callable
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
from aecli.runtime.contention import ProcessorWait
from aecli.training.callback import Callback
from aecli.training.state import TrainingState

# Snapshots per run, including the first and last epoch. TensorBoard keeps ten images per tag.
SNAPSHOTS = 6

# The share of the time for which a run waits for a busy processor, and the seconds over which it is
# measured at least.
MAX_WAIT_SHARE, MIN_WAIT_SECONDS = 1 / 3, 2.0


class Recorder(Callback):
    """Writes curves, figures, weights and checkpoints to the run directory."""

    def __init__(
        self,
        config: TrainConfig,
        data: Data,
        state: TrainingState,
        run: RunDirectory,
        tracker: Tracker,
        warn: Callable[[str], None],
    ) -> None:
        super().__init__(run)
        self._warn = warn
        computes_in_threads = data.train.images.device.type == "cpu" and torch.get_num_threads() > 1
        self._wait = ProcessorWait() if computes_in_threads else None
        self._config, self._data, self._state, self._tracker = config, data, state, tracker
        self._title = f"{config.name} on {data.name}"
        self._examples = example_images(config, data.test)
        if state.records:
            self._log(state.records[-1])  # earlier events of it and of later epochs are ignored

    def on_step_end(self) -> None:
        self._tracker.step()

    def on_epoch_end(self) -> None:
        self._warn_if_busy()
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

    def on_checkpoint(self, position: int, state_dict: dict[str, Any]) -> None:
        self._tracker.sync()
        self.run.save_checkpoint(position, state_dict)

    @cached_property
    def references(self) -> ReferenceScores:
        """Scores of the baselines, measured after the first epoch so as not to delay it."""
        return reference_scores(self._config, self._data)

    def _warn_if_busy(self) -> None:
        """Warn once if the threads of this run and other programs slow each other down.

        At every operation they wait for one another, and each for its turn on a core. On two cores
        of an AMD EPYC, fc and conv took 2.1 to 3.4 times as long with two threads as with one next
        to a busy process or another run, and 1.7 times next to five; without `one_core_per_thread`
        10 to 50 times.
        """
        if self._wait is None or self._wait.seconds < MIN_WAIT_SECONDS:
            return
        share = self._wait.share()
        self._wait = ProcessorWait()
        if share is not None and share > MAX_WAIT_SHARE:
            self._wait = None
            threads = torch.get_num_threads()
            self._warn(
                f"the processor is busy: for {share:.0%} of the time this run waits for other "
                f"programs. Until they end, OMP_NUM_THREADS={threads // 2} is likely to be faster"
            )

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
