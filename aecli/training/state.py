"""The state of a training run: everything that a checkpoint contains."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from aecli.config import Keep, TrainConfig, settings
from aecli.errors import DataError, StorageError
from aecli.errors.text import listed
from aecli.models import Autoencoder
from aecli.runs.records import EpochRecord
from aecli.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from aecli.training.optimizer import Adam


@dataclass
class Best:
    """The best epoch so far, and the number of validations since without improvement."""

    loss: float = math.inf
    epoch: int = 0
    stale_validations: int = 0

    def update(self, loss: float, epoch: int, min_delta: float) -> bool:
        """Record a validation; True if it improves on the best by more than `min_delta`."""
        if loss < self.loss - min_delta:
            self.loss, self.epoch, self.stale_validations = loss, epoch, 0
            return True
        self.stale_validations += 1
        return False

    def is_exhausted(self, patience: int | None) -> bool:
        """Whether there was no improvement in the last `patience` validations."""
        return patience is not None and self.stale_validations >= patience


class TrainingState:
    """Everything that the remaining training steps depend on, besides the configuration.

    Batch order and noise are seeded by epoch and step, so they have no state to save.
    """

    def __init__(
        self,
        config: TrainConfig,
        model: Autoencoder,
        images: dict[str, str],
        group: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        """The initial state, for the images with these fingerprints, on the ranks of `group`."""
        self.model, self.images, self.group = model, images, group
        self.settings = {
            key: value
            for key, value in settings(config).items()
            if key not in ("epochs", "minutes")
        }
        self.optimizer = Adam(model.parameters(), config.lr, config.weight_decay)
        self.best = Best()
        self.kept_epoch, self.kept_weights = 0, _cloned(model.state_dict())
        """The epoch whose weights are kept so far, and those weights."""
        self.records: list[EpochRecord] = []
        self.snapshots: dict[int, Tensor] = {}
        """Epoch -> the example images as reconstructed after it."""
        self.step = 0
        """Batches of the current epoch that are done."""
        # Summed on the device: reading a value at every step would force a synchronisation.
        self.loss_sum = torch.zeros((), device=next(model.parameters()).device)
        """This rank's running sum; its mean over the ranks is the sum over the images of the
        epoch."""
        self.penalty_sum = torch.zeros_like(self.loss_sum)
        """The same for the regulariser's penalty."""
        self.seconds = 0.0
        """Training time in the current epoch."""

    @property
    def epoch(self) -> int:
        """The current epoch, counted from 1."""
        return len(self.records) + 1

    def is_over(self, config: TrainConfig) -> bool:
        """Whether all epochs are done, the time is up, or early stopping applies."""
        is_late = self._time_is_up(config, self.training_seconds)
        return self.epoch > config.epochs or is_late or self.best.is_exhausted(config.patience)

    def must_validate(self, config: TrainConfig) -> bool:
        """Whether the current epoch, whose steps are done, is to be validated."""
        is_last = self._time_is_up(config, self.training_seconds + self.seconds)
        is_due = self.epoch % config.val_every == 0 or self.epoch in (1, config.epochs)
        return config.data.has_validation and (is_due or is_last)

    def _time_is_up(self, config: TrainConfig, seconds: float) -> bool:
        return config.minutes is not None and seconds >= 60 * config.minutes

    @property
    def training_seconds(self) -> float:
        """Training time of all epochs that are done; the same on every rank."""
        return sum(record.seconds for record in self.records)

    def end_epoch(self, record: EpochRecord) -> None:
        self.records.append(record)
        self.step, self.seconds = 0, 0.0
        self.loss_sum.zero_()
        self.penalty_sum.zero_()

    def update_kept(self, config: TrainConfig, loss: float | None) -> bool:
        """Whether the weights of the current epoch, with this validation loss, are to be kept in
        place of earlier ones; if so, keep them."""
        is_best = loss is not None and self.best.update(loss, self.epoch, config.min_delta)
        if not is_best and config.keep is Keep.best:
            return False
        self.kept_epoch, self.kept_weights = self.epoch, _cloned(self.model.state_dict())
        return True

    def state_dict(self) -> dict[str, Any]:
        """The state for `load_state_dict`, on any number of ranks. All ranks must call this."""
        return {
            "images": self.images,
            "settings": self.settings,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": asdict(self.best),
            "kept_epoch": self.kept_epoch,
            "best_weights": self.kept_weights,  # as earlier versions call them
            "records": [asdict(record) for record in self.records],
            "snapshots": self.snapshots,
            "step": self.step,
            "loss_sums": self.group.all_gather(self.loss_sum),
            "penalty_sums": self.group.all_gather(self.penalty_sum),
            "seconds": self.seconds,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises:
            DataError: the saved run was trained on other images.
            StorageError: it was trained with other settings.
        """
        check_images(state_dict["images"], self.images)
        check_settings(state_dict["settings"], self.settings)
        self.model.load_state_dict(state_dict["model"])
        self.optimizer.load_state_dict(state_dict["optimizer"])
        self.best = Best(**state_dict["best"])
        self.kept_epoch = state_dict.get("kept_epoch", self.best.epoch)  # earlier versions lack it
        self.kept_weights = state_dict["best_weights"]
        self.records = [EpochRecord(**record) for record in state_dict["records"]]
        self.snapshots = state_dict["snapshots"]
        self.step, self.seconds = state_dict["step"], state_dict["seconds"]
        self.loss_sum.copy_(self.group.local_value(state_dict["loss_sums"]))
        if "penalty_sums" in state_dict:  # earlier versions have no regulariser
            self.penalty_sum.copy_(self.group.local_value(state_dict["penalty_sums"]))


def check_images(saved: dict[str, str], present: dict[str, str]) -> None:
    """Check that the images of a checkpoint, by their fingerprints, are the current ones.

    Raises:
        DataError: they are not; the message names the splits.
    """
    differing = [name for name, fingerprint in present.items() if saved[name] != fingerprint]
    if differing:
        raise DataError(
            f"the {listed(differing)} images are not those that the run was started with: give "
            f"path=... or data_dir=... with the folder that holds those"
        )


def check_settings(saved: dict[str, Any], present: dict[str, Any]) -> None:
    """Check that a checkpoint belongs to the current settings; those that only one version of aecli
    knows are ignored.

    Raises:
        StorageError: it does not; the message names the keys.
    """
    differing = [key for key in present if key in saved and saved[key] != present[key]]
    if differing:
        found = ", ".join(f"{key}={saved[key]} instead of {present[key]}" for key in differing)
        raise StorageError(
            f"the checkpoint belongs to another run, with {found}: put the checkpoints of this run "
            f"back, or train it from the beginning with restart=true"
        )


def _cloned(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in weights.items()}
