"""What a command says at once on a terminal, and that nothing of it stays there."""

import os
import pty
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import TINY, with_project

# Notes whether torch was imported when the first byte was written to the terminal.
CODE = """
import sys
from unittest.mock import patch
from aecli.cli.main import run
from aecli.runtime import status
first = []
write = status._write
def noted(text):
    if sys.stderr.isatty():
        first.append('torch' in sys.modules)
    write(text)
with patch.object(status, '_write', noted):
    code = run(sys.argv[1:])
print('torch first:', first[0] if 'torch' in sys.modules else 'never')
sys.exit(code)
"""


def on_terminal(folder: Path, data_dir: Path, *arguments: str, **variables: str) -> str:
    """What a command line writes to a terminal, with these variables in its environment."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        usual = {"AECLI_DATA": str(data_dir), "TERM": "xterm", "COLUMNS": "80"}
        environment = with_project(**{**usual, **variables})
        os.execve(sys.executable, [sys.executable, "-c", CODE, *arguments], environment)
    written = b""
    while True:
        try:
            block = os.read(terminal, 65536)
        except OSError:  # Linux has it at the end
            break
        if not block:
            break
        written += block
    os.waitpid(child, 0)
    os.close(terminal)
    return written.decode()


def screen(written: str) -> list[str]:
    """The lines that stay on a terminal, of what overwrites and erases the last one."""
    lines = []
    for line in written.replace("\r\n", "\n").split("\n"):
        shown = ""
        for part in line.split("\r"):
            kept = "" if "\x1b[K" in part or "\x1b[2K" in part else shown[len(part) :]
            shown = part.rpartition("\x1b[K")[2] + kept
        lines.append(shown)
    return lines


def test_training_shows_what_it_loads_and_erases_it(data_dir: Path, tmp_path: Path) -> None:
    written = on_terminal(tmp_path, data_dir, "train", "model=fc", *TINY)
    assert written.index("reading the configuration ...") < written.index("loading PyTorch ...")
    assert written.index("loading PyTorch ...") < written.index("loading synthetic ...")
    assert written.index("loading synthetic ...") < written.index("256 training")
    assert "torch first: False" in written
    assert not [line for line in screen(written) if "loading" in line or "reading" in line]


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"JPY_PARENT_PID": "1"}])
def test_without_erasing_no_status_is_written(
    variables: dict[str, str], data_dir: Path, tmp_path: Path
) -> None:
    written = on_terminal(tmp_path, data_dir, "train", "model=fc", *TINY, **variables)
    assert "loading" not in written and "\x1b[K" not in written and "\x1b[1A" not in written
    assert "epoch 1/" in written  # a line for each epoch in place of the bar


@pytest.mark.parametrize("command", ["evaluate", "reconstruct", "export"])
def test_a_command_for_a_run_says_what_it_loads(
    command: str, finished: Path, data_dir: Path, tmp_path: Path
) -> None:
    written = on_terminal(
        tmp_path, data_dir, command, str(finished), "device=cpu", f"output={tmp_path / 'out'}"
    )
    assert "loading PyTorch ..." in written and "computing ..." in written
    assert "torch first: False" in written
    assert not [line for line in screen(written) if "..." in line]


@pytest.mark.parametrize(
    "line", [["help"], ["conv", "input=2", "kernel=3"], ["train", "--help"], ["evaluate"]]
)
def test_quick_commands_show_no_status(line: list[str], data_dir: Path, tmp_path: Path) -> None:
    written = on_terminal(tmp_path, data_dir, *line)
    assert "loading PyTorch" not in written and "reading the" not in written
    assert "torch first: never" in written


def test_without_a_terminal_no_status_is_shown(
    aecli: Callable[..., int], finished: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert aecli("evaluate", str(finished), "device=cpu", f"output={tmp_path / 'out'}") == 0
    output, errors = capfd.readouterr()
    assert "loading" not in output + errors and "\x1b" not in output + errors
