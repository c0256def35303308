"""Temporary folders of processes that were killed are removed, and no others."""

import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from aecli.runs.lock import LOCK, locked
from aecli.runs.results import Results
from aecli.runtime import scratch
from aecli.runtime.process import ProcessId
from aecli.runtime.scratch import LEFT_OVER_AFTER_SECONDS, scratch_folder
from tests.apart import context

GONE = replace(ProcessId.current(), pid=2**22 + 1)
ELSEWHERE = replace(ProcessId.current(), space="0" * 16)


def left_by(owner: ProcessId, parent: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with monkeypatch.context() as patch:
        patch.setattr(ProcessId, "current", lambda: owner)
        folder = scratch_folder(parent, "evaluate")
    (folder / "chart.png").touch()
    return folder


def test_leftovers_of_an_ended_process_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = left_by(GONE, tmp_path, monkeypatch)
    ours = scratch_folder(tmp_path, "evaluate")
    assert not gone.exists()
    scratch_folder(tmp_path, "lock")
    assert ours.exists()


def test_leftovers_of_another_machine_stay_for_a_week(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = left_by(ELSEWHERE, tmp_path, monkeypatch)
    scratch_folder(tmp_path, "evaluate")
    assert folder.exists()
    os.utime(folder, (time.time() - LEFT_OVER_AFTER_SECONDS - 60,) * 2)
    scratch_folder(tmp_path, "evaluate")
    assert not folder.exists()


@pytest.mark.parametrize(
    "name", [".evaluate.backup1", ".lock.claim-mine1234", f"evaluate.{GONE.pid}-1-0.abcdefgh"]
)
def test_a_folder_of_another_program_stays(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    os.utime(tmp_path / name, (0, 0))
    scratch_folder(tmp_path, "evaluate")
    assert (tmp_path / name).exists()


def test_a_link_or_a_file_with_such_a_name_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = left_by(GONE, tmp_path, monkeypatch)
    shutil.rmtree(folder)
    (tmp_path / "precious").mkdir()
    folder.symlink_to(tmp_path / "precious")
    file = folder.with_name(folder.name[:-1] + "0")
    file.touch()
    scratch_folder(tmp_path, "evaluate")
    assert folder.is_symlink() and file.exists()


def killed_with_results(folder: Path) -> None:
    with Results(folder / "evaluate", "evaluate") as results:
        results.file("old", b"content")
        os.kill(os.getpid(), signal.SIGKILL)


def killed_while_it_claims(folder: Path) -> None:
    os.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    with locked(folder):
        pass


@pytest.mark.parametrize("killed", [killed_with_results, killed_while_it_claims])
def test_leftovers_of_a_killed_process_are_removed_by_the_next(
    killed: object, tmp_path: Path
) -> None:
    process = context.Process(target=killed, args=(tmp_path,))  # type: ignore[arg-type]
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    with locked(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]


def test_mkdtemp_names_folders_as_expected(tmp_path: Path) -> None:
    assert scratch.OWNED.fullmatch(scratch_folder(tmp_path, "it's (a) name.x").name)
