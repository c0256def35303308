"""Two processes never have the same folder."""

import errno
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from datetime import datetime, tzinfo
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from aecli.errors import StorageError
from aecli.runs import lock
from aecli.runs.lock import LOCK, STALE_AFTER_SECONDS, locked
from tests.apart import context, run_apart
from tests.conftest import TINY, with_project

pytestmark = pytest.mark.undrawn

Aecli = Callable[..., int]


def test_the_holder_is_named_until_it_releases_the_lock(tmp_path: Path) -> None:
    with locked(tmp_path):
        expected = (
            rf"{tmp_path} is in use by process {os.getpid()} on {socket.gethostname()}, since "
            rf"2\d\d\d-\d\d-\d\d \d\d:\d\d:\d\d: wait for it or stop it; if there is no such "
            rf"process, remove {tmp_path / LOCK}$"
        )
        with pytest.raises(StorageError, match=expected), locked(tmp_path):
            pass
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path):
        pass


def test_a_lock_is_released_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def leave_lock(folder: Path, **changes: object) -> Path:
    """A lock as another process leaves it that has been killed."""
    (folder / LOCK).mkdir()
    entry = folder / LOCK / "another.json"
    entry.write_text(json.dumps({**lock._this_process(), **changes}))
    return entry


@pytest.mark.parametrize(
    "changes",
    [{"pid": 2**22 + 1}, {"pid": 2**62}, {"started": "long ago"}],
    ids=["no such process", "no such number", "another of that number"],
)
def test_the_lock_of_a_process_that_has_ended_is_taken_over(
    changes: dict[str, object], tmp_path: Path
) -> None:
    leave_lock(tmp_path, **changes)
    with locked(tmp_path) as check:
        check()
    assert list(tmp_path.iterdir()) == []


def test_a_running_process_keeps_its_lock(tmp_path: Path) -> None:
    holder = leave_lock(tmp_path)
    os.utime(holder, (0, 0))  # however long ago
    with pytest.raises(StorageError, match="stop it; if there is no such"), locked(tmp_path):
        pass


# Of these, whether a process of that number is there or not says nothing.
ELSEWHERE: dict[str, dict[str, object]] = {
    "another machine": {"host": "elsewhere", "space": "0123456789abcdef"},
    "another container on the host's network, or another boot": {"space": "fedcba9876543210"},
    "a container whose /proc tells nothing": {"space": ""},
    "an earlier version": {"space": None},
    "nonsense": {"pid": None},
}


@pytest.mark.parametrize("pid", [2**22 + 1, os.getpid()], ids=["gone", "there"])
@pytest.mark.parametrize("where", ELSEWHERE)
def test_a_process_on_another_machine_is_judged_by_its_heartbeat(
    where: str, pid: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.02)
    changes: dict[str, object] = {"pid": pid, "started": "long ago", **ELSEWHERE[where]}
    holder = leave_lock(tmp_path, **changes)
    for seconds in (0, STALE_AFTER_SECONDS - 60):
        os.utime(holder, (time.time() - seconds,) * 2)
        host = changes.get("host", socket.gethostname())
        with pytest.raises(StorageError, match=f"on {host}.* lapses within"), locked(tmp_path):
            pass
    os.utime(holder, (time.time() - STALE_AFTER_SECONDS - 60,) * 2)
    with locked(tmp_path):
        pass


def test_waiting_for_a_heartbeat_is_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.02)
    holder = leave_lock(tmp_path, pid=7, host="elsewhere", space="0123456789abcdef")
    os.utime(holder, (0, 0))
    with locked(tmp_path):
        pass
    told = f"process 7 on elsewhere, which has locked {tmp_path}, is still running\n"
    assert capsys.readouterr().err == f"waiting to see whether {told}"


class Clock:
    """In place of `time`: it moves when somebody sleeps, and something happens on the way."""

    strftime = staticmethod(time.strftime)

    def __init__(self, happens_at: float, happens: Callable[[], object]) -> None:
        self.now, self.happens_at, self.happens = 0.0, happens_at, happens

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        if self.now < self.happens_at <= self.now + seconds:
            self.happens()
        self.now += seconds


def leave_old_lock(folder: Path, age: float) -> Path:
    """A lock as a process elsewhere leaves it that has not been heard of for so many seconds."""
    holder = leave_lock(folder, space="fedcba9876543210")
    os.utime(holder, (time.time() - age,) * 2)
    return holder


# By a clock that was set, the last heartbeat may also be that far ahead.
@pytest.mark.parametrize("ahead_or_behind", [-119.9, 120.1])
def test_a_lock_lapses_after_two_minutes_of_silence(
    ahead_or_behind: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_old_lock(tmp_path, ahead_or_behind)
    monkeypatch.setattr(lock, "time", Clock(-1, lambda: None))
    refused = pytest.raises(StorageError, match="its lock lapses within 120 s; if there is no such")
    with refused if ahead_or_behind < 0 else nullcontext(), locked(tmp_path):
        pass


@pytest.mark.parametrize("seconds", [3.2, 20])  # one heartbeat may be lost
def test_a_heartbeat_is_heard_while_another_process_watches(
    seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = leave_old_lock(tmp_path, 86400)
    clock = Clock(seconds, lambda: os.utime(holder))
    monkeypatch.setattr(lock, "time", clock)
    with pytest.raises(StorageError, match="is in use by process"), locked(tmp_path):
        pass
    assert clock.now < seconds + 1


def test_a_lock_without_a_heartbeat_is_watched_for_half_a_minute_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_old_lock(tmp_path, 86400)
    clock = Clock(-1, lambda: None)
    monkeypatch.setattr(lock, "time", clock)
    with locked(tmp_path):
        assert 20 < clock.now <= 30


def test_a_lock_that_is_released_while_it_is_watched_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = leave_old_lock(tmp_path, 86400)
    monkeypatch.setattr(lock, "time", Clock(1, lambda: shutil.rmtree(holder.parent)))
    with locked(tmp_path) as check:
        check()


@pytest.mark.parametrize("days", [-1, 1], ids=["back", "forward"])
def test_setting_the_clock_does_not_expire_a_live_lock(
    days: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(lock, "POLL_SECONDS", 0.01)
    with locked(tmp_path) as check:
        (holder,) = (tmp_path / LOCK).iterdir()
        holder.write_text(json.dumps({**lock._this_process(), "space": "fedcba9876543210"}))
        os.utime(holder, (time.time() - days * 86400,) * 2)  # as of the clock before
        with pytest.raises(StorageError, match="is in use by process"), locked(tmp_path):
            pass
        check()


@pytest.mark.parametrize("days", [-1, 1], ids=["back", "forward"])
def test_setting_the_clock_does_not_keep_an_abandoned_lock(
    days: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.02)
    holder = leave_lock(tmp_path, space="fedcba9876543210")
    os.utime(holder, (time.time() - days * 86400,) * 2)
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("content", [b"", b"\xff{", b"[1]", None], ids=str)
def test_a_damaged_lock_counts_by_its_age(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.02)
    holder = leave_lock(tmp_path)
    if content is None:
        holder.unlink()
    else:
        holder.write_bytes(content)
        with pytest.raises(StorageError, match="in use by process None"), locked(tmp_path):
            pass
        os.utime(holder, (0, 0))
    with locked(tmp_path):
        pass


def test_whether_a_lock_is_held_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.01)
    with locked(tmp_path):
        (entry,) = (tmp_path / LOCK).iterdir()
        os.utime(entry, (0, 0))
        deadline = time.monotonic() + 30
        while entry.stat().st_mtime == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_disk_that_fails_for_a_moment_does_not_end_the_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.01)
    failures = iter([errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
    touch, failed = os.utime, []

    def failing(*arguments: Any) -> None:
        if (number := next(failures, None)) is not None:
            failed.append(number)
            raise OSError(number, os.strerror(number))
        touch(*arguments)

    with locked(tmp_path):
        (entry,) = (tmp_path / LOCK).iterdir()
        touch(entry, (0, 0))
        monkeypatch.setattr(os, "utime", failing)
        deadline = time.monotonic() + 30
        while entry.stat().st_mtime == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert len(failed) == 3


def test_a_released_lock_gets_no_more_heartbeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.001)
    begun, touching = threading.Event(), threading.Event()

    def slow(_: Path) -> None:
        touching.set()
        begun.set()
        time.sleep(0.02)
        touching.clear()

    monkeypatch.setattr(os, "utime", slow)
    before = threading.enumerate()
    with locked(tmp_path):
        (heartbeat,) = (each for each in threading.enumerate() if each not in before)
        assert heartbeat.daemon  # on a disk that hangs it keeps no process from ending
        assert begun.wait(60)
    assert not touching.is_set()


def test_a_disk_that_takes_no_lock_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError, match="Input/output error"), locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_holder_that_lost_its_lock_notices_and_leaves_it(tmp_path: Path) -> None:
    with locked(tmp_path) as check:
        (tmp_path / LOCK).rename(tmp_path / "moved")
        lost = "is no longer locked by this process: "
        with pytest.raises(StorageError, match=f"{lost}somebody removed or changed"):
            check()
        entry = leave_lock(tmp_path, pid=4711, host="elsewhere")
        with pytest.raises(StorageError, match=f"{lost}process 4711 on elsewhere has taken it"):
            check()
    assert entry.exists()


def test_a_lock_that_has_been_damaged_is_no_longer_ours(tmp_path: Path) -> None:
    with locked(tmp_path) as check:
        check()
        (entry,) = (tmp_path / LOCK).iterdir()
        entry.write_bytes(b"")
        with pytest.raises(StorageError, match="is no longer locked by this process"):
            check()
    assert list(tmp_path.iterdir()) == []


def test_a_slow_takeover_does_not_take_a_newer_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_lock(tmp_path, pid=2**22 + 1)
    has_ended = lock._is_gone
    with ExitStack() as later:

        def slow(*arguments: Any) -> bool:
            """The answer, and before it is acted upon two others have the lock in turn."""
            answer = has_ended(*arguments)
            monkeypatch.undo()
            with locked(tmp_path):
                pass
            later.enter_context(locked(tmp_path))
            return answer

        monkeypatch.setattr(lock, "_is_gone", slow)
        with pytest.raises(StorageError, match=f"in use by process {os.getpid()} "):
            later.enter_context(locked(tmp_path))
    assert list(tmp_path.iterdir()) == []


# Several processes at once.

TRY = """
import sys
from pathlib import Path
from aecli.errors import StorageError
from aecli.runs.lock import locked
try:
    with locked(Path(sys.argv[1])) as check:
        check()
except StorageError as error:
    print(error)
"""


def in_another_namespace(folder: Path, script: str) -> str:
    """What a process in another PID namespace, as in a container, says when it wants the lock."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", script]
    done = subprocess.run(
        [*command, str(folder)], env=with_project(), capture_output=True, text=True, check=False
    )
    if "unshare failed" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip(f"needs the right to create a namespace: {done.stderr}")
    assert not done.stderr
    return done.stdout


def test_a_process_in_another_container_does_not_take_the_lock_of_a_live_one(
    tmp_path: Path,
) -> None:
    with locked(tmp_path) as check:
        assert "is in use by process" in in_another_namespace(tmp_path, TRY)
        check()
    assert in_another_namespace(tmp_path, TRY) == ""


def test_a_process_outside_does_not_take_the_lock_of_one_in_a_container(tmp_path: Path) -> None:
    killed = TRY.replace("check()", "import os; os.kill(os.getpid(), 9)")
    # The first process of a namespace cannot kill itself, so the lock is that of its child.
    in_another_namespace(tmp_path, f"import os\nif os.fork() == 0:{indented(killed)}\nos.wait()")
    (holder,) = (tmp_path / LOCK).iterdir()
    with pytest.raises(StorageError, match="is in use by process 2 "), locked(tmp_path):
        pass
    assert holder.exists()


def indented(script: str) -> str:
    return script.replace("\n", "\n    ")


def compete(folder: Path, start: Barrier, seed: int, rounds: int) -> None:
    """Get the lock so many times, and fail if somebody else is inside at the same time."""
    draw = random.Random(seed)
    start.wait()
    for _ in range(rounds):
        while True:
            try:
                with locked(folder):
                    inside = os.open(folder / "inside", os.O_CREAT | os.O_EXCL)
                    time.sleep(draw.uniform(0, 0.002))
                    os.close(inside)
                    os.unlink(folder / "inside")
                break
            except StorageError:
                time.sleep(draw.uniform(0, 0.002))


def hold(folder: Path, start: Barrier) -> None:
    with locked(folder):
        start.wait()
        time.sleep(600)


def assert_no_two_get_in(count: int, folder: Path, seed: int, rounds: int) -> None:
    start = context.Barrier(count)
    processes = [
        context.Process(target=compete, args=(folder, start, 100 * seed + number, rounds))
        for number in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0, f"seed {seed}"


@pytest.mark.parametrize("seed", range(8))
def test_several_processes_get_the_lock_one_at_a_time(seed: int, tmp_path: Path) -> None:
    assert_no_two_get_in(2 + seed % 3, tmp_path, seed, rounds=20)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seed", range(8))
def test_only_one_of_several_processes_takes_over_a_stale_lock(seed: int, tmp_path: Path) -> None:
    leave_lock(tmp_path, pid=2**22 + 1)
    assert_no_two_get_in(2 + seed % 3, tmp_path, seed, rounds=3)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("listing", ["listdir", "scandir"])
def test_a_lock_that_is_released_while_it_is_looked_at_is_free(
    listing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_lock(tmp_path, pid=2**22 + 1)
    list_folder = getattr(os, listing)

    def release_first(folder: Any) -> Any:
        if folder == tmp_path / LOCK and folder.exists():
            shutil.rmtree(folder)
        return list_folder(folder)

    monkeypatch.setattr(os, listing, release_first)
    with locked(tmp_path) as check:
        check()


@pytest.mark.parametrize("left", [None, "another.json", "notes.txt"])
def test_a_lock_that_changes_while_it_is_examined_is_examined_again(
    left: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_lock(tmp_path)
    rename = os.rename

    def change_once_taken(source: Path, target: Path) -> None:
        try:
            rename(source, target)
        except OSError:
            monkeypatch.undo()
            shutil.rmtree(target)
            if left is not None:
                leave_lock(tmp_path).rename(target / left)
            raise

    monkeypatch.setattr(os, "rename", change_once_taken)
    reasons = {"another.json": "is in use by", "notes.txt": "notes.txt is in the way of the lock"}
    refused = pytest.raises(StorageError, match=reasons[left]) if left else nullcontext()
    with refused, locked(tmp_path) as check:
        check()


def test_a_folder_that_is_removed_meanwhile_cannot_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    rename = os.rename

    def remove_first(source: Path, target: Path) -> None:
        shutil.rmtree(target.parent)
        rename(source, target)

    monkeypatch.setattr(os, "rename", remove_first)
    with pytest.raises(StorageError, match="run is gone"), locked(tmp_path / "run"):
        pass


@pytest.mark.parametrize("seed", range(2))
def test_the_lock_of_a_killed_process_is_free(seed: int, tmp_path: Path) -> None:
    start = context.Barrier(2)
    holder = context.Process(target=hold, args=(tmp_path, start))
    holder.start()
    start.wait(60)
    with pytest.raises(StorageError, match=f"in use by process {holder.pid}"), locked(tmp_path):
        pass
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    assert_no_two_get_in(2, tmp_path, seed, rounds=3)


def test_the_second_of_two_runs_in_one_folder_is_refused(data_dir: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    line = ["train", "model=fc", "latent=2", *TINY, f"data_dir={data_dir}"]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(2) as pool:
        arguments = [*line, f"hydra.run.dir={tmp_path}/run"]
        done = list(pool.map(lambda folder: run_apart(arguments, folder), folders))
    statuses = sorted(each.status for each in done)
    assert statuses in ([0, 2], [0, 5])  # it came while the other trained, or afterwards
    assert (tmp_path / "run" / "summary.json").exists()
    refused = next(each.errors for each in done if each.status)
    expected = ["already holds a run", "is in use by process", "is just starting in this one"]
    assert any(words in refused for words in expected), refused


class SlowClock(datetime):
    """Tells the same microsecond to three who ask."""

    asked = 0

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "SlowClock":
        cls.asked += 1
        return cls(2026, 1, 2, 3, 4, 5, (cls.asked - 1) // 3, tz)


def test_two_runs_started_in_the_same_microsecond_get_two_folders(
    aecli: Aecli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hydra.core.utils.datetime", SlowClock)
    taken = tmp_path / "outputs" / "fc-z2-synthetic" / "2026-01-02_03-04-05-000000"
    monkeypatch.setattr(SlowClock, "asked", 0)
    taken.mkdir(parents=True)
    assert aecli("train", "model=fc", "latent=2", *TINY) == 0
    assert list(taken.iterdir()) == []
    (run,) = tmp_path.rglob("summary.json")
    assert run.parent.parent == taken.parent and run.parent != taken


@pytest.mark.parametrize("name", [LOCK, f"{LOCK}/notes.txt", f"{LOCK}/folder/notes.txt"])
def test_a_file_that_is_not_a_lock_is_not_removed(name: str, tmp_path: Path) -> None:
    theirs = tmp_path / name
    theirs.parent.mkdir(parents=True, exist_ok=True)
    theirs.write_text("precious")
    os.utime(theirs, (0, 0))
    with pytest.raises(StorageError, match=r"\.lock.* is in the way of the lock"), locked(tmp_path):
        pass
    assert theirs.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]
