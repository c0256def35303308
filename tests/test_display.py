"""How a run shows its progress: a bar that is one, lines where there is no terminal."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from aecli.runs.directory import RunDirectory
from aecli.runs.display import Display
from aecli.runs.tracker import Resumed, Tracker
from aecli.runtime import progress
from aecli.runtime.progress import Bar
from aecli.sweep.watch import Pace
from tests.conftest import TINY

Aecli = Callable[..., int]


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("name", ["conv-z25", "run 3 of 12, 2-conv-z125-pixel_shuffle"])
def test_a_bar_is_a_bar_at_every_width(
    width: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Console(file=io.StringIO(), width=width, force_terminal=True)
    monkeypatch.setattr(progress, "err", screen)
    monkeypatch.setattr(progress, "is_terminal", lambda: True)
    bar = Bar(f"{name}, epoch 3/25", 10_000, "steps")
    bar.advance(4_000)
    bar.describe(f"{name}, epoch 3/25", "train 0.01234 val 0.01234")
    assert bar._progress is not None
    with screen.capture() as captured:
        screen.print(bar._progress.get_renderable())
    line = re.sub(r"\x1b\[[\d;]*m", "", captured.get())
    assert line.count("\n") == 1 and len(line.rstrip("\n")) <= width
    assert len(re.findall("[━╸╺]", line)) >= 10
    assert "epoch 3/25" in line
    assert "…" not in line
    if width >= 100 or (width >= 80 and len(name) < 20):
        assert "train 0.01234 val 0.01234" in line


def test_a_resumed_bar_begins_with_the_epoch_that_it_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles = []

    def new_bar(title: str, *arguments: Any, **keys: Any) -> Bar:
        titles.append(title)
        return Bar(title, *arguments, **keys)

    monkeypatch.setattr("aecli.runs.display.Bar", new_bar)
    # Two epochs of 24 steps and a part of the third; the record of the second comes once more.
    with Tracker(RunDirectory(tmp_path), 4, 24, Display("fc"), Resumed([], 2 * 24 + 13)):
        assert titles == ["fc, epoch 3/4"]


LINE = re.compile(
    r"epoch (\d)/3: train 0\.\d{5}, validation 0\.\d{5}, (kept|epoch \d is better), "
    r"patience \d of 2 left, 0:00:\d\d, [\d.e+]+ epochs/s"
)


def test_without_a_terminal_each_epoch_is_a_line(
    aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("train", "model=fc", *TINY, "epochs=3", "patience=2") == 0
    output, errors = capsys.readouterr()
    lines = output.splitlines()
    found = [match[1] for match in map(LINE.fullmatch, lines) if match]
    assert found == ["1", "2", "3"]
    assert lines.index("testing") < lines.index("drawing")
    assert "epoch 1" not in errors


@pytest.mark.undrawn
@pytest.mark.parametrize(("log", "has_lines"), [("lines", True), ("bar", False)])
def test_on_a_terminal_lines_are_a_choice(
    log: str,
    has_lines: bool,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = Console(file=io.StringIO(), width=80, force_terminal=True)
    monkeypatch.setattr(progress, "err", screen)
    monkeypatch.setattr("aecli.runs.display.can_draw", lambda: True)
    monkeypatch.setattr(progress, "is_terminal", lambda: True)
    assert aecli("train", "model=fc", *TINY, f"log={log}") == 0
    assert ("epoch 1/1: train" in capsys.readouterr().out) is has_lines
    assert isinstance(screen.file, io.StringIO)
    assert ("fc-z25-synthetic, epoch 1/1" in screen.file.getvalue()) is not has_lines


def test_an_unknown_log_is_refused(aecli: Aecli, capsys: pytest.CaptureFixture[str]) -> None:
    assert aecli("train", "log=line") == 2
    assert capsys.readouterr().err.startswith(
        "aecli: log=line is not valid: did you mean lines? (valid: bar, lines)"
    )


@pytest.mark.undrawn
def test_the_lines_of_a_sweep_name_its_runs_and_the_time_left(
    aecli: Aecli, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line = ["-m", "model=fc", "latent=2,3", "hydra.sweep.dir=sweep", "compare=false"]
    assert aecli("train", *line, *TINY) == 0
    output, errors = capsys.readouterr()
    assert "run 1 of 2, 0-fc-z2: epoch 1/1: train" in output
    assert "run 2 of 2, 1-fc-z3: epoch 1/1: train" in output
    first, second = errors.splitlines()
    assert re.fullmatch(r"run 1 of 2, 0-fc-z2: test mse .* s; about \d:\d\d:\d\d left", first)
    assert re.fullmatch(r"run 2 of 2, 1-fc-z3: test mse .* s", second)
    (tmp_path / "sweep" / "1-fc-z3" / "summary.json").unlink()
    assert aecli("train", "resume=sweep", "compare=false") == 0
    output = capsys.readouterr().out
    assert "1 finished, 1 to do, in sweep" in output
    assert output.index("1 finished") < output.index("run 1 of 1")


def test_the_time_left_follows_the_epochs(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 0.0)
    monkeypatch.setattr(RunDirectory, "finished_epochs", lambda _: 0)
    runs = [run, RunDirectory(run.path / "other")]
    monkeypatch.setattr(RunDirectory, "load_config", lambda _: type("C", (), {"epochs": 10}))
    pace = Pace(runs)
    assert pace.time_left({}) == ""
    monkeypatch.setattr("time.monotonic", lambda: 60.0)
    assert pace.time_left({run.path: 5}) == "about 0:03:00 left"
    assert pace.time_left({run.path: 10, runs[1].path: 10}) == ""


def test_in_a_notebook_tqdm_draws_the_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("aecli.runtime.notebook.has_bars", lambda: True)
    assert not Display("run").has_lines
    with progress.Bar("a run, epoch 1/2", 4, "steps", done=1, is_kept=True) as bar:
        bar.advance(2)
        bar.describe("a run, epoch 2/2", "train 0.5")
        bar.advance()
    drawn = capsys.readouterr().err
    assert "a run, epoch 1/2:  25%" in drawn
    assert "a run, epoch 2/2: 100%" in drawn and "4/4" in drawn and "train 0.5" in drawn


def test_outside_of_a_notebook_tqdm_draws_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert Display("run").has_lines
    with progress.Bar("a run", 4, "steps") as bar:
        bar.advance()
    assert capsys.readouterr().err == ""
