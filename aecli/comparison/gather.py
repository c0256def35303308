"""Load the runs below some folders and group their results by their settings.

Only run directories are read: neither the data set nor the models are needed, and images are read
when a figure is drawn, so that memory does not grow with the number of runs.
"""

from pathlib import Path

from safetensors import SafetensorError

from aecli.comparison.grouping import grouped
from aecli.comparison.results import COPY, Comparison, Result, SkippedRun
from aecli.errors import AecliError, StorageError, UsageError
from aecli.runs.directory import RunDirectory, Status
from aecli.runs.discovery import folders_below, runs_below
from aecli.runs.records import DataFacts
from aecli.runs.sweep_plan import PLAN_FILE, missing_runs
from aecli.text import one_line

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
        StorageError: no run is finished, and some are damaged.
    """
    runs = {run.path.resolve(): run for folder in folders for run in runs_below(folder)}
    skipped: list[SkippedRun] = []
    results: dict[str, Result] = {}
    for run in runs.values():
        if run.status is not Status.finished:
            skipped.append(_unfinished(run))
            continue
        try:
            result = Result.load(run)
            first = results.setdefault(result.identity, result)
        except DAMAGE as error:
            skipped.append(SkippedRun(run.path, "damaged", _reason(error)))
            continue
        if first is not result:
            skipped.append(SkippedRun(run.path, COPY, f"the same run as {first.run.path}"))
    skipped += _missing(folders)
    if not results:
        reasons = "; ".join(f"{each.path}: {each.status}, {each.reason}" for each in skipped)
        kind = StorageError if any(each.status == "damaged" for each in skipped) else UsageError
        raise kind(f"there is no finished run to compare: {reasons}")
    found = [*results.values()]
    _check_same_images(found)
    settings, common = grouped(found)
    return Comparison(found[0].data, settings, skipped, common)


def _missing(folders: list[Path]) -> list[SkippedRun]:
    """Runs that the sweeps below `folders` lack."""
    sweeps = {path.resolve(): path for folder in folders for path in sorted(folders_below(folder))}
    skipped = []
    for sweep in sweeps.values():
        try:
            missing = missing_runs(sweep)
        except StorageError as error:
            skipped.append(SkippedRun(sweep / PLAN_FILE, "damaged", str(error)))
            continue
        reason = f"planned in the sweep {sweep}, and deleted or moved"
        skipped += [SkippedRun(path, "missing", reason) for path in missing]
    return skipped


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


def _named(data: DataFacts) -> str:
    """The images, told from others of the same name."""
    if data.fingerprint is None:
        return f"{data} of unknown fingerprint"
    return f"{data} with the fingerprint {data.fingerprint[:8]}"


def _check_same_images(results: list[Result]) -> None:
    by_data: dict[tuple[object, ...], Result] = {}
    for result in results:
        by_data.setdefault(result.data.identity, result)
    if len(by_data) > 1:
        firsts = by_data.values()
        same_name = len({str(each.data) for each in firsts}) < len(by_data)
        found = "; ".join(
            f"{_named(each.data) if same_name else each.data} in {each.run.path}" for each in firsts
        )
        raise UsageError(
            f"errors on different images cannot be compared: {found}. "
            f"Give folders whose runs share their test images"
        )
