"""A processor that is busy with other programs: how threads wait for it, and how long."""

import os
import time
from pathlib import Path

SCHEDULE = Path("/proc/thread-self/schedstat")
"""Nanoseconds that this thread ran and nanoseconds that it waited to run; Linux only."""

# How many times an OpenMP thread polls for the other threads before it sleeps. GNU's default,
# 300,000, is 20 ms on an Intel Xeon, and at every operation all threads may spin that long for one
# whose core is busy: next to two busy processes, an epoch of fc with 11,000 images took over 15 s,
# and takes 0.2 s with this value. With a tenth of it, conv takes 50 % longer on idle cores.
OPENMP_SPIN_COUNT = "50000"


def limit_spinning() -> None:
    """Have OpenMP's threads sleep after a while, unless the user has set how they wait.

    OpenMP reads the variable when torch is imported.
    """
    if "OMP_WAIT_POLICY" not in os.environ:  # another way to set the same thing
        os.environ.setdefault("GOMP_SPINCOUNT", OPENMP_SPIN_COUNT)


class ProcessorWait:
    """Measures the share of the time in which the calling thread was ready to run but could not."""

    def __init__(self) -> None:
        self._started, self._waited = time.perf_counter(), _seconds_waited()

    @property
    def seconds(self) -> float:
        """How long it has been measuring."""
        return time.perf_counter() - self._started

    def share(self) -> float | None:
        """From 0, an idle machine, to 1; None where the system does not tell."""
        waited = _seconds_waited()
        if waited is None or self._waited is None:
            return None
        return (waited - self._waited) / self.seconds


def _seconds_waited() -> float | None:
    try:
        return int(SCHEDULE.read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return None
