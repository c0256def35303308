"""Temporary folders that a later process removes if their own was killed.

Whatever takes long to write is written here first: a claim to a lock, the results of a command, a
download. Single files are written by `files.storage.write_atomically`, whose leftovers are removed
by the next process that locks the folder.
"""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aecli.runtime.process import ProcessId

LEFT_OVER_AFTER_SECONDS = 7 * 24 * 3600.0
"""Age at which folders are removed whose process cannot be checked, as on another machine."""

OWNED = re.compile(r"\..+\.(\d+)-(\w*)-([0-9a-f]*)\.[a-z0-9_]{8}")
"""The pattern of their names: the purpose, the process, and what mkdtemp adds."""


@contextmanager
def temporary_folder(parent: Path, purpose: str) -> Iterator[Path]:
    """A `scratch_folder` that is removed at the end."""
    folder = scratch_folder(parent, purpose)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def scratch_folder(parent: Path, purpose: str) -> Path:
    """Create an empty folder in `parent`, and remove those that ended processes have left there.

    Its name says which process it belongs to, so that it never exists without an owner.

    Raises:
        OSError: it cannot be created.
    """
    owner = ProcessId.current()
    prefix = f".{purpose}.{owner.pid}-{owner.started}-{owner.space}."
    created = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    for folder in parent.iterdir():
        if folder != created and _is_left_over(folder, created):
            shutil.rmtree(folder, ignore_errors=True)
    return created


def _is_left_over(folder: Path, created: Path) -> bool:
    """Whether the process of a temporary folder is gone; `created` has just been made."""
    name = OWNED.fullmatch(folder.name)
    if name is None or folder.is_symlink() or not folder.is_dir():
        return False
    is_running = ProcessId(int(name[1]), name[2], name[3]).is_running()
    if is_running is None:
        try:  # both times are from the clock of the same disk
            age = created.stat().st_mtime - folder.stat().st_mtime
        except FileNotFoundError:
            return False
        return age > LEFT_OVER_AFTER_SECONDS
    return not is_running
