"""From `key=value` on the command line to a checked configuration, composed by Hydra.

`compose` makes the configuration of one run, and `compose_sweep` those of a sweep.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from aecli.config import (
    CONF_DIR,
    MODEL_CONFIGS,
    RENAMED_KEYS,
    TrainConfig,
    config_groups,
    explain,
    to_config,
)
from aecli.errors import UsageError, one_line, suggest

PRIMARY = "train"

# Hydra's own launchers and sweepers: choice -> the extra of aecli that brings its plugin.
EXTRAS = {
    "hydra/launcher": {"joblib": "joblib", "submitit_local": "slurm", "submitit_slurm": "slurm"},
    "hydra/sweeper": {"optuna": "optuna"},
}
BASIC = "basic"

# What conf/hydra/launcher/submitit_slurm.yaml builds on.
SLURM_SCHEMA = "slurm_schema"


@dataclass(frozen=True)
class SweepJob:
    """One run of a sweep."""

    overrides: list[str]
    """Its own command line."""

    config: TrainConfig

    folder: str
    """Its name in the folder of the sweep."""


@dataclass(frozen=True)
class Sweep:
    """What a command line with -m asks for."""

    folder: Path
    """Where its runs go."""

    launcher: str
    """A choice of hydra/launcher."""

    jobs: list[SweepJob] | None
    """Every run, in the order of the line; None where a search makes them up as it goes along."""


@dataclass(frozen=True)
class ComposedRun:
    """One run, as its command line describes it."""

    config: TrainConfig

    overrides: list[str]
    """Its command line."""

    composed: DictConfig
    """All of it, with Hydra's own keys."""


def compose(overrides: list[str]) -> TrainConfig:
    """The configuration of one run.

    Raises:
        UsageError: a key or a value that makes no sense; the line names it and what would.
    """
    return compose_run(overrides).config


def compose_run(overrides: list[str]) -> ComposedRun:
    """One run, for `run_once`.

    Raises:
        UsageError: a key or a value that makes no sense; the line names it and what would.
    """
    with _naming_unknown_keys(overrides), hydra_engine() as engine:
        composed = engine.compose_config(PRIMARY, overrides, RunMode.RUN, from_shell=False)
        return ComposedRun(to_config(_without_hydra(composed.copy())), overrides, composed)


def compose_sweep(overrides: list[str]) -> Sweep:
    """Every run of a sweep.

    Raises:
        UsageError: a key or a value of one of them that makes no sense.
    """
    with hydra_engine() as engine:
        composed = compose_for_all(engine, overrides)
        choices = composed.hydra.runtime.choices
        jobs = None
        if choices["hydra/sweeper"] == BASIC:
            lines = split(_params(composed) + _task_overrides(overrides))
            for_hydra = _hydra_overrides(overrides)
            jobs = [_job(engine, number, line, for_hydra) for number, line in enumerate(lines)]
        return Sweep(Path(str(composed.hydra.sweep.dir)), choices["hydra/launcher"], jobs)


def split(overrides: list[str]) -> list[list[str]]:
    """The line of each run: every combination, in order; the last value given to a key counts."""
    parsed = parse_overrides(overrides)
    for override in parsed:
        if override.is_sweep_override() and not override.is_discrete_sweep():
            raise UsageError(f"{override.input_line} is for a search: add hydra/sweeper=optuna")
    (batch,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    return [list(job) for job in batch]


def without_lists(overrides: list[str]) -> list[str]:
    """The overrides that give one value, which all runs of a sweep share."""
    return [
        str(override.input_line)
        for override in parse_overrides(overrides)
        if not override.is_sweep_override()
    ]


def check_overrides(overrides: list[str], multirun: bool) -> None:
    """Refuse what Hydra would refuse later, and at greater length, or not at all.

    Raises:
        UsageError: an unknown group or choice, a list of values without -m, no `key=value`, or a
            key that is unknown to the runs of a sweep, or to be added.
    """
    groups = config_groups()
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
        elif _is_hydras(override) and override.is_sweep_override():
            raise UsageError(f"{line}: Hydra's own keys take one value for all runs")
    # A single run is composed next, which tells, unless the key is a new one.
    adds = any(each.is_add() or each.is_force_add() for each in parse_overrides(overrides))
    if multirun or adds:
        _check_keys(overrides)


def note_sweep(file: Path, overrides: list[str]) -> None:
    """Write what Hydra leaves in the folder of a sweep: its command line, for one thing."""
    with hydra_engine() as engine:
        OmegaConf.save(compose_for_all(engine, overrides), file)


def register_schemas() -> None:
    """The dataclasses, under the names that the YAML's defaults lists use."""
    store = ConfigStore.instance()
    store.store(name="train_schema", node=TrainConfig)
    for kind, schema in MODEL_CONFIGS.items():
        store.store(group="model", name=f"{kind}_schema", node=schema)
    Plugins.instance()  # those that are installed enter their own
    launchers = store.repo["hydra"]["launcher"]
    if "submitit_slurm.yaml" in launchers:
        # Our file of this name begins with it and takes its place, which Hydra does not allow
        # while both have the name.
        node = launchers.pop("submitit_slurm.yaml").node
        store.store(group="hydra/launcher", name=SLURM_SCHEMA, node=node)


@contextmanager
def hydra_engine() -> Iterator[Hydra]:
    """Hydra as it composes configurations; what it refuses ends as one line."""
    register_schemas()
    with (
        explaining_values(),
        hydra.initialize_config_dir(str(CONF_DIR), version_base="1.3"),
    ):
        engine = GlobalHydra.instance().hydra
        assert engine is not None, "it has just been initialised"
        yield engine


@contextmanager
def explaining_values() -> Iterator[None]:
    """What Hydra and OmegaConf refuse ends as one line."""
    try:
        yield
    except MissingConfigException as error:
        raise (_missing_extra(error) or UsageError(one_line(error))) from error
    except HydraException as error:
        cause = error.__cause__
        if isinstance(cause, OmegaConfBaseException):
            raise UsageError(explain(cause)) from error
        raise UsageError(one_line(error)) from error
    except OmegaConfBaseException as error:
        raise UsageError(explain(error)) from error


def compose_for_all(engine: Hydra, overrides: list[str]) -> DictConfig:
    """What the runs of a sweep share, and how Hydra is to launch them."""
    # A model's own keys are left to the runs, each of which may have another model.
    common = [line for line in overrides if not line.lstrip("+").startswith("model.")]
    composed = engine.compose_config(PRIMARY, common, RunMode.MULTIRUN, from_shell=False)
    with open_dict(composed):
        composed.hydra.overrides.task = _task_overrides(overrides)
    HydraConfig.instance().set_config(composed)  # for values such as ${hydra:job.name}
    return composed


def _job(engine: Hydra, number: int, line: list[str], for_hydra: list[str]) -> SweepJob:
    """One run of a sweep, with the name that `hydra.sweep.subdir` gives its folder."""
    composed = engine.compose_config(PRIMARY, [*for_hydra, *line], RunMode.RUN, from_shell=False)
    with open_dict(composed):
        composed.hydra.job.num = number
    HydraConfig.instance().set_config(composed)
    folder = str(composed.hydra.sweep.subdir)
    return SweepJob(line, to_config(_without_hydra(composed)), folder)


def _without_hydra(composed: DictConfig) -> DictConfig:
    with open_dict(composed):
        del composed["hydra"]
    return composed


def _is_hydras(override: Override) -> bool:
    return override.key_or_group.split(".")[0].split("/")[0] == "hydra"


def _hydra_overrides(overrides: list[str]) -> list[str]:
    """Those that are meant for Hydra itself."""
    parsed = parse_overrides(overrides)
    return [str(override.input_line) for override in parsed if _is_hydras(override)]


def _task_overrides(overrides: list[str]) -> list[str]:
    """Those that describe the runs."""
    parsed = parse_overrides(overrides)
    return [str(override.input_line) for override in parsed if not _is_hydras(override)]


def override(key: str, value: object) -> str:
    """`key=value` with the value in quotes, so that it may hold anything."""
    escaped = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{escaped}'"


def _missing_extra(error: MissingConfigException) -> UsageError | None:
    """What to install, where it is a plugin that is missing."""
    missing = (error.missing_cfg_file or "").replace(SLURM_SCHEMA, "submitit_slurm")
    group, _, choice = missing.rpartition("/")
    extra = EXTRAS.get(group, {}).get(choice)
    if extra is None:
        return None
    return UsageError(f"{group}={choice} is an extra: pip install 'aecli[{extra}]'")


def parse_overrides(overrides: list[str]) -> list[Override]:
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


@contextmanager
def _naming_unknown_keys(overrides: list[str]) -> Iterator[None]:
    """If it is a key that is wrong with a line, say which, and which was meant."""
    try:
        yield
    except Exception:  # of several kinds, by what Hydra takes the key for
        _check_keys(overrides)
        raise


def _check_keys(overrides: list[str]) -> None:
    """Every key must be in a configuration that the chosen groups make.

    Raises:
        UsageError: there is one that is in none.
    """
    groups = config_groups()
    choices: list[str] = []
    keys: list[str] = []
    for override in parse_overrides(overrides):
        key = override.key_or_group
        if key in groups or key in EXTRAS:
            choices.append(str(override.input_line))
        elif not _is_hydras(override):
            keys.append(key)
    if not keys:
        return
    with hydra_engine() as engine:
        composed = [
            engine.compose_config(PRIMARY, line, RunMode.RUN, from_shell=False)
            for line in split(choices)
        ]
    whole = [OmegaConf.to_container(_without_hydra(each)) for each in composed]
    known = {key for each in whole for key in _keys(each)}
    for key in keys:
        if key not in known:
            raise UsageError(
                f"there is no key {key!r}{_nearest_key(key, known)} "
                f"(aecli train --help lists all keys)"
            )


def _params(composed: DictConfig) -> list[str]:
    """What a sweep sets where the command line does not."""
    return [f"{key}={value}" for key, value in (composed.hydra.sweeper.params or {}).items()]


def _nearest_key(wrong: str, known: set[str]) -> str:
    """What it is called now, or a question: the key with nearly the same last word, if any."""
    if wrong in RENAMED_KEYS:
        return f": it is now called {RENAMED_KEYS[wrong]}"
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
