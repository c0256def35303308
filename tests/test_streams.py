"""Standard streams that are closed, full, or speak another encoding cost no training."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aecli.errors.text import printable
from tests.conftest import TINY, with_project

TRAIN = ["train", "model=fc", "latent=2", *TINY, "hydra.run.dir=run"]
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


def shell(
    redirection: str, line: list[str], folder: Path, data_dir: Path, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a command line with its streams as a shell redirects them."""
    script = f'"$@" {redirection}'
    return subprocess.run(
        ["bash", "-c", script, "bash", sys.executable, "-m", "aecli", *line],
        cwd=folder,
        env=with_project(AECLI_DATA=str(data_dir), **variables),
        capture_output=True,
    )


@pytest.mark.parametrize(
    "redirection",
    ["2>&-", ">&-", ">&- 2>&-", "<&- >&- 2>&-", "| head -c 1; exit ${PIPESTATUS[0]}"],
)
def test_a_closed_stream_does_not_stop_a_training(
    redirection: str, tmp_path: Path, data_dir: Path
) -> None:
    done = shell(redirection, TRAIN, tmp_path, data_dir)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "summary.json").exists()
    # What so short a training leaves to be desired is said where stderr is open.
    said = b"" if "2>&-" in redirection else b"is no better than the mean image's: try another lr"
    assert said in done.stderr and done.stderr.count(b"\n") == bool(said)


@needs_full
def test_a_full_disk_behind_stderr_does_not_stop_a_training(tmp_path: Path, data_dir: Path) -> None:
    assert shell("2>/dev/full", TRAIN, tmp_path, data_dir).returncode == 0
    assert (tmp_path / "run" / "summary.json").exists()


@needs_full
@pytest.mark.parametrize("line", [["train", "latnt=3"], ["nonsense"]])
@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
def test_a_mistake_keeps_its_exit_status_without_stderr(
    redirection: str, line: list[str], tmp_path: Path, data_dir: Path
) -> None:
    done = shell(redirection, line, tmp_path, data_dir)
    assert (done.returncode, done.stdout) == (2, b"")


@needs_full
@pytest.mark.parametrize("line", [["--version"], ["shapes"], TRAIN])
def test_a_full_disk_behind_stdout_is_reported(
    line: list[str], tmp_path: Path, data_dir: Path
) -> None:
    done = shell(">/dev/full", line, tmp_path, data_dir)
    assert done.returncode == 5
    assert done.stderr == b"aecli: standard output: No space left on device\n"


def test_characters_missing_from_an_encoding_are_escaped(tmp_path: Path, data_dir: Path) -> None:
    name = "\u732b\U0001f408"
    line = [
        "train",
        "model=fc",
        "latent=2",
        *TINY,
        f"model.name={name}",
        "name=cats",
        "hydra.run.dir=run",
    ]
    done = shell("", line, tmp_path, data_dir, PYTHONIOENCODING="cp1252")
    assert done.returncode == 0, done.stderr
    assert rb"\u732b\U0001f408, latent 2" in done.stdout
    done = shell("", ["evaluate", name], tmp_path, data_dir, PYTHONIOENCODING="cp1252")
    assert done.returncode == 2
    assert done.stderr.startswith(b"aecli: \\u732b\\U0001f408 is not a folder")


def test_a_name_that_is_not_text_is_escaped(tmp_path: Path, data_dir: Path) -> None:
    done = shell("", ["evaluate", os.fsdecode(b"caf\xe9")], tmp_path, data_dir)
    assert done.returncode == 2
    assert done.stderr.startswith(b"aecli: caf\\udce9 is not a folder")


def test_a_name_in_an_error_cannot_move_the_cursor(tmp_path: Path, data_dir: Path) -> None:
    done = shell("", ["evaluate", "a\x1b[2Jb\u202ec\nd"], tmp_path, data_dir)
    assert done.stderr.startswith(rb"aecli: a\x1b[2Jb\u202ec\nd is not a folder")
    assert done.stderr.count(b"\n") == 1


def test_only_terminal_control_characters_are_escaped() -> None:
    assert printable("a\x00\x1b\x9b\r\t\u2028\u200f\ufeff") == (
        r"a\x00\x1b\x9b\r\t\u2028\u200f\ufeff"
    )
    kept = "Grüße, 猫 \U0001f469\u200d\U0001f52c\n\udce9"
    assert printable(kept) == kept
