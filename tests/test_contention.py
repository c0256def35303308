"""On a busy processor: each thread has a core of its own, and a run that waits says so, once."""

import errno
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from aecli.cli.compose import compose
from aecli.runs.directory import RunDirectory
from aecli.runtime import contention
from aecli.runtime.contention import THREADS, ProcessorWait, one_core_per_thread
from aecli.training import recorder
from aecli.training.callback import Callback
from aecli.training.loop import new_model, train
from aecli.training.state import TrainingState
from tests.test_conf import some_data
from tests.test_training import trained


def telling(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[int, str]], None]:
    """Has the system tell of the threads what is written by this."""
    monkeypatch.setattr(contention, "THREADS", folder)

    def tell(told: dict[int, str]) -> None:
        for thread, line in told.items():
            (folder / str(thread)).mkdir(exist_ok=True)
            (folder / str(thread) / "schedstat").write_text(line)

    return tell


def test_the_share_is_the_longest_time_of_a_thread_in_the_run_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = telling(tmp_path, monkeypatch)
    clock = iter([100.0, 104.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    tell({7: "7000000000 500000000 12\n", 8: "7000000000 900000000 12\n"})
    wait = ProcessorWait()
    # 1 s running, 3 s waiting; all the time running; a thread that was started in between.
    tell({7: "8000000000 3500000000 19\n", 8: "11000000000 900000000 19\n", 9: "0 5000000000 1\n"})
    assert wait.share() == 0.75


@pytest.mark.parametrize("content", [None, "", "0", "not a number"])
def test_without_scheduler_statistics_there_is_no_share(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = telling(tmp_path, monkeypatch)
    if content is not None:
        tell({7: content})
    assert ProcessorWait().share() is None


@pytest.fixture
def cores() -> Iterator[set[int]]:
    """The two cores that this process has, for as many threads."""
    if sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2 or not contention._schedule():
        pytest.skip("needs Linux, the times of its threads and two cores")
    usual, threads = os.sched_getaffinity(0), torch.get_num_threads()
    two = set(sorted(usual)[:2])
    torch.set_num_threads(2)
    torch.ones(2**20).add_(1)  # ends those that are too many
    confine(two)
    yield two
    torch.set_num_threads(threads)
    confine(usual)


def confine(cores: set[int]) -> None:
    for thread in THREADS.iterdir():
        with suppress(ProcessLookupError):  # it has just ended
            os.sched_setaffinity(int(thread.name), cores)


def where() -> list[set[int]]:
    """The cores on which each thread of this process may run."""
    found = []
    for thread in THREADS.iterdir():
        with suppress(ProcessLookupError):
            found.append(os.sched_getaffinity(int(thread.name)))
    return found


def test_each_thread_has_a_core_of_its_own_and_all_of_them_afterwards(cores: set[int]) -> None:
    with one_core_per_thread():
        inside = where()
    one, other = (each for each in inside if each != cores)
    assert one | other == cores and len(one) == len(other) == 1
    assert all(each == cores for each in where())


def test_another_run_begins_with_the_other_core(
    cores: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    process, first = os.getpid(), []
    for number in (process, process + 1):
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda number=number: number)
            with one_core_per_thread():
                first.append(os.sched_getaffinity(process))
    assert first[0] | first[1] == cores and len(first[0]) == len(first[1]) == 1


def test_a_thread_that_was_started_inside_is_free_afterwards(cores: set[int]) -> None:
    end = threading.Event()
    with one_core_per_thread():
        thread = threading.Thread(target=end.wait)
        thread.start()
        assert thread.native_id is not None
        assert len(os.sched_getaffinity(thread.native_id)) == 1
    assert os.sched_getaffinity(thread.native_id) == cores
    end.set()
    thread.join()


@pytest.mark.parametrize("threads", [1, 3])
def test_more_or_fewer_than_two_threads_are_not_placed(threads: int, cores: set[int]) -> None:
    torch.set_num_threads(threads)
    with one_core_per_thread():
        assert all(each == cores for each in where())


@pytest.mark.parametrize("variable", ["OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"])
def test_threads_stay_where_the_user_has_placed_them(
    variable: str, cores: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "false")
    with one_core_per_thread():
        assert all(each == cores for each in where())


@pytest.mark.parametrize("number", [errno.EPERM, errno.ESRCH, errno.EINVAL, errno.ENOSYS])
def test_threads_that_cannot_be_placed_are_left_alone(
    number: int, cores: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: int, wanted: set[int]) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "sched_setaffinity", refuse)
        with one_core_per_thread():
            assert all(each == cores for each in where())


@pytest.mark.usefixtures("cores")
def test_a_training_has_a_core_for_each_thread_unless_it_is_compiled(tmp_path: Path) -> None:
    seen = []

    class Watching(Callback):
        def on_epoch_end(self) -> None:
            seen.append(sum(len(each) == 1 for each in where()))

    for line in (["model=fc"], ["model=fc", "compile=true"]):
        config, data = compose(["epochs=1", *line]), some_data()
        state = TrainingState(config, new_model(config, data), data.fingerprints)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "compile", lambda model: model)
            train(config, data, state, Watching(RunDirectory(tmp_path)))
    assert seen == [2, 0]


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
