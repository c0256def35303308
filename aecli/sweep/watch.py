"""Progress of runs that other processes train."""

import threading
from pathlib import Path
from types import TracebackType
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
    """Shows how far the runs are that other processes train: a bar each, read off their folders."""

    def __init__(self, runs: list[RunDirectory]) -> None:
        self._waiting = list(runs)
        self._epochs = {run.path: run.load_config().epochs for run in runs}
        self._bars: dict[Path, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            console=console.err,
        )
        self._total = self._progress.add_task("sweep", total=len(runs), unit="runs")
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> Self:
        self._progress.start()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()
        self._look()
        self._progress.stop()

    def _poll(self) -> None:
        while not self._is_over.wait(POLL_SECONDS):
            self._look()

    def _look(self) -> None:
        """Bring the bars up to what the folders say."""
        for run in list(self._waiting):
            status = run.status
            if status in (Status.finished, Status.failed):
                self._waiting.remove(run)
                if run.path in self._bars:
                    self._progress.remove_task(self._bars.pop(run.path))
                self._progress.advance(self._total)
                console.run_line(run)
            elif status is Status.interrupted:  # has begun
                if run.path not in self._bars:
                    self._bars[run.path] = self._progress.add_task(
                        run.path.name, total=self._epochs[run.path], unit="epochs"
                    )
                self._progress.update(self._bars[run.path], completed=run.finished_epochs())
