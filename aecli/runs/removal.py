"""Remove runs and sweeps: only the files that aecli wrote.

If a removal is interrupted, the run shows as failed or damaged, and running the same command again
finishes it. The summary goes first; configuration and manifest go last.
"""

import errno
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aecli.errors import StorageError, UsageError
from aecli.runs.directory import (
    CHECKPOINTS,
    CONFIG,
    FAILURE,
    FIGURES,
    HYDRA,
    SUMMARY,
    RunDirectory,
)
from aecli.runs.discovery import entries_below, is_run, is_sweep
from aecli.runs.lock import LOCK, check_free, locked
from aecli.runs.lookup import OUTPUTS
from aecli.runs.owned import MANIFEST, NEXT, OwnedFiles
from aecli.runs.sweep_plan import OPTUNA_FILE, PLAN_FILE, SHARED, SWEEP_FILE, forget_run


@dataclass(frozen=True)
class Contents:
    """What is in the folder of a run or of a sweep."""

    files: list[Path]
    """The files of aecli, in the order in which they are removed."""
    others: list[Path]
    """What stays: files that aecli did not write, links, and files that somebody has changed. A
    folder that contains nothing else is a single entry."""

    @property
    def bytes(self) -> int:
        """Size of the files that are removed."""
        return sum(path.lstat().st_size for path in self.files if os.path.lexists(path))


def check_removable(path: Path) -> None:
    """Check that a run or a sweep can be removed.

    Raises:
        UsageError: it is neither, or a link to one.
        StorageError: it is in use, or aecli cannot tell which files are its own.
    """
    links = [each for each in (path, *path.parents) if each.is_symlink()]
    if path in links or any(_is_below_outputs(Path(os.path.abspath(link))) for link in links):
        raise UsageError(f"{links[0]} is a link: remove {path.resolve()}, where the run is")
    runs = runs_of(path)
    # A sweep without runs may be that of another program that uses Hydra.
    if not (is_run(path) or (is_sweep(path) and (runs or (path / PLAN_FILE).exists()))):
        raise UsageError(f"{path} is neither a run nor a sweep, so it is not removed")
    for folder in {*runs, path, *_sweep_of(path)}:
        check_free(folder)
    for run in runs:
        if not OwnedFiles(run).manifest():
            raise StorageError(
                f"{run} has no {MANIFEST}, so aecli cannot tell which files are its own: remove "
                f"the folder yourself"
            )


def runs_of(path: Path) -> list[Path]:
    """The runs of a sweep that are not behind links, or the one run."""
    if not is_sweep(path):
        return [path]
    home = path.resolve()
    runs = [run for entry in entries_below(path) for run in entry.runs]
    return [run for run in runs if run.resolve() == home / run.relative_to(path)]


def contents(path: Path) -> Contents:
    """What is in the folder of a run or of a sweep.

    Raises:
        StorageError: a manifest is damaged.
    """
    files = [file for run in runs_of(path) for file in _files_of_run(run)]
    if is_sweep(path):
        files += [*_files_of_results(path), *_files_in(path / SHARED)]
        last = (OPTUNA_FILE, SWEEP_FILE, PLAN_FILE)
        files += [path / name for name in last if _is_file(path / name)]
    return Contents(files, _without(path, {*files}))


def remove(path: Path) -> list[Path]:
    """Remove a run, or a sweep with its runs; returns what is kept, see `Contents.others`.

    A run of a sweep is also removed from the record of the sweep.

    Raises:
        StorageError: it is in use, or a manifest is damaged.
        OSError: a file cannot be removed.
    """
    home = Path(os.path.abspath(path))  # from within it, it may be called .
    others = contents(path).others
    for sweep in _sweep_of(path):
        with _locked(partial(locked, sweep)):
            forget_run(home, sweep)
    with ExitStack() as stack:
        if is_sweep(path):
            stack.enter_context(_locked(partial(locked, path)))
        for run in runs_of(path):
            _remove_run(run)
        if is_sweep(path):
            _unlink(path, contents(path).files)
    for folder in (home, *filter(_is_below_outputs, home.parents)):
        _remove_if_empty(folder)
    return [other for other in others if os.path.lexists(other)]


def _remove_run(path: Path) -> None:
    run = RunDirectory(path)
    with _locked(run.locked):
        with suppress(OSError):  # if the disk is full, the state is less accurate
            command = f"aecli runs remove {shlex.quote(str(path))}"
            run.save_failure(f"its removal was interrupted: {command} finishes it")
        for folder in _result_folders(path):
            OwnedFiles(folder).complete()
        _unlink(path, _files_of_run(path))
    _remove_if_empty(path)


@contextmanager
def _locked(lock: Callable[[], AbstractContextManager[object]]) -> Iterator[None]:
    """Lock a folder, unless the disk is full: then runs are removed to make room."""
    with ExitStack() as stack:
        try:
            stack.enter_context(lock())
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
        yield


def _files_of_run(path: Path) -> list[Path]:
    """The files of a run that aecli wrote, in the order in which they are removed."""
    unchanged = OwnedFiles(path).unchanged()
    first, last = path / SUMMARY, [path / name for name in (CONFIG, FAILURE, MANIFEST)]
    ours = [
        *_files_of_results(path),
        *(each for each in unchanged if each not in last),
        *RunDirectory(path).checkpoints.files(),
        *(each for each in last if each.name != CONFIG or each in unchanged),
    ]
    ours.sort(key=lambda file: file != first)
    return [file for file in ours if _is_file(file)]


def _files_of_results(path: Path) -> list[Path]:
    return [file for folder in _result_folders(path) for file in _files_of_owned(folder)]


def _files_of_owned(folder: Path) -> list[Path]:
    return [*OwnedFiles(folder).unchanged(), folder / MANIFEST]


def _result_folders(path: Path) -> list[Path]:
    """The folders within that of a run or of a sweep to which a command has written its results."""
    return [
        each
        for each in _entries(path)
        if each.is_dir()
        and not each.is_symlink()
        and _is_file(each / MANIFEST)
        and not is_run(each)
        and _has_manifest(each)
    ]


def _has_manifest(folder: Path) -> bool:
    """Whether the manifest in a folder is one of aecli's."""
    try:
        return bool(OwnedFiles(folder).manifest())
    except StorageError:
        return False


def _unlink(path: Path, files: list[Path]) -> None:
    """Remove files from a folder, and its subfolders as they become empty."""
    for file in files:
        file.unlink(missing_ok=True)
        for folder in file.parents:
            if folder == path or not _remove_if_empty(folder):
                break
    for name in (CHECKPOINTS, FIGURES, HYDRA, NEXT):
        _remove_if_empty(path / name)


def _remove_if_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:  # something is in it, or it is a link
        return False
    return True


def _without(path: Path, files: set[Path]) -> list[Path]:
    """What is in a folder besides `files` and locks; a folder without any of them is one entry."""
    others: list[Path] = []
    holders = {parent for file in files for parent in file.parents}
    for each in _entries(path):
        if each in holders and not each.is_symlink():
            others += _without(each, files)
        elif each not in files and each.name != LOCK:
            others.append(each)
    return others


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, in order; nothing if there is none."""
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _files_in(folder: Path) -> list[Path]:
    return [each for each in _entries(folder) if _is_file(each)] if _is_folder(folder) else []


def _is_file(path: Path) -> bool:
    """Whether there is a file that is neither a link nor in a folder that is one."""
    return path.is_file() and not path.is_symlink() and not path.parent.is_symlink()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _sweep_of(run: Path) -> list[Path]:
    """The sweep to which a run belongs, if any."""
    return [parent for parent in Path(os.path.abspath(run)).parents if is_sweep(parent)][:1]


def _is_below_outputs(folder: Path) -> bool:
    """Whether an absolute path leads into the folder of all runs."""
    return not {OUTPUTS.resolve(), OUTPUTS.absolute()}.isdisjoint(folder.parents)
