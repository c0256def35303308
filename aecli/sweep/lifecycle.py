"""A sweep: a folder with a run directory for each of its runs.

The folders are the only record: any process can read from them which runs are finished, failed or
interrupted. So a sweep can be resumed in other processes, on other machines, or on another day.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from aecli.cli import console
from aecli.cli.compose import Sweep, compose_sweep, save_sweep_config
from aecli.cli.jobs import hydra_subfolders
from aecli.cli.single_run import check_closing, config_to_close
from aecli.config import TrainConfig
from aecli.data import Data
from aecli.data.loaded import resolve_config
from aecli.errors import AecliError, StorageError, UsageError
from aecli.errors.text import one_line
from aecli.files.storage import make_folder
from aecli.runs.directory import CONFIG, RunDirectory
from aecli.runs.discovery import runs_below
from aecli.runs.display import Display, Log
from aecli.runs.lock import locked
from aecli.runs.remaining import is_interrupted, is_over
from aecli.runs.sweep_plan import SHARED, SWEEP_FILE, missing_runs
from aecli.runtime.device import readable_out_of_memory_errors
from aecli.sweep.launch import launch_runs
from aecli.sweep.planned import plan
from aecli.sweep.report import load_configs, report, resume_advice
from aecli.sweep.search import search
from aecli.training.closing import close_run
from aecli.training.preflight import check_runnable


def start(overrides: list[str], compare: bool, log: Log) -> None:
    """Train every run of a sweep, after validating all of them.

    Raises:
        AecliError: some runs failed, or one could not be planned.
        Interrupted: Ctrl-C or SIGTERM; says how to resume.
    """
    sweep = compose_sweep(overrides)
    if sweep.jobs is None:
        search(sweep, overrides, compare, log)
        return
    if len(sweep.jobs) == 1:
        console.warn(
            "nothing varies, so this sweep has a single run: give several values, as in "
            "latent=5,25, or sweep=latent"
        )
    configs = planned_configs(sweep, check_runnable)
    lines = {job.folder: job.overrides for job in sweep.jobs}
    make_folder(sweep.folder)
    with locked(sweep.folder):
        plan(sweep.folder, configs, hydra_subfolders(sweep.composed))
        save_sweep_config(sweep.folder / SWEEP_FILE, sweep)
        problems = launch_runs(sweep, lines, overrides, log)
        report(sweep.folder, compare, problems, advice=resume_advice(sweep.folder))


def planned_configs(sweep: Sweep, check: Callable[[TrainConfig], Data]) -> dict[str, TrainConfig]:
    """Name of each run's folder -> its configuration, after `check`.

    Raises:
        AecliError: a run cannot be trained, or not in its folder.
    """
    configs: dict[str, TrainConfig] = {}
    for job in sweep.jobs or []:
        if job.folder in configs:
            raise UsageError(f"hydra.sweep.subdir gives two runs the same folder, {job.folder}")
        _check_inside(sweep.folder, job.folder)
        configs[job.folder] = resolve_config(job.config, check(job.config))
    return configs


def resume(folder: Path, overrides: list[str], compare: bool, log: Log) -> None:
    """Train the unfinished runs of a sweep, each from its newest checkpoint.

    Args:
        folder: the sweep folder.
        overrides: Hydra settings that say how to launch the runs; no others are accepted.
        compare: write the comparison at the end.
        log: how the runs show their progress.

    Raises:
        AecliError: some runs failed, `folder` holds no sweep, or another process trains it.
        Interrupted: Ctrl-C or SIGTERM; says how to resume.
    """
    check_resumable(folder, overrides)
    with locked(folder):
        shutil.rmtree(folder / SHARED, ignore_errors=True)  # if an earlier attempt was killed
        warn_of_missing_runs(folder)
        sweep = replace(compose_sweep(overrides), folder=folder)
        problems = _launch_unfinished(sweep, overrides, log)
        report(folder, compare, problems, advice=resume_advice(folder))


def finish(folder: Path, overrides: list[str], compare: bool, log: Log) -> None:
    """Close every interrupted run of a sweep that has weights: finish it with those that it keeps.

    Args:
        folder: the sweep folder.
        overrides: say where the images are now, and the device.
        compare: write the comparison at the end.
        log: how the runs show their progress.

    Raises:
        AecliError: some runs have no weights, `folder` holds no sweep, or another process trains
            it.
        Interrupted: Ctrl-C or SIGTERM.
    """
    _check_is_sweep(folder)
    check_closing(overrides)
    with locked(folder):
        shutil.rmtree(folder / SHARED, ignore_errors=True)  # if an earlier attempt was killed
        warn_of_missing_runs(folder)
        runs = runs_below(folder)
        problems = [problem for run in runs for problem in _close(run, overrides, log)]
        report(folder, compare, problems, advice=resume_advice(folder), may_be_closed=True)


def _close(run: RunDirectory, overrides: list[str], log: Log) -> list[str]:
    """Close a run if it is interrupted; return the reason if it cannot be closed."""
    try:
        if not is_interrupted(run) or not run.finished_epochs():
            return []  # the report names those without an epoch
        config = config_to_close(run, overrides)
        data = check_runnable(config, is_new=False)
        display = Display(run.path.name, log, is_alone=False)
        with run.locked(), readable_out_of_memory_errors():
            close_run(config, data, run, display, console.warn)
    except (AecliError, OSError) as error:
        return [f"{run.path.name}: {one_line(error)}"]
    console.run_line(run)
    return []


def check_resumable(folder: Path, overrides: list[str]) -> None:
    """Check that `folder` is that of a sweep, which can be resumed with these overrides.

    Raises:
        UsageError: it is not, or they change more than how the runs are launched.
    """
    _check_is_sweep(folder)
    for override in overrides:
        if not override.startswith("hydra"):
            raise UsageError(
                f"{override}: a resumed sweep trains its runs as planned, so leave it out"
            )


def _check_is_sweep(folder: Path) -> None:
    if not (folder / SWEEP_FILE).is_file():
        raise UsageError(
            f"resume={folder} is neither a run folder, which contains a {CONFIG}, nor a sweep "
            f"folder, which contains a {SWEEP_FILE}"
        )


def _check_inside(folder: Path, name: str) -> None:
    """Check that the folder of a run is within that of its sweep, with links resolved."""
    if folder.resolve() not in (folder / name).resolve().parents:
        raise UsageError(
            f"hydra.sweep.subdir={name} is not within the folder of the sweep, {folder}: give a "
            f"name without .., absolute paths and links"
        )


def warn_of_missing_runs(folder: Path) -> None:
    try:
        missing = missing_runs(folder)
    except StorageError as error:
        console.warn(str(error))
        return
    for path in missing:
        console.warn(f"{path} is missing: it was planned in this sweep, and deleted or moved")


def _launch_unfinished(sweep: Sweep, overrides: list[str], log: Log) -> list[str]:
    planned = runs_below(sweep.folder)
    unfinished = [run for run in planned if not is_over(run)]
    configs, _ = load_configs(unfinished)  # the report names the damaged ones
    runs = [run for run in unfinished if run.path in configs]
    for run in runs:
        check_runnable(configs[run.path], is_new=False)
        run.failure_file.unlink(missing_ok=True)  # or it would count as that of the new attempt
    # Keep the files that Hydra wrote at first; now it would record a command line without values.
    names = [str(run.path.relative_to(sweep.folder)) for run in runs]
    lines = {name: ["hydra.output_subdir=null"] for name in names}
    return launch_runs(sweep, lines, overrides, log, finished=len(planned) - len(unfinished))
