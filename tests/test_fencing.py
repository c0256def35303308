"""Whoever has lost the lock of a run writes nothing more to it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from aecli.errors import StorageError
from aecli.runs.directory import RunDirectory
from aecli.runs.lock import LOCK
from aecli.runs.records import EpochRecord
from aecli.runs.tracker import Tracker
from aecli.training import outcome
from aecli.training.recorder import Recorder
from tests.conftest import TINY

Aecli = Callable[..., int]

THE_OTHER = {"pid": 4711, "host": "elsewhere"}
TENSORS = {"a": torch.zeros(1, 1, 2, 2)}
RECORD = EpochRecord(
    epoch=1, train_loss=1.0, val_loss=None, val_mse=None, val_psnr=None, val_checkerboard=None,
    lr=0.1, seconds=1.0, images_per_second=1.0,
)  # fmt: skip


def take_over(run: Path) -> None:
    """Take the lock away, as another machine does that has heard nothing of its holder."""
    (entry,) = (run / LOCK).iterdir()
    entry.unlink()
    (run / LOCK / "another.json").write_text(json.dumps(THE_OTHER))


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


WRITES: dict[str, Callable[[RunDirectory], object]] = {
    "config": lambda run: run.begin(run.load_config()),
    "checkpoint": lambda run: run.save_checkpoint(1, {}),
    "no checkpoints": lambda run: run.remove_checkpoints(),
    "metrics": lambda run: Tracker(run, 1, 1),
    "weights": lambda run: run.save_weights(TENSORS),
    "images": lambda run: run.save_images(TENSORS, {}),
    "seen images": lambda run: run.save_seen_images(TENSORS),
    "image errors": lambda run: run.save_image_errors(TENSORS),
    "figure": lambda run: run.figure("loss"),
    "summary": lambda run: run.save_summary({}),
    "failure": lambda run: run.save_failure("none"),
}


@pytest.mark.parametrize("write", WRITES)
def test_nothing_is_written_without_the_lock(write: str, run: RunDirectory) -> None:
    with run.locked():
        take_over(run.path)
        before = contents(run.path)
        with pytest.raises(StorageError, match="process 4711 on elsewhere has taken it over"):
            WRITES[write](run)
        assert contents(run.path) == before


LOGS: dict[str, Callable[[Tracker], object]] = {
    "epoch": lambda tracker: tracker.epoch(RECORD, {}),
    "results": lambda tracker: tracker.results({}, {}, 1),
}


@pytest.mark.parametrize("log", LOGS)
def test_nothing_is_logged_without_the_lock(log: str, run: RunDirectory) -> None:
    with run.locked():
        tracker = Tracker(run, 1, 1)
        tracker._events.flush()
        take_over(run.path)
        before = contents(run.path)
        with pytest.raises(StorageError, match="is no longer locked"), tracker:
            LOGS[log](tracker)
        assert contents(run.path) == before


@pytest.mark.undrawn
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Recorder, "on_new_weights"),
        (Recorder, "on_epoch_end"),
        (Recorder, "on_checkpoint"),
        (outcome, "score_test_split"),
        (RunDirectory, "save_summary"),
    ],
)
def test_a_training_that_lost_its_lock_ends_and_writes_nothing_more(
    owner: Any,
    name: str,
    aecli: Aecli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    original, run = getattr(owner, name), tmp_path / "run"
    seen: list[dict[str, bytes | None]] = []

    def taken_over(*arguments: Any, **keywords: Any) -> object:
        if not seen:
            take_over(run)
            seen.append(contents(run))
        return original(*arguments, **keywords)

    monkeypatch.setattr(owner, name, taken_over)
    assert aecli("train", "model=fc", "latent=2", *TINY, "hydra.run.dir=run") == 5
    errors = capsys.readouterr().err.splitlines()
    assert errors[-1] == (
        "aecli: run is no longer locked by this process: process 4711 on elsewhere has taken it "
        "over"
    )
    assert contents(run) == seen[0]
