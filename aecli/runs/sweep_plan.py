"""Which runs a sweep consists of, on record in its folder: a run that was deleted is missed."""

import json
from collections.abc import Iterable
from pathlib import Path

from aecli.errors import StorageError
from aecli.files import write_atomically
from aecli.runs.directory import CONFIG

PLAN_FILE = "sweep.json"


def save_plan(folder: Path, names: Iterable[str]) -> None:
    """Record the folder names of the runs, relative to the sweep folder."""
    content = json.dumps({"runs": list(names)}, indent=2) + "\n"
    write_atomically(folder / PLAN_FILE, content.encode())


def missing_runs(folder: Path) -> list[Path]:
    """The planned runs of the sweep in `folder` that are not there; none if it holds no sweep.

    Raises:
        StorageError: the record is damaged.
    """
    file = folder / PLAN_FILE
    if not file.is_file():  # not a sweep, a search, or a sweep of an earlier version
        return []
    try:
        names = json.loads(file.read_bytes())["runs"]
        return [folder / name for name in names if not (folder / name / CONFIG).exists()]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StorageError(f"{file} is damaged: it does not list the runs of a sweep") from error
