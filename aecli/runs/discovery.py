"""Find the runs below a folder."""

import os
from collections.abc import Iterator
from pathlib import Path

from aecli.errors import UsageError
from aecli.files import natural_key
from aecli.runs.directory import CONFIG, HYDRA, RunDirectory
from aecli.runs.owned import NEXT


def runs_below(folder: Path) -> list[RunDirectory]:
    """All runs in `folder`, at any depth and including itself, in natural order of their paths.

    Runs behind symbolic links are among them; each is listed once.

    Raises:
        UsageError: it contains none.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: give run folders or folders that hold runs")
    paths = (path for path in folders_below(folder) if path.name not in (HYDRA, NEXT))
    runs = [run for run in map(RunDirectory, paths) if run.exists()]
    if not runs:
        raise UsageError(f"{folder} holds no runs: give a folder that aecli train has written")
    return sorted(runs, key=lambda run: natural_key(str(run.path)))


def has_runs(folder: Path) -> bool:
    """Whether there is a run in `folder`, at any depth, or another program's configuration."""
    paths = (path for path in folders_below(folder) if path.name not in (HYDRA, NEXT))
    return any((path / CONFIG).exists() for path in paths)


def folders_below(folder: Path) -> Iterator[Path]:
    """Every folder in `folder`, including itself, once: first those that are not behind links."""
    visited: set[Path] = set()
    pending = [folder]
    while pending:
        for name, subfolders, _ in os.walk(pending.pop(0)):
            path = Path(name)
            if path.resolve() in visited:
                subfolders.clear()
                continue
            visited.add(path.resolve())
            yield path
            links = (path / each for each in subfolders if (path / each).is_symlink())
            # A link to a folder around this one leads in a circle, and to what was not asked for.
            pending += [link for link in links if link.resolve() not in folder.resolve().parents]
