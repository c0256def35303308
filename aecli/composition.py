"""From `key=value` on the command line to a checked configuration: the one module that knows Hydra.

`compose` makes one configuration, `jobs` splits a sweep into its command lines, and `launch` runs
them with Hydra's launchers, each in a folder of its own.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from aecli.config import (
    CONF_DIR,
    MODEL_CONFIGS,
    TrainConfig,
    config_groups,
    explain,
    to_config,
)
from aecli.errors import UsageError, suggest

PRIMARY = "train"


def compose(overrides: list[str]) -> TrainConfig:
    """The configuration of one run.

    Raises:
        UsageError: a key or a value that makes no sense; the line names it and what would.
    """
    return to_config(_compose(overrides))


def jobs(overrides: list[str]) -> list[list[str]]:
    """The command line of each run of a sweep, in the order in which they are started."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    batches = BasicSweeper.split_arguments(_parse(overrides), max_batch_size=None)
    return [list(job) for batch in batches for job in batch]


def check_overrides(overrides: list[str], multirun: bool) -> None:
    """Refuse what Hydra would refuse later, and at greater length.

    Raises:
        UsageError: an unknown group, choice or key, a list of values without -m, or no `key=value`.
    """
    groups = config_groups()
    choices: list[str] = []
    values: list[str] = []
    for override in _parse(overrides):
        key, line = override.key_or_group, str(override.input_line)
        if override.is_delete():
            raise UsageError(f"{line} would remove a key: give it a value instead")
        if override.is_sweep_override() and not multirun:
            raise UsageError(f"{line} names several values: add -m to train one run for each")
        if key in groups:
            for choice in _choices(override):
                if choice not in groups[key]:
                    raise UsageError(f"{key}={choice}: {suggest(choice, groups[key])}")
            choices.append(line)
        elif not key.startswith("hydra"):
            values.append(key)
    if values:
        _check_keys(values, choices)


def launch(
    flags: list[str], overrides: list[str], job: Callable[[TrainConfig, Path], None]
) -> None:
    """Hand the runs to Hydra: `job` gets each one's configuration and its folder, already made."""
    _register_schemas()

    @hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name=PRIMARY)
    def run(composed: DictConfig) -> None:
        folder = Path(HydraConfig.get().runtime.output_dir)  # absolute; shorter is easier to read
        here = Path.cwd()
        shown = folder.relative_to(here) if folder.is_relative_to(here) else folder
        job(to_config(composed), shown)

    # Hydra reads the command line itself, and would print and exit where we want the exception.
    sys.argv = ["aecli train", *flags, *overrides]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    run()


def _register_schemas() -> None:
    """The dataclasses, under the names that the YAML's defaults lists use."""
    store = ConfigStore.instance()
    store.store(name="train_schema", node=TrainConfig)
    for kind, schema in MODEL_CONFIGS.items():
        store.store(group="model", name=f"{kind}_schema", node=schema)


def _compose(overrides: list[str]) -> DictConfig:
    _register_schemas()
    try:
        with hydra.initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            return hydra.compose(PRIMARY, overrides)
    except HydraException as error:
        cause = error.__cause__
        if isinstance(cause, OmegaConfBaseException):
            raise UsageError(explain(cause)) from error
        raise UsageError(" ".join(str(error).split())) from error


def _parse(overrides: list[str]) -> list[Override]:
    for override in overrides:
        if "=" not in override and not override.startswith("~"):
            raise UsageError(f"{override!r} is not of the form key=value")
    try:
        return OverridesParser.create().parse_overrides(overrides)
    except OverrideParseException as error:
        raise UsageError(
            f"{error.override!r} cannot be read: give key=value, with quotes around "
            f"a value that holds spaces, commas or brackets"
        ) from error


def _choices(override: Override) -> list[str]:
    """The names that an override picks from its group; null picks none."""
    picked = override.sweep_iterator() if override.is_sweep_override() else [override.value()]
    return [str(choice) for choice in picked if choice not in (None, "null")]


def _check_keys(keys: list[str], choices: list[str]) -> None:
    """Every key must be in a configuration that the chosen groups make."""
    composed = [OmegaConf.to_container(_compose(line)) for line in jobs(choices) or [[]]]
    known = {key for config in composed for key in _keys(config)}
    for key in keys:
        if key not in known:
            raise UsageError(
                f"there is no key {key!r}{_nearest_key(key, known)} "
                f"(aecli train --help lists all keys)"
            )


def _nearest_key(wrong: str, known: set[str]) -> str:
    """A question: the key with the same or nearly the same last word, the shortest first."""
    by_last_word = {key.rpartition(".")[2]: key for key in sorted(known, key=len, reverse=True)}
    near = get_close_matches(wrong.rpartition(".")[2], by_last_word, n=1)
    return f": did you mean {by_last_word[near[0]]}?" if near else ""


def _keys(node: object, prefix: str = "") -> Iterator[str]:
    """Every key that may be set below `node`, with dots: inner nodes too."""
    children: Iterable[tuple[object, object]] = ()
    if isinstance(node, dict):
        children = node.items()
    elif isinstance(node, list):
        children = enumerate(node)
    for key, child in children:
        yield f"{prefix}{key}"
        yield from _keys(child, f"{prefix}{key}.")
