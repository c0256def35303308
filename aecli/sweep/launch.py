"""Train the planned runs of a sweep with Hydra's launcher, in this process or in workers."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from aecli.cli import console
from aecli.cli.compose import Sweep
from aecli.cli.engine import BASIC, JOBLIB, threads_of
from aecli.cli.jobs import run_jobs
from aecli.config import TrainConfig
from aecli.data.loaded import load_cached_data, share_data
from aecli.errors import AecliError, Interrupted
from aecli.errors.text import counted
from aecli.runs.directory import RunDirectory
from aecli.runs.discovery import runs_below
from aecli.runs.display import Display, Log
from aecli.runs.remaining import is_over
from aecli.runs.sweep_plan import SHARED
from aecli.runtime.process import ProcessId
from aecli.sweep.planned import longest_first, run_planned
from aecli.sweep.report import describe, finish_advice, resume_advice
from aecli.sweep.watch import Pace, Watch

MAX_DESCRIBED = 4
"""Data sets of a sweep that are described; loading one may take a while."""


def launch_runs(
    sweep: Sweep, lines: dict[str, list[str]], overrides: list[str], log: Log, finished: int = 0
) -> list[str]:
    """Train the planned runs with Hydra's launcher.

    Args:
        sweep: the sweep folder and the launcher.
        lines: name of each run's folder -> the overrides that Hydra records there.
        overrides: the overrides of the whole sweep.
        log: how the runs show their progress.
        finished: runs of the sweep that are finished already.

    Returns:
        Errors outside the training of the runs, one line each.
    """
    runs = [RunDirectory(sweep.folder / name) for name in lines]
    if not runs:
        console.warn(f"the runs of {sweep.folder} are finished: there is nothing to train")
        return []
    try:
        announce([run.load_config() for run in runs], str(sweep.folder), finished)
        if sweep.launcher == BASIC:
            train = partial(_train_in_process, pace=Pace(runs), log=log)
            errors = run_jobs(lines, sweep.folder, overrides, train)
        else:
            errors = _train_in_workers(sweep, runs, lines, overrides, log)
    except KeyboardInterrupt as interruption:
        raise _with_advice(interruption, sweep.folder) from None
    return [describe(error) for error in errors]


def _train_in_process(folder: Path, pace: Pace, log: Log) -> None:
    name = f"run {pace.runs_over + 1} of {pace.runs}, {folder.name}"
    try:
        run_planned(folder, Display(name, log, is_alone=False), threads=None, shared=None)
    except AecliError:  # the report names it
        pace.skip(RunDirectory(folder))
        raise
    pace.end(RunDirectory(folder))


def _train_in_workers(
    sweep: Sweep,
    runs: list[RunDirectory],
    lines: dict[str, list[str]],
    overrides: list[str],
    log: Log,
) -> list[Exception]:
    """Train in worker processes: the longest run first, with images decoded once for all runs."""
    names = [str(run.path.relative_to(sweep.folder)) for run in longest_first(runs)]
    with _shared_images(sweep.folder, runs) as shared:
        job = partial(
            run_worker,
            log=log,
            threads=threads_of(sweep.launcher),
            shared=shared.absolute(),
            parent=parent_of_workers(sweep),
        )
        with Watch(runs, has_bars=log is Log.bar):
            try:
                return run_jobs({name: lines[name] for name in names}, sweep.folder, overrides, job)
            except Exception as error:  # such as a killed worker: depends on the launcher
                return [error]


def run_worker(
    folder: Path, log: Log, threads: int | None, shared: Path, parent: ProcessId | None
) -> None:
    """Train one run in a worker process; the bars, if any, are drawn by the one that waits."""
    display = Display(folder.name, log, is_alone=False, is_watched=True)
    run_planned(folder, display, threads, shared, parent)


def parent_of_workers(sweep: Sweep) -> ProcessId | None:
    """This process, if the runs are to stop when it is killed; None for the jobs of a cluster,
    which go on."""
    return ProcessId.current() if sweep.launcher == JOBLIB else None


@contextmanager
def _shared_images(folder: Path, runs: list[RunDirectory]) -> Iterator[Path]:
    """A temporary folder with the decoded images that `runs` need.

    It is in the sweep folder, which the nodes of a cluster can read as well.
    """
    shared = folder / SHARED
    shared.mkdir()
    try:
        for run in runs:
            share_data(run.load_config(), shared)
        yield shared
    finally:
        shutil.rmtree(shared)


def announce(configs: Sequence[TrainConfig], place: str, finished: int = 0) -> None:
    """Print the images and the number of the runs that are to be trained, in `place`."""
    count = counted(len(configs), "run")
    if finished:
        count = f"{finished:,} finished, {len(configs):,} to do,"
    images = {"data": describe_images(configs)} if configs else {}
    console.facts({**images, "sweep": f"{count} in {place}"})


def describe_images(configs: Iterable[TrainConfig]) -> str:
    """The data sets of runs, one a line; the notices that come with them are printed."""
    distinct = {repr((config.data, config.data_dir)): config for config in configs}
    shown, others = [*distinct.values()][:MAX_DESCRIBED], len(distinct) - MAX_DESCRIBED
    lines: dict[str, None] = {}
    notices: dict[str, None] = {}
    for config in shown:
        data = load_cached_data(config)
        lines[console.describe_data(data)] = None
        if data.notice is not None:
            notices[data.notice] = None
    for notice in notices:
        console.notice(notice)
    return "\n".join([*lines, *([f"and {others:,} more"] if others > 0 else [])])


def _with_advice(interruption: KeyboardInterrupt, folder: Path) -> Interrupted:
    """The interruption with a message on the finished runs, how to resume and how to use them."""
    runs = runs_below(folder)
    unfinished = [run for run in runs if not is_over(run)]
    finished = len(runs) - len(unfinished)
    has_more = any(run.finished_epochs() for run in unfinished)
    return Interrupted.saying(
        f"interrupted: {finished} of {len(runs)} runs finished"
        f"{resume_advice(folder)}{finish_advice(folder) if has_more else ''}",
        interruption,
    )
