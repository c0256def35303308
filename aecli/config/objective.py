"""The regulariser's options."""

from dataclasses import dataclass

from aecli.config.choices import RegularizerKind
from aecli.config.limits import MAX_EPOCHS, MAX_FLOAT, check_number, check_valid


@dataclass
class RegularizerConfig:
    """A penalty on the code, added to the loss."""

    name: RegularizerKind = RegularizerKind.none
    """The kind of penalty."""

    beta: float = 1.0
    """Weight of the penalty of an image relative to the sum of the loss over its pixels. With
    regularizer=vae and loss=mse it is twice the variance that the decoder's pixels are assumed to
    have."""

    warmup: float = 0.0
    """Epochs over which the weight rises from zero to beta."""

    activity: float | None = None
    """regularizer=sparse: mean activity that each unit of a sigmoid code is to have, as in 0.05;
    null: absolute values of the code are penalised instead."""

    def __post_init__(self) -> None:
        check_number("beta", self.beta, MAX_FLOAT)
        check_number("regularizer.warmup", self.warmup, MAX_EPOCHS)
        if self.activity is not None:
            valid = "a number between 0 and 1, as in 0.05, or null"
            check_valid(0 < self.activity < 1, "regularizer.activity", self.activity, valid)
