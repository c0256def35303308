"""Runs and sweeps as Hydra makes them: a folder for each, and a job that is called in it.

`run_once` calls it here, `run_jobs` by one of Hydra's launchers, and `run_search` as one of Hydra's
sweepers goes along.
"""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import hydra
from hydra._internal.callbacks import Callbacks
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus, run_job
from hydra.types import HydraContext
from omegaconf import DictConfig, read_write

from aecli.cli.compose import (
    PRIMARY,
    ComposedRun,
    compose_for_all,
    compose_run,
    explaining_values,
    hydra_engine,
    override,
    parse_overrides,
    register_schemas,
)
from aecli.config import CONF_DIR, TrainConfig, to_config
from aecli.files import writable_folder

Job = Callable[[TrainConfig, Path], float | None]
"""Trains one run, given its configuration and its folder; what a search minimises."""


def run_once(run: ComposedRun, job: Job) -> None:
    """Have Hydra call `job` with the folder of one run, which is nobody else's.

    Raises:
        Exception: whatever `job` raises.
    """
    folder = _new_folder(run)
    with hydra_engine() as engine:
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
    is_named = any(each.key_or_group == "hydra.run.dir" for each in parse_overrides(run.overrides))
    composed = run.composed
    while True:
        HydraConfig.instance().set_config(composed)  # for values such as ${hydra:job.name}
        with explaining_values():
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
    _hydra_main(["--multirun"], [*overrides, override("hydra.sweep.dir", folder.absolute())], job)


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
    place = override("hydra.sweep.dir", folder.absolute())
    with hydra_engine() as engine:
        composed = compose_for_all(engine, [*overrides, place])
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(engine.config_loader, Callbacks(composed)),
            task_function=partial(_planned_task, job=job),
            config=composed,
        )
        lines = [[*line, override("hydra.sweep.subdir", name)] for name, line in jobs.items()]
        returns = launcher.launch(lines, initial_job_idx=0)
    return [done._return_value for done in returns if done.status is JobStatus.FAILED]


def _planned_task(_: DictConfig, job: Callable[[Path], None]) -> None:
    job(_own_folder())


def _hydra_main(flags: list[str], overrides: list[str], job: Job) -> None:
    """Hand a command line to Hydra."""
    register_schemas()

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
