"""The options of the optimiser, and of checkpoints."""

from dataclasses import dataclass

from aecli.config.choices import Schedule
from aecli.config.limits import (
    MAX_EPOCHS,
    MAX_FLOAT,
    MAX_MINUTES,
    check_integer,
    check_number,
)


@dataclass
class OptimizerConfig:
    """Adam's learning rate schedule and gradient clipping."""

    schedule: Schedule = Schedule.constant
    """Learning rate after the warm-up: constant, or cosine decay to zero."""

    warmup_epochs: float = 0.0
    """Epochs over which the learning rate rises from zero to `lr`."""

    clip_norm: float | None = None
    """Maximum Euclidean norm of the gradients; null: no clipping."""

    def __post_init__(self) -> None:
        check_number("optimizer.warmup_epochs", self.warmup_epochs, MAX_EPOCHS)
        if self.clip_norm is not None:
            check_number("optimizer.clip_norm", self.clip_norm, MAX_FLOAT, above=True)


@dataclass
class CheckpointConfig:
    """How often checkpoints are written."""

    epochs: int = 1
    """Epochs between checkpoints; the last epoch always writes one."""

    minutes: float = 10.0
    """Minutes between checkpoints, also within an epoch."""

    def __post_init__(self) -> None:
        check_integer("checkpoint.epochs", self.epochs, MAX_EPOCHS)
        check_number("checkpoint.minutes", self.minutes, MAX_MINUTES)
