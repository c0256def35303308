"""The records of an epoch and of the images of a run."""

from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any, Self

from aecli.config.choices import TEST
from aecli.errors.text import shape_text
from aecli.evaluation.metrics import psnr
from aecli.runs.summary import image_fingerprints


@dataclass(frozen=True)
class DataFacts:
    """The facts about images that must agree for the errors of two runs to be comparable."""

    name: str
    image_shape: tuple[int, ...]
    test: int
    """Number of test images."""
    fingerprint: str | None = None
    """The fingerprint of the test images; None if an earlier version of aecli trained the run."""

    @classmethod
    def from_summary(cls, summary: dict[str, Any]) -> "DataFacts":
        """The facts in the summary of a run."""
        data = summary["data"]
        fingerprint = (image_fingerprints(summary) or {}).get(TEST)
        return cls(str(data["name"]), tuple(data["image_shape"]), int(data["test"]), fingerprint)

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal for equal test images; without a fingerprint, for images that look alike."""
        return self.fingerprint or self.name, self.image_shape, self.test

    def __str__(self) -> str:
        shape = shape_text(self.image_shape)
        return f"{self.name} ({shape}, {self.test:,} test images)"


@dataclass(frozen=True)
class Terms:
    """The two terms of a regularised objective, each a mean over images."""

    reconstruction: float
    """The loss of the reconstruction, a mean over pixels in normalised units."""
    penalty: float
    """The penalty of an image."""
    weight: float
    """Weight of the penalty relative to the loss, without warm-up."""

    @property
    def total(self) -> float:
        return self.reconstruction + self.weight * self.penalty


@dataclass(frozen=True)
class Validation:
    """Metrics of a model on the validation images."""

    loss: float
    """The loss in normalised units, as in training, with the regulariser's penalty."""
    mse: float
    """The mse for pixels in [0, 1]."""
    checkerboard: float | None
    """The checkerboard score, from 0 to 1; None if the images are too small for it."""
    live_units: int
    """Units of the code that differ between two images; the others are dead."""
    constant_pixels: int
    """Pixels that differ between two images, and not between their reconstructions."""
    terms: Terms | None = None
    """The terms of the loss; None without regulariser."""
    active_units: int | None = None
    """Units of a Gaussian code whose means vary; None for other codes."""


@dataclass(frozen=True)
class EpochRecord:
    """One line of metrics.jsonl. Values that were not measured in this epoch are None."""

    epoch: int
    train_loss: float
    """Mean over the epoch, in normalised units, with the regulariser's penalty at full weight."""
    val_loss: float | None
    val_mse: float | None
    val_psnr: float | None
    val_checkerboard: float | None
    lr: float
    """The learning rate at the end of the epoch."""
    images_per_second: float
    """Training only, without validation."""
    seconds: float
    """Training only, without validation."""
    live_units: int | None = None
    """See `Validation`. None also in records of earlier versions."""
    constant_pixels: int | None = None
    train_reconstruction: float | None = None
    """The first term of `train_loss`, and below the second; None without regulariser."""
    train_penalty: float | None = None
    """The penalty of an image, without its weight."""
    val_reconstruction: float | None = None
    val_penalty: float | None = None
    active_units: int | None = None
    """See `Validation`."""

    @classmethod
    def from_json(cls, line: dict[str, Any]) -> Self:
        """Read a line of metrics.jsonl.

        Raises:
            ValueError: it is not the record of an epoch.
        """
        names = {field.name for field in fields(cls)}
        required = {field.name for field in fields(cls) if field.default is MISSING}
        is_record = required <= line.keys() <= names and all(
            isinstance(value, int | float | None) for value in line.values()
        )
        if not is_record:
            raise ValueError(f"metrics.jsonl has a line that is not {', '.join(sorted(names))}")
        return cls(**line)

    @classmethod
    def from_epoch(
        cls,
        epoch: int,
        train_loss: float,
        validation: Validation | None,
        lr: float,
        seconds: float,
        images: int,
        terms: Terms | None = None,
    ) -> Self:
        """Build the record; the model was trained on `images` images in `seconds`, and `terms` are
        those of the training loss."""
        record = cls(
            epoch=epoch,
            train_loss=train_loss,
            val_loss=None,
            val_mse=None,
            val_psnr=None,
            val_checkerboard=None,
            lr=lr,
            images_per_second=images / seconds,
            seconds=seconds,
            train_reconstruction=terms.reconstruction if terms else None,
            train_penalty=terms.penalty if terms else None,
        )
        return record.with_validation(validation) if validation else record

    def with_validation(self, validation: Validation) -> Self:
        """The record of the epoch after it has been validated."""
        return replace(
            self,
            val_loss=validation.loss,
            val_mse=validation.mse,
            val_psnr=psnr(validation.mse) if validation.mse else None,  # JSON has no infinity
            val_checkerboard=validation.checkerboard,
            live_units=validation.live_units,
            constant_pixels=validation.constant_pixels,
            val_reconstruction=validation.terms.reconstruction if validation.terms else None,
            val_penalty=validation.terms.penalty if validation.terms else None,
            active_units=validation.active_units,
        )


def by_epoch(records: Iterable[EpochRecord], field: str) -> dict[int, float]:
    """Epoch -> a number of `records`, such as val_loss, without the epochs that lack it."""
    return {
        record.epoch: value for record in records if (value := getattr(record, field)) is not None
    }
