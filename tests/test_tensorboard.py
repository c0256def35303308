"""Event files are in order whatever the clock does."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from aecli.runs import tensorboard
from aecli.runs.tensorboard import EventsFile
from tests.conftest import TINY

Aecli = Callable[..., int]
DAY = 86400.0


class Clock:
    """A clock that can be set."""

    def __init__(self) -> None:
        self.offset = 0.0
        self._time = time.time

    def __call__(self) -> float:
        return self._time() + self.offset


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    return clock


def read(folder: Path, tag: str) -> tuple[list[int], list[float]]:
    """Steps and times of a curve, as TensorBoard shows it."""
    events = EventAccumulator(str(folder)).Reload().Scalars(tag)
    return [event.step for event in events], [event.wall_time for event in events]


@pytest.mark.undrawn
@pytest.mark.parametrize(
    "offsets",
    [[0, -1], [0, -1, -1], [0, -1, -2, -3], [0, 365, 0, 0], [0, 0, 0, 0]],
    ids=str,
)
def test_a_curve_has_no_point_twice_when_the_clock_is_set_before_a_resume(
    offsets: list[int], clock: Clock, aecli: Aecli, tmp_path: Path
) -> None:
    line = ["train", "model=fc", "latent=2", *TINY, "epochs=2", "hydra.run.dir=run"]
    assert aecli(*line) == 0
    for number, offset in enumerate(offsets[1:], start=2):
        clock.offset = offset * DAY
        assert aecli("train", "resume=run", f"epochs={2 * number}") == 0
    epochs = list(range(1, 2 * len(offsets) + 1))
    for tag in ("loss/train", "mse/validation"):
        steps, times = read(tmp_path / "run", tag)
        assert steps == epochs
        assert times == sorted(times)


def test_several_files_of_one_second_are_in_order(tmp_path: Path, clock: Clock) -> None:
    for step in range(1, 13):
        clock.offset -= DAY
        with EventsFile(tmp_path, step) as events:
            events.scalar("a", float(step), step)
            events.scalar("a", -1.0, step + 1)  # which the next file takes back
    steps, times = read(tmp_path, "a")
    assert steps == list(range(1, 14))
    assert times == sorted(times)


def test_times_do_not_go_back_when_the_clock_is_set_during_a_run(
    tmp_path: Path, clock: Clock
) -> None:
    with EventsFile(tmp_path) as events:
        for step in (1, 2, 3):
            events.scalar("a", 0.0, step)
            clock.offset -= DAY
    steps, times = read(tmp_path, "a")
    assert steps == [1, 2, 3] and times == sorted(times)


def test_the_times_of_a_file_are_those_that_tensorboard_reads(tmp_path: Path) -> None:
    with EventsFile(tmp_path) as events:
        for step in range(100):
            events.scalar("a" * step, 0.5, step)
    (file,) = tmp_path.iterdir()
    times = list(tensorboard._times(file))
    assert times[1:] == [
        event.wall_time
        for step in range(100)
        for event in EventAccumulator(str(tmp_path)).Reload().Scalars("a" * step)
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: b"\xff" * len(content),
        lambda content: b"\x00" * len(content),
        lambda content: content[:6] + b"\x04" + content[7:],
        lambda content: content + content[:5],
    ],
    ids=["empty", "cut off", "ones", "zeros", "long", "begun"],
)
def test_a_damaged_file_is_passed_over(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    with EventsFile(tmp_path) as events:
        events.scalar("a", 0.5, 1)
    (file,) = tmp_path.iterdir()
    file.write_bytes(change(file.read_bytes()))
    with EventsFile(tmp_path, 2) as events:
        events.scalar("a", 0.25, 2)
    _, newer = sorted(tmp_path.iterdir())
    assert newer != file
    steps, times = read(tmp_path, "a")
    assert steps[-1] == 2
    assert times[-1] == pytest.approx(time.time(), abs=3600)
