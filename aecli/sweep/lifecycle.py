"""A sweep: a folder with a run directory for each of its runs.

The folders are the only record: any process can read from them which runs are finished, failed or
interrupted. So a sweep can be resumed in other processes, on other machines, or on another day.
"""

import shutil
from dataclasses import replace
from pathlib import Path

from aecli.cli import console
from aecli.cli.compose import Sweep, compose_sweep, save_sweep_config
from aecli.cli.jobs import hydra_subfolders
from aecli.config import TrainConfig
from aecli.data.loaded import resolve_config
from aecli.errors import StorageError, UsageError
from aecli.files import make_folder
from aecli.runs.directory import CONFIG, Status
from aecli.runs.discovery import runs_below
from aecli.runs.display import Log
from aecli.runs.lock import locked
from aecli.runs.sweep_plan import SHARED, SWEEP_FILE, missing_runs
from aecli.sweep.launch import launch_runs
from aecli.sweep.planned import plan
from aecli.sweep.report import load_configs, report, resume_advice
from aecli.sweep.search import search
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
    configs: dict[str, TrainConfig] = {}
    for job in sweep.jobs:
        if job.folder in configs:
            raise UsageError(f"hydra.sweep.subdir gives two runs the same folder, {job.folder}")
        _check_inside(sweep.folder, job.folder)
        configs[job.folder] = resolve_config(job.config, check_runnable(job.config))
    lines = {job.folder: job.overrides for job in sweep.jobs}
    make_folder(sweep.folder)
    with locked(sweep.folder):
        plan(sweep.folder, configs, hydra_subfolders(sweep.composed))
        save_sweep_config(sweep.folder / SWEEP_FILE, sweep)
        problems = launch_runs(sweep, lines, overrides, log)
        report(sweep.folder, compare, problems, advice=resume_advice(sweep.folder))


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
        sweep = replace(compose_sweep(overrides), folder=folder)
        problems = _launch_unfinished(sweep, overrides, log)
        report(folder, compare, problems, advice=resume_advice(folder))


def _check_inside(folder: Path, name: str) -> None:
    """Check that the folder of a run is within that of its sweep, also behind links."""
    if folder.resolve() not in (folder / name).resolve().parents:
        raise UsageError(
            f"hydra.sweep.subdir={name} is not within the folder of the sweep, {folder}: give a "
            f"name without .., absolute paths and links"
        )


def _warn_of_missing_runs(folder: Path) -> None:
    try:
        missing = missing_runs(folder)
    except StorageError as error:
        console.warn(str(error))
        return
    for path in missing:
        console.warn(f"{path} is missing: it was planned in this sweep, and deleted or moved")


def _launch_unfinished(sweep: Sweep, overrides: list[str], log: Log) -> list[str]:
    planned = runs_below(sweep.folder)
    unfinished = [run for run in planned if run.status is not Status.finished]
    configs, _ = load_configs(unfinished)  # the report names the damaged ones
    runs = [run for run in unfinished if run.path in configs]
    for run in runs:
        check_runnable(configs[run.path])
        run.failure_file.unlink(missing_ok=True)  # or it would count as that of the new attempt
    # Keep the files that Hydra wrote at first; now it would record a command line without values.
    names = [str(run.path.relative_to(sweep.folder)) for run in runs]
    lines = {name: ["hydra.output_subdir=null"] for name in names}
    return launch_runs(sweep, lines, overrides, log, finished=len(planned) - len(unfinished))
