"""A lock that gives one process at a time a folder, also on network file systems.

The protocol:

- The lock is a subfolder with one file, whose name is unique to its holder: the holder's token. It
  is prepared under another name and renamed; of several processes, the rename succeeds for one, and
  only if there is no lock or an empty one.
- The holder touches its file every few seconds. A failed attempt is followed by the next one.
- The holder checks before each write that its file is there. It is fenced off once it is not.
- Another process may remove that file, and no other, if its holder is gone. That is certain only if
  the PID means the same to both, by the namespace and the boot in which it was given, and no such
  process exists: so a run that was killed can be resumed at once. Otherwise, be it another machine,
  another container or another boot, the heartbeat decides: the last one must be two minutes old by
  the clock of the disk; then none may come while the other process watches, whatever clocks say.

The lease of the package filelock is not used: it lets others in only when it has run out, also if
its holder is known to be gone, and does not say who holds it, which our error does.

What the protocol cannot exclude is a process that is stopped between its check and its write for as
long as all this takes.
"""

import errno
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from aecli.errors import StorageError
from aecli.files.storage import read_json
from aecli.runtime import terminal
from aecli.runtime.process import ProcessId
from aecli.runtime.scratch import scratch_folder

LOCK = ".lock"
HOLDER_SUFFIX = ".json"
"""The suffix of the file that names the holder."""

HEARTBEAT_SECONDS = 10.0
STALE_AFTER_SECONDS = 120.0
WATCHED_HEARTBEATS = 2.5
"""Number of heartbeats for which another process watches before it takes over a lock."""
POLL_SECONDS = 0.5

Holder = dict[str, Any]


@contextmanager
def locked(folder: Path) -> Iterator[Callable[[], None]]:
    """Lock `folder`; yield a check that raises StorageError once this process has lost the lock.

    If the lock of a holder on another machine seems to be abandoned, this takes half a minute.

    Raises:
        StorageError: another process holds the lock.
    """
    our_file = _acquire(folder / LOCK)

    def check() -> None:
        # Read the file: on a network file system its mere existence may be cached.
        if not _read_holder(our_file):
            raise StorageError(
                f"{folder} is no longer locked by this process: {_describe_loss(our_file.parent)}"
            )

    stopped = threading.Event()
    heartbeat = threading.Thread(target=_heartbeat, args=(our_file, stopped), daemon=True)
    heartbeat.start()
    try:
        yield check
    finally:
        stopped.set()
        heartbeat.join()
        # If the file cannot be removed, the lock stays and counts as that of an ended process.
        with suppress(OSError):
            our_file.unlink()
            our_file.parent.rmdir()


def check_free(folder: Path) -> None:
    """Check that no process has `folder` locked.

    Raises:
        StorageError: one has; the message names it.
    """
    file = _holder_file(folder / LOCK)
    if file is not None and is_held(folder):
        raise StorageError(_describe_holder(_read_holder(file), file.parent))


def is_held(folder: Path) -> bool:
    """Whether a process has `folder` locked.

    For a process on another machine, only its heartbeat tells, by the clock of this one.
    """
    file = _holder_file(folder / LOCK)
    if file is None:
        return False
    is_running = _is_running(_read_holder(file))
    if is_running is not None:
        return is_running
    try:
        return abs(time.time() - file.stat().st_mtime) <= STALE_AFTER_SECONDS
    except FileNotFoundError:  # released
        return False


def _acquire(lock: Path) -> Path:
    """Acquire the lock and return our file in it."""
    _check_no_strangers(lock)
    claim = scratch_folder(lock.parent, "lock")
    try:
        our_file = claim / f"{os.urandom(8).hex()}{HOLDER_SUFFIX}"
        our_file.write_text(json.dumps(_this_process()), encoding="utf-8")
        while not _try_rename(claim, lock):
            their_file = _holder_file(lock)
            if their_file is None and not claim.exists():
                raise StorageError(f"{lock.parent} is gone")
            if their_file is None:
                _check_no_strangers(lock)
                continue  # it has just been released
            other = _read_holder(their_file)
            if not _is_gone(other, their_file, our_file):
                raise StorageError(_describe_holder(other, lock))
            their_file.unlink(missing_ok=True)
    finally:
        shutil.rmtree(claim, ignore_errors=True)  # if it has not become the lock
    return lock / our_file.name


def _try_rename(claim: Path, lock: Path) -> bool:
    """Rename `claim` to `lock`; False if the claim is gone or a lock with a file in it exists."""
    try:
        os.rename(claim, lock)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            return False
        raise
    return True


def _holder_file(lock: Path) -> Path | None:
    """The file that identifies the holder, if there is one."""
    return next((file for file in _files(lock) if file.suffix == HOLDER_SUFFIX), None)


def _check_no_strangers(lock: Path) -> None:
    """Check that what is called like the lock is one.

    Raises:
        StorageError: it is a file, or holds one that names no holder.
    """
    others = [file for file in _files(lock) if file.suffix != HOLDER_SUFFIX]
    if lock.is_file() or lock.is_symlink():
        others.append(lock)
    if others:
        raise StorageError(
            f"{others[0]} is in the way of the lock of {lock.parent}: move it elsewhere"
        )


def _files(lock: Path) -> list[Path]:
    """The files in the lock; none if it is released meanwhile, or is not a folder."""
    try:
        return list(lock.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _read_holder(file: Path) -> Holder:
    """The holder named in `file`; empty if the file is damaged or has just been removed."""
    try:
        holder = read_json(file)
    except StorageError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _this_process() -> Holder:
    current = ProcessId.current()
    return {
        "pid": current.pid,
        "started": current.started,
        "space": current.space,
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _is_running(holder: Holder) -> bool | None:
    """Whether the holder runs; None if only its heartbeat can tell."""
    match holder:
        case {"pid": int(pid), "started": str(started), "space": str(space)}:
            return ProcessId(pid, started, space).is_running()
    return None


def _is_gone(other: Holder, their_file: Path, our_file: Path) -> bool:
    """Whether the lock's holder is gone."""
    is_running = _is_running(other)
    if is_running is not None:
        return not is_running
    try:
        # Both times are from the clock of the disk, which may have been set in between.
        age = our_file.stat().st_mtime - their_file.stat().st_mtime
        if abs(age) <= STALE_AFTER_SECONDS:
            return False
        terminal.err.print(
            f"waiting to see whether process {other.get('pid')} on {other.get('host')}, which has "
            f"locked {their_file.parent.parent}, is still running",
            markup=False,
            soft_wrap=True,
        )
        return _is_silent(their_file)
    except FileNotFoundError:  # released
        return True


def _is_silent(file: Path) -> bool:
    """Whether the lock file goes without a heartbeat for a while."""
    last = file.stat().st_mtime_ns
    end = time.monotonic() + WATCHED_HEARTBEATS * HEARTBEAT_SECONDS
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(POLL_SECONDS, left))
        if file.stat().st_mtime_ns != last:
            return False
    return True


def _heartbeat(file: Path, stopped: threading.Event) -> None:
    """Touch the lock file at regular intervals; if the disk fails for a while, go on afterwards."""
    while not stopped.wait(HEARTBEAT_SECONDS):
        with suppress(OSError):
            os.utime(file)


def _describe_holder(other: Holder, lock: Path) -> str:
    holder = f"{lock.parent} is in use by process {other.get('pid')} on {other.get('host')}"
    advice = "wait for it or stop it"
    if _is_running(other) is None:
        advice += f"; if it has ended, its lock lapses within {STALE_AFTER_SECONDS:.0f} s"
    return (
        f"{holder}, since {other.get('since')}: {advice}; if there is no such process, "
        f"remove {lock}"
    )


def _describe_loss(lock: Path) -> str:
    file = _holder_file(lock)
    other = _read_holder(file) if file is not None else {}
    if not other:
        return f"somebody removed or changed {lock}"
    return f"process {other.get('pid')} on {other.get('host')} has taken it over"
