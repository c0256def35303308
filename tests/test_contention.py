"""A run on a busy processor says so, once."""

from pathlib import Path

import pytest
import torch

from aecli.runtime import contention
from aecli.runtime.contention import ProcessorWait
from aecli.training import recorder
from tests.test_training import trained


def test_the_share_is_the_time_in_the_run_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = tmp_path / "schedstat"
    monkeypatch.setattr(contention, "SCHEDULE", schedule)
    clock = iter([100.0, 104.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    schedule.write_text("7000000000 500000000 12\n")
    wait = ProcessorWait()
    schedule.write_text("8000000000 3500000000 19\n")  # 1 s running, 3 s waiting
    assert wait.share() == 0.75


@pytest.mark.parametrize("content", [None, "", "0", "not a number"])
def test_where_the_system_does_not_tell_there_is_no_share(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = tmp_path / "schedstat"
    if content is not None:
        schedule.write_text(content)
    monkeypatch.setattr(contention, "SCHEDULE", schedule)
    assert ProcessorWait().share() is None


@pytest.mark.parametrize(
    ("threads", "seconds", "share", "told"),
    [
        (2, 3.0, 0.8, 1),
        (2, 3.0, 0.2, 0),
        (2, 3.0, None, 0),
        (2, 1.0, 0.8, 0),  # too short to tell
        (1, 3.0, 0.8, 0),  # nothing to advise
    ],
)
def test_a_run_in_several_threads_says_once_that_the_processor_is_busy(
    threads: int,
    seconds: float,
    share: float | None,
    told: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Wait:
        def __init__(self) -> None:
            self.seconds = seconds

        def share(self) -> float | None:
            return share

    monkeypatch.setattr(recorder, "ProcessorWait", Wait)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    trained(tmp_path / "run", "model=fc", "epochs=3")
    printed = capsys.readouterr().out
    assert printed.count("for 80% of the time this run waits for other programs") == told
    assert printed.count("OMP_NUM_THREADS=1") == told
