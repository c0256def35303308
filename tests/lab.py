"""A folder of runs and sweeps, copied from one that was trained."""

import os
import shutil
from pathlib import Path

from aecli.files.storage import natural_key
from aecli.runs.directory import CONFIG, FAILURE, METRICS, SUMMARY, RunDirectory
from aecli.runs.sweep_plan import SWEEP_FILE, save_plan
from tests.conftest import undo

FIRST = "fc-z3/2026-01-01_10-00-00-000001"
SECOND = "fc-z3/2026-01-02_10-00-00-000001"
OTHER = "fc-z30/2026-01-03_10-00-00-000001"
SWEEP = "latent/2026-01-04_10-00-00-000001"
PLANNED = f"{SWEEP}/10-fc-z3-nearest"
RUNS = (FIRST, SECOND, OTHER, f"{SWEEP}/2-fc-z3", PLANNED)
"""From the oldest to the newest."""


def make_lab(folder: Path, finished: Path) -> Path:
    """Copy `finished` to runs below `folder`, the last one of them not started yet."""
    for name in RUNS:
        shutil.copytree(finished, folder / name)
    save_plan(folder / SWEEP, [Path(name).name for name in RUNS if name.startswith(SWEEP)])
    (folder / SWEEP / SWEEP_FILE).write_text("hydra: {}\n")
    undo(RunDirectory(folder / PLANNED))
    for day, name in enumerate(RUNS):
        set_written(folder / name, 1.7e9 + 86400 * day)
    return folder


def set_written(run: Path, seconds: float) -> None:
    """Set the time at which the training of a run last wrote a file."""
    for name in (CONFIG, METRICS, SUMMARY, FAILURE):
        if (run / name).exists():
            os.utime(run / name, (seconds, seconds))


def tree(folder: Path) -> list[str]:
    """Every file and folder below `folder`."""
    paths = (str(path.relative_to(folder)) for path in folder.rglob("*"))
    return sorted(paths, key=natural_key)
