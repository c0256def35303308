"""A processor that is busy with other programs: how threads share it, and how long they wait for
it."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

THREADS = Path("/proc/self/task")
"""A folder for each thread of this process, whose `schedstat` begins with the nanoseconds that it
ran and those that it waited to run; Linux only."""

# How many times an OpenMP thread polls for the other threads before it sleeps. GNU's default,
# 300,000, is 20 ms on an Intel Xeon, and at every operation all threads may spin that long for one
# whose core is busy: next to two busy processes, an epoch of fc with 11,000 images took over 15 s,
# and takes 0.2 s with this value. With a tenth of it, conv takes 50 % longer on idle cores.
OPENMP_SPIN_COUNT = "50000"

# Seconds for which threads are watched to recognise those of torch. Linux usually updates the times
# of a thread that is running every 10 ms or more often.
WATCHED_SECONDS = 0.05

PLACEMENT = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY")
"""Variables with which users place OpenMP's threads themselves."""


def limit_spinning() -> None:
    """Make OpenMP's threads sleep after a while, unless the user has set how they wait.

    OpenMP reads the variable when torch is imported.
    """
    if "OMP_WAIT_POLICY" not in os.environ:  # another way to set the same thing
        os.environ.setdefault("GOMP_SPINCOUNT", OPENMP_SPIN_COUNT)


@contextmanager
def one_core_per_thread() -> Iterator[None]:
    """Pin torch's two threads to a core each; with other numbers of threads or cores, do nothing.

    At every operation they wait for one another. On a busy machine the scheduler may put both on
    one core, where the one that waits polls while the other cannot run: next to another process on
    two cores of an AMD EPYC, an epoch of fc took 5 to 21 s, and takes 1 to 2 s now. The results are
    the same to the bit.

    With more than two threads, OpenMP may replace some, and a new thread inherits the single core
    of the thread that starts it. So do threads that are started inside this context, until it
    exits.
    """
    cores = _cores()
    earlier, threads = {*_schedule()}, _torch_threads(len(cores))
    if not threads:
        yield
        return
    try:
        # Begin at a core chosen by the PID, so that the main threads of two runs tend to differ.
        for number, thread in enumerate(threads, start=os.getpid()):
            _confine(thread, {cores[number % len(cores)]})
        yield
    finally:
        started = {*_schedule()} - earlier
        for thread in {*threads} | started:
            _confine(thread, {*cores})


def _cores() -> list[int]:
    """The cores (with hyperthreading, the logical cores) on which the calling thread may run; none
    if the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []


def _confine(thread: int, cores: set[int]) -> None:
    # The thread may have ended, a sandbox may forbid this, or the cores may be different by now.
    # Then nothing changes, which at worst is slower.
    if sys.platform == "linux":
        with suppress(OSError):
            os.sched_setaffinity(thread, cores)


def _torch_threads(cores: int) -> list[int]:
    """The two threads with which torch computes on two cores; none if it uses other numbers, or if
    the user has placed them."""
    import torch  # `limit_spinning` is called before it is imported

    if cores != 2 or torch.get_num_threads() != 2 or os.environ.keys() & set(PLACEMENT):
        return []
    numbers = torch.ones(2**18)  # large enough for torch to use both threads
    before = {thread: ran for thread, (ran, _) in _schedule().items()}
    until = time.perf_counter() + WATCHED_SECONDS
    while time.perf_counter() < until:
        numbers.add_(1)
    ran = {thread: ran - before.get(thread, 0) for thread, (ran, _) in _schedule().items()}
    busy = [thread for thread, time_run in ran.items() if time_run > max(ran.values()) / 10]
    return busy if len(busy) == 2 else []


class ProcessorWait:
    """Measures the share of the time in which a thread was ready to run but could not: that of the
    thread of this process which waited longest."""

    def __init__(self) -> None:
        self._started, self._schedule = time.perf_counter(), _schedule()

    @property
    def seconds(self) -> float:
        """How long it has been measuring."""
        return time.perf_counter() - self._started

    def share(self) -> float | None:
        """From 0, an idle machine, to 1; None where the system does not tell."""
        waits = [
            waited - self._schedule[thread][1]
            for thread, (_, waited) in _schedule().items()
            if thread in self._schedule
        ]
        return max(waits) / 1e9 / self.seconds if waits else None


def _schedule() -> dict[int, tuple[int, int]]:
    """Thread -> the nanoseconds that it ran and that it waited to run, where the system tells."""
    found = {}
    for file in THREADS.glob("*/schedstat"):
        with suppress(OSError, ValueError):  # it has ended, or tells nothing
            ran, waited, _ = map(int, file.read_text(encoding="ascii").split())
            found[int(file.parent.name)] = ran, waited
    return found
