"""A processor that is busy with other programs: how threads share it, and how long they wait."""

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

# For which torch's threads are watched to tell them from others. Linux updates the times of a
# thread that is running at least every 10 ms.
WATCHED_SECONDS = 0.05


def limit_spinning() -> None:
    """Have OpenMP's threads sleep after a while, unless the user has set how they wait.

    OpenMP reads the variable when torch is imported.
    """
    if "OMP_WAIT_POLICY" not in os.environ:  # another way to set the same thing
        os.environ.setdefault("GOMP_SPINCOUNT", OPENMP_SPIN_COUNT)


@contextmanager
def one_core_per_thread() -> Iterator[None]:
    """Keep each of torch's threads on a core of its own, if it has as many threads as cores.

    At every operation its threads wait for one another. On a busy machine the scheduler may put two
    of them on one core, where the one that waits polls while the other cannot run: beside one other
    process on two cores of an AMD EPYC, an epoch of fc took 5 to 21 s, and takes 1.4 s on cores of
    their own. The results are the same to the bit.

    Threads that the calling thread starts inside stay on its core, so it is for computing only.
    """
    if sys.platform != "linux":
        yield
        return
    cores = os.sched_getaffinity(0)
    threads = _torch_threads(len(cores))
    try:
        for thread, core in zip(threads, sorted(cores), strict=False):
            _confine(thread, {core})
        yield
    finally:
        for thread in threads:
            _confine(thread, cores)


def _confine(thread: int, cores: set[int]) -> None:
    # A sandbox may forbid it: then it stays as it is, which is slower on a busy machine at worst.
    with suppress(PermissionError, ProcessLookupError):
        os.sched_setaffinity(thread, cores)


def _torch_threads(count: int) -> list[int]:
    """The threads with which torch computes, if it does so with `count`; otherwise none."""
    import torch  # `limit_spinning` is called before it is imported

    if count == 1 or torch.get_num_threads() != count:
        return []
    numbers = torch.ones(count * 2**17)  # each thread gets at least 2**15
    before = {thread: ran for thread, (ran, _) in _schedule().items()}
    until = time.perf_counter() + WATCHED_SECONDS
    while time.perf_counter() < until:
        numbers.add_(1)
    ran = {thread: ran - before.get(thread, 0) for thread, (ran, _) in _schedule().items()}
    busy = [thread for thread, time_run in ran.items() if time_run > max(ran.values()) / 10]
    return busy if len(busy) == count else []


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
