"""The overrides of a command line, `key=value`, between what a person types and Hydra's grammar.

Hydra reads some words as numbers, lists or functions, and others not at all. `read_arguments`
quotes those that can only mean themselves, so that the value is the word that was typed.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import is_dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import get_type_hints

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    Override,
    Quote,
    QuotedString,
    RangeSweep,
)
from hydra.errors import HydraException, OverrideParseException

from aecli.config import MODEL_CONFIGS, SHORT_KEYS, TrainConfig, config_groups, short_key
from aecli.config.limits import expand_user
from aecli.errors import UsageError
from aecli.errors.text import shortened

MAX_RUNS = 10_000
"""Runs in one sweep; each has its own folder, and composing this many already takes minutes."""

_ARGUMENT = re.compile(r"([+~]*)([^=]*)=(.*)", re.DOTALL)
_FUNCTION = re.compile(r"(choice|range|interval|glob|sort|shuffle|tag|int|float|str|bool)\s*\(")
_PATHS = {"data.path", "output_dir", "data_dir", "hydra.run.dir", "hydra.sweep.dir"}
HYDRA_TEXT = {"hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.job.name"}

# A quoted element up to the next separator, or the characters up to there.
_IN_QUOTES = r"""\s*(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")\s*"""
_ELEMENT = re.compile(rf"{_IN_QUOTES}(?=,|$)|[^,]+", re.DOTALL)
_LIST_ELEMENT = re.compile(rf"{_IN_QUOTES}(?=[],]|$)|[^][,]+", re.DOTALL)


def read_arguments(arguments: Iterable[str]) -> list[str]:
    """Translate what a person typed to overrides in Hydra's grammar, with full keys."""
    return [_translate(argument) for argument in arguments]


def override(key: str, value: object) -> str:
    """`key=value` with the value quoted, so that it may contain any character."""
    return f"{key}={quoted(str(value))}"


SEARCH_PATH = "hydra.searchpath"


def search_path(folder: Path) -> str:
    """The override with which Hydra also finds choices in `folder`."""
    return f"{SEARCH_PATH}=[{quoted(f'file://{folder.absolute()}')}]"


def known_choices(overrides: Iterable[str]) -> dict[str, list[str]]:
    """Group -> the names that it accepts, with those of the search path in `overrides`."""
    groups = config_groups()
    for override in parse_overrides(overrides):
        value = override.value() if override.key_or_group == SEARCH_PATH else None
        for path in value if isinstance(value, list) else []:
            folder = Path(str(path).removeprefix("file://"))
            for group, choices in config_groups(folder).items() if folder.is_dir() else ():
                groups[group] = sorted({*groups.get(group, []), *choices})
    return groups


def parse_overrides(overrides: Iterable[str]) -> list[Override]:
    """Parse overrides in Hydra's grammar.

    Raises:
        UsageError: one is not `key=value`, or its value cannot be read.
    """
    return [_parse(override) for override in overrides]


def split(overrides: list[str]) -> list[list[str]]:
    """The command line of each run: all combinations, in order; the last value of a key wins.

    Raises:
        UsageError: there are too many, or none.
    """
    parsed = {each.get_key_element(): each for each in parse_overrides(overrides)}
    for each in parsed.values():
        if each.is_sweep_override() and not each.is_discrete_sweep():
            raise UsageError(f"{each.input_line} is for a search: add hydra/sweeper=optuna")
    runs = math.prod(_count_values(each) for each in parsed.values())
    if runs > MAX_RUNS:
        raise UsageError(f"these are {runs:,} runs: give values for at most {MAX_RUNS:,}")
    (batch,) = BasicSweeper.split_arguments([*parsed.values()], max_batch_size=None)
    return [list(job) for job in batch]


def is_hydra_override(override: Override) -> bool:
    """Whether an override is of a key or a group of Hydra's own."""
    return override.key_or_group.split(".")[0].split("/")[0] == "hydra"


def is_given(key: str, overrides: Iterable[str]) -> bool:
    """Whether one of the overrides sets `key`."""
    return any(each.key_or_group == key for each in parse_overrides(overrides))


def check_epochs_count(config: TrainConfig, overrides: Iterable[str]) -> None:
    """Check that the number of epochs, if one is given, is not decided by something else.

    Raises:
        UsageError: the steps decide it.
    """
    if config.steps is not None and is_given("epochs", overrides):
        raise UsageError(
            f"steps={config.steps} says how long to train, so epochs would be ignored: leave "
            f"epochs out, or give steps=null"
        )


def single_value_overrides(overrides: list[str]) -> list[str]:
    """The overrides with a single value, which all runs of a sweep share."""
    return [
        str(override.input_line)
        for override in parse_overrides(overrides)
        if not override.is_sweep_override()
    ]


def _translate(argument: str) -> str:
    typed = _ARGUMENT.fullmatch(argument)
    if typed is None:
        return argument
    mark, key, value = typed.groups()
    key = SHORT_KEYS.get(key, key)
    if not key.startswith("hydra"):
        mark = mark.replace("+", "")  # there is no key to add: only existing ones can be set
    return f"{mark}{key}={_translate_value(key, value)}"


def _translate_value(key: str, value: str) -> str:
    """Quote what can only mean itself in a value."""
    parsed = _parsed(key, value)
    result = None if parsed is None else parsed.value()
    if isinstance(result, Glob):
        return _expand_glob(key, value, result)
    if _FUNCTION.match(value):
        return value
    if key in _list_keys() and value.startswith("["):
        return _LIST_ELEMENT.sub(lambda word: _quote_word(word[0], is_in_list=True), value)
    if key in _text_keys() and not isinstance(result, list | dict):
        return _ELEMENT.sub(lambda word: _quote_word(_expand_user(key, word[0])), value)
    return quoted(value) if parsed is None and not re.search(r"[][{},]", value) else value


def _expand_user(key: str, word: str) -> str:
    """`word` with the home folder for a leading ~, if it is a path."""
    return expand_user(short_key(key), word) if key in _PATHS and word.startswith("~") else word


def _quote_word(word: str, is_in_list: bool = False) -> str:
    """Quote a word that Hydra would take for something else, or could not read."""
    parsed = _parsed("word", word)
    value = object() if parsed is None else parsed.value()
    escapes_end = is_in_list and word.rstrip().endswith("\\")  # the comma or bracket that follows
    is_itself = isinstance(value, str | list | dict) or (value is None and not is_in_list)
    if is_itself and not escapes_end:
        return word
    return quoted(word.strip())


def quoted(text: str) -> str:
    """`text` in quotes, between which it may contain any character."""
    return QuotedString(text, Quote.single).with_quotes()


def _expand_glob(key: str, value: str, glob: Glob) -> str:
    """The choices of a group that match, as Hydra's own sweeps expand them."""
    choices = config_groups().get(key)
    if choices is None:
        raise UsageError(f"{key}={value}: only {', '.join(config_groups())} have names to match")
    if not glob.filter(choices):
        raise UsageError(f"{key}={value} matches none: valid names are {', '.join(choices)}")
    return ",".join(glob.filter(choices))


def _parsed(key: str, value: str) -> Override | None:
    """Hydra's reading of `key=value`; None if it cannot read it."""
    try:
        return OverridesParser.create().parse_override(f"{key}={value}")
    except (HydraException, ValueError):
        return None


@lru_cache(1024)  # a command line is read several times, and once for each run of a sweep
def _parse(line: str) -> Override:
    if "=" not in line and not line.startswith("~"):
        raise UsageError(f"{shortened(line)!r} is not of the form key=value")
    try:
        (parsed,) = OverridesParser.create().parse_overrides([line])
        return parsed
    except ValueError as error:  # more digits than Python converts
        raise UsageError(
            f"{shortened(line)} is not valid: give a number of fewer digits"
        ) from error
    except OverrideParseException as error:
        raise UsageError(
            f"{shortened(line)!r} cannot be parsed: give key=value, with quotes around "
            f"a value that contains spaces, commas or brackets"
        ) from error


def _count_values(override: Override) -> int:
    """How many values a sweep gives to a key.

    Raises:
        UsageError: none, or infinitely many.
    """
    sweep = override.value()
    count = 1
    if isinstance(sweep, ChoiceSweep):
        count = len(sweep.list)
    elif isinstance(sweep, RangeSweep):
        try:
            count = max(0, math.ceil(((sweep.stop or 0) - (sweep.start or 0)) / sweep.step))
        except (ArithmeticError, ValueError) as error:  # no step, infinity, not a number
            raise UsageError(
                f"{override.input_line} never ends: give finite numbers, and a step other than 0"
            ) from error
    if count == 0:
        raise UsageError(f"{override.input_line} names no value")
    return count


@cache
def _text_keys() -> set[str]:
    """The keys whose value is one text."""
    types = _field_types(TrainConfig, "").items()
    return HYDRA_TEXT | {key for key, type in types if type in (str, str | None)}


@cache
def _list_keys() -> set[str]:
    """The keys whose value is a list of texts."""
    types = _field_types(TrainConfig, "").items()
    return {key for key, type in types if type in (list[str], list[str] | None)}


def _field_types(schema: type, prefix: str) -> dict[str, object]:
    """The types of all keys that are not sections."""
    types: dict[str, object] = {}
    for name, hint in get_type_hints(schema).items():
        if is_dataclass(hint):
            types |= _field_types(hint, f"{prefix}{name}.")  # type: ignore[arg-type]
        elif prefix or name != "model":
            types[prefix + name] = hint
    for kind in MODEL_CONFIGS.values() if not prefix else ():
        types |= _field_types(kind, "model.")
    return types
