"""One process at a time in a folder, on network disks as well."""

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

# Where the holder runs on another machine, only what it touches tells whether it is alive.
HEARTBEAT_SECONDS = 30.0
STALE_AFTER_SECONDS = 600.0

Holder = dict[str, Any]


@contextmanager
def locked(folder: Path) -> Iterator[Callable[[], None]]:
    """Hold `folder`, and yield what raises StorageError once somebody else holds it.

    The lock is a folder in it with a file that names its holder. It is made under another name, and
    renamed: of any number of processes that succeeds for one, and only where there is no lock or an
    empty one. The file has a name that no other holder's has, so that whoever removes it frees the
    lock of that holder, and never that of the next. It is removed for a process that has ended or,
    on another machine, has not been heard of for ten minutes.

    Raises:
        StorageError: another process holds it.
    """
    entry = _acquired(folder / LOCK)

    def check() -> None:
        # Read, and not only looked for: of files on a network disk that much may be remembered.
        if not _holder(entry):
            raise StorageError(
                f"{folder} is no longer ours: while this process stood still, another has gone on "
                f"with it"
            )

    is_over = threading.Event()
    heart = threading.Thread(target=_heartbeat, args=(entry, is_over), daemon=True)
    heart.start()
    try:
        yield check
    finally:
        is_over.set()
        heart.join()
        # Where the disk lets nothing be removed the lock stays, and is that of an ended process.
        with suppress(OSError):
            entry.unlink()
            entry.parent.rmdir()


def _acquired(lock: Path) -> Path:
    """Our entry in the lock, which is ours."""
    claim = Path(tempfile.mkdtemp(prefix=CLAIM, dir=lock.parent))
    try:
        ours = claim / f"{os.urandom(8).hex()}.json"
        ours.write_text(json.dumps(_ourselves()), encoding="utf-8")
        while not _renamed(claim, lock):
            theirs = _entry(lock)
            if theirs is None and not claim.exists():
                raise StorageError(f"{lock.parent} is gone")
            if theirs is None:
                continue  # it has just been given back
            other = _holder(theirs)
            if not _is_stale(other, theirs, ours):
                raise StorageError(
                    f"{lock.parent} is in use by process {other.get('pid')} on "
                    f"{other.get('host')}, since {other.get('since')}: wait for it or stop it; "
                    f"if there is no such process, remove {lock}"
                )
            theirs.unlink(missing_ok=True)
    finally:
        shutil.rmtree(claim, ignore_errors=True)  # where it has not become the lock
    return lock / ours.name


def _renamed(claim: Path, lock: Path) -> bool:
    """Whether the claim could be made the lock: not if it is gone, or there is one with a file."""
    try:
        os.rename(claim, lock)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            return False
        raise
    return True


def _entry(lock: Path) -> Path | None:
    """The file that names the holder, if there is one."""
    try:
        return next(lock.iterdir(), None)
    except FileNotFoundError:
        return None


def _holder(entry: Path) -> Holder:
    """Whom the entry of a lock names; nobody where it is damaged or has just been removed."""
    try:
        holder = json.loads(entry.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _is_stale(other: Holder, theirs: Path, ours: Path) -> bool:
    """Whether the holder of the lock is gone; its file and ours have their times from one clock."""
    if other.get("host") == socket.gethostname():
        return bool(_started(other.get("pid")) != other.get("started"))
    try:
        return ours.stat().st_mtime - theirs.stat().st_mtime > STALE_AFTER_SECONDS
    except FileNotFoundError:  # given back
        return True


def _ourselves() -> Holder:
    return {
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _started(pid: object) -> str | None:
    """What tells a process from a later one of the same number; None if there is no such process.

    On Linux that is the time at which it started; elsewhere nothing but its being there.
    """
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2]
        fields = after_name.split()  # from the third on
        return None if fields[0] == "Z" else f"{_boot()} {fields[19]}"
    except FileNotFoundError:
        if Path("/proc/self/stat").exists() or not isinstance(pid, int):
            return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:  # somebody else's
        pass
    return "running"


def _boot() -> str:
    """A number of the time for which this machine has been up."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()


def _heartbeat(file: Path, is_over: threading.Event) -> None:
    """Touch the lock now and then."""
    while not is_over.wait(HEARTBEAT_SECONDS):
        try:
            os.utime(file)
        except OSError:  # taken over, or no disk: `check` finds out
            return
