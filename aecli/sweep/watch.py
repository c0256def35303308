"""Progress display for runs that train in other processes."""

import threading
from pathlib import Path
from typing import Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from aecli.cli import console
from aecli.runs.directory import RunDirectory, Status

POLL_SECONDS = 0.5


class Watch:
    """Shows a progress bar per run in training, read from the run directories."""

    def __init__(self, runs: list[RunDirectory]) -> None:
        self._unfinished = list(runs)
        self._epochs = {run.path: run.load_config().epochs for run in runs}
        self._bars: dict[Path, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            console=console.err,
            redirect_stdout=False,  # which may be a file
        )
        self._total = self._progress.add_task("sweep", total=len(runs), unit="runs")
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> Self:
        self._progress.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._update()
        self._progress.stop()

    def _poll(self) -> None:
        while not self._stopped.wait(POLL_SECONDS):
            self._update()

    def _update(self) -> None:
        """Update the bars from the run directories."""
        for run in list(self._unfinished):
            status = run.status
            if status in (Status.finished, Status.failed):
                self._unfinished.remove(run)
                if run.path in self._bars:
                    self._progress.remove_task(self._bars.pop(run.path))
                self._progress.advance(self._total)
                console.run_line(run)
            elif status is Status.interrupted:  # or running
                if run.path not in self._bars:
                    self._bars[run.path] = self._progress.add_task(
                        run.path.name, total=self._epochs[run.path], unit="epochs"
                    )
                self._progress.update(self._bars[run.path], completed=run.finished_epochs())
