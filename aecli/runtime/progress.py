"""Progress bars on stderr, where it is a terminal, and in notebooks."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Self

from rich.cells import cell_len
from rich.console import RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from aecli.runtime import notebook
from aecli.runtime.status import can_erase
from aecli.runtime.terminal import err

REFRESHES_PER_SECOND = 5  # each takes a thread a millisecond or two
BYTES = "bytes"
"""The unit that is shown as kB, MB and GB."""
MIN_BAR, MAX_BAR = 10, 20  # characters


def is_terminal() -> bool:
    """Whether there is a terminal to draw on."""
    return can_erase(sys.stderr)


def can_draw() -> bool:
    """Whether there is a terminal or a notebook to draw bars on."""
    return is_terminal() or notebook.has_bars()


class Bar:
    """A progress bar; a context manager that draws it from a thread.

    Counting costs a step no more than an addition: only the thread looks at the count. In a
    notebook tqdm looks at it, ten times a second.
    """

    def __init__(
        self,
        title: str,
        total: int,
        unit: str,
        *,
        done: int = 0,
        is_kept: bool = False,
        is_shown: bool = True,
    ) -> None:
        """
        Args:
            title: what is in progress.
            total: the count at which it is complete.
            unit: what is counted, in the plural.
            done: the count to begin with.
            is_kept: whether it stays on the screen at the end.
            is_shown: False for no bar; there is none either without a terminal or notebook.
        """
        self.done = done
        self._in_notebook: Callable[[], Any] | None = None
        self._widget: Any = None
        self._progress: _Progress | None = None
        if is_shown and is_terminal():
            self._progress = _Progress(unit, lambda: self.done, is_kept)
            self._progress.add_task(title, total=total, completed=done, details="")
        elif is_shown and notebook.has_bars():
            self._in_notebook = partial(
                notebook.bar, title, total, unit, done, is_bytes=unit == BYTES, is_kept=is_kept
            )

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        if self._in_notebook is not None:
            self._widget = self._in_notebook()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()
        if self._widget is not None:
            self._widget.close()

    def advance(self, count: int = 1) -> None:
        self.done += count
        if self._widget is not None:
            self._widget.update(count)

    def describe(self, title: str, details: str = "") -> None:
        """Change the words before and after the bar."""
        if self._progress is not None:
            task = self._progress.task_ids[0]
            self._progress.update(task, description=title, details=details)
        if self._widget is not None:
            self._widget.set_description(title)
            self._widget.set_postfix_str(details)


class Bars:
    """Several progress bars, one below the other; a context manager that draws them."""

    def __init__(self, is_shown: bool = True) -> None:
        """`is_shown`: False for no bars; there are none either unless stderr is a terminal."""
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            console=err,
            redirect_stdout=False,  # which may be a file
            disable=not (is_shown and is_terminal()),
        )
        self._tasks: dict[object, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, key: object, title: str, done: int, total: int, unit: str) -> None:
        """Draw the bar of `key`, which need not be there yet."""
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(title, total=total, unit=unit)
        self._progress.update(self._tasks[key], description=title, completed=done)

    def remove(self, key: object) -> None:
        """Remove the bar of `key`, if there is one."""
        if key in self._tasks:
            self._progress.remove_task(self._tasks.pop(key))


class _Progress(Progress):
    """One line, drawn at intervals from the current `count()`.

    A narrow terminal shows fewer words, so that there is always a bar.
    """

    def __init__(self, unit: str, count: Callable[[], int], is_kept: bool) -> None:
        self._count = count
        is_bytes = unit == BYTES
        self._title = _TitleColumn()
        self._bar = BarColumn(bar_width=MAX_BAR)
        count_column = DownloadColumn() if is_bytes else MofNCompleteColumn()
        details = TextColumn("{task.fields[details]}", markup=False)
        speed = TransferSpeedColumn() if is_bytes else _SpeedColumn(unit)
        remaining = TimeRemainingColumn(compact=True)
        self._words: list[ProgressColumn] = [count_column, details, speed, remaining]
        self._expendable: list[ProgressColumn] = [count_column, speed, remaining, details]
        super().__init__(
            *self._words,
            console=err,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=not is_kept,
            redirect_stdout=False,  # which may be a file
        )

    def get_renderable(self) -> RenderableType:
        for task in self.task_ids:
            self.update(task, completed=self._count())
        for shown in self.tasks:
            self.columns = self._columns_that_fit(shown)
        return super().get_renderable()

    def _columns_that_fit(self, task: Task) -> tuple[str | ProgressColumn, ...]:
        """The title, a bar and as many words as there is room for."""
        widths = {column: cell_len(str(column(task))) for column in self._words}
        kept = [column for column in self._words if widths[column]]
        for column in self._expendable:
            if self._room(task, [widths[each] for each in kept]) < MIN_BAR and column in kept:
                kept.remove(column)
        room = self._room(task, [widths[each] for each in kept])
        self._bar.bar_width = max(MIN_BAR, min(MAX_BAR, room))
        self._title.width = self.console.width - MIN_BAR - 1
        return self._title, self._bar, *kept

    def _room(self, task: Task, words: list[int]) -> int:
        """The characters that are left for a bar next to the title and words of these widths."""
        return self.console.width - cell_len(task.description) - 1 - sum(words) - len(words)


class _TitleColumn(ProgressColumn):
    """The title; a long one loses its beginning."""

    width = 0

    def render(self, task: Task) -> Text:
        text = task.description
        return Text(text if len(text) <= self.width else f"...{text[3 - self.width :]}")


class _SpeedColumn(ProgressColumn):
    """How many units are done in a second, or how many seconds one takes."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.speed
        if not speed:
            return Text("")
        if speed < 1:
            return Text(f"{1 / speed:.1f} s each", style="progress.data.speed")
        return Text(f"{speed:,.0f} {self._unit}/s", style="progress.data.speed")
