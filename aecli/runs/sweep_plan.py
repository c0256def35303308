"""Which runs a sweep consists of, on record in its folder: a run that was deleted is missed."""

from collections.abc import Iterable
from pathlib import Path

from aecli.documents import parse_json, to_json
from aecli.errors import StorageError
from aecli.files import MAX_JSON_BYTES, read_regular, write_atomically
from aecli.runs.directory import CONFIG

SWEEP_FILE = "multirun.yaml"
"""In a sweep folder: the command line, as Hydra records it."""
PLAN_FILE = "sweep.json"


def save_plan(folder: Path, names: Iterable[str]) -> None:
    """Record the folder names of the runs, relative to the sweep folder."""
    write_atomically(folder / PLAN_FILE, to_json({"runs": list(names)}))


def missing_runs(folder: Path) -> list[Path]:
    """The planned runs of the sweep in `folder` that are not there; none if it holds no sweep.

    Raises:
        StorageError: the record is damaged.
    """
    file = folder / PLAN_FILE
    if not file.is_file():  # not a sweep, a search, or a sweep of an earlier version
        return []
    try:
        names = parse_json(read_regular(file, MAX_JSON_BYTES))["runs"]
        if isinstance(names, list):
            return [folder / name for name in names if not (folder / name / CONFIG).exists()]
    except (OSError, ValueError, KeyError, TypeError):  # no JSON, or names that no file can have
        pass
    raise StorageError(f"{file} is damaged: it does not list the runs of a sweep")
