"""What the commands that look at runs take, and their grammar.

That is `key=value` as with `aecli train`, and a bare path stands for run=PATH.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import TypeVar, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from aecli.config import explain
from aecli.errors import UsageError, suggest


class SortKey(Enum):
    """What the table of a comparison can be sorted by."""

    model = "model"
    latent = "latent"
    mse = "mse"
    sse = "sse"
    psnr = "psnr"
    ssim = "ssim"
    checkerboard = "checkerboard"
    ratio = "ratio"
    parameters = "parameters"
    seconds = "seconds"


@dataclass
class CompareOptions:
    """What to compare, and how."""

    run: list[str] = field(default_factory=list)
    """A run folder, or one that holds runs at any depth, such as a sweep's. May be given several
    times; a bare path means the same."""

    sort: SortKey = SortKey.model
    """What the table is sorted by, the best first; model: by model, then by latent size."""

    output: str | None = None
    """Folder for the comparison; null: `compare` in the folder that is given or, where several are
    given, a new one below outputs/compare."""


Options = TypeVar("Options")

PATHS = "run"
"""The field that collects paths: a list of strings."""


def parse_options(command: str, schema: type[Options], arguments: Sequence[str]) -> Options:
    """What stands behind `aecli command`, as a dataclass of which `run` collects the paths.

    Raises:
        UsageError: a flag, a key that there is not, or a value that is not valid.
    """
    config = OmegaConf.structured(schema)
    keys = [field.name for field in fields(schema)]  # type: ignore[arg-type]
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if argument.startswith("-"):
            raise UsageError(f"{command} has no flag {argument}: give key=value or a path")
        if not equals or not key.isidentifier():
            key, value = PATHS, argument
        if key not in keys:
            raise UsageError(f"there is no key {key!r}: {suggest(key, keys)}")
        try:
            if key == PATHS:
                config[PATHS].append(value)
            else:
                config[key] = value
        except OmegaConfBaseException as error:
            raise UsageError(explain(error)) from error
    return cast(Options, OmegaConf.to_object(config))
