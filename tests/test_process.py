"""Whether a process is gone is said only where it is certain."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aecli.runtime import process
from aecli.runtime.process import ProcessId
from tests.conftest import with_project

SHOW = "from aecli.runtime.process import ProcessId as P; p = P.current(); print(p.pid, p.started, p.space)"  # fmt: skip  # noqa: E501
IN_NAMESPACE = ["unshare", "--pid", "--fork", "--kill-child"]


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits to be ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def identity(pid: int) -> ProcessId:
    return replace(ProcessId.current(), pid=pid, started=process._start_time(pid))


def test_a_process_runs_until_it_ends(child: subprocess.Popen[bytes]) -> None:
    other = identity(child.pid)
    assert ProcessId.current().is_running() is True
    assert other.is_running() is True
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert other.is_running() is False  # nobody has asked for its status yet
    child.wait()
    assert other.is_running() is False


def test_another_process_with_the_same_pid_is_not_the_same() -> None:
    assert replace(ProcessId.current(), started="1").is_running() is False


@pytest.mark.parametrize("changes", [{"space": "0" * 16}, {"space": ""}, {"pid": 0}, {"pid": -1}])
def test_on_another_machine_it_is_unknown_whether_a_process_runs(
    changes: dict[str, object],
) -> None:
    current = ProcessId.current()
    values = {"pid": current.pid, "started": current.started, "space": current.space, **changes}
    assert ProcessId(**values).is_running() is None  # type: ignore[arg-type]


@pytest.mark.parametrize("started", ["", None], ids=["not recorded", "not shown"])
def test_a_process_whose_start_is_unknown_may_be_another(
    started: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = ProcessId.current()
    if started is None:
        monkeypatch.setattr(process, "_start_time", lambda pid: "")
    else:
        current = replace(current, started=started)
    assert current.is_running() is None
    assert replace(current, pid=2**22 + 1).is_running() is False


def in_namespace(*options: str) -> ProcessId:
    """What a process in another PID namespace says of itself."""
    command = [*IN_NAMESPACE, *options, sys.executable, "-c", SHOW]
    done = subprocess.run(command, env=with_project(), capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs the right to create a namespace: {done.stderr}")
    pid, started, space = done.stdout.rstrip("\n").split(" ")
    return ProcessId(int(pid), started, space)


def test_in_another_namespace_a_pid_means_another_process() -> None:
    inside = in_namespace("--mount-proc")
    assert inside.pid < 10 and inside.space not in ("", ProcessId.current().space)
    assert inside.is_running() is None


def test_with_proc_of_another_namespace_nothing_is_certain() -> None:
    assert in_namespace().space == ""


def test_after_a_reboot_a_pid_means_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ProcessId.current()
    read = Path.read_text

    def other_boot(path: Path, *arguments: str, **keywords: str) -> str:
        text = read(path, *arguments, **keywords)
        return "another" if path.name == "boot_id" else text

    monkeypatch.setattr(Path, "read_text", other_boot)
    assert ProcessId.current().space != before.space
    assert before.is_running() is None
