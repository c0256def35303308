"""Turn `key=value` overrides into validated configurations, composed by Hydra.

`compose` builds the configuration of one run, and `compose_sweep` those of a sweep.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from aecli.cli.engine import (
    BASIC,
    PRIMARY,
    current_engine,
    hydra_engine,
    without_hydra,
)
from aecli.cli.naming import (
    MODEL_CHOICES,
    Described,
    data_word,
    is_own,
    run_name,
    sweep_folder,
    sweep_names,
)
from aecli.cli.override_checks import check_keys
from aecli.cli.overrides import (
    SEARCH_PATH,
    check_epochs_count,
    is_given,
    is_hydra_override,
    parse_overrides,
    read_arguments,
    split,
)
from aecli.config import TrainConfig, to_config
from aecli.config.limits import expand_user
from aecli.errors import UsageError
from aecli.files.places import LATEST
from aecli.runs.lookup import find_run
from aecli.runtime.status import show_status

_INTERPOLATION = re.compile(r"\$\{(.*?)\}")
_NAME = "<name>"
"""Placeholder for the name of a run in that of its folder."""


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
    """The settings that its runs share, with Hydra's own keys."""

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
        name = run_name(run, _plain_run(overrides))
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


def check_folder(folder: Path) -> None:
    """Raise a UsageError for a folder that Hydra cannot use: it resolves ${ in its own paths."""
    if "${" in str(folder.absolute()):
        raise UsageError(
            f"a run cannot be in {folder.absolute()}, because ${{ in the name of a folder would be "
            f"interpolated: give another output_dir"
        )


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
        with read_write(composed.hydra), open_dict(composed):
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


def _plain_run(overrides: list[str]) -> Described | None:
    """The model or the recipe without further settings, if the command line has any to compare
    with."""
    lines = {each.key_or_group: str(each.input_line) for each in parse_overrides(overrides)}
    if not any(map(is_own, lines)):
        return None
    line = [lines[key] for key in (SEARCH_PATH, *MODEL_CHOICES) if key in lines]
    composed = current_engine().compose_config(PRIMARY, line, RunMode.RUN, from_shell=False)
    return _described(composed, line)


def _described(composed: DictConfig, overrides: list[str]) -> Described:
    """The run that these overrides describe: the choices of its groups, and its configuration."""
    config = with_init(to_config(without_hydra(composed)))
    check_epochs_count(config, overrides)
    given = frozenset(each.key_or_group for each in parse_overrides(overrides))
    return Described(config, dict(composed.hydra.runtime.choices), given)


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


def _hydra_overrides(overrides: list[str]) -> list[str]:
    """The overrides of Hydra's own keys."""
    parsed = parse_overrides(overrides)
    return [str(override.input_line) for override in parsed if is_hydra_override(override)]


def _task_overrides(overrides: list[str]) -> list[str]:
    """The overrides that configure the runs."""
    parsed = parse_overrides(overrides)
    return [str(override.input_line) for override in parsed if not is_hydra_override(override)]


@contextmanager
def _reporting_unknown_keys(overrides: list[str]) -> Iterator[None]:
    """If composing fails because of an unknown key, name it and suggest the one meant."""
    try:
        yield
    except Exception:  # its type depends on how Hydra interprets the key
        check_keys(overrides)
        raise


def searched_keys(composed: DictConfig) -> list[str]:
    """The keys for which a search chooses values; `composed`: the settings that its runs share."""
    lines = [*_sweeper_params(composed), *composed.hydra.overrides.task]
    parsed = {each.key_or_group: each for each in parse_overrides(lines)}
    return [key for key, each in parsed.items() if each.is_sweep_override()]


def _sweeper_params(composed: DictConfig) -> list[str]:
    """The values that a sweep sets unless the command line overrides them."""
    params = composed.hydra.sweeper.params or {}
    return read_arguments(f"{key}={value}" for key, value in params.items())
