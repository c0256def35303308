"""A lock that gives one process at a time a folder, also on network file systems."""

import errno
import json
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from aecli.errors import StorageError

LOCK, CLAIM = ".lock", ".lock.claim-"

# On another machine, only the modification time of its file shows whether the holder is alive.
HEARTBEAT_SECONDS = 30.0
STALE_AFTER_SECONDS = 600.0

Holder = dict[str, Any]


@contextmanager
def locked(folder: Path) -> Iterator[Callable[[], None]]:
    """Lock `folder`; yield a check that raises StorageError once another process has taken it over.

    The lock is a subfolder with a file that identifies the holder. It is created under another name
    and renamed: of several processes, the rename succeeds for only one, and only if there is no
    lock or an empty one. The file name is unique to its holder, so removing it can only release
    that holder's lock, never its successor's. Another process removes it if the holder has ended
    or, on another machine, has sent no heartbeat for ten minutes.

    Raises:
        StorageError: another process holds the lock.
    """
    our_file = _acquire(folder / LOCK)

    def check() -> None:
        # Read the file: on a network file system its mere existence may be cached.
        if not _read_holder(our_file):
            raise StorageError(
                f"{folder} is no longer locked by this process: another took it over while this "
                f"one was stalled"
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


def _acquire(lock: Path) -> Path:
    """Acquire the lock and return our file in it."""
    claim = Path(tempfile.mkdtemp(prefix=CLAIM, dir=lock.parent))
    try:
        our_file = claim / f"{os.urandom(8).hex()}.json"
        our_file.write_text(json.dumps(_this_process()), encoding="utf-8")
        while not _try_rename(claim, lock):
            their_file = _holder_file(lock)
            if their_file is None and not claim.exists():
                raise StorageError(f"{lock.parent} is gone")
            if their_file is None:
                continue  # it has just been released
            other = _read_holder(their_file)
            if not _is_stale(other, their_file, our_file):
                raise StorageError(
                    f"{lock.parent} is in use by process {other.get('pid')} on "
                    f"{other.get('host')}, since {other.get('since')}: wait for it or stop it; "
                    f"if there is no such process, remove {lock}"
                )
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
    try:
        return next(lock.iterdir(), None)
    except FileNotFoundError:
        return None


def _read_holder(file: Path) -> Holder:
    """The holder named in `file`; empty if the file is damaged or has just been removed."""
    try:
        holder = json.loads(file.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _is_stale(other: Holder, their_file: Path, our_file: Path) -> bool:
    """Whether the lock's holder is gone. Both files get their times from the same clock."""
    if other.get("host") == socket.gethostname():
        return bool(_process_identity(other.get("pid")) != other.get("started"))
    try:
        return our_file.stat().st_mtime - their_file.stat().st_mtime > STALE_AFTER_SECONDS
    except FileNotFoundError:  # released
        return True


def _this_process() -> Holder:
    return {
        "pid": os.getpid(),
        "started": _process_identity(os.getpid()),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _process_identity(pid: object) -> str | None:
    """What tells a process from a later one with the same PID; None if there is no such process.

    On Linux this is the boot ID and the start time; elsewhere only whether it exists.
    """
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2]
        fields = after_name.split()  # from the third field on
        return None if fields[0] == "Z" else f"{_boot_id()} {fields[19]}"
    except FileNotFoundError:
        if Path("/proc/self/stat").exists() or not isinstance(pid, int):
            return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:  # owned by another user
        pass
    return "running"


def _boot_id() -> str:
    """An ID that changes whenever the machine boots."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()


def _heartbeat(file: Path, stopped: threading.Event) -> None:
    """Touch the lock file at regular intervals."""
    while not stopped.wait(HEARTBEAT_SECONDS):
        try:
            os.utime(file)
        except OSError:  # taken over, or the disk failed: `check` reports it
            return
