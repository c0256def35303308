"""Planned runs of a sweep: all folders are created before the first run starts."""

import traceback
from collections.abc import Iterable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from aecli.cli import console
from aecli.config import TrainConfig
from aecli.data.loaded import load_cached_data
from aecli.errors import AecliError, UsageError
from aecli.files.storage import make_folder
from aecli.models import build_outline
from aecli.runs.directory import RunDirectory, Status
from aecli.runs.discovery import has_runs
from aecli.runs.display import Display
from aecli.runs.remaining import is_over
from aecli.runs.sweep_plan import SWEEP_FILES, save_plan
from aecli.runtime.parent import exit_with_parent
from aecli.runtime.process import ProcessId
from aecli.training.experiment import exclusive_run, run_experiment


def plan(
    folder: Path, configs: dict[str, TrainConfig], subfolders: Iterable[str] = ()
) -> list[RunDirectory]:
    """Create the folder of every run and save its configuration there.

    Args:
        folder: the sweep folder.
        configs: name of each run's folder -> its configuration.
        subfolders: what Hydra will write in each.

    Raises:
        UsageError: `folder` already holds runs.
    """
    runs = check_plan(folder, configs, subfolders)
    make_folder(folder)
    save_plan(folder, configs)
    for run, config in zip(runs, configs.values(), strict=True):
        make_folder(run.path)
        run.save_config(config)
    return runs


def check_plan(folder: Path, names: Iterable[str], subfolders: Iterable[str]) -> list[RunDirectory]:
    """Check that runs in folders of these names would overwrite nothing; return the runs.

    Raises:
        UsageError: they would.
    """
    check_unused(folder)
    runs = [RunDirectory(folder / name) for name in names]
    for run in runs:
        run.check_vacant(*subfolders)
    return runs


def check_unused(folder: Path) -> None:
    """Check that no run would overwrite another.

    Raises:
        UsageError: `folder` already holds runs, or a file with the name of one that a sweep writes.
    """
    if has_runs(folder):
        raise UsageError(
            f"{folder} already holds runs: resume them with resume={folder}, "
            f"or give another hydra.sweep.dir"
        )
    for name in SWEEP_FILES:
        if (folder / name).exists():
            raise UsageError(
                f"{folder / name} is in the way of a new sweep: give another hydra.sweep.dir"
            )


def longest_first(runs: Iterable[RunDirectory]) -> list[RunDirectory]:
    """Sort by training cost, longest first, so that no long run is left alone at the end."""
    return sorted(runs, key=lambda run: -training_flops(run.load_config()))


def training_flops(config: TrainConfig) -> float:
    """Floating point operations of the whole training, ignoring early stopping."""
    data = load_cached_data(config)
    model = build_outline(config, data.image_shape)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, *data.image_shape))
    per_image: int = counter.get_total_flops()
    return 3.0 * per_image * len(data.train) * config.epochs  # backward is about twice forward


def run_planned(
    folder: Path,
    display: Display | None,
    threads: int | None,
    shared: Path | None,
    parent: ProcessId | None = None,
) -> None:
    """Train the run that is planned in `folder`; if it fails, record the reason there.

    Args:
        folder: the run directory; if it holds a checkpoint, training resumes from it.
        display: what the terminal shows of the run; None for nothing.
        threads: number of compute threads; None for torch's setting.
        shared: a folder with the decoded images.
        parent: the process that waits for the run; the run stops when it is gone.
    """
    with exit_with_parent(parent):
        _train_planned(folder, display, threads, shared)


def _train_planned(
    folder: Path, display: Display | None, threads: int | None, shared: Path | None
) -> None:
    run = RunDirectory(folder)
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        with exclusive_run(run):
            if not is_over(run):  # another process may have finished it
                config = run.load_config()
                data = load_cached_data(config, shared)
                run_experiment(config, data, run, display, warn=console.warn)
    except AecliError as error:
        if run.status is not Status.failed:  # a failed run has recorded why, for the final report
            raise AecliError(f"{folder.name}: {error}", error.details) from error
    except Exception as error:  # a bug: record it too, and show the traceback
        traceback.print_exc()
        with run.locked():  # or another process, if it has taken the run over, is told of this
            run.save_failure(f"{type(error).__name__}: {error}")
