"""Load the runs below some folders and group their results by their settings.

Only run directories are read: neither the data set nor the models are needed, and images are read
when a figure is drawn, so that memory does not grow with the number of runs.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from safetensors import SafetensorError

from aecli.comparison.grouping import grouped
from aecli.comparison.results import COPY, Comparison, Result, SkippedRun
from aecli.errors import AecliError, StorageError, UsageError
from aecli.errors.text import one_line, suggest
from aecli.runs.directory import FIGURES, RunDirectory, Status
from aecli.runs.discovery import folders_below, runs_below
from aecli.runs.records import DataFacts
from aecli.runs.summary import data_names, plain_name, with_fingerprint
from aecli.runs.sweep_plan import PLAN_FILE, missing_runs

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


def gather(folders: list[Path], data: str | None = None) -> dict[str, Comparison]:
    """Load every run below `folders`, and compare those on the same test images.

    Args:
        folders: folders of runs, or that hold runs.
        data: keep only runs on the data set of this name; None for all.

    Returns:
        The name of a folder for the comparison -> the comparison, one for each data set.

    Raises:
        UsageError: a folder has no runs, no run is finished, or none is on `data`.
        StorageError: no run is finished, and some are damaged.
    """
    runs = {run.path.resolve(): run for folder in folders for run in runs_below(folder)}
    results, skipped = _load([*runs.values()])
    skipped += [_Skipped(each, None) for each in _missing(folders)]
    if not results:
        reasons = "; ".join(
            f"{run.path}: {run.status}, {run.reason}" for run in (each.run for each in skipped)
        )
        kind = StorageError if any(each.run.status == "damaged" for each in skipped) else UsageError
        raise kind(f"there is no finished run to compare: {reasons}")
    by_data: dict[tuple[object, ...], list[Result]] = defaultdict(list)
    for result in results:
        by_data[result.data.identity].append(result)
    groups = [*by_data.values()]
    names = folder_names([group[0].data for group in groups])
    known: set[str | None] = {result.config.data.name for result in results}
    if data is not None:  # then there is no need to mention the other data sets
        known |= {each.data for each in skipped} - {None}
    found: dict[str, Comparison] = {}
    valid: dict[str, None] = {}
    for name, group in sorted(zip(names, groups, strict=True), key=lambda each: each[0]):
        facts, keys = group[0].data, {result.config.data.name for result in group}
        answers = data_names(facts.name, facts.fingerprint)
        valid |= dict.fromkeys((answers[0], plain_name(facts.name), name))
        if data in (None, name, *answers):
            settings, common = grouped(group)
            left_out = [each.run for each in skipped if each.data not in known - keys]
            found[name] = Comparison(facts, settings, left_out, common)
    if not found:
        raise UsageError(f"no run is on data={data}: {suggest(str(data), valid)}")
    return found


@dataclass(frozen=True)
class _Skipped:
    """A run that is left out of the comparison."""

    run: SkippedRun
    data: str | None
    """Its data set, as on the command line; None if that is not known."""


def _load(runs: list[RunDirectory]) -> tuple[list[Result], list[_Skipped]]:
    """The results of finished runs, and the other runs."""
    results: dict[str, Result] = {}
    skipped: list[_Skipped] = []
    for run in runs:
        if run.status is not Status.finished:
            skipped.append(_Skipped(_unfinished(run), _data_key(run)))
            continue
        try:
            result = Result.load(run)
            first = results.setdefault(result.identity, result)
        except DAMAGE as error:
            damaged = SkippedRun(run.path, "damaged", _reason(error))
            skipped.append(_Skipped(damaged, _data_key(run)))
            continue
        if first is not result:
            copy = SkippedRun(run.path, COPY, f"the same run as {first.run.path}")
            skipped.append(_Skipped(copy, result.config.data.name))
    return [*results.values()], skipped


def _data_key(run: RunDirectory) -> str | None:
    """The data set of a run that may be damaged."""
    try:
        return str(run.load_config().data.name)
    except DAMAGE:
        return None


def folder_names(data: Sequence[DataFacts]) -> list[str]:
    """A name for the folder of each data set; no two are the same on any disk."""
    plain = [plain_name(each.name) for each in data]
    taken = Counter(map(str.lower, [*plain, FIGURES]))
    names: list[str] = []
    for name, each in zip(plain, data, strict=True):
        if taken[name.lower()] > 1:
            name = with_fingerprint(name, each.fingerprint)
        names.append(_unused(name, names))
    return names


def _unused(name: str, names: Iterable[str]) -> str:
    """The name, with a number if it is taken, for example by images of another shape."""
    taken = {*map(str.lower, names)}
    numbered = (f"{name}-{number}" for number in count(2))
    return next(each for each in chain([name], numbered) if each.lower() not in taken)


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
        Status.planned: lambda: "it was only planned",
    }
    status = run.status
    return SkippedRun(run.path, status.value, reasons[status]())


def _reason(error: Exception) -> str:
    return one_line(f"{error} is missing" if isinstance(error, KeyError) else error)
