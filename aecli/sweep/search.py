"""A search: a sweep whose runs one of Hydra's sweepers chooses from the results of earlier ones."""

import logging
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from aecli.cli import console
from aecli.cli.compose import Sweep, compose
from aecli.cli.engine import BASIC
from aecli.cli.jobs import run_search
from aecli.cli.overrides import override, single_value_overrides
from aecli.config import TrainConfig
from aecli.data.loaded import load_cached_data, resolve_config
from aecli.errors import AecliError, Interrupted, UsageError
from aecli.files.storage import make_folder
from aecli.runs.directory import RunDirectory, Status
from aecli.runs.discovery import has_runs, runs_below
from aecli.runs.display import Display, Log
from aecli.runs.lock import locked
from aecli.runs.sweep_plan import PLAN_FILE, save_search
from aecli.runtime.parent import exit_with_parent
from aecli.runtime.process import ProcessId
from aecli.sweep.launch import parent_of_workers
from aecli.sweep.planned import check_unused
from aecli.sweep.report import describe, report
from aecli.training.experiment import exclusive_run, run_experiment
from aecli.training.preflight import check_runnable


def search(sweep: Sweep, overrides: list[str], compare: bool, log: Log) -> None:
    """Search for the settings with the lowest validation MSE, using one of Hydra's sweepers.

    Raises:
        AecliError: some runs failed, or the settings that all of them share are invalid.
        Interrupted: Ctrl-C or SIGTERM.
    """
    config = compose(single_value_overrides(overrides))
    _check_validated(config)
    check_runnable(config)
    make_folder(sweep.folder)
    with locked(sweep.folder):
        check_unused(sweep.folder)
        save_search(sweep.folder)
        console.facts({"search": f"{sweep.trials:,} trials in {sweep.folder}"})
        failures = _search(sweep, _with_init(overrides, config), log)
        report(sweep.folder, compare, failures, is_search=True)


def _search(sweep: Sweep, overrides: list[str], log: Log) -> list[str]:
    """Run a search; returns the errors outside the training of its runs, one line each."""
    _silence_optuna()
    display = Display("", log, is_alone=False, is_watched=sweep.launcher != BASIC)
    plan = Plan(sweep.folder.absolute(), sweep.trials, time.time())
    trial = partial(_trial, plan=plan, display=display, parent=parent_of_workers(sweep))
    try:
        run_search(overrides, sweep.folder, trial)
    except KeyboardInterrupt as interruption:
        message = f"interrupted: the runs so far are in {sweep.folder}"
        raise Interrupted.saying(message, interruption) from None
    except Exception as error:  # no trial succeeded, no such database: depends on the sweeper
        if not has_runs(sweep.folder):  # before the first trial
            (sweep.folder / PLAN_FILE).unlink(missing_ok=True)
            if isinstance(error, AecliError):
                raise
            raise UsageError(f"the search cannot start: {describe(error)}") from error
        return [describe(error)]
    return []


def _with_init(overrides: list[str], config: TrainConfig) -> list[str]:
    """The overrides with the run that `init` stands for now: latest would be the last trial."""
    if config.init is None:
        return overrides
    others = [each for each in overrides if not each.startswith("init=")]
    return [*others, override("init", config.init)]


def _check_validated(config: TrainConfig) -> None:
    """Raise a UsageError unless there are validation images, by which a search chooses."""
    if not config.data.has_validation:
        raise UsageError(
            "hydra/sweeper=optuna cannot be used with data.val_size=0: a search chooses by the "
            "validation mse, so give validation images, or a list of runs in place of the search"
        )


def _silence_optuna() -> None:
    """Keep Optuna from printing its own log lines between those of the runs."""
    import optuna

    optuna.logging.set_verbosity(logging.ERROR)


@dataclass(frozen=True)
class Plan:
    """How long a search is."""

    folder: Path
    """The folder of the search."""

    trials: int
    started: float
    """Start in seconds since 1970: trials may run on other machines."""

    def count(self, number: int) -> str:
        """As in `trial 3 of 20` for number 2."""
        return f"trial {number + 1} of {self.trials}"

    def time_left(self) -> str:
        """About how long the other trials will take, if they are like those that have ended; empty
        if there are no others."""
        ended = (Status.finished, Status.failed)
        done = sum(run.status in ended for run in runs_below(self.folder))
        if not 0 < done < self.trials:
            return ""
        seconds = (time.time() - self.started) * (self.trials - done) / done
        return f"; about {timedelta(seconds=round(seconds))} left"


def _trial(
    config: TrainConfig,
    folder: Path,
    number: int,
    plan: Plan,
    display: Display,
    parent: ProcessId | None,
) -> float:
    """Train one run of a search and return its validation MSE."""
    run = RunDirectory(folder)
    with exit_with_parent(parent):
        try:
            shown = replace(display, name=f"{plan.count(number)}, {folder.name}")
            return _train_trial(config, run, shown)
        finally:
            console.run_line(run, f"{plan.count(number)}, ", plan.time_left())


def _train_trial(config: TrainConfig, run: RunDirectory, display: Display) -> float:
    _check_validated(config)
    data = load_cached_data(config)
    config = resolve_config(config, data)
    with exclusive_run(run):
        run_experiment(config, data, run, display, warn=console.warn)
    mse: float = run.load_summary()["validation"]["mse"]
    return mse
