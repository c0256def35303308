"""A set of files that a command writes to a folder, all put in place at once."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from aecli.errors import UsageError
from aecli.files.storage import writable_folder
from aecli.runs.directory import RunDirectory
from aecli.runs.lock import locked
from aecli.runs.owned import OwnedFiles
from aecli.runtime.scratch import temporary_folder


def check_file_set(folder: Path, names: Iterable[str], key: str = "output") -> None:
    """Check, before anything is drawn, that a set of these files can be written to `folder`, which
    the caller gave as `key`.

    Raises:
        UsageError: it is a run.
        StorageError: it cannot be written, or a file that aecli did not write is in the way.
    """
    if RunDirectory(folder).exists():
        raise UsageError(f"{key}={folder} is a run: give a folder for the results alone")
    writable_folder(folder, key)
    OwnedFiles(folder).check_replaceable(names)


@contextmanager
def file_set(folder: Path, own: Collection[str] | None = None) -> Iterator[Path]:
    """Yield an empty folder, whose files replace the earlier ones in `folder` at the end.

    Args:
        folder: where they go.
        own: the names of the set's files and subfolders, without suffixes; the files of other sets
            stay. None: there are no others.

    Raises:
        StorageError: another process is writing there, or files that aecli did not write are in the
            way; nothing has changed.
    """
    owned = OwnedFiles(folder)
    with temporary_folder(folder, "files") as new:
        yield new
        names = [path.relative_to(new).as_posix() for path in new.rglob("*") if path.is_file()]
        with locked(folder):
            owned.complete()
            owned.check_replaceable(names)
            kept = [name for name in owned.manifest() if own and _first(name) not in own]
            for name, path in owned.stage_all(names).items():
                (new / name).rename(path)
            owned.publish(names, kept)


def _first(name: str) -> str:
    """The file, or the folder in which it is, without a suffix."""
    return PurePosixPath(PurePosixPath(name).parts[0]).stem
