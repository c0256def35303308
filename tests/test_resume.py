"""A killed run, resumed, ends where it would have ended."""

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

from aecli import experiment, training
from aecli.checkpoints import Checkpoints
from tests.apart import run_apart
from tests.same_run import assert_same_run

# A real run with everything that has a state: noise, a schedule, early stopping, pictures.
LINE = [
    "train", "model=conv", "latent=4", "data=mnist", "data.train_size=640", "data.val_size=100",
    "data.test_size=100", "batch_size=64", "epochs=6", "corruption=gaussian",
    "optimizer=adam_cosine", "optimizer.clip_norm=1", "val_every=2", "patience=5", "device=cpu",
]  # fmt: skip
# A checkpoint after every step, so that many kills fall into the writing of one.
OFTEN = "checkpoint.minutes=0"

LOADING, TRAINING, SAVING, OVER = b"l", b"t", b"s", b"o"


@dataclass(frozen=True)
class Watched:
    """Notes in a file how far the run of this process is, and ends it without warning."""

    phase: Path
    delay: float | None
    """Seconds of training until then; None: not at all."""

    def __call__(self) -> None:
        with open(self.phase, "r+b") as file:
            shared = mmap.mmap(file.fileno(), 1)
        train, save = training.train, Checkpoints.save

        def watched_train(*arguments: Any) -> None:
            shared[:] = TRAINING
            started = time.perf_counter()
            if self.delay is not None:
                threading.Thread(target=self._kill, daemon=True).start()
            train(*arguments)
            shared[:] = OVER
            self.phase.with_suffix(".seconds").write_text(str(time.perf_counter() - started))

        def watched_save(*arguments: Any) -> None:
            shared[:] = SAVING
            save(*arguments)
            shared[:] = TRAINING

        for place, name, function in (
            (experiment, "train", watched_train),
            (Checkpoints, "save", watched_save),
        ):
            setattr(place, name, function)

    def _kill(self) -> None:
        assert self.delay is not None
        time.sleep(self.delay)
        os.kill(os.getpid(), signal.SIGKILL)


def watched(folder: Path, line: list[str], delay: float | None) -> tuple[int, bytes]:
    """Run a line; its status, and the phase in which it ended."""
    phase = folder / ".phase"
    phase.write_bytes(LOADING)
    done = run_apart(line, folder, Watched(phase, delay))
    assert "Traceback" not in done.errors, done.errors
    return done.status, phase.read_bytes()


@pytest.fixture(scope="module")
def uninterrupted(mnist_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The run as it should be, and the seconds that it trains with a checkpoint now and then."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    data = f"data_dir={mnist_dir}"
    assert watched(folder, [*LINE, data, "hydra.run.dir=whole"], None)[0] == 0
    assert watched(folder, [*LINE, data, "hydra.run.dir=often", OFTEN], None)[0] == 0
    assert_same_run(folder / "often", folder / "whole")
    return folder / "whole", float((folder / ".phase.seconds").read_text())


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
        status, phase = watched(folder, line, draw.uniform(0, 0.6 * seconds))
        phases.append(phase)
        resume = ["train", "resume=run"]
        if draw.random() < 0.5:  # killed again
            watched(folder, resume, draw.uniform(0, seconds))
        assert watched(folder, resume, None)[0] == 0, f"seed {seed}"
        try:
            assert_same_run(folder / "run", whole)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, killed in {phase!r}: {error}") from error
        shutil.rmtree(folder)
    in_training = sum(phase in (TRAINING, SAVING) for phase in phases)
    assert in_training >= 0.9 * len(phases), phases
    assert SAVING in phases, phases
