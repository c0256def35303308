"""Progress display for runs that train in other processes."""

import threading
from typing import Self

from aecli.cli import console
from aecli.runs.directory import RunDirectory, Status
from aecli.runtime.progress import Bars

POLL_SECONDS = 0.5


class Watch:
    """Shows a progress bar per run in training, read from the run directories."""

    def __init__(self, runs: list[RunDirectory]) -> None:
        self._unfinished = list(runs)
        self._epochs = {run.path: run.load_config().epochs for run in runs}
        self._bars = Bars()
        self._show_total()
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
        for run in list(self._unfinished):
            status = run.status
            if status in (Status.finished, Status.failed):
                self._unfinished.remove(run)
                self._bars.remove(run.path)
                console.run_line(run)
            elif status is Status.interrupted:  # or running
                total, done = self._epochs[run.path], run.finished_epochs()
                self._bars.show(run.path, run.path.name, done, total, "epochs")
        self._show_total()

    def _show_total(self) -> None:
        total = len(self._epochs)
        self._bars.show("sweep", "sweep", total - len(self._unfinished), total, "runs")
