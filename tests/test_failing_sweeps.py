"""Sweeps with a run that comes to no end: the others do, and going on trains that one alone."""

import json
import os
import resource
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from aecli.runs.directory import RunDirectory, Status
from aecli.runs.discovery import runs_below
from aecli.runs.lock import LOCK
from aecli.runtime.process import ProcessId
from tests.apart import Done, run_apart
from tests.conftest import TINY

pytestmark = pytest.mark.undrawn

LAUNCHERS = ["basic", "joblib"]


def sweep(folder: Path, data_dir: Path, launcher: str, *line: str) -> Done:
    common = ["train", "-m", "model=fc", *TINY, f"data_dir={data_dir}", "compare=false"]
    place = ["hydra.sweep.dir=mine", f"hydra/launcher={launcher}"]
    return run_apart([*common, *line, *place], folder, limit_memory)


def limit_memory() -> None:
    """To more than a small model takes with all libraries, and less than a large one."""
    resource.setrlimit(resource.RLIMIT_AS, (2**33, resource.getrlimit(resource.RLIMIT_AS)[1]))


def statuses(folder: Path) -> list[Status]:
    return [run.status for run in runs_below(folder / "mine")]


def assert_going_on_leaves_what_is_finished(folder: Path, status: int) -> str:
    """Go on with the sweep, in one process, which starts sooner; what it wrote to stderr."""
    before = times_of_summaries(folder)
    line = ["train", "resume=mine", "compare=false", "hydra/launcher=basic"]
    done = run_apart(line, folder, limit_memory)
    assert done.status == status, done.errors
    after = times_of_summaries(folder)
    assert {path: after[path] for path in before} == before
    return done.errors


def times_of_summaries(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("summary.json")}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_an_invalid_value_is_refused_before_anything_is_trained(
    launcher: str, data_dir: Path, tmp_path: Path
) -> None:
    done = sweep(tmp_path, data_dir, launcher, "latent=2,3", "lr=0.001,-1")
    assert done.status == 2
    assert done.errors == "aecli: lr=-1.0 is not valid: give a finite number above 0\n"
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (["latent=2", "lr=0.001,1e30"], "loss became "),
        (["latent=2,200000"], "not enough memory: try a smaller batch_size or model"),
    ],
    ids=["not a number", "too little memory"],
)
def test_a_failing_run_does_not_stop_the_others(
    launcher: str, line: list[str], reason: str, data_dir: Path, tmp_path: Path
) -> None:
    done = sweep(tmp_path, data_dir, launcher, *line)
    assert done.status == 1, done.errors
    assert statuses(tmp_path) == [Status.finished, Status.failed]
    assert "Traceback" not in done.errors and reason in done.errors
    assert "1 of 2 runs are not finished; to resume: aecli train resume=mine" in done.errors
    errors = assert_going_on_leaves_what_is_finished(tmp_path, 1)  # it fails again
    assert reason in errors
    assert statuses(tmp_path) == [Status.finished, Status.failed]


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_killed_run_is_resumed(launcher: str, data_dir: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        running = pool.submit(sweep, tmp_path, data_dir, launcher, "latent=2", "epochs=1,300")
        short, long = (
            tmp_path / "mine" / name for name in ("0-fc-z2-epochs1", "1-fc-z2-epochs300")
        )
        wait_until_it_trains(long, short)
        (holder,) = (long / LOCK).iterdir()
        os.kill(int(json.loads(holder.read_bytes())["pid"]), signal.SIGKILL)
        done = running.result()
    if launcher == "basic":
        assert done.status == -signal.SIGKILL
    else:
        assert done.status == 1
        assert "1 of 2 runs are not finished" in done.errors, done.errors
    assert statuses(tmp_path) == [Status.finished, Status.interrupted]
    assert_going_on_leaves_what_is_finished(tmp_path, 0)
    assert statuses(tmp_path) == [Status.finished, Status.finished]
    epochs = [line["epoch"] for line in RunDirectory(long).load_metrics()]
    assert epochs == list(range(1, 301))


def write_down_who(file: Path) -> None:
    limit_memory()
    file.write_text(str(os.getpid()))


def holder(run: Path) -> ProcessId:
    """The process that trains a run."""
    (entry,) = (run / LOCK).iterdir()
    held = json.loads(entry.read_bytes())
    return ProcessId(held["pid"], held["started"], held["space"])


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_workers_end_when_the_sweep_is_killed_and_it_can_be_resumed(
    data_dir: Path, tmp_path: Path
) -> None:
    line = ["train", "-m", "model=fc", *TINY, f"data_dir={data_dir}", "compare=false"]
    line += ["latent=2,3,4", "epochs=100000", "hydra.sweep.dir=mine", "hydra/launcher=joblib"]
    before = partial(write_down_who, tmp_path / "pid")
    with ThreadPoolExecutor() as pool:
        running = pool.submit(run_apart, [*line, "hydra.launcher.n_jobs=2"], tmp_path, before)
        wait_for(lambda: (tmp_path / "mine/2-fc-z4/config.yaml").exists())
        runs = runs_below(tmp_path / "mine")
        wait_for(lambda: sum(run.finished_epochs() > 0 for run in runs) == 2)
        trained = [run for run in runs if run.finished_epochs()]
        workers = [holder(run.path) for run in trained]
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
        wait_for(lambda: all(worker.is_running() is False for worker in workers))
        running.result()
    assert not any((run.path / LOCK).exists() for run in runs)  # they ended by themselves
    assert sorted(run.status.value for run in runs) == ["interrupted", "interrupted", "not started"]
    kept = {run.path: run.checkpoints.newest()[0] for run in trained}
    assert None not in kept.values()
    for run in runs:
        run.save_config(replace(run.load_config(), epochs=run.finished_epochs() + 2))
    assert_going_on_leaves_what_is_finished(tmp_path, 0)
    for run in runs:
        epochs = [line["epoch"] for line in run.load_metrics()]
        assert epochs == list(range(1, run.load_config().epochs + 1))


def wait_until_it_trains(long: Path, short: Path) -> None:
    """Until one run trains and the other is finished."""
    deadline = time.monotonic() + 90
    while not (RunDirectory(long).finished_epochs() and (short / "summary.json").exists()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
