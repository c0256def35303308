"""Runs compared with one another and with PCA, as Python objects."""

import html
import os
from collections.abc import Iterable
from dataclasses import dataclass

from aecli.comparison.findings import findings
from aecli.comparison.gather import gather
from aecli.comparison.results import Comparison as Gathered
from aecli.comparison.table import Value, columns, notes, records, rows, to_markdown
from aecli.config.limits import expand_user
from aecli.errors import UsageError
from aecli.runs.lookup import find_folder


@dataclass(frozen=True)
class Comparison:
    """What `compare` returns; in a notebook it shows its table."""

    gathered: Gathered
    """The runs, grouped by their settings."""

    @property
    def table(self) -> list[dict[str, Value]]:
        """A row for each setting, with all digits, as in `table.csv`: `pandas.DataFrame(table)`.

        Runs that differ only in their seed share a row, with mean and standard deviation.
        """
        return records(self.gathered.settings)

    @property
    def findings(self) -> list[str]:
        """The results in sentences."""
        return findings(self.gathered)

    def __repr__(self) -> str:
        """The table in Markdown, with the findings."""
        lines = [to_markdown(self.gathered.settings), *(f"- {each}" for each in self.findings)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The table with its notes and findings, for notebooks."""
        settings = self.gathered.settings
        shown = columns(settings)
        head = "".join(f"<th>{html.escape(each.name)}</th>" for each in shown)
        body = "".join(
            f"<tr{' style=font-weight:bold' * row.is_best}>"
            + "".join(f"<td>{html.escape(cell)}</td>" for cell in row.cells)
            + "</tr>"
            for row in rows(settings, shown)
        )
        sentences = "".join(f"<p>{html.escape(each)}</p>" for each in notes(settings))
        found = "".join(f"<li>{html.escape(each)}</li>" for each in self.findings)
        return (
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f"{sentences}<ul>{found}</ul>"
        )


def compare(
    folders: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], data: str | None = None
) -> Comparison:
    """Compare all finished runs below some folders; nothing is written.

    Args:
        folders: a folder of runs or of a sweep, or several; also the beginning of a name, or
            `latest`, as on the command line.
        data: keep only runs on the data set of this name; None for all, which must be on the same.

    Raises:
        AecliError: there are no finished runs, or they are on several data sets.
    """
    given = [folders] if isinstance(folders, str | os.PathLike) else [*folders]
    if not given:
        raise UsageError("there is nothing to compare: give folders of runs")
    found = [find_folder(expand_user("folders", os.fspath(each))) for each in given]
    comparisons = gather(found, data)
    if len(comparisons) > 1:
        raise UsageError(
            f"the runs are on several data sets, {', '.join(comparisons)}, and errors on different "
            f"images cannot be compared: give data=, as in data={next(iter(comparisons))!r}"
        )
    return Comparison(next(iter(comparisons.values())))
