"""A sweep: a folder with a run directory for each of its runs.

The folders are the only record: any process can read from them which runs are finished, failed or
interrupted. So a sweep can be resumed in other processes, on other machines, or on another day.
"""

import logging
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from aecli.cli import console
from aecli.cli.compose import (
    BASIC,
    Sweep,
    compose,
    compose_sweep,
    save_sweep_config,
)
from aecli.cli.jobs import hydra_subfolders, run_jobs, run_search
from aecli.cli.overrides import single_value_overrides
from aecli.comparison.compare import compare as compare_runs
from aecli.comparison.grouping import distinctions
from aecli.comparison.write import FOLDER as COMPARISON
from aecli.config import TrainConfig
from aecli.data.loaded import load_cached_data, resolve_config, share_data
from aecli.errors import AecliError, Interrupted, StorageError, UsageError
from aecli.files import make_folder
from aecli.runs.directory import CONFIG, SWEEP_FILE, RunDirectory, Status, has_runs, runs_below
from aecli.runs.lock import locked
from aecli.runs.sweep_plan import missing_runs
from aecli.runtime.parent import ending_with
from aecli.runtime.process import ProcessId
from aecli.sweep.planned import check_unused, longest_first, plan, run_planned
from aecli.sweep.watch import Watch
from aecli.text import one_line
from aecli.training.experiment import exclusive_run, run_experiment
from aecli.training.preflight import check_runnable

__all__ = ["resume", "start"]

SHARED = ".aecli-images"
"""In a sweep folder, while its runs are trained: the decoded images."""


def start(overrides: list[str], compare: bool) -> None:
    """Train every run of a sweep, after validating all of them.

    Raises:
        AecliError: some runs failed, or one could not be planned.
        Interrupted: Ctrl-C or SIGTERM; says how to resume.
    """
    sweep = compose_sweep(overrides)
    if sweep.jobs is None:
        search(sweep, overrides, compare)
        return
    configs: dict[str, TrainConfig] = {}
    for job in sweep.jobs:
        if job.folder in configs:
            raise UsageError(f"hydra.sweep.subdir gives two runs the same folder, {job.folder}")
        configs[job.folder] = resolve_config(job.config, check_runnable(job.config))
    lines = {job.folder: job.overrides for job in sweep.jobs}
    make_folder(sweep.folder)
    with locked(sweep.folder):
        plan(sweep.folder, configs, hydra_subfolders(sweep.composed))
        save_sweep_config(sweep.folder / SWEEP_FILE, sweep)
        problems = launch_runs(sweep, lines, overrides)
        report(sweep.folder, compare, problems, advice=_resume_advice(sweep.folder))


def resume(folder: Path, overrides: list[str], compare: bool) -> None:
    """Train the unfinished runs of a sweep, each from its newest checkpoint.

    Args:
        folder: the sweep folder.
        overrides: Hydra settings that say how to launch the runs; no others are accepted.
        compare: write the comparison at the end.

    Raises:
        AecliError: some runs failed, `folder` holds no sweep, or another process trains it.
        Interrupted: Ctrl-C or SIGTERM; says how to resume.
    """
    if not (folder / SWEEP_FILE).is_file():
        raise UsageError(
            f"resume={folder} is neither a run folder, which contains a {CONFIG}, nor a sweep "
            f"folder, which contains a {SWEEP_FILE}"
        )
    for override in overrides:
        if not override.startswith("hydra"):
            raise UsageError(
                f"{override}: a resumed sweep trains its runs as planned, so leave it out"
            )
    with locked(folder):
        shutil.rmtree(folder / SHARED, ignore_errors=True)  # if an earlier attempt was killed
        _warn_of_missing_runs(folder)
        problems = _launch_unfinished(replace(compose_sweep(overrides), folder=folder), overrides)
        report(folder, compare, problems, advice=_resume_advice(folder))


def _warn_of_missing_runs(folder: Path) -> None:
    try:
        missing = missing_runs(folder)
    except StorageError as error:
        console.warn(str(error))
        return
    for path in missing:
        console.warn(f"{path} is missing: it was planned in this sweep, and deleted or moved")


def _launch_unfinished(sweep: Sweep, overrides: list[str]) -> list[str]:
    runs = [run for run in runs_below(sweep.folder) if run.status is not Status.finished]
    for run in runs:
        check_runnable(run.load_config())
        run.failure_file.unlink(missing_ok=True)  # or it would count as that of the new attempt
    # Keep the files that Hydra wrote at first; now it would record a command line without values.
    names = [str(run.path.relative_to(sweep.folder)) for run in runs]
    return launch_runs(sweep, {name: ["hydra.output_subdir=null"] for name in names}, overrides)


def launch_runs(sweep: Sweep, lines: dict[str, list[str]], overrides: list[str]) -> list[str]:
    """Train the planned runs with Hydra's launcher.

    Args:
        sweep: the sweep folder and the launcher.
        lines: name of each run's folder -> the overrides that Hydra records there.
        overrides: the overrides of the whole sweep.

    Returns:
        Errors from outside the training of the runs, one line each.
    """
    runs = [RunDirectory(sweep.folder / name) for name in lines]
    if not runs:
        return []
    try:
        _announce(sweep, runs)
        if sweep.launcher == BASIC:
            errors = run_jobs(lines, sweep.folder, overrides, _train_in_process)
        else:
            errors = _train_in_workers(sweep, runs, lines, overrides)
    except KeyboardInterrupt as interruption:
        raise _with_advice(interruption, sweep.folder) from None
    return [_describe(error) for error in errors]


def _train_in_process(folder: Path) -> None:
    run_planned(folder, show_progress=True, threads=None, shared=None)
    console.run_line(RunDirectory(folder))


def _train_in_workers(
    sweep: Sweep, runs: list[RunDirectory], lines: dict[str, list[str]], overrides: list[str]
) -> list[Exception]:
    """Train in worker processes: the longest run first, with images decoded once for all runs."""
    names = [str(run.path.relative_to(sweep.folder)) for run in longest_first(runs)]
    with _shared_images(sweep.folder, runs) as shared:
        job = partial(
            run_planned,
            show_progress=False,
            # There are as many workers as cores, so more threads would only compete for them.
            threads=1 if sweep.launcher == "joblib" else None,
            shared=shared.absolute(),
            parent=_parent_of_workers(sweep),
        )
        with Watch(runs):
            try:
                return run_jobs({name: lines[name] for name in names}, sweep.folder, overrides, job)
            except Exception as error:  # no cluster, a killed worker: depends on the launcher
                return [error]


def _parent_of_workers(sweep: Sweep) -> ProcessId | None:
    """This process, if the runs are to stop when it is killed; the jobs of a cluster go on."""
    return ProcessId.current() if sweep.launcher == "joblib" else None


@contextmanager
def _shared_images(folder: Path, runs: list[RunDirectory]) -> Iterator[Path]:
    """A temporary folder with the decoded images that `runs` need.

    It is in the sweep folder, which the nodes of a cluster can read too.
    """
    shared = folder / SHARED
    shared.mkdir()
    try:
        for run in runs:
            share_data(run.load_config(), shared)
        yield shared
    finally:
        shutil.rmtree(shared)


def search(sweep: Sweep, overrides: list[str], compare: bool) -> None:
    """Search for the settings with the lowest validation MSE, using one of Hydra's sweepers.

    Raises:
        AecliError: some runs failed, or the settings that all of them share are invalid.
        Interrupted: Ctrl-C or SIGTERM.
    """
    check_runnable(compose(single_value_overrides(overrides)))
    make_folder(sweep.folder)
    with locked(sweep.folder):
        check_unused(sweep.folder)
        console.facts({"search": f"in {sweep.folder}"})
        report(sweep.folder, compare, _search(sweep, overrides), is_search=True)


def _search(sweep: Sweep, overrides: list[str]) -> list[str]:
    """Run a search; returns the errors from outside the training of its runs, one line each."""
    _silence_optuna()
    trial = partial(_trial, show_progress=sweep.launcher == BASIC, parent=_parent_of_workers(sweep))
    try:
        run_search(overrides, sweep.folder, trial)
    except KeyboardInterrupt as interruption:
        message = f"interrupted: the runs so far are in {sweep.folder}"
        raise Interrupted.saying(message, interruption) from None
    except Exception as error:  # no trial succeeded, no such database: depends on the sweeper
        if not has_runs(sweep.folder):  # before the first trial
            if isinstance(error, AecliError):
                raise
            raise UsageError(f"the search cannot start: {_describe(error)}") from error
        return [_describe(error)]
    return []


def _silence_optuna() -> None:
    """Keep Optuna from printing its own log lines between those of the runs."""
    import optuna

    optuna.logging.set_verbosity(logging.ERROR)


def _trial(
    config: TrainConfig, folder: Path, show_progress: bool, parent: ProcessId | None
) -> float:
    """Train one run of a search and return its validation MSE."""
    with ending_with(parent):
        return _train_trial(config, folder, show_progress)


def _train_trial(config: TrainConfig, folder: Path, show_progress: bool) -> float:
    run = RunDirectory(folder)
    data = load_cached_data(config)
    config = resolve_config(config, data)
    try:
        with exclusive_run(run):
            run_experiment(
                config, data, run, bar=folder.name if show_progress else None, warn=console.warn
            )
    finally:
        console.run_line(run)
    mse: float = run.load_summary()["validation"]["mse"]
    return mse


def _best_trial(runs: list[RunDirectory], settings: list[str]) -> str:
    """The run with the smallest validation MSE, as in `3-fc-z5, validation mse 0.0123: lr=0.01`."""
    found = [
        (run.load_summary()["validation"]["mse"], run.path.name, setting)
        for run, setting in zip(runs, settings, strict=True)
        if run.status is Status.finished
    ]
    mse, name, setting = min(found)
    return f"{name}, validation mse {mse:.6f}" + (f": {setting}" if setting else "")


def _announce(sweep: Sweep, runs: list[RunDirectory]) -> None:
    """Print what is about to be trained."""
    data = load_cached_data(runs[0].load_config())
    if data.notice is not None:
        console.notice(data.notice)
    console.facts(
        {
            "data": console.describe_data(data),
            "sweep": f"{len(runs)} run{'s' * (len(runs) > 1)} in {sweep.folder}",
        }
    )


def report(
    folder: Path, compare: bool, problems: list[str], advice: str = "", is_search: bool = False
) -> None:
    """Print a table of all runs in `folder`, and write the comparison of the finished ones.

    Args:
        folder: the sweep folder.
        compare: write the comparison.
        problems: errors from outside the training of the runs.
        advice: what to do about unfinished runs.
        is_search: name the run with the smallest validation mse, which the search minimised.

    Raises:
        AecliError: some runs are not finished, or there are `problems`.
    """
    runs = runs_below(folder)
    unfinished = [run for run in runs if run.status is not Status.finished]
    configs = [run.load_config() for run in runs]
    settings = distinctions(configs)
    console.sweep_table(str(folder), runs, settings)
    if is_search and len(unfinished) < len(runs):
        console.facts({"best trial": _best_trial(runs, settings)})
    if compare and differ_in_classes(configs):
        console.facts({"comparison": "none: the runs use different classes"})
    elif compare and len(unfinished) < len(runs):
        try:
            console.comparison(compare_runs([folder], folder / COMPARISON))
        except UsageError as error:  # several data sets, for example: the runs themselves are valid
            console.warn(f"no comparison: {error}")
    console.facts({"look at it": f"tensorboard --logdir {shlex.quote(str(folder))}"})
    reasons = [
        f"{run.path.name}: {run.failure() if run.status is Status.failed else run.status.value}"
        for run in unfinished
    ]
    summary = f"{len(unfinished)} of {len(runs)} runs are not finished{advice}"
    if problems and not unfinished:
        summary = f"all {len(runs)} runs are finished, but there were errors"
    if unfinished or problems:
        raise AecliError(summary, [*problems, *reasons])


def differ_in_classes(configs: list[TrainConfig]) -> bool:
    """Whether the runs differ in their classes, as in sweep=one_class."""
    classes = [(config.data.classes, config.data.exclude_classes) for config in configs]
    return any(selection != classes[0] for selection in classes)


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error)}"


def _resume_advice(folder: Path) -> str:
    return f"; to resume: aecli train resume={shlex.quote(str(folder))}"


def _with_advice(interruption: KeyboardInterrupt, folder: Path) -> Interrupted:
    """The interruption with a message on the finished runs and how to resume."""
    runs = runs_below(folder)
    finished = sum(run.status is Status.finished for run in runs)
    return Interrupted.saying(
        f"interrupted: {finished} of {len(runs)} runs are finished{_resume_advice(folder)}",
        interruption,
    )
