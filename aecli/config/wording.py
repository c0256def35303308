"""The words for settings that differ, used in the names of runs, in tables and in legends."""

from collections.abc import Iterable, Sequence
from typing import Any

from aecli.config.choices import Loss, RegularizerKind
from aecli.config.schema import TrainConfig

CHOICES = ("budget", "data", "upsample", "corruption", "regularizer", "loss", "optimizer")
"""Keys that names leave out, because the value is clear by itself."""
LOSSES = {
    Loss.mse: ("mean squared error", "model units"),
    Loss.l1: ("mean absolute error", "model units"),
    Loss.bce: ("binary cross-entropy", "nats per pixel"),
}
"""The name of each loss, and its unit."""
PENALTIES = {
    RegularizerKind.none: "",
    RegularizerKind.vae: "the divergence of the code from the prior",
    RegularizerKind.l2: "half the squared norm of the code",
    RegularizerKind.sparse: "the activity of the code",
    RegularizerKind.contractive: "the square of the encoder's derivatives",
}
"""The name of the penalty of each regulariser."""
NULL = "null"
NONE = "none"
"""The choice that switches a group off."""


def loss_label(configs: Sequence[TrainConfig]) -> str:
    """The axis of a chart of the losses of these runs, with their unit if they share it."""
    if len({(config.loss, config.regularizer.name) for config in configs}) > 1:
        return "loss (of each run, in its own units)"
    (first, *_) = configs
    name, unit = LOSSES[first.loss]
    if first.regularizer.name is RegularizerKind.none:
        return f"loss ({name}, {unit})"
    return f"loss and penalty ({first.loss.name}, {unit})"


def as_typed(value: Any) -> str:
    """A value as it is typed on the command line."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(as_typed, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def word(key: str, value: str) -> str:
    """A setting as in `lr=0.01`; a choice by its name alone, as in `nearest`."""
    if key not in CHOICES:
        return f"{key}={value}"
    return f"no {key}" if value == NONE else value


def last_word(key: str) -> str:
    """The last word of a key; `corruption.name` becomes `corruption`."""
    return key.removesuffix(".name").rpartition(".")[2]


def shortest_keys(keys: Iterable[str]) -> dict[str, str]:
    """Each key by its last word, if that is unique."""
    last = {key: last_word(key) for key in keys}
    words = list(last.values())
    return {key: word if words.count(word) == 1 else key for key, word in last.items()}
