"""An overview of runs, read from small files, without PyTorch."""

import os
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from aecli.config.choices import TEST
from aecli.errors import AecliError, StorageError
from aecli.errors.text import one_line
from aecli.files.documents import MAX_YAML_BYTES, parse_yaml
from aecli.files.storage import damage_as_storage_error
from aecli.runs.directory import CONFIG, RunDirectory, Status
from aecli.runs.discovery import Entry, entries_below, last_written
from aecli.runs.lock import is_held
from aecli.runs.owned import OwnedFiles
from aecli.runs.summary import check_summary, closed_early, data_names, image_fingerprints


class State(Enum):
    """The state of a run in words: its status, and what the status does not say."""

    finished = Status.finished.value
    closed = "closed"
    """Finished before its training was over, with the weights that it had kept so far."""
    running = "running"
    """Also a finished run that is being trained further."""
    interrupted = Status.interrupted.value
    failed = Status.failed.value
    not_started = Status.planned.value
    """Planned in a sweep."""
    damaged = "damaged"
    """Its configuration or summary cannot be read."""


@dataclass(frozen=True)
class RunFacts:
    """An overview of one run. Values that cannot be read are None; `epochs` is then 0."""

    path: Path
    state: State
    reason: str | None
    """The reason why it failed, or what is damaged."""
    data: str | None
    data_names: frozenset[str]
    """The values of `data=` that select it."""
    model: str | None
    latent: int | None
    epochs: int
    """Number of finished epochs."""
    planned_epochs: int | None
    test_mse: float | None
    pca_mse: float | None
    """The mse of PCA of the same latent size on the test images."""
    bytes: int
    """In its folder."""
    written: float
    """See `last_written`."""

    @property
    def ratio_to_pca(self) -> float | None:
        """Below 1, the run's test error is smaller than PCA's."""
        return self.test_mse / self.pca_mse if self.test_mse is not None and self.pca_mse else None


@dataclass(frozen=True)
class Listed:
    """A run or a sweep, with an overview of its runs."""

    entry: Entry
    runs: list[RunFacts]
    shown: list[RunFacts]
    """The runs that were asked for."""
    bytes: int
    """In its folder; a sweep has more than its runs."""


def list_runs(folder: Path) -> list[Listed]:
    """The runs and sweeps in `folder`, at any depth, the newest first."""
    found = []
    for entry in entries_below(folder):
        runs = [read_facts(path) for path in entry.runs]
        size = size_on_disk(entry.path) if entry.is_sweep else runs[0].bytes
        found.append(Listed(entry, runs, runs, size))
    return found


def read_facts(path: Path) -> RunFacts:
    """Read the overview of the run in the folder `path`; whatever its files contain, no error is
    raised."""
    run = RunDirectory(path)
    state, known, problems = State.damaged, dict[str, Any](), list[str]()
    names = set[str]()
    try:
        known |= {"epochs": run.finished_epochs(), **_read_config(run)}
        names |= {known["data"]}
        state = State(run.status.value)
        if state is State.finished:
            summary = check_summary(run.load_summary(), str(run.summary_file))
            known |= _scores(summary)
            fingerprint = (image_fingerprints(summary) or {}).get(TEST)
            names |= {*data_names(known["data"], fingerprint)}
            state = state if closed_early(summary) is None else State.closed
        if is_held(path):
            state = State.running
    except (AecliError, OSError) as error:
        state = State.damaged
        problems.append(one_line(error))
    if state is State.failed:
        problems.append(run.failure())
    unknown = dict.fromkeys(("data", "model", "latent", "planned_epochs", "test_mse", "pca_mse"))
    return RunFacts(
        path=path,
        state=state,
        reason=problems[0] if problems else None,
        data_names=frozenset(names),
        bytes=size_on_disk(path),
        written=last_written(path),
        **{"epochs": 0, **unknown, **known},
    )


def _read_config(run: RunDirectory) -> dict[str, Any]:
    """The part of the configuration that is shown; checking all of it takes twenty times as
    long."""
    content = OwnedFiles(run.path).read(CONFIG, MAX_YAML_BYTES)
    with damage_as_storage_error(run.config_file):
        saved = parse_yaml(content)
    return {
        "data": _value(saved, "data.name", str, run.config_file),
        "model": _value(saved, "model.name", str, run.config_file),
        "latent": _value(saved, "latent", int, run.config_file),
        "planned_epochs": _value(saved, "epochs", int, run.config_file),
    }


def _scores(summary: dict[str, Any]) -> dict[str, Any]:
    return {
        "data": summary["data"]["name"],
        "epochs": summary["epochs"],
        "test_mse": summary["test"]["mse"],
        "pca_mse": summary["baselines"]["pca"]["mse"],
    }


Value = TypeVar("Value")


def _value(saved: object, path: str, kind: type[Value], file: Path) -> Value:
    """The value at a dotted path.

    Raises:
        StorageError: it is missing, or of another type.
    """
    value = saved
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, kind):
        raise StorageError(f"{file} is damaged: {path} is {value!r:.40}")
    return value


def size_on_disk(folder: Path) -> int:
    """The bytes of all files in `folder`; a link counts itself, not what it leads to."""
    total, pending = 0, [str(folder)]
    while pending:
        with suppress(OSError), os.scandir(pending.pop()) as entries:  # it may be gone
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    return total
