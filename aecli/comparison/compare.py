"""Compare runs: load them, group them, and write the comparison."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from aecli.comparison.findings import findings
from aecli.comparison.gather import gather
from aecli.comparison.results import Comparison, RunGroup
from aecli.comparison.table import sort_settings
from aecli.comparison.write import REPORT, write


@dataclass(frozen=True)
class Compared:
    """A comparison that has been written."""

    comparison: Comparison
    settings: list[RunGroup]
    """In the order of the table."""
    findings: list[str]
    """The results in sentences."""
    report: Path


def compare(folders: list[Path], output: Path, sort: str = "model") -> Compared:
    """Compare all runs below `folders` and write the comparison to the folder `output`.

    Raises:
        UsageError: there are none, or they cannot be compared.
        StorageError, OSError: the comparison cannot be written, or a file of somebody else is in
            the way.
    """
    comparison = gather(folders)
    settings = sort_settings(comparison.settings, sort)
    command = ["aecli", "compare", *map(str, folders), f"sort={sort}", f"output={output}"]
    sentences = findings(comparison)
    write(comparison, sentences, settings, output, shlex.join(command))
    return Compared(comparison, settings, sentences, output / REPORT)
