"""How long a thread waits for a processor that is busy with other programs."""

import time
from pathlib import Path

SCHEDULE = Path("/proc/thread-self/schedstat")
"""Nanoseconds that this thread ran and nanoseconds that it waited to run; Linux only."""


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
