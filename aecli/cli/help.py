"""Help texts for `aecli` and its commands, built from docstrings, dataclasses and conf/."""

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, Field, fields
from enum import Enum
from typing import Any, get_args, get_type_hints

import omegaconf
import yaml

from aecli.cli.lookup import COMPOSED, command_names, docstring, module
from aecli.cli.options import RunOptions
from aecli.config import (
    AugmentConfig,
    CheckpointConfig,
    ConvConfig,
    CorruptionConfig,
    DataConfig,
    FCConfig,
    LayerConfig,
    OptimizerConfig,
    RegularizerConfig,
    TrainConfig,
    UpsampleConfig,
    config_groups,
    field_docs,
    short_key,
)
from aecli.files.places import CONF_DIR

WIDTH = 100
INDENT = 34
EXAMPLES = "examples:\n"

SWEEP_KEYS = {
    "compare=true": "Compare the finished runs at the end, as aecli compare does; false: do not.",
    "hydra/launcher=basic": "One run after another. joblib: as many at once as there are cores "
    "(pip install 'aecli[joblib]'); submitit_slurm: as cluster jobs; submitit_local: as local jobs "
    "that imitate them ('aecli[slurm]').",
    "hydra/sweeper=basic": "Every combination. optuna: search for the smallest validation mse "
    "('aecli[optuna]'); sweep=search is an example.",
}

RESULTS = (
    "Writes figures (PNG and SVG), their numbers (JSON) and event files for TensorBoard to the "
    "folder {command} of the run, or to output, where they replace earlier results of this command."
)

# Heading -> prefix of the keys, and the dataclass that defines them.
SECTIONS: dict[str, tuple[str, type]] = {
    "Images:": ("data.", DataConfig),
    "Augmentation:": ("augment.", AugmentConfig),
    "Corruption:": ("corruption.", CorruptionConfig),
    "Regulariser:": ("regularizer.", RegularizerConfig),
    "Upsampling:": ("upsample.", UpsampleConfig),
    "Optimiser:": ("optimizer.", OptimizerConfig),
    "Checkpoints:": ("checkpoint.", CheckpointConfig),
    "Fully connected models (fc):": ("model.", FCConfig),
    "Convolutional models (all others):": ("model.", ConvConfig),
    "Each layer of a convolutional model, as in model.layers.0.kernel=5:": ("", LayerConfig),
}
# Fields that are set by group=name or by a key of TrainConfig instead.
SET_ELSEWHERE = {"name", "kind", "latent"}


def summaries() -> str:
    """One line per command."""
    width = max(map(len, command_names()))
    return "\n".join(
        f"  {command:{width}}   {docstring(command)[0].rstrip('.')}" for command in command_names()
    )


def help_for(command: str) -> str:
    """The full text of `aecli COMMAND --help`."""
    _, body = docstring(command)
    about, examples = body.split(EXAMPLES)
    keys = "".join(f"{paragraph}\n\n" for paragraph in _keys(command))
    return f"{about}{keys}{EXAMPLES}{examples}\n"


def _keys(command: str) -> Iterator[str]:
    """The arguments of a command, in paragraphs."""
    if command == "train":
        yield from _train_keys()
    elif command in COMPOSED:
        yield "The keys are those of aecli train, which aecli train --help lists."
    else:
        schema = module(command).Options
        if issubclass(schema, RunOptions):
            yield textwrap.fill(RESULTS.format(command=command), WIDTH)
        if rows := _rows("", schema):
            yield "\n".join(["Keys, with their defaults:", *rows])


def _train_keys() -> Iterator[str]:
    groups = [_row(f"{group}=", ", ".join(choices)) for group, choices in _choices().items()]
    yield "\n".join(["With -m, also:", *(_row(key, text) for key, text in SWEEP_KEYS.items())])
    heading = "Choices (files under conf/), the default first; experiment, budget, sweep have none:"
    yield "\n".join([heading, *groups])
    yield "\n".join(["Keys, with their defaults:", *_rows("", TrainConfig)])
    for heading, (prefix, schema) in SECTIONS.items():
        yield "\n".join([heading, *_rows(prefix, schema, SET_ELSEWHERE)])


def _choices() -> dict[str, list[str]]:
    """Group -> its choices, the default first."""
    primary = yaml.safe_load((CONF_DIR / "train.yaml").read_text(encoding="utf-8"))
    defaults = {
        group: choice
        for entry in primary["defaults"]
        if isinstance(entry, dict)
        for group, choice in entry.items()
    }
    return {
        group: sorted(choices, key=lambda choice: choice != defaults.get(group))
        for group, choices in config_groups().items()
    }


def _rows(prefix: str, schema: type, left_out: Iterable[str] = ()) -> list[str]:
    """One row per documented field of `schema`: its key, default and meaning."""
    docs = field_docs(schema)
    types = get_type_hints(schema)
    return [
        _row(
            f"{short_key(prefix + field.name)}={_default(field)}",
            docs[field.name] + _valid_names(types[field.name]),
        )
        for field in fields(schema)
        if field.name in docs and field.name not in left_out
    ]


def _default(field: Field[Any]) -> str:
    """A field's default as a user would type it; empty if the YAML sets it."""
    value = field.default
    if field.default_factory is not MISSING:
        value = field.default_factory()
    if value is None:
        return "null"
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value == omegaconf.MISSING else str(value)


def _valid_names(kind: object) -> str:
    """The valid names, if a field of this type takes an enum."""
    for each in (kind, *get_args(kind)):  # of `Noise | None` the first
        if isinstance(each, type) and issubclass(each, Enum):
            return f" One of {', '.join(choice.name for choice in each)}."
    return ""


def _row(key: str, text: str) -> str:
    gap = " " if len(key) >= INDENT - 2 else " " * (INDENT - 2 - len(key))
    text = " ".join(text.split())  # a docstring may span several lines
    return textwrap.fill(
        f"  {key}{gap}{text}", WIDTH, subsequent_indent=" " * INDENT, break_long_words=False
    )
