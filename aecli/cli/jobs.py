"""Run jobs through Hydra, each with a folder of its own.

`run_once` runs one job in this process, `run_jobs` several with one of Hydra's launchers, and
`run_search` those that one of Hydra's sweepers chooses.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from hydra._internal.callbacks import Callbacks
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus, run_job
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, read_write

from aecli.cli.compose import (
    ComposedRun,
    check_folder,
    compose_run,
    compose_shared,
    searched_keys,
    set_name,
    with_init,
)
from aecli.cli.engine import PRIMARY, CachingConfigLoader, as_usage_errors, hydra_engine
from aecli.cli.naming import name_base, trial_name
from aecli.cli.overrides import is_given, override
from aecli.config import TrainConfig, to_config
from aecli.errors import AecliError
from aecli.files.storage import fsync_folder, writable_folder
from aecli.runs.directory import HYDRA_FILES, RunDirectory, Status

Job = Callable[[TrainConfig, Path], None]
"""(config, folder) -> trains one run."""

Trial = Callable[[TrainConfig, Path, int], float]
"""(config, folder, number from 0) -> trains one run of a search and returns what it minimises."""


def run_once(run: ComposedRun, job: Job) -> None:
    """Have Hydra call `job` with a folder that belongs to this run alone.

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
        if RunDirectory(folder).status is Status.planned:
            _remove_hydra_files(folder, hydra_subfolders(run.composed))
        raise done._return_value


def _new_folder(run: ComposedRun) -> Path:
    """Create the folder of a run: the one named on the command line, or one named by the time.

    If several processes pick the same microsecond, one gets the folder and the others try again.
    """
    is_named = is_given("hydra.run.dir", run.overrides)
    composed = run.composed
    while True:
        HydraConfig.instance().set_config(composed)  # for values such as ${hydra:job.name}
        with as_usage_errors():
            folder = Path(str(composed.hydra.run.dir)).absolute()
        if ".." in folder.parts:  # a .. may lead elsewhere once folders on the way are created
            folder = folder.resolve()
        check_folder(folder)
        if is_named:
            RunDirectory(_relative(folder)).check_vacant(*hydra_subfolders(composed))
        writable_folder(folder.parent, "hydra.run.dir")
        try:
            folder.mkdir(exist_ok=is_named)
        except FileExistsError:
            if is_named:  # a file
                raise
        else:
            fsync_folder(folder.parent)
            return folder
        composed = compose_run(run.overrides).composed


def hydra_subfolders(composed: DictConfig) -> list[str]:
    """Where Hydra writes copies of the configuration, in the folder of a run; empty: nowhere."""
    name = composed.hydra.output_subdir
    return [] if name is None else [str(name)]


def _remove_hydra_files(run: Path, subfolders: list[str]) -> None:
    """Remove what Hydra wrote for a run that has written nothing, and the folder if it is empty."""
    with suppress(OSError):  # other files in it
        for folder in (run / name for name in subfolders):
            for name in HYDRA_FILES:
                (folder / Path(name).name).unlink(missing_ok=True)
            folder.rmdir()
        run.rmdir()


def show_config(kind: str, resolve: bool, overrides: list[str]) -> None:
    """Print the configuration of `overrides`, as Hydra does for `--cfg kind` and `--resolve`.

    Raises:
        UsageError: an invalid key or value; the message names it and what is valid.
    """
    composed = compose_run(overrides).composed
    HydraConfig.instance().set_config(composed)  # for values such as ${hydra:job.name}
    OmegaConf.set_readonly(composed.hydra, None)
    with hydra_engine() as engine:
        shown = engine.get_sanitized_cfg(composed, kind)
        if resolve:
            OmegaConf.resolve(shown)
    sys.stdout.write(OmegaConf.to_yaml(shown))


def run_search(overrides: list[str], folder: Path, trial: Trial) -> None:
    """Let one of Hydra's sweepers choose each run from the results of earlier ones.

    Raises:
        AecliError: no run succeeded; the first one's error.
        Exception: whatever the sweeper raises.
    """
    failures: list[AecliError] = []

    def task(run: DictConfig) -> float:
        try:
            return trial(with_init(to_config(run)), _own_folder(), HydraConfig.get().job.num)
        except AecliError as error:
            failures.append(error)
            raise

    sweep_dir = override("hydra.sweep.dir", folder.absolute())
    try:
        with hydra_engine() as engine:
            engine.config_loader = _TrialLoader(engine.config_loader.get_search_path())
            engine.multirun(PRIMARY, task, [*overrides, sweep_dir])
    except Exception as error:  # which says only that no run succeeded
        raise (failures[0] if failures else error) from error


class _TrialLoader(CachingConfigLoader):
    """Composes the trials of a search as Hydra does, and names each by the values it was given."""

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        composed = super().load_sweep_config(master_config, sweep_overrides)
        given = {each.partition("=")[0] for each in sweep_overrides}
        choices, model = composed.hydra.runtime.choices, str(composed.model.name)
        base = name_base(str(composed.name), model, composed.latent, choices, given)
        set_name(composed, trial_name(base, sweep_overrides, searched_keys(master_config)))
        return composed


def run_jobs(
    jobs: dict[str, list[str]], folder: Path, overrides: list[str], job: Callable[[Path], None]
) -> list[Exception]:
    """Have Hydra's launcher call `job` with the folder of each run, in the order of `jobs`.

    Args:
        jobs: folder name -> what Hydra records there as the run's command line.
        folder: the folder of the sweep.
        overrides: the command line of the sweep.
        job: must be picklable, because it may be called in another process.

    Returns:
        The exceptions that `job` raised.

    Raises:
        Exception: whatever the launcher raises.
    """
    # Absolute: the job may run with another working directory.
    sweep_dir = override("hydra.sweep.dir", folder.absolute())
    with hydra_engine() as engine:
        composed = compose_shared(engine, [*overrides, sweep_dir])
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


def _own_folder() -> Path:
    """The folder that Hydra created for the run."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    # With hydra.job.chdir the run works in its folder, and a relative path would say nothing.
    return folder if Path.cwd() == folder else _relative(folder)


def _relative(folder: Path) -> Path:
    """The path from the working folder if it is in there, which is easier to read."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
