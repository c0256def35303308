"""Download a torchvision data set without ever hanging on a dead connection.

torchvision sets no timeout on downloads, and socket timeouts do not cover a name server that does
not answer. So the download runs in a thread, and a monitor checks whether bytes arrive on disk. The
thread writes to a temporary folder, and only complete files that torchvision has verified are moved
to their final place.
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

# Disable tqdm's monitor thread: it would wait for a lock that is never released (see _abort), and
# the process would wait for the thread.
tqdm.monitor_interval = 0


class MissingDataError(DataError):
    """A data set that is not on disk and cannot be downloaded."""

    def __init__(self, name: str, folder: Path, reason: str) -> None:
        self.folder = folder
        self.reason = reason
        super().__init__(
            f"data={name} is not complete in {folder}, and {reason}: put its files there, or "
            f"set data_dir=... (or AECLI_DATA=...) to their folder; data=synthetic needs no files"
        )


def download(
    fetch: Callable[[str], object],
    data_dir: Path,
    archives: list[Path],
    stall_timeout: float,
    total_timeout: float,
) -> str | None:
    """Run `fetch(folder)` on a temporary folder and move the resulting files into `data_dir`.

    Existing archives are copied to the temporary folder, so that they are not downloaded again.

    Args:
        fetch: downloads, verifies and unpacks into the given folder.
        archives: files under `data_dir` that torchvision would use if it found them.
        stall_timeout: abort after this many seconds without new data.
        total_timeout: abort after this many seconds in any case.

    Returns:
        The reason for a failure, or None.

    Raises:
        StorageError: `data_dir` cannot be written.
    """
    missing = [folder for folder in (data_dir, *data_dir.parents) if not folder.exists()]
    try:
        writable_folder(data_dir, "data_dir")
        # An aborted thread may still hold a file open: clean up what is possible, raise no error.
        with tempfile.TemporaryDirectory(
            prefix=".download-", dir=data_dir, ignore_cleanup_errors=True
        ) as scratch:
            for archive in archives:
                copy = Path(scratch, archive.relative_to(data_dir))
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(archive, copy)
            failure = _fetch_monitored(fetch, Path(scratch), stall_timeout, total_timeout)
            if failure is None:
                _move_files(Path(scratch), data_dir)
    finally:
        for folder in missing:
            with contextlib.suppress(OSError):  # not empty: download done, or in use
                folder.rmdir()
    return failure


def _fetch_monitored(
    fetch: Callable[[str], object], folder: Path, stall_timeout: float, total_timeout: float
) -> str | None:
    failures: list[Exception] = []

    def work() -> None:
        try:
            fetch(str(folder))
        except Exception as error:  # reported by the waiting thread
            failures.append(error)
        except _DownloadAborted:
            pass

    thread = threading.Thread(target=work, daemon=True)
    default_timeout = socket.getdefaulttimeout()
    # Keeps an abandoned thread from hanging forever; expires after the stall check below.
    socket.setdefaulttimeout(2 * stall_timeout)
    try:
        thread.start()
        started = last_growth = time.monotonic()
        size = 0
        while thread.is_alive():
            thread.join(POLL_SECONDS)
            now = time.monotonic()
            if (new_size := _bytes_in(folder)) != size:
                size, last_growth = new_size, now
            if now - last_growth > stall_timeout:
                return f"the download was aborted after {stall_timeout:.0f} s without data"
            if now - started > total_timeout:
                return f"the download was aborted after {total_timeout:.0f} s"
    finally:
        socket.setdefaulttimeout(default_timeout)
        _abort(thread)
    if not failures:
        return None
    return f"it could not be downloaded ({_last_line(failures[0])})"


class _DownloadAborted(BaseException):
    """Stops the download thread. Not an Exception: torchvision would try its next mirror."""


def _abort(thread: threading.Thread) -> None:
    """Keep `thread` from recreating its removed folder and from downloading on in the background.

    A thread cannot be killed, but an exception can be raised before its next Python instruction.
    """
    if thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_DownloadAborted)
        )
        thread.join(POLL_SECONDS)
        # torchvision's progress bar takes tqdm's global lock and never releases it if the exception
        # is raised while it draws: give later bars a new lock.
        tqdm.set_lock(threading.RLock())


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


def _bytes_in(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        try:
            size += path.stat().st_size
        except FileNotFoundError:  # moved between the two calls
            continue
    return size


def _move_files(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_file():
            destination = target / path.relative_to(source)
            destination.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, destination)
