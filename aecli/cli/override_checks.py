"""Checks of overrides before anything is composed, with what is valid in the message."""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from difflib import get_close_matches
from itertools import zip_longest
from pathlib import Path

from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import OmegaConf

from aecli.cli.engine import BASIC, EXTRAS, PRIMARY, hydra_engine, without_hydra
from aecli.cli.overrides import (
    SEARCH_PATH,
    is_hydra_override,
    known_choices,
    parse_overrides,
    split,
)
from aecli.config import MODEL_CONFIGS, RENAMED_KEYS, SHORT_KEYS
from aecli.errors import UsageError
from aecli.errors.text import suggest
from aecli.files.storage import is_inside


def check_overrides(overrides: list[str], multirun: bool) -> None:
    """Reject what Hydra would reject later and at greater length, or not at all.

    Raises:
        UsageError: an unknown group or choice, a list of values without -m, an argument that is
            not `key=value`, or an unknown key in a sweep.
    """
    groups = known_choices(overrides)
    for override in parse_overrides(overrides):
        key, line = override.key_or_group, str(override.input_line)
        if override.is_delete():
            raise UsageError(f"{line} would remove a key: give it a value instead")
        if key == "sweep" and (override.is_sweep_override() or not multirun):
            problem = "add -m" if not multirun else "give one sweep at a time"
            raise UsageError(f"{line} describes several runs: {problem}")
        if override.is_sweep_override() and not multirun:
            raise UsageError(f"{line} names several values: add -m to train one run for each")
        if key in EXTRAS:
            valid, choice = [BASIC, *EXTRAS[key]], str(override.value())
            if choice not in valid:
                raise UsageError(f"{key}={choice}: {suggest(choice, valid)}")
        elif key in groups:
            for choice in _choices(override):
                if choice not in groups[key]:
                    raise UsageError(f"{key}={choice}: {suggest(choice, groups[key])}")
        elif is_hydra_override(override):
            _check_hydra_override(override)
    if multirun:  # composing a single run, which comes next, reports unknown keys
        check_keys(overrides)


def _check_hydra_override(override: Override) -> None:
    key, value = override.key_or_group, override.value()
    if override.is_sweep_override():
        raise UsageError(f"{override.input_line}: Hydra's own keys take one value for all runs")
    if value == "":
        raise UsageError(f"{key}= has no value: give one, or leave {key}= out")
    if key == "hydra.output_subdir" and not _is_plain_name(value):
        raise UsageError(
            f"{key}={value} is not valid: give the name of a folder within that of a run"
        )
    if key == "hydra.sweep.subdir" and not (is_inside(str(value)) and Path(str(value)).name):
        raise UsageError(
            f"{key}={value} is not valid: give the name of a folder within that of the sweep"
        )
    if "/" in key and not isinstance(value, str | list | None):
        raise UsageError(f"{override.input_line} is not valid: give the name of a choice")


def _is_plain_name(value: object) -> bool:
    """Whether a value names something within a folder; null names nothing."""
    return value is None or (Path(str(value)).name == str(value) and value != "..")


def _choices(override: Override) -> Iterator[str]:
    """The choices that an override selects from its group."""
    selected = override.sweep_iterator() if override.is_sweep_override() else [override.value()]
    return ("null" if choice is None else str(choice) for choice in selected)


def check_keys(overrides: list[str]) -> None:
    """Check that every key exists in some configuration of the chosen groups.

    Raises:
        UsageError: a key exists in none of them.
    """
    groups = known_choices(overrides)
    choices: dict[str, str] = {}
    keys: list[str] = []
    own: list[str] = []
    for override in parse_overrides(overrides):
        key = override.key_or_group
        if key in groups or key in EXTRAS:
            choices[key] = str(override.input_line)
        elif key == SEARCH_PATH:
            own = [str(override.input_line)]
        elif not is_hydra_override(override):
            keys.append(key)
    if not keys:
        return
    # Each choice once is enough: it brings the same keys whatever the other choices are.
    columns = [[line for (line,) in split([choice])] for choice in choices.values()]
    lines = [[*own, *filter(None, line)] for line in zip_longest(*columns)] or [own]
    known = {*SHORT_KEYS}
    with hydra_engine() as engine:
        for line in lines:
            composed = engine.compose_config(PRIMARY, line, RunMode.RUN, from_shell=False)
            known.update(_keys(OmegaConf.to_container(without_hydra(composed))))
    for key in keys:
        if key not in known:
            raise UsageError(
                f"there is no key {key!r}{_nearest_key(key, known)} "
                f"(aecli train --help lists all keys)"
            )


def _nearest_key(wrong: str, known: set[str]) -> str:
    """A hint: the new name of a renamed key, the model of another's key, or a known key with a
    similar last part, if any."""
    if wrong in RENAMED_KEYS:
        return f": it is now called {RENAMED_KEYS[wrong]}"
    for kind, schema in MODEL_CONFIGS.items():
        if wrong in {f"model.{field.name}" for field in fields(schema)}:
            return f" in this model: it is for model={kind}"
    by_last_part = {key.rpartition(".")[2]: key for key in sorted(known, key=len, reverse=True)}
    near = get_close_matches(wrong.rpartition(".")[2], by_last_part, n=1)
    return f": did you mean {by_last_part[near[0]]}?" if near else ""


def _keys(node: object, prefix: str = "") -> Iterator[str]:
    """All dotted keys that can be set below `node`, including inner nodes."""
    children: Iterable[tuple[object, object]] = ()
    if isinstance(node, dict):
        children = node.items()
    elif isinstance(node, list):
        children = enumerate(node)
    for key, child in children:
        yield f"{prefix}{key}"
        yield from _keys(child, f"{prefix}{key}.")
