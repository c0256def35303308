"""Turn `key=value` overrides into validated configurations, composed by Hydra.

`compose` builds the configuration of one run, and `compose_sweep` those of a sweep.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from itertools import zip_longest
from pathlib import Path

from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from aecli.cli.engine import BASIC, EXTRAS, PRIMARY, hydra_engine
from aecli.cli.naming import (
    MODEL_CHOICES,
    Described,
    data_word,
    is_own,
    run_name,
    sweep_folder,
    sweep_names,
)
from aecli.cli.overrides import (
    SEARCH_PATH,
    check_epochs_count,
    is_given,
    known_choices,
    parse_overrides,
    read_arguments,
    split,
)
from aecli.config import (
    MODEL_CONFIGS,
    RENAMED_KEYS,
    SHORT_KEYS,
    TrainConfig,
    to_config,
)
from aecli.config.limits import expand_user
from aecli.errors import UsageError
from aecli.files import is_inside
from aecli.places import LATEST
from aecli.runs.lookup import find_run
from aecli.runtime.status import show_status
from aecli.text import suggest

_NAME = "<name>"
"""Stands for the name of a run in that of its folder."""


@dataclass(frozen=True)
class SweepJob:
    """One run of a sweep."""

    overrides: list[str]
    """Its command line."""

    config: TrainConfig

    folder: str
    """Name of its folder within the sweep folder."""


@dataclass(frozen=True)
class Sweep:
    """A sweep, as a command line with -m describes it."""

    folder: Path
    """The folder of its runs."""

    launcher: str
    """A choice of hydra/launcher."""

    jobs: list[SweepJob] | None
    """All runs, in command-line order; None for a search, which chooses them as it goes."""

    composed: DictConfig
    """What its runs share, with Hydra's own keys."""

    @property
    def trials(self) -> int:
        """How many runs a search trains."""
        return int(self.composed.hydra.sweeper.n_trials)


@dataclass(frozen=True)
class ComposedRun:
    """One run, composed from its command line."""

    config: TrainConfig

    overrides: list[str]
    """Its command line."""

    composed: DictConfig
    """The whole configuration, including Hydra's own keys."""


def compose(overrides: list[str]) -> TrainConfig:
    """Compose the configuration of one run.

    Raises:
        UsageError: an invalid key or value; the message names it and what is valid.
    """
    return compose_run(overrides).config


def compose_run(overrides: list[str]) -> ComposedRun:
    """Compose one run, for `run_once`.

    Raises:
        UsageError: an invalid key or value; the message names it and what is valid.
    """
    with _reporting_unknown_keys(overrides), hydra_engine() as engine:
        composed = engine.compose_config(PRIMARY, overrides, RunMode.RUN, from_shell=False)
        run = _described(composed, overrides)
        name = run_name(run, _plain_run(engine, overrides))
        if name == LATEST:
            raise UsageError(f"name={name} stands for the newest run: give another")
        set_name(composed, name)
        return ComposedRun(replace(run.config, name=name), overrides, composed)


def compose_sweep(overrides: list[str]) -> Sweep:
    """Compose every run of a sweep.

    Raises:
        UsageError: an invalid key or value in one of them.
    """
    with hydra_engine() as engine:
        composed = compose_shared(engine, overrides)
        choices = composed.hydra.runtime.choices
        jobs = None
        if choices["hydra/sweeper"] == BASIC:
            lines = split(_sweeper_params(composed) + _task_overrides(overrides))
            jobs = _compose_jobs(engine, lines, _hydra_overrides(overrides))
        folder = Path(str(composed.hydra.sweep.dir))
        if ".." in folder.parts:  # which may lead elsewhere once folders on the way are created
            folder = folder.resolve()
        check_folder(folder)
        return Sweep(folder, choices["hydra/launcher"], jobs, composed)


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
        elif _is_hydra_override(override):
            _check_hydra_override(override)
    if multirun:  # composing a single run, which comes next, reports unknown keys
        _check_keys(overrides)


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


def check_folder(folder: Path) -> None:
    """Raise a UsageError for a folder that Hydra cannot use: it resolves ${ in its own paths."""
    if "${" in str(folder.absolute()):
        raise UsageError(
            f"a run cannot be in {folder.absolute()}, because ${{ in the name of a folder has a "
            f"meaning of its own: give another output_dir"
        )


def _is_plain_name(value: object) -> bool:
    """Whether a value names something within a folder; null names nothing."""
    return value is None or (Path(str(value)).name == str(value) and value != "..")


def save_sweep_config(file: Path, sweep: Sweep) -> None:
    """Write the file that Hydra leaves in a sweep folder; it includes the command line."""
    OmegaConf.save(sweep.composed, file)


def compose_shared(engine: Hydra, overrides: list[str]) -> DictConfig:
    """Compose what the runs of a sweep share, including how Hydra launches them."""
    # Model keys are left to the individual runs, which may have different models.
    shared = [line for line in overrides if not line.lstrip("+").startswith("model.")]
    composed = engine.compose_config(PRIMARY, shared, RunMode.MULTIRUN, from_shell=False)
    data, choice = composed.data, composed.hydra.runtime.choices["data"]
    with open_dict(composed):
        composed.hydra.overrides.task = _task_overrides(overrides)
        if not is_given("hydra.job.name", overrides):
            word = data_word(choice, data.name, data.path)
            composed.hydra.job.name = sweep_folder(composed.hydra.job.name, word)
    HydraConfig.instance().set_config(composed)  # for values such as ${hydra:job.name}
    return composed


def _compose_jobs(engine: Hydra, lines: list[list[str]], for_hydra: list[str]) -> list[SweepJob]:
    """Compose the runs of a sweep; `hydra.sweep.subdir` gives the names of their folders."""
    described: list[Described] = []
    folders: list[str] = []
    for number, line in enumerate(lines):
        show_status(f"checking run {number + 1:,} of {len(lines):,} ...")
        composed = engine.compose_config(PRIMARY, for_hydra + line, RunMode.RUN, from_shell=False)
        described.append(_described(composed, line))
        with open_dict(composed):
            composed.hydra.job.num = number
        set_name(composed, _NAME)  # until all of them are known
        HydraConfig.instance().set_config(composed)
        folders.append(str(composed.hydra.sweep.subdir))
    return [
        SweepJob(line, replace(run.config, name=name), folder.replace(_NAME, name))
        for line, run, name, folder in zip(
            lines, described, sweep_names(described), folders, strict=True
        )
    ]


def _plain_run(engine: Hydra, overrides: list[str]) -> Described | None:
    """The model or the recipe as it comes, if the line has something of its own to compare."""
    lines = {each.key_or_group: str(each.input_line) for each in parse_overrides(overrides)}
    if not any(map(is_own, lines)):
        return None
    line = [lines[key] for key in (SEARCH_PATH, *MODEL_CHOICES) if key in lines]
    return _described(engine.compose_config(PRIMARY, line, RunMode.RUN, from_shell=False), line)


def _described(composed: DictConfig, overrides: list[str]) -> Described:
    """The run that these overrides describe."""
    choices = composed.hydra.runtime.choices
    config = with_init(to_config(_without_hydra(composed.copy())))
    check_epochs_count(config, overrides)
    given = frozenset(each.key_or_group for each in parse_overrides(overrides))
    return Described(config, dict(choices), given)


def with_init(config: TrainConfig) -> TrainConfig:
    """The configuration with the folder of the run that `init` stands for.

    Raises:
        UsageError: it stands for none, or for several.
    """
    if config.init is None:
        return config
    return replace(config, init=str(find_run(expand_user("init", config.init)).absolute()))


def set_name(composed: DictConfig, name: str) -> None:
    """Give a run its name, of which Hydra also makes its folder."""
    with open_dict(composed):
        composed.name = name


def _without_hydra(composed: DictConfig) -> DictConfig:
    with open_dict(composed):
        del composed["hydra"]
    return composed


def _is_hydra_override(override: Override) -> bool:
    return override.key_or_group.split(".")[0].split("/")[0] == "hydra"


def _hydra_overrides(overrides: list[str]) -> list[str]:
    """The overrides of Hydra's own keys."""
    parsed = parse_overrides(overrides)
    return [str(override.input_line) for override in parsed if _is_hydra_override(override)]


def _task_overrides(overrides: list[str]) -> list[str]:
    """The overrides that configure the runs."""
    parsed = parse_overrides(overrides)
    return [str(override.input_line) for override in parsed if not _is_hydra_override(override)]


def _choices(override: Override) -> Iterator[str]:
    """The choices that an override selects from its group."""
    selected = override.sweep_iterator() if override.is_sweep_override() else [override.value()]
    return ("null" if choice is None else str(choice) for choice in selected)


@contextmanager
def _reporting_unknown_keys(overrides: list[str]) -> Iterator[None]:
    """If composing fails because of an unknown key, name it and suggest the one meant."""
    try:
        yield
    except Exception:  # its type depends on how Hydra interprets the key
        _check_keys(overrides)
        raise


def _check_keys(overrides: list[str]) -> None:
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
        elif not _is_hydra_override(override):
            keys.append(key)
    if not keys:
        return
    # Each choice once is enough: the keys that it brings are those with any other choices.
    columns = [[line for (line,) in split([choice])] for choice in choices.values()]
    lines = [[*own, *filter(None, line)] for line in zip_longest(*columns)] or [own]
    with hydra_engine() as engine:
        composed = [
            engine.compose_config(PRIMARY, line, RunMode.RUN, from_shell=False) for line in lines
        ]
    containers = [OmegaConf.to_container(_without_hydra(config)) for config in composed]
    known = {key for container in containers for key in _keys(container)} | SHORT_KEYS.keys()
    for key in keys:
        if key not in known:
            raise UsageError(
                f"there is no key {key!r}{_nearest_key(key, known)} "
                f"(aecli train --help lists all keys)"
            )


def searched_keys(composed: DictConfig) -> list[str]:
    """The keys for which a search chooses values; `composed`: what its runs share."""
    lines = [*_sweeper_params(composed), *composed.hydra.overrides.task]
    parsed = {each.key_or_group: each for each in parse_overrides(lines)}
    return [key for key, each in parsed.items() if each.is_sweep_override()]


def _sweeper_params(composed: DictConfig) -> list[str]:
    """The values that a sweep sets unless the command line overrides them."""
    params = composed.hydra.sweeper.params or {}
    return read_arguments(f"{key}={value}" for key, value in params.items())


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
