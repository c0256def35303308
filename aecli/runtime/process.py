"""The identity of a process, by which a later one can tell whether it is certainly gone.

A PID means something only within one PID namespace of one boot of one kernel: the same number is
another process in another container, on another machine, or after a restart. Host names prove
nothing, because containers share them.
"""

import hashlib
import os
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path

NAMESPACES = ("/proc/self/ns/pid", "/proc/self/ns/time")
"""What PIDs and start times are relative to."""


@dataclass(frozen=True)
class ProcessId:
    """A process, distinguishable from every other process on any machine at any time."""

    pid: int

    started: str
    """Its start time as the kernel counts it; empty if it is not known."""

    space: str
    """Where the PID and the start time have a meaning; empty if that is not known."""

    @classmethod
    def current(cls) -> "ProcessId":
        return cls(os.getpid(), _start_time(os.getpid()), _pid_space())

    def is_running(self) -> bool | None:
        """Whether the process is running; None if that cannot be told for certain from here."""
        if not self.space or self.space != _pid_space() or self.pid <= 0:
            return None
        try:
            os.kill(self.pid, 0)  # asks the kernel: /proc may hide the processes of other users
        except (ProcessLookupError, OverflowError):
            return False
        except PermissionError:  # of another user
            pass
        started = _start_time(self.pid)
        return started == self.started if started and self.started else None


def _start_time(pid: int) -> str:
    """The start time of a process; "ended" for one that only waits for its parent to notice."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2]
    except OSError:
        return ""
    fields = after_name.split()  # from the third field on
    return "ended" if fields[0] == "Z" else fields[19]


def _pid_space() -> str:
    """An identifier that differs wherever the same PID may mean another process."""
    if os.name != "posix":  # os.kill would do something else
        return ""
    if not os.path.lexists("/proc/self/stat"):  # no namespaces, as on macOS
        return _digest(socket.gethostname(), f"{uuid.getnode():x}")
    try:
        if os.readlink("/proc/self") != str(os.getpid()):  # /proc shows another namespace
            return ""
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8")
        links = [os.readlink(link) for link in NAMESPACES if os.path.lexists(link)]
    except OSError:
        return ""
    return _digest(boot.strip(), *links) if links else ""


def _digest(*parts: str) -> str:
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]
