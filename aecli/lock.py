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

LOCK, HOLDER = ".lock", "holder.json"
CLAIM, STALE = ".lock.claim-", ".lock.stale-"

# Where the holder runs on another machine, only what it touches tells whether it is alive.
HEARTBEAT_SECONDS = 30.0
SILENT_SECONDS = 600.0

Holder = dict[str, Any]


@contextmanager
def locked(folder: Path) -> Iterator[Callable[[], None]]:
    """Hold `folder`, and yield what raises StorageError once somebody else holds it.

    The lock is a folder in it that names its holder. It is made under another name, and renamed:
    of any number of processes that succeeds for one, and there is never a lock without a holder.
    It is taken over from a process that has ended or, on another machine, has not been heard of
    for ten minutes.

    Raises:
        StorageError: another process holds it.
    """
    lock, ourselves = folder / LOCK, _ourselves()
    _acquire(lock, ourselves)

    def check() -> None:
        if _holder(lock) != ourselves:
            raise StorageError(
                f"{folder} is no longer ours: while this process stood still, another has gone on "
                f"with it"
            )

    is_over = threading.Event()
    heart = threading.Thread(target=_beat, args=(lock / HOLDER, is_over), daemon=True)
    heart.start()
    try:
        yield check
    finally:
        is_over.set()
        heart.join()
        # Where the disk lets nothing be removed the lock stays, and is that of an ended process.
        with suppress(OSError):
            if _holder(lock) == ourselves:
                _move_away(lock, ourselves)
                for aside in folder.glob(f"{STALE}*"):
                    shutil.rmtree(aside, ignore_errors=True)


def _acquire(lock: Path, ourselves: Holder) -> None:
    claim = Path(tempfile.mkdtemp(prefix=CLAIM, dir=lock.parent))
    try:
        (claim / HOLDER).write_text(json.dumps(ourselves), encoding="utf-8")
        while not _renamed(claim, lock):
            other = _holder(lock)
            if other is None and claim.exists():
                continue  # it has just been given back
            if other is None:
                raise StorageError(f"{lock.parent} is gone")
            if not _has_ended(other, lock / HOLDER, claim / HOLDER):
                raise StorageError(
                    f"{lock.parent} is in use by process {other.get('pid')} on "
                    f"{other.get('host')}, since {other.get('since')}: wait for it or stop it; "
                    f"if there is no such process, remove {lock}"
                )
            _move_away(lock, other)
    finally:
        shutil.rmtree(claim, ignore_errors=True)  # where it has not become the lock


def _move_away(lock: Path, holder: Holder) -> None:
    """Remove the lock of `holder`, and of nobody else.

    It gets a name of that holder's own, and keeps it until a later holder is done: of several
    processes that find a stale lock the second finds the name taken, and so cannot move away the
    new lock of the first.
    """
    _renamed(lock, lock.with_name(f"{STALE}{holder.get('token')}"))


def _renamed(source: Path, target: Path) -> bool:
    """Whether a folder could be given a name: not if it is gone, or a folder with files has it."""
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            return False
        raise
    return True


def _holder(lock: Path) -> Holder | None:
    """Whom a lock names; nobody where it is damaged, None where there is none."""
    try:
        holder = json.loads((lock / HOLDER).read_bytes())
        return holder if isinstance(holder, dict) else {}
    except FileNotFoundError:
        return {} if lock.exists() else None
    except ValueError:
        return {}


def _has_ended(other: Holder, theirs: Path, ours: Path) -> bool:
    """Whether the holder of the lock is gone; its file and ours have their times from one clock."""
    if other.get("host") == socket.gethostname():
        return bool(_started(other.get("pid")) != other.get("started"))
    try:
        return ours.stat().st_mtime - theirs.stat().st_mtime > SILENT_SECONDS
    except FileNotFoundError:  # given back
        return True


def _ourselves() -> Holder:
    return {
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "token": os.urandom(8).hex(),
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


def _beat(file: Path, is_over: threading.Event) -> None:
    """Touch the lock now and then."""
    while not is_over.wait(HEARTBEAT_SECONDS):
        try:
            os.utime(file)
        except OSError:  # taken over, or no disk: `check` finds out
            return
