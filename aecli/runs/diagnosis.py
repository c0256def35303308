"""Problems of a finished training that its curves and validations show."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from aecli.config import Activation, Keep, TrainConfig
from aecli.runs.directory import SUMMARY, Status
from aecli.runs.records import EpochRecord, by_epoch

NOTICEABLE_FALL = 0.01
"""Relative fall of the validation mse per epoch; a slower fall does not call for more epochs."""
NOTICEABLE_RISE = 0.1
"""Relative rise of the validation mse from the best epoch to the last."""
NOTICEABLE_SHARE = 0.01
"""Share of the pixels that never vary."""
FEW_STEPS = 2000
"""Within this many steps of Adam, nearly every network still improves."""


class Symptom(Enum):
    """A possible problem of a run; the value is its description for several runs."""

    closed_early = "were closed before their training was over"
    dead_units = "have units in their code that never vary"
    constant_pixels = "have pixels in their output that never vary, though those of the images do"
    useless = "are no better than the mean image"
    no_progress = "were stopped early, and no epoch was better than the first"
    rose_again = f"ended with a validation mse over {NOTICEABLE_RISE:.0%} above their best"
    still_falling = "were still improving in their last epoch"


@dataclass(frozen=True)
class Finding:
    """One symptom of a run."""

    symptom: Symptom
    details: str
    """A clause with the numbers."""
    advice: str
    """What to try."""


def diagnose(
    config: TrainConfig,
    records: Sequence[EpochRecord],
    kept_epoch: int,
    steps: int,
    mse: float,
    mean_image_mse: float,
    closed: str | None = None,
) -> list[Finding]:
    """The symptoms of a finished run, the most serious first.

    Args:
        config: what was to be trained.
        records: of all its epochs.
        kept_epoch: the one whose weights were kept.
        steps: optimiser steps per epoch.
        mse: of the model, on the test images.
        mean_image_mse: of the mean of the training images in place of every image.
        closed: why the training ended before it was over, as in `closed_early`.
    """
    kept = records[kept_epoch - 1]
    found = [
        *_closed_early(config, records, closed),
        *_dead_units(config, kept),
        *_constant_pixels(config, kept),
    ]
    if mse >= mean_image_mse:
        details = f"its test mse ({mse:.4f}) is no better than the mean image's"
        longer = "resume it" if closed else f"epochs={_more_epochs(len(records), steps)}"
        return [*found, Finding(Symptom.useless, details, f"try another lr, or {longer}")]
    curve = _curve(config, records, kept, steps)
    if closed is not None:  # of course it was still falling
        curve = [each for each in curve if each.symptom is not Symptom.still_falling]
    return [*found, *curve]


def _closed_early(
    config: TrainConfig, records: Sequence[EpochRecord], closed: str | None
) -> list[Finding]:
    if closed is None:
        return []
    details = f"closed at epoch {len(records)} of {config.epochs}"
    if closed == Status.interrupted.value:
        return [Finding(Symptom.closed_early, details, "resume it to continue training")]
    details += ", because its training failed"
    return [Finding(Symptom.closed_early, details, f"{SUMMARY} says why")]


def _dead_units(config: TrainConfig, kept: EpochRecord) -> list[Finding]:
    if kept.live_units is None or kept.live_units == config.latent:
        return []
    dead = config.latent - kept.live_units
    which = f"{dead} of the {config.latent} units" if config.latent > 1 else "the only unit"
    details = f"{which} of the code never var{'y' if dead > 1 else 'ies'}"
    is_linear = config.model.code_activation is Activation.identity
    option = "" if is_linear else "model.code_activation=identity, "
    return [Finding(Symptom.dead_units, details, f"try {option}a smaller lr or another seed")]


def _constant_pixels(config: TrainConfig, kept: EpochRecord) -> list[Finding]:
    pixels = math.prod(config.data.image_shape or [])
    # Single pixels that are bright in few images may well be left dark.
    if not kept.constant_pixels or kept.constant_pixels < NOTICEABLE_SHARE * pixels:
        return []
    details = f"{kept.constant_pixels:,} pixels of the output never vary, though the images' do"
    is_sigmoid = config.model.output_activation is Activation.sigmoid
    option = "" if is_sigmoid else "model.output_activation=sigmoid, "
    return [Finding(Symptom.constant_pixels, details, f"try {option}a smaller lr or another seed")]


def _curve(
    config: TrainConfig, records: Sequence[EpochRecord], kept: EpochRecord, steps: int
) -> list[Finding]:
    errors = by_epoch(records, "val_mse")
    if not errors:
        return []
    best = kept.epoch if config.keep is Keep.best else min(errors, key=errors.__getitem__)
    lowest, last, epochs = errors[best], errors[max(errors)], len(records)
    is_exhausted = config.patience is not None and len(errors) > config.patience
    if is_exhausted and best == min(errors):
        details = f"training stopped early after {epochs} epochs, none better than the first"
        return [Finding(Symptom.no_progress, details, "try a smaller lr or a larger patience")]
    if lowest > 0 and last > lowest * (1 + NOTICEABLE_RISE):
        are_kept = config.keep is Keep.best
        weights = "whose weights were kept" if are_kept else "and the last weights were kept"
        details = (
            f"the validation mse rose by {last / lowest - 1:.0%} after epoch {best}, {weights}"
        )
        advice = "" if are_kept else "keep=best, "
        advice = f"try {advice}a smaller lr, optimizer.clip_norm=1 or more training images"
        return [Finding(Symptom.rose_again, details, advice)]
    fall = _fall_per_epoch(errors)
    if best == epochs and fall > NOTICEABLE_FALL:
        few = f", of {epochs * steps:,} steps in all" if epochs * steps < FEW_STEPS else ""
        details = f"the validation mse still fell by {fall:.1%} an epoch at the end{few}"
        more = f"epochs={_more_epochs(epochs, steps)}"
        if config.minutes is not None and epochs < config.epochs:
            more = f"minutes={2 * config.minutes:g}"
        advice = f"try {more}"
        return [Finding(Symptom.still_falling, details, advice)]
    return []


def _fall_per_epoch(errors: dict[int, float]) -> float:
    """The relative fall of the error in an epoch, over the last fifth of the training: from one
    epoch to the next it may be chance."""
    last = max(errors)
    start = max((epoch for epoch in errors if epoch <= 0.8 * last), default=last)
    if start == last or not errors[start]:
        return 0.0
    return float(1 - (errors[last] / errors[start]) ** (1 / (last - start)))


def _more_epochs(epochs: int, steps: int) -> int:
    """Twice as many, and enough for the first steps of Adam."""
    return max(2 * epochs, math.ceil(FEW_STEPS / steps))
