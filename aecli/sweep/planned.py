"""The runs of a sweep as folders: planned before the first one starts, then trained one by one."""

import traceback
from collections.abc import Iterable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from aecli.cli import console
from aecli.config import TrainConfig
from aecli.data.loaded import load_cached_data
from aecli.errors import AecliError, UsageError
from aecli.models import build_model
from aecli.runs.directory import CONFIG, RunDirectory, Status
from aecli.runs.lock import locked
from aecli.training.experiment import exclusive_run, run_experiment


def plan(folder: Path, configs: dict[str, TrainConfig]) -> list[RunDirectory]:
    """Make the folder of every run, with its configuration in it.

    Args:
        folder: of the sweep.
        configs: name of the run's folder -> what to train there.

    Raises:
        UsageError: there are runs in `folder` already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    runs = []
    with locked(folder):
        check_unused(folder)
        for name, config in configs.items():
            run = RunDirectory(folder / name)
            run.path.mkdir(parents=True, exist_ok=True)
            run.save_config(config)
            runs.append(run)
    return runs


def check_unused(folder: Path) -> None:
    """No run may come to lie over another.

    Raises:
        UsageError: there are runs in `folder` already.
    """
    if any(folder.rglob(CONFIG)):
        raise UsageError(
            f"{folder} holds runs already: go on with them by resume={folder}, "
            f"or give another hydra.sweep.dir"
        )


def longest_first(runs: Iterable[RunDirectory]) -> list[RunDirectory]:
    """By the work that each is, so that no long run is left alone at the end."""
    return sorted(runs, key=lambda run: -work(run.load_config()))


def work(config: TrainConfig) -> float:
    """Floating point operations of the whole training, early stopping left out."""
    data = load_cached_data(config)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = build_model(config.model, config.upsample, data.image_shape)
        model(torch.zeros(1, *data.image_shape))
    per_image: int = counter.get_total_flops()
    return 3.0 * per_image * len(data.train) * config.epochs  # backward is about twice forward


def run_planned(
    folder: Path, show_progress: bool, threads: int | None, shared: Path | None
) -> None:
    """Train the run that is planned in `folder`; what goes wrong is noted there.

    Args:
        folder: of the run; where an earlier attempt has left a checkpoint, it goes on from there.
        show_progress: by a bar in this terminal.
        threads: to compute with; None leaves them as they are.
        shared: a folder with the images, decoded.
    """
    run = RunDirectory(folder)
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        with exclusive_run(run):
            if run.status is not Status.finished:  # by another process, in the meantime
                config = run.load_config()
                bar = folder.name if show_progress else None
                run_experiment(
                    config, load_cached_data(config, shared), run, bar, warn=console.warn
                )
    except AecliError:
        if run.status is not Status.failed:  # which notes why, for the end of the sweep
            raise
    except Exception as error:  # a bug: likewise, and the trace is needed
        traceback.print_exc()
        run.save_failure(f"{type(error).__name__}: {error}")
