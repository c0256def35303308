"""Download a torchvision data set without ever hanging on a dead connection.

torchvision sets no timeout on downloads, and socket timeouts do not cover a name server that does
not answer. So the download is a process that can be killed, and this one checks whether bytes
arrive on disk. The download writes to a temporary folder, and only complete files that torchvision
has verified are moved to their final place.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from aecli.errors import DataError
from aecli.errors.text import one_line
from aecli.files.storage import writable_folder
from aecli.runtime.progress import BYTES, Bar
from aecli.runtime.scratch import temporary_folder

POLL_SECONDS = 0.2


class MissingDataError(DataError):
    """A data set that is not on disk and cannot be downloaded."""

    def __init__(self, name: str, folder: Path, reason: str) -> None:
        self.folder = folder
        self.reason = reason
        super().__init__(
            f"data={name} is not complete in {folder}, and {reason}: put its files there, or "
            f"set data_dir=... (or AECLI_DATA=...) to their folder; data=synthetic needs no files"
        )


def fetch_command(class_name: str) -> list[str]:
    """The arguments of a Python process that downloads into its working folder: see `fetch`."""
    return ["-m", "aecli.data.fetch", class_name]


def download(
    command: list[str],
    data_dir: Path,
    archives: str,
    size: int,
    stall_timeout: float,
    total_timeout: float,
) -> str | None:
    """Run a download in a temporary folder and move the resulting files into `data_dir`.

    Existing archives are copied to the temporary folder, so that they are not downloaded again.

    Args:
        command: as `fetch_command` returns it.
        archives: pattern of the files under `data_dir` that torchvision downloads.
        size: bytes of all archives, for the progress bar.
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
        with temporary_folder(data_dir, "download") as scratch:
            for archive in data_dir.glob(archives):
                copy = scratch / archive.relative_to(data_dir)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(archive, copy)
            with Bar("downloading", size, BYTES) as bar:
                failure = _monitored(command, scratch, archives, bar, stall_timeout, total_timeout)
            if failure is None:
                _move_files(scratch, data_dir)
    finally:
        for folder in missing:
            with contextlib.suppress(OSError):  # not empty: download done, or in use
                folder.rmdir()
    return failure


def _monitored(
    command: list[str],
    folder: Path,
    archives: str,
    bar: Bar,
    stall_timeout: float,
    total_timeout: float,
) -> str | None:
    """Run `command` in `folder` until it ends or no data arrives; the reason for a failure."""
    with tempfile.TemporaryFile() as report, _process(command, folder, report) as process:
        started = last_growth = time.monotonic()
        size = 0
        while process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(POLL_SECONDS)
            now = time.monotonic()
            is_importing = os.fstat(report.fileno()).st_size == 0
            if (new_size := _bytes_in(folder, "**/*")) != size or is_importing:
                size, last_growth = new_size, now
                bar.done = _bytes_in(folder, archives)
            if now - last_growth > stall_timeout:
                return f"the download was aborted after {stall_timeout:.0f} s without data"
            if now - started > total_timeout:
                return f"the download was aborted after {total_timeout:.0f} s"
        if process.returncode == 0:
            return None
        report.seek(0)
        _, _, reason = report.read().decode(errors="replace").partition("\n")
        return f"it could not be downloaded ({one_line(reason) or 'its process was ended'})"


@contextmanager
def _process(
    arguments: list[str], folder: Path, report: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python in `folder` with its output in `report`, and kill it at the end if it still runs.

    It is in a session of its own, so that Ctrl-C reaches this process alone, which then ends it.
    """
    paths = os.pathsep.join(os.path.abspath(path) for path in sys.path)
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        stdin=subprocess.PIPE,  # closed when this process ends: see `aecli.data.fetch`
        stdout=report,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _bytes_in(folder: Path, pattern: str) -> int:
    size = 0
    for path in folder.glob(pattern):
        with contextlib.suppress(FileNotFoundError):  # moved between the two calls
            size += path.stat().st_size
    return size


def _move_files(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_file():
            destination = target / path.relative_to(source)
            destination.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, destination)
