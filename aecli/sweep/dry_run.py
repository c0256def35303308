"""The runs that a sweep would train, and how long that would take; nothing is written."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from aecli.cli import console
from aecli.cli.compose import Sweep, compose, compose_sweep
from aecli.cli.engine import BASIC, JOBLIB, threads_of
from aecli.cli.forecast import Forecast, count_parameters, show_search, show_sweep
from aecli.cli.jobs import hydra_subfolders
from aecli.cli.overrides import is_given, single_value_overrides
from aecli.comparison.grouping import distinctions
from aecli.config import TrainConfig
from aecli.data.loaded import load_cached_data, resolve_config
from aecli.errors import StorageError
from aecli.runs.directory import RunDirectory
from aecli.runs.discovery import runs_below
from aecli.runs.lock import check_free
from aecli.runs.remaining import is_over
from aecli.sweep.launch import announce, describe_images
from aecli.sweep.lifecycle import check_resumable, planned_configs, warn_of_missing_runs
from aecli.sweep.planned import check_plan, check_unused
from aecli.sweep.report import distinguishing_settings, load_configs
from aecli.training.estimate import Task
from aecli.training.preflight import check_without_writing


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
        check_free(sweep.folder)
        console.facts({"data": describe_images([config])})
        task = Task.left(config, load_cached_data(config))
        threads = threads_of(sweep.launcher)
        show_search(task, place, sweep.trials, _workers(sweep), threads)
        return
    configs = planned_configs(sweep, check_without_writing)
    check_plan(sweep.folder, configs, hydra_subfolders(sweep.composed))
    check_free(sweep.folder)
    announce([*configs.values()], place)
    _show(configs, place, sweep)


def forecast_rest(folder: Path, overrides: list[str]) -> None:
    """Check a sweep as resuming it would, and print what is left to train.

    Raises:
        AecliError: it cannot be resumed.
    """
    check_resumable(folder, overrides)
    check_free(folder)
    warn_of_missing_runs(folder)
    runs = runs_below(folder)
    unfinished = [run for run in runs if not is_over(run)]
    configs, problems = load_configs(unfinished)
    for problem in problems:
        console.warn(problem)
    for path, config in configs.items():
        check_free(path)
        check_without_writing(config, is_new=False)
    announce([*configs.values()], str(folder), finished=len(runs) - len(unfinished))
    if configs:
        named = {str(path.relative_to(folder)): config for path, config in configs.items()}
        _show(named, str(folder), replace(compose_sweep(overrides), folder=folder))


def _show(configs: dict[str, TrainConfig], place: str, sweep: Sweep) -> None:
    """Print how much is left of runs, some of which may have begun, by the names of their
    folders."""
    paths = map(Path, configs)
    words = distinguishing_settings(
        dict(zip(paths, distinctions([*configs.values()]), strict=True))
    )
    runs = []
    for name, config in configs.items():
        data = load_cached_data(config)
        try:
            saved, problems = RunDirectory(sweep.folder / name).newest_checkpoint()
        except StorageError as error:  # the run would fail, and the others would be trained
            console.warn(str(error))
            continue
        for problem in problems:
            console.warn(f"{problem}; using the previous checkpoint")
        task = Task.left(config, data, saved)
        runs.append(Forecast(name, words[Path(name)], count_parameters(config, data), task))
    if runs:
        show_sweep(runs, place, _workers(sweep), threads_of(sweep.launcher))


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
    """Where the sweep would be; the name of a new folder contains the time of its start."""
    if is_given("hydra.sweep.dir", overrides):
        return str(sweep.folder)
    return f"a new folder in {sweep.folder.parent}"
