"""The rows of docs/published.md: the published number, how close counts, and the lines to rerun."""

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
"""In the texts of a row: the size of the code, of which a row may have several."""
RUN = "RUN"
"""In a line: each of the runs that the lines before it have trained."""

REACH = re.compile(
    r"(?P<kind>within|at most|at least|below|above)"
    r"( (?P<number>[\d.]+)(?P<percent> %)?(?P<more> (more|less))?)?"
)


@dataclass(frozen=True)
class Row:
    """One published number beside ours."""

    name: str
    """Also of the file with our results."""

    what: str
    """What was measured, on one line of the page."""

    published: str | None = None
    """As it was published, with all its digits; None: there is no accepted number."""

    source: str | None = None
    """Where: a key of the sources."""

    size: str = ""
    """Of the code, where the row is one of several."""

    reach: str | None = None
    """Where ours has to lie: see `interval`."""

    lines: tuple[str, ...] = ()
    """What follows `aecli`; a training gets the seed as well, and RUN stands for what it wrote."""

    file: str = "summary.json"
    """The file with our number, below the folder in which the lines were run; if there are several,
    ours is the mean over them."""

    key: str = "test/sse"
    """The number's place in the file, its keys joined by slashes."""

    beside: dict[str, str] = field(default_factory=dict)
    """Classical answers, measured by the same lines: name -> the place of the number."""

    digits: int = 2
    """After the point, where no published number tells."""

    seeds: int = 1
    """Of the network: 0, 1, ...; 0: nothing is drawn, so there is one result."""

    needs: str | None = None
    """What most machines lack. The row is then run only if it is named."""

    reason: str | None = None
    """Why ours is not within reach, or not run."""

    @property
    def drawn(self) -> list[int | None]:
        """The seeds, or None for the only result of a row that draws nothing."""
        return [*range(self.seeds)] or [None]

    @property
    def line(self) -> str:
        """All lines as one text, by which a result is known to be that of the row."""
        return "\n".join(f"aecli {line}" for line in self.lines)


@dataclass(frozen=True)
class Source:
    """Where numbers were published."""

    name: str
    text: str
    link: str | None = None


@dataclass(frozen=True)
class Entry:
    """A row of the file, which stands for one row of the page or for one for each size."""

    name: str
    what: str
    rows: list[Row]
    lines: list[str]
    """Everything in as few lines as possible."""


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
    """All that docs/published.md is made of, besides our results."""

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
    """A line for all sizes and seeds at once."""
    if not line.startswith("train"):
        return line
    if seeds > 1:
        line += f" seed={','.join(map(str, range(seeds)))}"
    several = re.search(r"=[^\s\[\"]*,", line) and " -m " not in line
    return line.replace("train ", "train -m ", 1) if several else line


def interval(reach: str, published: str | None) -> tuple[float, float]:
    """The lowest and the highest number that counts, for a row's `reach`.

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
    """Whether the row's number is reached: by the mean and by every seed, by the mean alone, or not
    at all. None: nothing was to be reached."""
    if row.reach is None:
        return None
    low, high = interval(row.reach, row.published)
    if not low <= statistics.fmean(values) <= high:
        return NO
    return YES if all(low <= each <= high for each in values) else ON_AVERAGE
