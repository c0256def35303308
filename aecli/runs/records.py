"""What is recorded of an epoch."""

from dataclasses import dataclass
from typing import Self

from aecli.evaluation.metrics import psnr


@dataclass(frozen=True)
class Validation:
    """Metrics of a model on the validation images."""

    loss: float
    """In normalised units, as in training."""
    mse: float
    """For pixels in [0, 1]."""
    checkerboard: float | None
    """From 0 to 1; None if the images are too small for it."""


@dataclass(frozen=True)
class EpochRecord:
    """One line of metrics.jsonl. Values that were not measured in this epoch are None."""

    epoch: int
    train_loss: float
    """Mean over the epoch, in normalised units."""
    val_loss: float | None
    val_mse: float | None
    val_psnr: float | None
    val_checkerboard: float | None
    lr: float
    """At the end of the epoch."""
    images_per_second: float
    """Training only, without validation."""
    seconds: float
    """Training only, without validation."""

    @classmethod
    def from_epoch(
        cls,
        epoch: int,
        train_loss: float,
        validation: Validation | None,
        lr: float,
        seconds: float,
        images: int,
    ) -> Self:
        """Build the record; the model was trained on `images` images in `seconds`."""
        val_mse = validation.mse if validation else None
        return cls(
            epoch=epoch,
            train_loss=train_loss,
            val_loss=validation.loss if validation else None,
            val_mse=val_mse,
            val_psnr=psnr(val_mse) if val_mse else None,  # JSON has no infinity
            val_checkerboard=validation.checkerboard if validation else None,
            lr=lr,
            images_per_second=images / seconds,
            seconds=seconds,
        )
