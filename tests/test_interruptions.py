"""Ctrl-C and SIGTERM, wherever they come: the status, the line that goes on, and the same run."""

import itertools
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aecli.data import loaded
from aecli.runs.checkpoints import Checkpoints
from aecli.training import loop as training
from aecli.training import outcome
from tests.apart import run_apart
from tests.conftest import TINY
from tests.same_run import assert_same_run

LINE = ["train", "model=fc", "latent=2", *TINY, "epochs=4", "hydra.run.dir=run"]

# Phase -> where the function is that is called in it, and in which of its calls the signal comes.
PHASES: dict[str, tuple[Any, str, int]] = {
    "loading": (loaded, "load_data", 1),
    "training": (training, "learning_rate", 4),
    "validating": (training, "validate", 2),
    "saving": (Checkpoints, "save", 2),
    "testing": (outcome, "score_test_split", 1),
}


@dataclass(frozen=True)
class Signalled:
    """Sends signals to its own process in the midst of a phase."""

    phase: str
    number: int
    times: int

    def __call__(self) -> None:
        # The tests may run in a shell's background, where SIGINT is ignored, and pass that on.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        place, name, when = PHASES[self.phase]
        function: Callable[..., Any] = getattr(place, name)
        calls = itertools.count(1)

        def signalled(*arguments: Any, **options: Any) -> Any:
            if next(calls) == when:
                for _ in range(self.times):
                    os.kill(os.getpid(), self.number)
            return function(*arguments, **options)

        setattr(place, name, signalled)


@pytest.fixture(scope="module")
def whole(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    assert run_apart([*LINE, f"data_dir={data_dir}"], folder).status == 0
    return folder / "run"


@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
@pytest.mark.parametrize("phase", PHASES)
def test_a_run_ended_by_a_signal_can_be_resumed(
    phase: str,
    number: int,
    status: int,
    times: int,
    whole: Path,
    data_dir: Path,
    tmp_path: Path,
) -> None:
    before = Signalled(phase, number, times)
    done = run_apart([*LINE, f"data_dir={data_dir}"], tmp_path, before)
    assert done.status == status, done.errors
    assert done.errors.count("\n") == 1, done.errors
    if phase == "loading":
        assert done.errors in ("aecli: interrupted\n", "aecli: terminated\n")
        return
    assert done.errors.startswith("aecli: interrupted: ")
    advice = "; to resume: aecli train resume=run"
    if "no epoch has finished" not in done.errors:
        advice += "; to use it as it is: aecli train resume=run finish=true"
    assert done.errors.endswith(f"{advice}\n")
    done = run_apart(["train", "resume=run"], tmp_path)
    assert done.status == 0, done.errors
    assert_same_run(tmp_path / "run", whole)
