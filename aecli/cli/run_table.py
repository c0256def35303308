"""The table of `aecli runs`."""

import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from aecli.cli.tables import fit_first_column
from aecli.errors.text import escaped, left_out_columns
from aecli.runs.discovery import Entry
from aecli.runs.listing import Listed, RunFacts, State

EXPENDABLE = ("epochs", "data", "size", "ratio\nto PCA", "age")
"""Columns that are left out in a narrow terminal, in this order."""
MIN_NAME = 16  # characters in which a name can still be read, without breaking the time in it

_SECONDS = re.compile(r"(.*\d{4}-\d\d-\d\d_\d\d-\d\d)-\d\d-\d{6}")
"""The name of a folder that ends with a time, and the part of it that is shown if that is
unambiguous."""
_STYLES = {State.failed: "red", State.damaged: "red", State.interrupted: "yellow"}


def run_table(listed: Sequence[Listed], names: dict[Path, str], width: int) -> tuple[Table, str]:
    """A table for `width` characters, with the runs of a sweep below it; and a note on the columns
    that it leaves out."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("name", no_wrap=True)
    table.add_column("data", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for heading in ("epochs", "test mse", "ratio\nto PCA", "age", "size"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in listed:
        name = names[each.entry.path]
        if each.entry.is_sweep:
            table.add_row(*_sweep_cells(each, name), style="bold")
        for run in each.shown:
            below = f"  {run.path.relative_to(each.entry.path)}" if each.entry.is_sweep else name
            table.add_row(*_run_cells(run, below), style=_STYLES.get(run.state, ""))
    dropped = fit_first_column(table, width, MIN_NAME, EXPENDABLE)
    left_out = [heading.replace("\n", " ") for heading in dropped]
    return table, left_out_columns(left_out) if left_out else ""


def short_names(entries: Sequence[Entry], folder: Path) -> dict[Path, str]:
    """The path of each run and sweep from `folder`, to the minute if that tells it from others."""
    names = {each.path: relative_name(each.path, folder) for each in entries}
    short = {path: _shortened(name) for path, name in names.items()}
    counts = Counter(short.values())
    return {path: short[path] if counts[short[path]] == 1 else names[path] for path in names}


def relative_name(path: Path, folder: Path) -> str:
    """The path of a run or a sweep from `folder`; the name of `folder` if it is `folder` itself."""
    return str(path.relative_to(folder)) if path != folder else path.resolve().name


def _shortened(name: str) -> str:
    timed = _SECONDS.fullmatch(name)
    return timed[1] if timed else name


def _sweep_cells(sweep: Listed, name: str) -> list[Text]:
    states = Counter(run.state for run in sweep.runs)
    finished = f"{states[State.finished]}/{len(sweep.runs)} finished"
    data = {run.data for run in sweep.runs}
    cells = [name, *(data if len(data) == 1 else [""]), finished, "", "", ""]
    return _cells(*cells, age(sweep.entry.written), size(sweep.bytes))


def _run_cells(run: RunFacts, name: str) -> list[Text]:
    planned = "" if run.planned_epochs is None else f"/{run.planned_epochs}"
    return _cells(
        name,
        run.data,
        run.state.value,
        f"{run.epochs}{planned}",
        "" if run.test_mse is None else f"{run.test_mse:.6f}",
        "" if run.ratio_to_pca is None else f"{run.ratio_to_pca:.3f}",
        age(run.written),
        size(run.bytes),
    )


def _cells(*texts: str | None) -> list[Text]:
    return [Text(escaped(text or "")) for text in texts]


def age(written: float) -> str:
    """The time since then, in one unit."""
    seconds = max(0.0, time.time() - written)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:,.0f} {unit}"
    return f"{seconds:.0f} s"


def size(count: int) -> str:
    """A number of bytes, as in 45 MB."""
    for unit, length in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= length:
            return f"{count / length:,.{1 if count < 10 * length else 0}f} {unit}"
    return f"{count} B"
