"""Compare runs: read them, put them side by side, and write the comparison."""

from dataclasses import dataclass
from pathlib import Path

from aecli.comparison.findings import findings
from aecli.comparison.gather import gather
from aecli.comparison.results import Comparison, Setting
from aecli.comparison.table import sort_settings
from aecli.comparison.write import REPORT, refuse_foreign_files, write


@dataclass(frozen=True)
class Compared:
    """A comparison that has been written."""

    comparison: Comparison
    settings: list[Setting]
    """In the order of the table."""
    findings: list[str]
    """What it means, in sentences."""
    report: Path


def compare(folders: list[Path], output: Path, sort: str = "model") -> Compared:
    """Compare all runs below `folders`, leaving the comparison in the folder `output`.

    Raises:
        UsageError: there are none, they cannot be compared, or `output` holds something else.
        StorageError, OSError: it cannot be written.
    """
    refuse_foreign_files(output)
    comparison = gather(folders)
    settings = sort_settings(comparison.settings, sort)
    write(comparison, settings, output)
    return Compared(comparison, settings, findings(comparison), output / REPORT)
