"""What a sweep would train, and how long that would take; nothing is written."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from aecli.cli import console
from aecli.cli.compose import Sweep, compose, compose_sweep
from aecli.cli.engine import BASIC
from aecli.cli.forecast import Forecast, count_parameters, show_search, show_sweep
from aecli.cli.jobs import hydra_subfolders
from aecli.cli.overrides import is_given, single_value_overrides
from aecli.comparison.grouping import distinctions
from aecli.config import TrainConfig
from aecli.data.loaded import load_cached_data, resolve_config
from aecli.runs.directory import RunDirectory
from aecli.runs.discovery import runs_below
from aecli.runs.remaining import is_over
from aecli.sweep.lifecycle import check_resumable, planned_configs, warn_of_missing_runs
from aecli.sweep.planned import check_plan, check_unused
from aecli.sweep.report import load_configs, told_apart
from aecli.training.estimate import Task
from aecli.training.preflight import check_without_writing

JOBLIB = "joblib"


def forecast(overrides: list[str]) -> None:
    """Check a new sweep as its start would, and print what it would train.

    Raises:
        AecliError: it could not start.
    """
    sweep = compose_sweep(overrides)
    place = _place(sweep, overrides)
    if sweep.jobs is None:
        config = compose(single_value_overrides(overrides))
        config = resolve_config(config, check_without_writing(config))
        check_unused(sweep.folder)
        _describe_data(config)
        show_search(_task(config), place, sweep.trials)
        return
    configs = planned_configs(sweep, check_without_writing)
    check_plan(sweep.folder, configs, hydra_subfolders(sweep.composed))
    _show(configs, {}, place, sweep)


def forecast_rest(folder: Path, overrides: list[str]) -> None:
    """Check a sweep as resuming it would, and print what is left to train.

    Raises:
        AecliError: it cannot be resumed.
    """
    check_resumable(folder, overrides)
    warn_of_missing_runs(folder)
    runs = runs_below(folder)
    configs, problems = load_configs([run for run in runs if not is_over(run)])
    for problem in problems:
        console.warn(problem)
    over = len(runs) - len(configs) - len(problems)
    console.facts({"sweep": f"{over} finished, {len(configs)} to do, in {folder}"})
    if configs:
        for config in configs.values():
            check_without_writing(config)
        named = {str(path.relative_to(folder)): config for path, config in configs.items()}
        done = {name: RunDirectory(folder / name).finished_epochs() for name in named}
        _show(named, done, str(folder), replace(compose_sweep(overrides), folder=folder))


def _show(configs: dict[str, TrainConfig], done: dict[str, int], place: str, sweep: Sweep) -> None:
    """Print runs by the names of their folders; `done` are the epochs of those that have begun."""
    _describe_data(next(iter(configs.values())))
    paths = map(Path, configs)
    words = told_apart(dict(zip(paths, distinctions([*configs.values()]), strict=True)))
    runs = []
    for name, config in configs.items():
        task = _task(config, done.get(name, 0))
        parameters = count_parameters(task, load_cached_data(config))
        runs.append(Forecast(name, words[Path(name)], parameters, task))
    is_joblib = sweep.launcher == JOBLIB
    show_sweep(runs, place, _workers(sweep), threads=1 if is_joblib else None)


def _task(config: TrainConfig, done: int = 0) -> Task:
    limit = None if config.minutes is None else 60 * config.minutes
    images = len(load_cached_data(config).train)
    return Task(config, images, max(0, config.epochs - done), limit)


def _describe_data(config: TrainConfig) -> None:
    data = load_cached_data(config)
    if data.notice is not None:
        console.notice(data.notice)
    console.facts({"data": console.describe_data(data)})


def _workers(sweep: Sweep) -> int | None:
    """How many runs are trained at a time on this machine; None if others decide."""
    if sweep.launcher == BASIC:
        return 1
    if sweep.launcher != JOBLIB:
        return None
    from joblib import effective_n_jobs

    count: int = effective_n_jobs(sweep.composed.hydra.launcher.n_jobs)
    return count


def _place(sweep: Sweep, overrides: Iterable[str]) -> str:
    """Where the sweep would be; the name of a new folder says when it was started."""
    if is_given("hydra.sweep.dir", overrides):
        return str(sweep.folder)
    return f"a new folder in {sweep.folder.parent}"
