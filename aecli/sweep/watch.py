"""The progress of a sweep: the number of the current run, how many there are, and the time left."""

import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Self

from aecli.cli import console
from aecli.runs.directory import RunDirectory, Status
from aecli.runs.remaining import is_over
from aecli.runtime.progress import Bars

POLL_SECONDS = 0.5


class Pace:
    """Counts the runs of a sweep that this process has launched, and estimates the time left."""

    def __init__(self, runs: list[RunDirectory]) -> None:
        # By absolute paths: a launcher names a folder relative to the working folder if it can.
        self._epochs = {run.path.absolute(): run.load_config().epochs for run in runs}
        self._at_start = {run.path.absolute(): run.finished_epochs() for run in runs}
        self._over: set[Path] = set()
        self._started = time.monotonic()

    @property
    def runs(self) -> int:
        """How many there are."""
        return len(self._epochs)

    @property
    def runs_over(self) -> int:
        """How many have finished or failed."""
        return len(self._over)

    def epochs(self, run: RunDirectory) -> int:
        """Epochs of a run when it is finished."""
        return self._epochs[run.path.absolute()]

    def skip(self, run: RunDirectory) -> None:
        """Count a run as over, without printing its line."""
        self._over.add(run.path.absolute())

    def end(self, run: RunDirectory) -> None:
        """Count a run that has finished or failed, and print its line."""
        self.skip(run)
        left = self.time_left({})
        console.run_line(run, f"run {self.runs_over} of {self.runs}, ", f"; {left}" if left else "")

    def time_left(self, running: dict[Path, int]) -> str:
        """An estimate of how long the others will take, if every epoch takes as long.

        Args:
            running: absolute path of a run in training -> its epochs that are done.
        """
        total = {path: epochs - self._at_start[path] for path, epochs in self._epochs.items()}
        done = sum(total[path] for path in self._over)
        done += sum(epochs - self._at_start[path] for path, epochs in running.items())
        left = sum(total.values()) - done
        if done <= 0 or left <= 0:
            return ""
        seconds = (time.monotonic() - self._started) * left / done
        return f"about {timedelta(seconds=round(seconds))} left"


class Watch:
    """Shows a progress bar per run in training, read from the run directories."""

    def __init__(self, runs: list[RunDirectory], has_bars: bool = True) -> None:
        """`has_bars`: False for only a line for each run when it ends."""
        self._unfinished = list(runs)
        self._pace = Pace(runs)
        self._bars = Bars(has_bars)
        self._show_total({})
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> Self:
        self._bars.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._update()
        self._bars.__exit__()

    def _poll(self) -> None:
        while not self._stopped.wait(POLL_SECONDS):
            self._update()

    def _update(self) -> None:
        """Update the bars from the run directories."""
        running: dict[Path, int] = {}
        for run in list(self._unfinished):
            status = run.status
            if status is Status.failed or is_over(run):
                self._unfinished.remove(run)
                self._bars.remove(run.path)
                self._pace.end(run)
            elif status is not Status.planned:
                total, done = self._pace.epochs(run), run.finished_epochs()
                running[run.path.absolute()] = done
                self._bars.show(run.path, run.path.name, done, total, "epochs")
        self._show_total(running)

    def _show_total(self, running: dict[Path, int]) -> None:
        title = " ".join(["sweep", self._pace.time_left(running)]).rstrip()
        self._bars.show("sweep", title, self._pace.runs_over, self._pace.runs, "runs")
