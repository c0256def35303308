"""What a dry run shows: the runs that would be trained, and how long that would take."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
from rich.table import Table
from rich.text import Text

from aecli.cli import console
from aecli.config import TrainConfig
from aecli.data import Data
from aecli.errors.text import counted
from aecli.models import build_outline
from aecli.runtime.device import device_name, open_device
from aecli.runtime.status import show_status
from aecli.training.estimate import Estimate, Task, estimate, makespan

REST = "Loading, testing and drawing figures take extra time."


@dataclass(frozen=True)
class Forecast:
    """A run that would be trained."""

    name: str
    settings: str
    """The settings that distinguish it from the others, if its name does not."""
    parameters: int
    task: Task


def count_parameters(config: TrainConfig, data: Data) -> int:
    """The number of weights in the network of a run."""
    model = build_outline(config, data.image_shape)
    return sum(weight.numel() for weight in model.parameters())


def show_run(task: Task, place: str) -> None:
    """Print how long a run would take; `place` is where it would be."""
    found = _measured([task], threads=None)
    console.facts(
        {
            "run": f"{task.config.name}, in {place}",
            "training": f"{_epochs(task)}, {task.steps:,} steps",
            "time": f"{_about(found.seconds[0], [task])}{_ending(found, task, 'it')}",
        }
    )
    console.paragraph(f"{_basis(found, [task])} {REST} No run was created.")


def show_sweep(
    runs: Sequence[Forecast], title: str, workers: int | None, threads: int | None
) -> None:
    """Print the runs of a sweep and how long they would take.

    Args:
        runs: at least one, in their order.
        title: where they would be.
        workers: how many would be trained at a time here; None if others decide.
        threads: of each; None for torch's setting.
    """
    tasks = [run.task for run in runs]
    found = _measured(tasks, threads)
    console.table(_table(runs, found.seconds, title))
    time = _together(found.seconds, tasks, workers)
    if found.cut_short:
        time += f"; minutes=... ends {found.cut_short:,} of them before the last epoch"
    console.facts({"runs": f"{len(runs):,}", "time": time})
    console.paragraph(f"{_basis(found, tasks)} {REST} No run was created.")


def show_search(
    task: Task, place: str, trials: int, workers: int | None, threads: int | None
) -> None:
    """Print how long a search would take, if each of its runs is like `task`.

    Args:
        task: one of its runs.
        place: where they would be.
        trials: how many there would be.
        workers: how many would be trained at a time here; None if others decide.
        threads: of each; None for torch's setting.
    """
    found = _measured([task], threads)
    time = _together(trials * found.seconds, [task], workers)
    console.facts(
        {
            "search": f"{trials:,} runs, in {place}",
            "training": f"{_epochs(task)} each",
            "time": f"{time}{_ending(found, task, 'each')}",
        }
    )
    console.paragraph(
        f"{_basis(found, [task])} The search chooses its runs as it goes, so the estimate is for "
        f"a run with the settings common to all. {REST} No run was created."
    )


def _measured(tasks: Sequence[Task], threads: int | None) -> Estimate:
    if threads is not None:
        torch.set_num_threads(threads)
    show_status("measuring a few steps ...")
    return estimate(tasks)


def _table(runs: Sequence[Forecast], seconds: Sequence[float], title: str) -> Table:
    table = console.new_table(title)
    table.add_column("run", no_wrap=True)
    has_settings = any(run.settings for run in runs)
    if has_settings:
        table.add_column("settings")
    for heading in ("parameters", "steps", "time"):
        table.add_column(heading, justify="right")
    for run, each in zip(runs, seconds, strict=True):
        settings = [Text(run.settings)] if has_settings else []
        numbers = f"{run.parameters:,}", f"{run.task.steps:,}", duration(each)
        table.add_row(Text(run.name), *settings, *numbers)
    return table


def _epochs(task: Task) -> str:
    planned = task.config.epochs
    if task.epochs == planned:
        return counted(planned, "epoch")
    left = f"{task.epochs:,.2f}".rstrip("0").rstrip(".")
    return f"{left} of {planned:,} epochs are left"


def _together(seconds: Sequence[float], tasks: Sequence[Task], workers: int | None) -> str:
    """How long training runs like `tasks` take together, and how many of them run at a time.

    Args:
        seconds: of each of them.
        tasks: at least one of each kind.
        workers: how many at a time on this machine; None if others decide.
    """
    total, manner = sum(seconds), "one after the other"
    if workers is None:
        manner += " here"
    elif workers > 1 and len(seconds) > 1:
        manner = f"{workers} at a time"
        if any(open_device(task.config.device).type != "cpu" for task in tasks):
            manner += " on one GPU, so as if one after the other"
        else:
            total = makespan(seconds, workers)
    return f"{_about(total, tasks)}, {manner}"


def _ending(found: Estimate, task: Task, what: str) -> str:
    """The end of a sentence: that `minutes` ends `what`, if it does."""
    return f", when minutes={task.config.minutes:g} ends {what}" if found.cut_short else ""


def _about(seconds: float, tasks: Sequence[Task]) -> str:
    can_end_early = any(task.config.patience is not None for task in tasks)
    return f"{'about ' * (seconds >= 1)}{duration(seconds)}{' at most' * can_end_early}"


def _basis(found: Estimate, tasks: Sequence[Task]) -> str:
    """What an estimate rests on."""
    device = device_name(open_device(tasks[0].config.device))
    of = ""
    if found.kinds > 1:
        every = "both" if found.kinds == 2 else f"all {found.kinds}"
        which = every if found.measured == found.kinds else str(found.measured)
        of = f" of {which} kinds of run"
        if found.measured < found.kinds:
            of += f" out of {found.kinds:,}, assuming that the others take the average of these"
    validated = any(task.config.data.has_validation for task in tasks)
    validations = ", and from validations," * validated
    return f"Estimated from {found.steps:,} training steps{of}{validations} on {device}."


def duration(seconds: float) -> str:
    """As in `12 s` or, from two minutes on, `0:02:05`."""
    if seconds < 1:
        return "under 1 s"
    return f"{seconds:.0f} s" if seconds < 120 else str(timedelta(seconds=round(seconds)))
