"""Checks of options that depend on one another."""

from aecli.config.choices import Activation, CorruptionKind, Loss, RegularizerKind, Target
from aecli.config.objective import RegularizerConfig
from aecli.config.schema import FOLDER, FOLDER_KEYS, TrainConfig
from aecli.errors import UsageError


def check_unread_keys(config: TrainConfig) -> None:
    """Reject options that the chosen data set, corruption or regulariser does not read.

    Raises:
        UsageError: there is one.
    """
    corruption = config.corruption
    if corruption.target is Target.input and corruption.name is CorruptionKind.none:
        raise UsageError(
            "corruption.target=input is for corrupted images: add corruption=gaussian or another, "
            "or leave it out"
        )
    regularizer = config.regularizer
    if regularizer.name is RegularizerKind.none and regularizer != RegularizerConfig():
        raise UsageError(
            "beta, regularizer.warmup and regularizer.activity are for a regularizer: add "
            "regularizer=vae or another, or leave them out"
        )
    if regularizer.activity is not None and regularizer.name is not RegularizerKind.sparse:
        raise UsageError(
            f"regularizer.activity={regularizer.activity:g} is for sparse codes only: add "
            f"regularizer=sparse, or leave it out"
        )
    factor = corruption.factor
    if factor is not None and corruption.name is not CorruptionKind.downsample:
        raise UsageError(f"factor={factor} is for downsampling only: add corruption=downsample")
    for key in FOLDER_KEYS:
        value = getattr(config.data, key)
        if value is not None and config.data.name != FOLDER:
            raise UsageError(
                f"{key}={value} is for images of your own: add data=folder, "
                f"or leave it out with data={config.data.name}"
            )


def check_objective(config: TrainConfig) -> None:
    """Check that the loss can be computed from the model's outputs, and the penalty from its codes.

    Raises:
        UsageError: one of them cannot.
    """
    _check_code(config)
    if config.loss is not Loss.bce:
        return
    data, output = config.data, config.model.output_activation
    if (data.mean, data.std) != (0, 1):
        raise UsageError(
            f"loss=bce needs pixels in [0, 1], and data.mean={data.mean:g} with "
            f"data.std={data.std:g} moves them: give data.mean=0 data.std=1, or loss=mse"
        )
    if output is not Activation.sigmoid:
        raise UsageError(
            f"loss=bce needs outputs in [0, 1], and those of this model are "
            f"{_OUTPUTS[output]}: add model.output_activation=sigmoid, or give loss=mse"
        )


def _check_code(config: TrainConfig) -> None:
    activation, regularizer = config.model.code_activation, config.regularizer
    if config.has_gaussian_code and activation is not Activation.identity:
        raise UsageError(
            f"regularizer=vae needs codes of any sign, and model.code_activation={activation.name} "
            f"bounds them: give model.code_activation=identity"
        )
    if regularizer.activity is not None and activation is not Activation.sigmoid:
        raise UsageError(
            f"regularizer.activity={regularizer.activity:g} is a mean between 0 and 1, and "
            f"model.code_activation={activation.name} gives others: add "
            f"model.code_activation=sigmoid, or leave regularizer.activity out"
        )


_OUTPUTS = {
    Activation.identity: "any number",
    Activation.relu: "any number from 0 up",
    Activation.leaky_relu: "any number",
    Activation.silu: "any number from -0.28 up",
    Activation.tanh: "from -1 to 1",
}
