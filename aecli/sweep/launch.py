"""A sweep: a folder with a run directory for each of its runs.

The folders are the truth: what is finished, failed or cut off is read from them, by whichever
process asks. So a sweep may go on in other processes, on other machines, or on another day.
"""

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
    note_sweep,
    without_lists,
)
from aecli.cli.jobs import run_jobs, run_search
from aecli.comparison.compare import compare as compare_runs
from aecli.comparison.grouping import distinctions
from aecli.comparison.write import FOLDER as COMPARISON
from aecli.config import TrainConfig
from aecli.data.loaded import load_cached_data, resolve_config, share_data
from aecli.errors import AecliError, Interrupted, Terminated, UsageError, one_line
from aecli.runs.directory import CONFIG, SWEEP_FILE, RunDirectory, Status, runs_below
from aecli.sweep.planned import check_unused, longest_first, plan, run_planned
from aecli.sweep.watch import Watch
from aecli.training.experiment import exclusive_run, run_experiment
from aecli.training.preflight import check_runnable

__all__ = ["resume", "start"]


def start(overrides: list[str], compare: bool) -> None:
    """Train every run of a sweep, having refused what makes no sense in any of them.

    Raises:
        AecliError: some runs have failed, or one could not be planned.
        Interrupted: Ctrl-C or SIGTERM; says how to go on.
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
    plan(sweep.folder, configs)
    note_sweep(sweep.folder / SWEEP_FILE, overrides)
    problems = carry_out(sweep, {job.folder: job.overrides for job in sweep.jobs}, overrides)
    conclude(sweep.folder, compare, problems, advice=_how_to_go_on(sweep.folder))


def resume(folder: Path, overrides: list[str], compare: bool) -> None:
    """Train the runs of a sweep that are not finished, each from where it is.

    Args:
        folder: of the sweep.
        overrides: may say how to launch the runs, and nothing else.
        compare: write the comparison in the end.

    Raises:
        AecliError: some runs have failed, or `folder` holds no sweep.
        Interrupted: Ctrl-C or SIGTERM; says how to go on.
    """
    if not (folder / SWEEP_FILE).is_file():
        raise UsageError(
            f"resume={folder} is neither the folder of a run, which has a {CONFIG} in it, nor that "
            f"of a sweep, which has a {SWEEP_FILE}"
        )
    for override in overrides:
        if not override.startswith("hydra"):
            raise UsageError(
                f"{override}: a resumed sweep trains what was planned, so leave it out"
            )
    todo = [run for run in runs_below(folder) if run.status is not Status.finished]
    for run in todo:
        check_runnable(run.load_config())
        run.failure_file.unlink(missing_ok=True)  # which would pass for that of the new attempt
    # What Hydra noted at the first attempt stays; now it would note a line without the values.
    lines = {str(run.path.relative_to(folder)): ["hydra.output_subdir=null"] for run in todo}
    problems = carry_out(replace(compose_sweep(overrides), folder=folder), lines, overrides)
    conclude(folder, compare, problems, advice=_how_to_go_on(folder))


def carry_out(sweep: Sweep, lines: dict[str, list[str]], overrides: list[str]) -> list[str]:
    """Have Hydra's launcher train the planned runs.

    Args:
        sweep: where, and by which launcher.
        lines: name of the run's folder -> what Hydra notes there as its command line.
        overrides: of the whole sweep.

    Returns:
        What went wrong outside of the runs' own training, a line each.
    """
    runs = [RunDirectory(sweep.folder / name) for name in lines]
    if not runs:
        return []
    try:
        _announce(sweep, runs)
        if sweep.launcher == BASIC:
            errors = run_jobs(lines, sweep.folder, overrides, _train_here)
        else:
            errors = _launch_elsewhere(sweep, runs, lines, overrides)
    except KeyboardInterrupt as interruption:
        raise _explained(interruption, sweep.folder) from None
    return [_problem(error) for error in errors]


def _train_here(folder: Path) -> None:
    run_planned(folder, show_progress=True, threads=None, shared=None)
    console.run_line(RunDirectory(folder))


def _launch_elsewhere(
    sweep: Sweep, runs: list[RunDirectory], lines: dict[str, list[str]], overrides: list[str]
) -> list[Exception]:
    """Train in other processes: the longest run first, and the images decoded once for all."""
    names = [str(run.path.relative_to(sweep.folder)) for run in longest_first(runs)]
    with _shared_images(sweep.folder, runs) as shared:
        job = partial(
            run_planned,
            show_progress=False,
            # As many workers as cores: a second thread would only wait for the others.
            threads=1 if sweep.launcher == "joblib" else None,
            shared=shared.absolute(),
        )
        with Watch(runs):
            try:
                return run_jobs({name: lines[name] for name in names}, sweep.folder, overrides, job)
            except Exception as error:  # no cluster, a worker killed: as many kinds as launchers
                return [error]


@contextmanager
def _shared_images(folder: Path, runs: list[RunDirectory]) -> Iterator[Path]:
    """A folder with the images that `runs` need, decoded, for as long as they are trained.

    It is in the folder of the sweep, which the nodes of a cluster see as well.
    """
    shared = folder / ".data"
    shutil.rmtree(shared, ignore_errors=True)  # where an earlier attempt was killed
    shared.mkdir()
    try:
        for run in runs:
            share_data(run.load_config(), shared)
        yield shared
    finally:
        shutil.rmtree(shared)


def search(sweep: Sweep, overrides: list[str], compare: bool) -> None:
    """Have one of Hydra's sweepers look for the settings with the smallest validation mse.

    Raises:
        AecliError: some runs have failed, or what all of them share makes no sense.
        Interrupted: Ctrl-C or SIGTERM.
    """
    check_runnable(compose(without_lists(overrides)))
    check_unused(sweep.folder)
    console.facts({"search": f"in {sweep.folder}"})
    problems = []
    try:
        run_search(overrides, sweep.folder, partial(_trial, show_progress=sweep.launcher == BASIC))
    except KeyboardInterrupt as interruption:
        kind = Terminated if isinstance(interruption, Terminated) else Interrupted
        raise kind(f"interrupted: the runs so far are in {sweep.folder}") from None
    except AecliError:
        raise
    except Exception as error:  # no trial has succeeded, no such database: as many as sweepers
        problems = [_problem(error)]
    conclude(sweep.folder, compare, problems)


def _trial(config: TrainConfig, folder: Path, show_progress: bool) -> float:
    """One run of a search; its validation mse."""
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


def _announce(sweep: Sweep, runs: list[RunDirectory]) -> None:
    """What is about to be trained."""
    data = load_cached_data(runs[0].load_config())
    if data.notice is not None:
        console.notice(data.notice)
    console.facts(
        {
            "data": console.describe_data(data),
            "sweep": f"{len(runs)} run{'s' * (len(runs) > 1)} in {sweep.folder}",
        }
    )


def conclude(folder: Path, compare: bool, problems: list[str], advice: str = "") -> None:
    """What became of every run in `folder`, as a table and as a comparison of the finished ones.

    Args:
        folder: of the sweep.
        compare: write the comparison.
        problems: what went wrong outside of the runs' own training.
        advice: what to do where some are not finished.

    Raises:
        AecliError: some are not finished.
    """
    runs = runs_below(folder)
    unfinished = [run for run in runs if run.status is not Status.finished]
    configs = [run.load_config() for run in runs]
    console.sweep_table(str(folder), runs, distinctions(configs))
    if compare and are_on_several_classes(configs):
        console.facts({"comparison": "none: the runs are on different classes"})
    elif compare and len(unfinished) < len(runs):
        try:
            console.comparison(compare_runs([folder], folder / COMPARISON))
        except UsageError as error:  # several data sets, for one thing: the runs are good
            console.warn(f"no comparison: {error}")
    console.facts({"look at it": f"tensorboard --logdir {shlex.quote(str(folder))}"})
    reasons = [
        f"{run.path.name}: {run.failure() if run.status is Status.failed else run.status.value}"
        for run in unfinished
    ]
    if unfinished or problems:
        summary = f"{len(unfinished)} of {len(runs)} runs are not finished{advice}"
        raise AecliError("\n".join([summary, *problems, *reasons]))


def are_on_several_classes(configs: list[TrainConfig]) -> bool:
    """Whether each run is meant to have images of its own, as in sweep=one_class."""
    classes = [(config.data.classes, config.data.exclude_classes) for config in configs]
    return any(each != classes[0] for each in classes)


def _problem(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error)}"


def _how_to_go_on(folder: Path) -> str:
    return f"; to go on: aecli train resume={shlex.quote(str(folder))}"


def _explained(interruption: KeyboardInterrupt, folder: Path) -> Interrupted:
    """The interruption with what it leaves behind."""
    kind = Terminated if isinstance(interruption, Terminated) else Interrupted
    runs = runs_below(folder)
    finished = sum(run.status is Status.finished for run in runs)
    return kind(f"interrupted: {finished} of {len(runs)} runs are finished{_how_to_go_on(folder)}")
