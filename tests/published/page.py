"""docs/published.md, made from the rows and from our results."""

import statistics
import textwrap
from collections.abc import Iterator
from pathlib import Path

from tests.published.results import Result, load
from tests.published.rows import (
    NO,
    PROJECT,
    SIZE,
    Entry,
    Page,
    Row,
    Source,
    Table,
    read_page,
    verdict,
)

PAGE = PROJECT / "docs" / "published.md"
WIDTH = 110

HEAD = """\
# Published numbers

Numbers from the literature next to those of aecli. Each row can be rerun by the commands below its
table. `make published` runs the rows that have no result, keeps the results in
`docs/published/results/`, and makes this page from them and from `docs/published/rows.yaml`.
`make published ROWS=hinton-pca,hinton` runs these rows alone; their names are above the commands,
and rows for several sizes of the code are called `pca-2`, `pca-4` and so on.

How to read it:

- **ours** is the mean over `n` seeds ± their standard deviation, on all test images. Without `n`
  no seed plays a part, so there is only one result.
- **met** is *yes* if the mean and each single seed lie within what is **to reach**, *on average* if
  only the mean does, and *no* otherwise; then the reason is below the table.
- **time** is the wall-clock time of the commands of one seed, with the time of all cores together
  in parentheses. If other programs were using the machine, the first is longer than it
  would be alone, and the second is about the same.
- The settings of a network are chosen on validation images; the test images are measured once, at
  the end.
"""
COLUMNS = "| what | published | source | to reach | ours | met | time |"
ALIGNED = "| --- | ---: | --- | --- | ---: | --- | ---: |"
NONE = "–"

Known = dict[str, Result | None]
"""Name of a row -> our result."""


def render(page: Page, folder: Path | None = None) -> str:
    """The page as Markdown; its results are in `folder`, or where they are kept."""
    known = {row.name: load(row, folder) for row in page.rows}
    machines = list(
        dict.fromkeys(name for each in known.values() if each for name in each.processors)
    )
    cited = {row.source for row in page.rows}
    sources = {key: each for key, each in page.sources.items() if key in cited}
    parts = [HEAD, *(_table(table, page.sources, known, machines) for table in page.tables)]
    if machines:
        facts = (f"- {_letter(number)}: {name}" for number, name in enumerate(machines))
        parts.append("\n".join(["## Processors", "", *facts, ""]))
    if sources:
        parts.append("\n".join(["## Sources", "", *map(_citation, sources.values()), ""]))
        links = [f"[{key}]: {each.link}" for key, each in sources.items() if each.link]
        parts.append("\n".join([*links, ""]))
    return "\n".join(parts)


def write_page() -> None:
    PAGE.write_text(render(read_page()), encoding="utf-8")


def _citation(source: Source) -> str:
    return f"- {source.name}: {source.text}."


def _table(table: Table, sources: dict[str, Source], known: Known, machines: list[str]) -> str:
    rows = [_cells(row, sources, known[row.name], machines) for row in table.rows]
    reasons = [sentence for entry in table.entries for sentence in _reasons(entry, known)]
    lines = [text for each in _together(table.entries) for text in each]
    return "\n".join(
        [
            *(f"## {table.title}", ""),
            *([*_wrapped(table.text), ""] if table.text else []),
            *(COLUMNS, ALIGNED, *(f"| {' | '.join(row)} |" for row in rows), ""),
            *([*reasons, ""] if reasons else []),
            *(["```", *lines, "```", ""] if lines else []),
            *([table.notes.strip(), ""] if table.notes else []),
        ]
    )


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, break_on_hyphens=False)


def _together(entries: list[Entry]) -> Iterator[list[str]]:
    """The commands of each row, below its name; those of several rows, below all their names."""
    names: dict[tuple[str, ...], list[str]] = {}
    for entry in entries:
        if entry.lines:
            names.setdefault(tuple(entry.lines), []).append(entry.name)
    for lines, own in names.items():
        yield [f"# {', '.join(own)}", *(f"aecli {line}" for line in lines)]


def _cells(
    row: Row, sources: dict[str, Source], result: Result | None, machines: list[str]
) -> list[str]:
    source = sources[row.source] if row.source else None
    link = f"[{source.name}]" + (f"[{row.source}]" if source.link else "") if source else NONE
    published = [row.published or NONE, link, row.reach or NONE]
    if result is None:
        return [row.what, *published, "not run", NONE, NONE]
    ours = spread(result.values, row)
    for name, values in result.beside.items():
        ours += f"; {name} {spread(values, row, count=False)}"
    times = ", ".join(_times(result, machines))
    return [row.what, *published, ours, verdict(row, result.values) or NONE, times]


def _times(result: Result, machines: list[str]) -> Iterator[str]:
    """How long a seed took on each machine."""
    every = [*zip(result.processors, result.seconds, result.processor_seconds, strict=True)]
    for number, machine in enumerate(machines):
        if own := [(seconds, used) for name, seconds, used in every if name == machine]:
            seconds, used = (duration([*each]) for each in zip(*own, strict=True))
            yield f"{seconds} ({used}) on {_letter(number)}"


def _reasons(entry: Entry, known: Known) -> Iterator[str]:
    """Why rows are not met or not run: a sentence for all sizes with the same reason."""
    sizes: dict[str, list[str]] = {}
    for row in entry.rows:
        result = known[row.name]
        if result is None:
            why = row.reason or (f"it needs {row.needs}" if row.needs else "")
            sizes.setdefault(f"not run: {why}" if why else "not run yet", []).append(row.size)
        elif verdict(row, result.values) == NO:
            sizes.setdefault(f"not met: {row.reason}", []).append(row.size)
    for reason, own in sizes.items():
        lines = _wrapped(f"- {entry.what.replace(SIZE, ', '.join(own))}: {reason}.")
        yield "\n  ".join(lines)


def spread(values: list[float], row: Row, count: bool = True) -> str:
    """The mean, with the standard deviation and the number of seeds if it varies."""
    digits = len(row.published.partition(".")[2]) if row.published else row.digits
    mean = f"{statistics.fmean(values):.{digits}f}"
    if not row.seeds:
        return mean
    if len({*values}) > 1:  # a number that is the same for every seed has no spread
        mean += f" ± {statistics.stdev(values):.{digits}f}"
    return f"{mean} (n = {len(values)})" if count else mean


def duration(seconds: list[float]) -> str:
    """The mean, in a unit that gives two or three digits."""
    mean = statistics.fmean(seconds)
    if mean < 120:
        return f"{mean:.0f} s"
    return f"{mean / 60:.0f} min" if mean < 7200 else f"{mean / 3600:.1f} h"


def _letter(number: int) -> str:
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[number]
