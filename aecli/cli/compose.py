"""From `key=value` on the command line to a checked configuration: the one module that knows Hydra.

`compose` makes one configuration and `compose_sweep` those of a sweep; `run_once`, `run_jobs` and
`run_search` have Hydra make the folders and call the job in each: here, with one of its launchers,
or as one of its sweepers goes along.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path

import hydra
from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus, run_job
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from aecli.config import (
    CONF_DIR,
    MODEL_CONFIGS,
    TrainConfig,
    config_groups,
    explain,
    to_config,
)
from aecli.errors import UsageError, one_line, suggest
from aecli.files import writable_folder

PRIMARY = "train"

# Hydra's own launchers and sweepers: choice -> the extra of aecli that brings its plugin.
EXTRAS = {
    "hydra/launcher": {"joblib": "joblib", "submitit_local": "slurm", "submitit_slurm": "slurm"},
    "hydra/sweeper": {"optuna": "optuna"},
}
BASIC = "basic"

# What conf/hydra/launcher/submitit_slurm.yaml builds on.
SLURM_SCHEMA = "slurm_schema"

Job = Callable[[TrainConfig, Path], float | None]
"""Trains one run, given its configuration and its folder; what a search minimises."""


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
    with _naming_unknown_keys(overrides), _engine() as engine:
        composed = engine.compose_config(PRIMARY, overrides, RunMode.RUN, from_shell=False)
        return ComposedRun(to_config(_without_hydra(composed.copy())), overrides, composed)


def compose_sweep(overrides: list[str]) -> Sweep:
    """Every run of a sweep.

    Raises:
        UsageError: a key or a value of one of them that makes no sense.
    """
    with _engine() as engine:
        composed = _compose_for_all(engine, overrides)
        choices = composed.hydra.runtime.choices
        jobs = None
        if choices["hydra/sweeper"] == BASIC:
            lines = split(_params(composed) + _task_overrides(overrides))
            for_hydra = _hydra_overrides(overrides)
            jobs = [_job(engine, number, line, for_hydra) for number, line in enumerate(lines)]
        return Sweep(Path(str(composed.hydra.sweep.dir)), choices["hydra/launcher"], jobs)


def split(overrides: list[str]) -> list[list[str]]:
    """The line of each run: every combination, in order; the last value given to a key counts."""
    parsed = _parse(overrides)
    for override in parsed:
        if override.is_sweep_override() and not override.is_discrete_sweep():
            raise UsageError(f"{override.input_line} is for a search: add hydra/sweeper=optuna")
    (batch,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    return [list(job) for job in batch]


def without_lists(overrides: list[str]) -> list[str]:
    """The overrides that give one value, which all runs of a sweep share."""
    return [
        str(override.input_line)
        for override in _parse(overrides)
        if not override.is_sweep_override()
    ]


def check_overrides(overrides: list[str], multirun: bool) -> None:
    """Refuse what Hydra would refuse later, and at greater length, or not at all.

    Raises:
        UsageError: an unknown group or choice, a list of values without -m, no `key=value`, or a
            key that is unknown to the runs of a sweep, or to be added.
    """
    groups = config_groups()
    for override in _parse(overrides):
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
    adds = any(each.is_add() or each.is_force_add() for each in _parse(overrides))
    if multirun or adds:
        _check_keys(overrides)


def note_sweep(file: Path, overrides: list[str]) -> None:
    """Write what Hydra leaves in the folder of a sweep: its command line, for one thing."""
    with _engine() as engine:
        OmegaConf.save(_compose_for_all(engine, overrides), file)


def run_once(run: ComposedRun, job: Job) -> None:
    """Have Hydra call `job` with the folder of one run, which is nobody else's.

    Raises:
        Exception: whatever `job` raises.
    """
    folder = _new_folder(run)
    with _engine() as engine:
        with read_write(run.composed.hydra):
            run.composed.hydra.run.dir = str(folder)
        callbacks = Callbacks(run.composed)
        callbacks.on_run_start(config=run.composed, config_name=PRIMARY)
        done = run_job(
            lambda _: job(run.config, _own_folder()),
            run.composed,
            job_dir_key="hydra.run.dir",
            job_subdir_key=None,
            hydra_context=HydraContext(engine.config_loader, callbacks),
        )
        callbacks.on_run_end(config=run.composed, config_name=PRIMARY, job_return=done)
    if done.status is JobStatus.FAILED:
        raise done._return_value


def _new_folder(run: ComposedRun) -> Path:
    """Make the folder of a run: the one that the line names, or one with the time as its name.

    Of several processes in the same microsecond one gets it, and the others the next one's.
    """
    is_named = any(each.key_or_group == "hydra.run.dir" for each in _parse(run.overrides))
    composed = run.composed
    while True:
        HydraConfig.instance().set_config(composed)  # for values such as ${hydra:job.name}
        with _explaining_values():
            folder = Path(str(composed.hydra.run.dir)).absolute()
        writable_folder(folder.parent, "hydra.run.dir")
        try:
            folder.mkdir(exist_ok=is_named)
        except FileExistsError:
            if is_named:  # a file
                raise
        else:
            return folder
        composed = compose_run(run.overrides).composed


def show_config(flags: list[str], overrides: list[str]) -> None:
    """Print the configuration that `overrides` make instead of running it: Hydra's --cfg."""

    def job(_: TrainConfig, __: Path) -> None:
        raise AssertionError("Hydra prints the configuration and calls no job")

    _hydra_main(flags, overrides, job)


def run_search(overrides: list[str], folder: Path, job: Job) -> None:
    """Have one of Hydra's sweepers choose the runs, each from what the ones before have returned.

    Raises:
        Exception: whatever the sweeper gives up with.
    """
    _hydra_main(["--multirun"], [*overrides, _override("hydra.sweep.dir", folder.absolute())], job)


def run_jobs(
    jobs: dict[str, list[str]], folder: Path, overrides: list[str], job: Callable[[Path], None]
) -> list[Exception]:
    """Have one of Hydra's launchers call `job` with the folder of each run, in the order of `jobs`.

    Args:
        jobs: name of the folder -> what Hydra notes there as the run's own command line.
        folder: of the sweep.
        overrides: the command line of the sweep.
        job: may be called in another process, so it must be possible to pickle it.

    Returns:
        What `job` has raised.

    Raises:
        Exception: whatever the launcher gives up with.
    """
    # Absolute: whoever runs the job may stand elsewhere.
    place = _override("hydra.sweep.dir", folder.absolute())
    with _engine() as engine:
        composed = _compose_for_all(engine, [*overrides, place])
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(engine.config_loader, Callbacks(composed)),
            task_function=partial(_planned_task, job=job),
            config=composed,
        )
        lines = [[*line, _override("hydra.sweep.subdir", name)] for name, line in jobs.items()]
        returns = launcher.launch(lines, initial_job_idx=0)
    return [done._return_value for done in returns if done.status is JobStatus.FAILED]


def _planned_task(_: DictConfig, job: Callable[[Path], None]) -> None:
    job(_own_folder())


def _hydra_main(flags: list[str], overrides: list[str], job: Job) -> None:
    """Hand a command line to Hydra."""
    _register_schemas()

    @hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name=PRIMARY)
    def run(composed: DictConfig) -> float | None:
        return job(to_config(composed), _own_folder())

    # Hydra reads the command line itself, and would print and exit where we want the exception.
    sys.argv = ["aecli train", *flags, *overrides]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    run()


def _own_folder() -> Path:
    """The folder that Hydra made for the run; as seen from here, which is easier to read."""
    folder, here = Path(HydraConfig.get().runtime.output_dir), Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def _register_schemas() -> None:
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
def _engine() -> Iterator[Hydra]:
    """Hydra as it composes configurations; what it refuses ends as one line."""
    _register_schemas()
    with (
        _explaining_values(),
        hydra.initialize_config_dir(str(CONF_DIR), version_base="1.3"),
    ):
        engine = GlobalHydra.instance().hydra
        assert engine is not None, "it has just been initialised"
        yield engine


@contextmanager
def _explaining_values() -> Iterator[None]:
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


def _compose_for_all(engine: Hydra, overrides: list[str]) -> DictConfig:
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
    parsed = _parse(overrides)
    return [str(override.input_line) for override in parsed if _is_hydras(override)]


def _task_overrides(overrides: list[str]) -> list[str]:
    """Those that describe the runs."""
    parsed = _parse(overrides)
    return [str(override.input_line) for override in parsed if not _is_hydras(override)]


def _override(key: str, value: object) -> str:
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
    for override in _parse(overrides):
        key = override.key_or_group
        if key in groups or key in EXTRAS:
            choices.append(str(override.input_line))
        elif not _is_hydras(override):
            keys.append(key)
    if not keys:
        return
    with _engine() as engine:
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
