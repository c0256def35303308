"""The record, in the folder of a sweep, of the runs that it consists of, by which a deleted run is
noticed."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from aecli.errors import StorageError
from aecli.files.documents import parse_json, to_json
from aecli.files.storage import MAX_JSON_BYTES, read_regular, write_atomically
from aecli.runs.directory import CONFIG

SWEEP_FILE = "multirun.yaml"
"""In a sweep folder, but not in that of a search: the command line, as Hydra records it."""
PLAN_FILE = "sweep.json"
"""In a sweep folder: which runs it consists of, or that it is a search."""
OPTUNA_FILE = "optimization_results.yaml"
"""The file that Hydra's Optuna sweeper writes to the folder of a search."""
SHARED = ".aecli-images"
"""In a sweep folder, while its runs are trained: the decoded images."""
SWEEP_FILES = (SWEEP_FILE, PLAN_FILE, OPTUNA_FILE)
"""What a sweep writes to its folder, besides its runs and their comparison."""


def save_plan(folder: Path, names: Iterable[str]) -> None:
    """Record the folder names of the runs, relative to the sweep folder."""
    write_atomically(folder / PLAN_FILE, to_json({"runs": list(names)}))


def save_search(folder: Path) -> None:
    """Record that the sweep in `folder` is a search, which chooses its runs as it goes along."""
    write_atomically(folder / PLAN_FILE, to_json({"search": True, "runs": []}))


def is_search(folder: Path) -> bool:
    """Whether there is a search in `folder`, also one of an earlier version."""
    if (folder / OPTUNA_FILE).is_file():
        return True
    with suppress(OSError, ValueError, TypeError):
        return "search" in parse_json(read_regular(folder / PLAN_FILE, MAX_JSON_BYTES))
    return False


def missing_runs(folder: Path) -> list[Path]:
    """The planned runs of the sweep in `folder` that do not exist; none if there is no sweep.

    Raises:
        StorageError: the record is damaged.
    """
    file = folder / PLAN_FILE
    if not file.is_file():  # not a sweep, a search, or a sweep of an earlier version
        return []
    try:
        return [path for path in _planned(file) if not (path / CONFIG).exists()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{file} is damaged: it does not list the runs of a sweep") from error


def forget_run(run: Path, sweep: Path) -> None:
    """Remove a run from the record of its sweep, so that it is not reported as missing; a damaged
    record stays."""
    file = sweep / PLAN_FILE
    with suppress(OSError, ValueError, KeyError, TypeError):
        planned = _planned(file)
        if run in planned:
            save_plan(sweep, (str(each.relative_to(sweep)) for each in planned if each != run))


def _planned(file: Path) -> list[Path]:
    """The runs that the record of a sweep lists; its damage raises errors of several kinds."""
    names = parse_json(read_regular(file, MAX_JSON_BYTES))["runs"]
    if not isinstance(names, list):
        raise TypeError
    return [file.parent / name for name in names]
