"""The runs below some folders, read and put side by side: what was set, and what came out.

Only run directories are read: neither the data set nor torch's models are needed, and whatever a
figure shows is read when it is drawn, so that memory does not grow with the runs.
"""

from pathlib import Path

from safetensors import SafetensorError

from aecli.comparison.grouping import grouped
from aecli.comparison.results import Comparison, DataFacts, Result, SkippedRun
from aecli.errors import AecliError, UsageError, one_line
from aecli.runs.directory import RunDirectory, Status, runs_below

# What a file that is not what a run leaves ends in, whichever part of it is wrong.
DAMAGE = (
    AecliError,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    SafetensorError,
)


def gather(folders: list[Path]) -> Comparison:
    """Every run below `folders`.

    Raises:
        UsageError: a folder without runs, no run that is finished, or runs on different images.
    """
    runs = {run.path.resolve(): run for folder in folders for run in runs_below(folder)}
    results, skipped = [], []
    for run in runs.values():
        if run.status is not Status.finished:
            skipped.append(_unfinished(run))
            continue
        try:
            results.append(Result.load(run))
        except DAMAGE as error:
            skipped.append(SkippedRun(run.path, "damaged", _reason(error)))
    if not results:
        reasons = "; ".join(f"{each.path}: {each.status}, {each.reason}" for each in skipped)
        raise UsageError(f"there is no finished run to compare: {reasons}")
    _check_same_images(results)
    settings, common = grouped(results)
    return Comparison(results[0].data, settings, skipped, common)


def _unfinished(run: RunDirectory) -> SkippedRun:
    reasons = {
        Status.failed: run.failure,
        Status.interrupted: lambda: f"it has {run.finished_epochs()} epochs and no summary",
        Status.planned: lambda: "it was planned, and not begun",
    }
    status = run.status
    return SkippedRun(run.path, status.value, reasons[status]())


def _reason(error: Exception) -> str:
    return one_line(f"there is no {error}" if isinstance(error, KeyError) else error)


def _check_same_images(results: list[Result]) -> None:
    by_data: dict[DataFacts, Path] = {}
    for result in results:
        by_data.setdefault(result.data, result.run.path)
    if len(by_data) > 1:
        found = "; ".join(f"{data} in {path}" for data, path in by_data.items())
        raise UsageError(
            f"errors on different images cannot be compared: {found}. "
            f"Give folders whose runs share their test images"
        )
