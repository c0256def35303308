"""Runs side by side: `compare` reads them, writes the comparison and tells it in the terminal."""

from pathlib import Path

from aecli import console
from aecli.comparison.findings import findings
from aecli.comparison.gather import gather
from aecli.comparison.results import Comparison, Setting
from aecli.comparison.table import sort_settings, terminal_table
from aecli.comparison.write import FOLDER, REPORT, refuse_foreign_files, write
from aecli.options import SortKey

__all__ = ["FOLDER", "compare"]


def compare(folders: list[Path], output: Path, sort: SortKey = SortKey.model) -> None:
    """Compare all runs below `folders`, leaving the comparison in the folder `output`.

    Raises:
        UsageError: there are none, they cannot be compared, or `output` holds something else.
        StorageError, OSError: it cannot be written.
    """
    refuse_foreign_files(output)
    comparison = gather(folders)
    table = sort_settings(comparison.settings, sort.value)
    write(comparison, table, output)
    tell(comparison, table, output)


def tell(comparison: Comparison, table: list[Setting], output: Path) -> None:
    """The table, what it means, and where the rest is."""
    console.table(terminal_table(table, console.out.width))
    console.bullets(findings(comparison))
    for left_out in comparison.left_out:
        console.warn(f"left out: {left_out.path}, {left_out.status}: {left_out.reason}")
    console.facts({"report": str(output / REPORT)})
