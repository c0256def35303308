"""Getting a torchvision data set from the network, without ever waiting on a dead line.

torchvision downloads with no time limit of its own, and a name server that does not answer hangs
outside the reach of any socket's. So the download runs in a thread that is watched from outside:
what counts is whether bytes arrive on disk. It works in a folder of its own, and only whole files
that torchvision has verified are moved to where they belong.
"""

import contextlib
import ctypes
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from aecli.errors import DataError
from aecli.files import writable_folder

POLL_SECONDS = 0.2

# No thread that redraws bars now and then: it would wait for a lock that is never given back (see
# _stop), and the process for the thread.
tqdm.monitor_interval = 0


class MissingDataError(DataError):
    """A data set that is not on disk and cannot be downloaded."""

    def __init__(self, name: str, folder: Path, reason: str) -> None:
        self.folder = folder
        self.reason = reason
        super().__init__(
            f"data={name} is not complete in {folder}, and {reason}: put its files there, or "
            f"give their place as data_dir=... (or AECLI_DATA=...); data=synthetic needs no files"
        )


def download(
    fetch: Callable[[str], object],
    data_dir: Path,
    archives: list[Path],
    silence: float,
    total: float,
) -> str | None:
    """Run `fetch(folder)` in a scratch folder and move what it brings into `data_dir`.

    Archives that are there already go along, so that they need not be fetched again.

    Args:
        fetch: downloads, verifies and unpacks into the folder it is given.
        archives: files under `data_dir` that torchvision would use if it found them.
        silence: seconds without a new byte after which it is given up.
        total: seconds after which it is given up in any case.

    Returns:
        Why it failed, or None.

    Raises:
        StorageError: `data_dir` cannot be written.
    """
    missing = [folder for folder in (data_dir, *data_dir.parents) if not folder.exists()]
    try:
        writable_folder(data_dir, "data_dir")
        # The thread may still hold a file open when it is given up: leave no trace, raise no error.
        with tempfile.TemporaryDirectory(
            prefix=".download-", dir=data_dir, ignore_cleanup_errors=True
        ) as scratch:
            for archive in archives:
                copy = Path(scratch, archive.relative_to(data_dir))
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(archive, copy)
            failure = _watched(fetch, Path(scratch), silence, total)
            if failure is None:
                _move_files(Path(scratch), data_dir)
    finally:
        for folder in missing:
            with contextlib.suppress(OSError):  # not empty: the files have come, or it is in use
                folder.rmdir()
    return failure


def _watched(
    fetch: Callable[[str], object], folder: Path, silence: float, total: float
) -> str | None:
    failures: list[Exception] = []

    def work() -> None:
        try:
            fetch(str(folder))
        except Exception as error:  # handed to the thread that waits
            failures.append(error)
        except _GivenUp:
            pass

    thread = threading.Thread(target=work, daemon=True)
    system_timeout = socket.getdefaulttimeout()
    # So that an abandoned thread does not hang on for ever; later than the verdict below.
    socket.setdefaulttimeout(2 * silence)
    try:
        thread.start()
        started = last_growth = time.monotonic()
        size = 0
        while thread.is_alive():
            thread.join(POLL_SECONDS)
            now = time.monotonic()
            if (grown := _bytes_in(folder)) != size:
                size, last_growth = grown, now
            if now - last_growth > silence:
                return f"the download was given up after {silence:.0f} s without a byte"
            if now - started > total:
                return f"the download was given up after {total:.0f} s"
    finally:
        socket.setdefaulttimeout(system_timeout)
        _stop(thread)
    if not failures:
        return None
    return f"it could not be downloaded ({_last_line(failures[0])})"


class _GivenUp(BaseException):
    """Ends the download's thread. No Exception: torchvision would go on with its next mirror."""


def _stop(thread: threading.Thread) -> None:
    """Keep `thread` from making its folder again once that is gone, and from loading on unseen.

    A thread cannot be ended from outside, but it meets an exception before its next line of Python.
    """
    if thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_GivenUp)
        )
        thread.join(POLL_SECONDS)
        # torchvision's progress bar takes the lock of all bars, and keeps it if it meets the
        # exception while it draws: the bars to come get another.
        tqdm.set_lock(threading.RLock())


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # moved away between the two calls
            continue
    return total


def _move_files(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_file():
            goal = target / path.relative_to(source)
            goal.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, goal)
