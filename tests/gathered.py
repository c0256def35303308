"""The one comparison of runs that share their test images."""

from pathlib import Path

from aecli.comparison import gather as gathering
from aecli.comparison.results import Comparison


def gather(folders: list[Path]) -> Comparison:
    """The comparison of the runs below `folders`, of which there must be exactly one."""
    (comparison,) = gathering.gather(folders).values()
    return comparison
