"""The rows of docs/published.md: the published number, the tolerance, and the commands to rerun."""

import math
import re
import statistics
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "docs" / "published"
ROWS = FOLDER / "rows.yaml"

SIZE = "{d}"
"""Placeholder in the texts of a row for the size of the code, of which a row may have several."""
RUN = "RUN"
"""Placeholder in a command for each of the runs that the commands before it have trained."""

REACH = re.compile(
    r"(?P<kind>within|at most|at least|below|above)"
    r"( (?P<number>[\d.]+)(?P<percent> %)?(?P<more> (more|less))?)?"
)


@dataclass(frozen=True)
class Row:
    """One published number, and how ours is obtained."""

    name: str
    """The name of the row, and of the file with our results."""

    what: str
    """What was measured, on one line of the page."""

    published: str | None = None
    """The number as it was published, with all its digits; None: there is no accepted number."""

    source: str | None = None
    """Where it was published: a key of the sources."""

    size: str = ""
    """Size of the code, if the row is one of several."""

    reach: str | None = None
    """The goal for ours: see `interval`."""

    lines: tuple[str, ...] = ()
    """The arguments of `aecli`; a training gets the seed as well, and RUN stands for its run."""

    file: str = "summary.json"
    """The file with our number, below the folder in which the commands were run; if there are
    several, ours is their mean."""

    key: str = "test/sse"
    """The path of the number in the file: keys joined by slashes."""

    beside: dict[str, str] = field(default_factory=dict)
    """Classical methods, measured by the same commands: name -> the path of the number."""

    digits: int = 2
    """Digits after the point, if no published number determines them."""

    seeds: int = 1
    """Number of seeds of the network: 0, 1, ...; 0: nothing is random, so there is one result."""

    needs: str | None = None
    """Requirements that most machines lack. The row is then run only if it is named."""

    reason: str | None = None
    """Why our number does not meet the goal, or was not run."""

    @property
    def drawn(self) -> list[int | None]:
        """The seeds, or None for the only result of a row in which nothing is random."""
        return [*range(self.seeds)] or [None]

    @property
    def line(self) -> str:
        """All commands as one text, by which a result is recognised as that of the row."""
        return "\n".join(f"aecli {line}" for line in self.lines)


@dataclass(frozen=True)
class Source:
    """Where numbers were published."""

    name: str
    text: str
    link: str | None = None


@dataclass(frozen=True)
class Entry:
    """A row of the file, which is one row of the page or one for each size."""

    name: str
    what: str
    rows: list[Row]
    lines: list[str]
    """All commands, in as few lines as possible."""


@dataclass(frozen=True)
class Table:
    """Rows with the same measure."""

    title: str
    text: str
    entries: list[Entry]
    notes: str
    """Markdown below the table."""

    @property
    def rows(self) -> list[Row]:
        return [row for entry in self.entries for row in entry.rows]


@dataclass(frozen=True)
class Page:
    """Everything that docs/published.md is made from, besides our results."""

    sources: dict[str, Source]
    tables: list[Table]

    @property
    def rows(self) -> list[Row]:
        return [row for table in self.tables for row in table.rows]


def read_page(path: Path = ROWS) -> Page:
    """Read the file."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    tables = [
        Table(
            each["title"],
            each.get("text", ""),
            [_entry(row) for row in each["rows"]],
            each.get("notes", ""),
        )
        for each in content["tables"]
    ]
    sources = {key: Source(**each) for key, each in content["sources"].items()}
    return Page(sources, tables)


def _entry(content: dict[str, Any]) -> Entry:
    values = {**content, "lines": tuple(content.get("lines", ()))}
    published = values.pop("published", None)
    if not isinstance(published, dict):
        row = Row(published=published, **values)
        return Entry(row.name, row.what, [row], [_shown(line, row.seeds) for line in row.lines])
    every = Row(**values)
    rows = [_sized(every, str(size), number) for size, number in published.items()]
    sizes = ",".join(map(str, published))
    lines = [_shown(line.replace(SIZE, sizes), every.seeds) for line in every.lines]
    return Entry(every.name, every.what, rows, lines)


def _sized(every: Row, size: str, number: str | None) -> Row:
    """The row for one size of the code."""
    return replace(
        every,
        size=size,
        name=f"{every.name}-{size}",
        what=every.what.replace(SIZE, size),
        published=number,
        lines=tuple(line.replace(SIZE, size) for line in every.lines),
        key=every.key.replace(SIZE, size),
    )


def _shown(line: str, seeds: int) -> str:
    """One command for all sizes and seeds."""
    if not line.startswith("train"):
        return line
    if seeds > 1:
        line += f" seed={','.join(map(str, range(seeds)))}"
    several = re.search(r"=[^\s\[\"]*,", line) and " -m " not in line
    return line.replace("train ", "train -m ", 1) if several else line


def interval(reach: str, published: str | None) -> tuple[float, float]:
    """The lowest and the highest number that meet a row's goal, `reach`.

    `within 1 %` or `within 0.01` of the published number, on either side of it; `at most 3.00` and
    `at least 0.91`; `at most 5 % more` than published; `below` and `above` the published number.
    """
    found = REACH.fullmatch(reach)
    assert found, f"{reach!r} is no way to say how close counts"
    kind, number = found["kind"], float(found["number"] or 0)
    if found["number"] and not found["percent"] and kind != "within":
        limit = number
    else:
        assert published is not None, f"{reach!r} refers to a published number"
        limit = float(published)
    margin = limit * number / 100 if found["percent"] else number
    if kind == "within":
        return limit - margin, limit + margin
    margin = margin if found["percent"] else 0.0
    if kind in ("at most", "below"):
        return -math.inf, limit + margin
    return limit - margin, math.inf


YES, ON_AVERAGE, NO = "yes", "on average", "no"


def verdict(row: Row, values: list[float]) -> str | None:
    """Whether the row's goal is met: by the mean and every seed, by the mean alone, or not at all.
    None if there is no goal."""
    if row.reach is None:
        return None
    low, high = interval(row.reach, row.published)
    if not low <= statistics.fmean(values) <= high:
        return NO
    return YES if all(low <= each <= high for each in values) else ON_AVERAGE
