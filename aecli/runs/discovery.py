"""Find the runs below a folder."""

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aecli.errors import UsageError
from aecli.files.storage import natural_key
from aecli.runs.directory import CONFIG, FAILURE, HYDRA, METRICS, SUMMARY, RunDirectory
from aecli.runs.owned import MANIFEST, NEXT, OwnedFiles
from aecli.runs.sweep_plan import PLAN_FILE, SWEEP_FILES


@dataclass(frozen=True)
class Entry:
    """A run, or a sweep with its runs."""

    path: Path
    runs: tuple[Path, ...]
    """Of a sweep, in natural order; of a run, the run itself."""
    is_sweep: bool
    written: float
    """When the newest of the runs was last written; see `last_written`."""


def entries_below(folder: Path, depth: int | None = None) -> list[Entry]:
    """The sweeps in `folder`, including itself, and the runs that belong to none, the newest first.

    They are found at any depth, or down to `depth` folders below it.

    A run whose configuration is damaged or lost is among them.
    """
    sweeps: dict[Path, list[Path]] = defaultdict(list)
    single: list[Path] = []
    for path in folders_below(folder, depth):
        sweep = next((each for each in (path, *path.parents) if each in sweeps), None)
        if sweep is None and is_sweep(path):
            sweeps[path] = []
        elif path.name not in (HYDRA, NEXT) and is_run(path):
            (single if sweep is None else sweeps[sweep]).append(path)
    found = [Entry(path, (path,), False, last_written(path)) for path in single]
    for path, runs in sweeps.items():
        in_order = tuple(sorted(runs, key=lambda run: natural_key(str(run))))
        written = max(map(last_written, in_order or (path,)))
        if runs or (path / PLAN_FILE).exists():  # else it is of another program that uses Hydra
            found.append(Entry(path, in_order, True, written))
    found.sort(key=lambda entry: (entry.written, natural_key(str(entry.path))), reverse=True)
    return found


def is_sweep(path: Path) -> bool:
    """Whether the folder is that of a sweep, such as a search."""
    return any(os.path.exists(f"{path}/{name}") for name in SWEEP_FILES)


def is_run(path: Path) -> bool:
    """Whether the folder is that of a run, also of one whose configuration has been lost."""
    if os.path.exists(f"{path}/{CONFIG}"):
        return RunDirectory(path).exists()
    return os.path.exists(f"{path}/{MANIFEST}") and OwnedFiles(path).owns(CONFIG)


def last_written(path: Path) -> float:
    """When a training last wrote one of its files to the folder of a run, in seconds since 1970.

    That is by the clock of the disk, and not the one in the folder's name. What commands write
    later does not count.
    """
    times: list[float] = []
    for folder in (path, f"{path}/{NEXT}"):
        for name in (CONFIG, METRICS, SUMMARY, FAILURE, *SWEEP_FILES):
            with suppress(OSError):
                times.append(os.stat(f"{folder}/{name}").st_mtime)
    if not times:  # all of them are lost
        with suppress(OSError):
            times.append(os.stat(path).st_mtime)
    return max(times, default=0.0)


def runs_below(folder: Path) -> list[RunDirectory]:
    """All runs in `folder`, at any depth and including itself, in natural order of their paths.

    Runs behind symbolic links are among them; each is listed once.

    Raises:
        UsageError: it contains none.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: give run folders or folders that hold runs")
    paths = (path for path in folders_below(folder) if path.name not in (HYDRA, NEXT))
    runs = [run for run in map(RunDirectory, paths) if run.exists()]
    if not runs:
        raise UsageError(f"{folder} holds no runs: give a folder that aecli train has written")
    return sorted(runs, key=lambda run: natural_key(str(run.path)))


def has_runs(folder: Path) -> bool:
    """Whether there is a run in `folder`, at any depth, or another program's configuration."""
    paths = (path for path in folders_below(folder) if path.name not in (HYDRA, NEXT))
    return any((path / CONFIG).exists() for path in paths)


def folders_below(folder: Path, depth: int | None = None) -> Iterator[Path]:
    """Every folder in `folder`, including itself, once: first those that are not behind links.

    At any depth, or down to `depth` folders below it.
    """
    visited: set[Path] = set()
    pending = [folder]
    while pending:
        for name, subfolders, _ in os.walk(pending.pop(0)):
            path = Path(name)
            if path.resolve() in visited:
                subfolders.clear()
                continue
            visited.add(path.resolve())
            yield path
            if depth is not None and len(path.relative_to(folder).parts) >= depth:
                subfolders.clear()
            links = (path / each for each in subfolders if (path / each).is_symlink())
            # A link to a parent of this folder leads in a circle, and to runs that were not asked
            # for.
            pending += [link for link in links if link.resolve() not in folder.resolve().parents]
