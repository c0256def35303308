"""A killed run, resumed, ends where it would have ended."""

import itertools
import mmap
import os
import random
import shutil
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aecli.runs.checkpoints import Checkpoints
from aecli.training import experiment
from aecli.training import loop as training
from tests.apart import run_apart
from tests.same_run import assert_same_run

# A real run with everything that has a state: noise, a schedule, early stopping, pictures.
LINE = [
    "train", "model=conv", "latent=4", "data=mnist", "data.train_size=640", "data.val_size=100",
    "data.test_size=100", "batch_size=64", "epochs=6", "corruption=gaussian",
    "optimizer=adam_cosine", "optimizer.clip_norm=1", "val_every=2", "patience=5", "device=cpu",
]  # fmt: skip
# A checkpoint after every step, which moments are told by.
OFTEN = "checkpoint.minutes=0"
STEPS = 6 * 640 // 64  # of LINE

LOADING, TRAINING, SAVING, OVER = b"l", b"t", b"s", b"o"


@dataclass(frozen=True)
class Moment:
    """A moment of a training, wherever a machine is fast or slow."""

    saves: int
    """Which save began before it; 0: none."""
    delay: float
    """Seconds since then; 0: the save is not over."""


@dataclass(frozen=True)
class Watched:
    """Notes in a file how far the run of this process is, and ends it without warning."""

    phase: Path
    end: Moment | None

    def __call__(self) -> None:
        with open(self.phase, "r+b") as file:
            shared = mmap.mmap(file.fileno(), 1)
        train, save = training.train, Checkpoints.save
        saves = itertools.count(1)

        def watched_train(*arguments: Any) -> None:
            shared[:] = TRAINING
            started = time.perf_counter()
            self._kill_after(0)
            train(*arguments)
            shared[:] = OVER
            self.phase.with_suffix(".seconds").write_text(str(time.perf_counter() - started))

        def watched_save(*arguments: Any) -> None:
            shared[:] = SAVING
            self._kill_after(next(saves))
            save(*arguments)
            shared[:] = TRAINING

        for place, name, function in (
            (experiment, "train", watched_train),
            (Checkpoints, "save", watched_save),
        ):
            setattr(place, name, function)

    def _kill_after(self, saves: int) -> None:
        if self.end is not None and self.end.saves == saves:
            threading.Thread(target=self._kill, args=[self.end.delay], daemon=True).start()

    def _kill(self, delay: float) -> None:
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGKILL)


def watched(folder: Path, line: list[str], end: Moment | None) -> tuple[int, bytes]:
    """Run a line; its status, and the phase in which it ended."""
    phase = folder / ".phase"
    phase.write_bytes(LOADING)
    done = run_apart(line, folder, Watched(phase, end))
    assert "Traceback" not in done.errors, done.errors
    return done.status, phase.read_bytes()


@pytest.fixture(scope="module")
def uninterrupted(mnist_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The run as it should be, and the seconds of a step and its checkpoint."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    data = f"data_dir={mnist_dir}"
    assert watched(folder, [*LINE, data, "hydra.run.dir=whole"], None)[0] == 0
    assert watched(folder, [*LINE, data, "hydra.run.dir=often", OFTEN], None)[0] == 0
    assert_same_run(folder / "often", folder / "whole")
    return folder / "whole", float((folder / ".phase.seconds").read_text()) / STEPS


@pytest.mark.parametrize("batch", range(2))
def test_killed_at_any_moment_and_resumed_it_is_the_same_run(
    batch: int,
    uninterrupted: tuple[Path, float],
    mnist_dir: Path,
    tmp_path: Path,
    kills: int,
) -> None:
    whole, seconds = uninterrupted
    phases = []
    for seed in range(batch, kills, 2):
        draw = random.Random(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        line = [*LINE, f"data_dir={mnist_dir}", "hydra.run.dir=run", OFTEN]
        # Every second kill within a save, which chance alone might not hit.
        delay = 0 if seed // 2 % 2 == 0 else draw.uniform(0, 2 * seconds)
        _, phase = watched(folder, line, Moment(draw.randrange(STEPS - 5), delay))
        phases.append(phase)
        resume = ["train", "resume=run"]
        if draw.random() < 0.5:  # killed again, where there is as much left of it
            watched(folder, resume, Moment(draw.randrange(STEPS), draw.uniform(0, 2 * seconds)))
        assert watched(folder, resume, None)[0] == 0, f"seed {seed}"
        try:
            assert_same_run(folder / "run", whole)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, killed in {phase!r}: {error}") from error
        shutil.rmtree(folder)
    in_training = sum(phase in (TRAINING, SAVING) for phase in phases)
    assert in_training >= 0.9 * len(phases), phases
    assert phases.count(SAVING) >= 0.4 * len(phases), phases
