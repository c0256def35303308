"""Load the runs below some folders and group their results by their settings.

Only run directories are read: neither the data set nor the models are needed, and images are read
when a figure is drawn, so that memory does not grow with the number of runs.
"""

from pathlib import Path

from safetensors import SafetensorError

from aecli.comparison.grouping import grouped
from aecli.comparison.results import Comparison, DataFacts, Result, SkippedRun
from aecli.errors import AecliError, UsageError, one_line
from aecli.runs.directory import RunDirectory, Status, runs_below

# The errors that damaged files in a run directory can raise.
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
    """Load every run below `folders`.

    Raises:
        UsageError: a folder has no runs, no run is finished, or the images differ between runs.
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
        Status.planned: lambda: "it was planned but not started",
    }
    status = run.status
    return SkippedRun(run.path, status.value, reasons[status]())


def _reason(error: Exception) -> str:
    return one_line(f"{error} is missing" if isinstance(error, KeyError) else error)


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
