"""At 60, 80 and 120 columns, no number of any command's tables is cut."""

import copy
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from aecli.cli import console
from aecli.cli.tables import drop_columns, fitted, new_table
from aecli.runs.directory import RunDirectory
from tests.conftest import TINY, train_once

Aecli = Callable[..., int]
WIDTHS = [60, 80, 120]
_NUMBER = re.compile(r"\d[\d.,]*\d|\d")


def rendered(parts: list[RenderableType], width: int) -> str:
    screen = Console(file=io.StringIO(), width=width, highlight=False)
    for part in parts:
        screen.print(part)
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def numbers(text: str) -> set[str]:
    return set(_NUMBER.findall(text))


def assert_whole(content: Table, parts: list[RenderableType], width: int) -> None:
    """Check that what is printed of `content` is no wider than `width` and has its numbers."""
    shown = rendered(parts, width)
    expected = [
        cell if isinstance(cell, Text) else Text.from_markup(str(cell))
        for column in content.columns
        for cell in column.cells
    ]
    for cell in expected:
        assert numbers(cell.plain) <= numbers(shown), (width, cell.plain, shown)
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Check every table that is printed at the three widths; returns the titles."""
    titles: list[str] = []

    def check(content: Table, width: int) -> list[Text | Table]:
        titles.append(str(content.title))
        for each in WIDTHS:
            parts = fitted(copy.deepcopy(content), each)
            assert_whole(content, [*parts], each)
        return fitted(content, width)

    monkeypatch.setattr(console, "fitted", check)
    return titles


LINES = [
    "evaluate", "reconstruct", "interpolate", "sample", "embed", "denoise strengths=0.125,0.25",
    "compress", "probe draws=2", "robust eps=0.1 n=20", "export",
]  # fmt: skip


@pytest.mark.undrawn("evaluate", "embed", "denoise", "compress", "probe", "robust", "export")
@pytest.mark.parametrize("line", LINES)
def test_the_tables_of_a_command(
    line: str, run: RunDirectory, aecli: Aecli, checked: list[str]
) -> None:
    command, *keys = line.split()
    assert aecli(command, str(run.path), "device=cpu", *keys) == 0
    assert checked


@pytest.mark.undrawn("superres", "anomaly")
@pytest.mark.parametrize(
    ("command", "key", "tables"),
    [("superres", "corruption=downsample", 1), ("anomaly", "data.classes=[3,5]", 2)],
)
def test_the_tables_of_a_command_for_certain_runs(
    command: str,
    key: str,
    tables: int,
    aecli: Aecli,
    data_dir: Path,
    tmp_path: Path,
    checked: list[str],
) -> None:
    run = train_once(tmp_path / "certain", data_dir, key, "latent=3")
    assert aecli(command, str(run), "device=cpu") == 0
    assert len(checked) == 1 + tables  # that of the training as well


@pytest.mark.undrawn("train", "compare")
def test_the_tables_of_a_sweep(aecli: Aecli, checked: list[str]) -> None:
    line = ["-m", "model=fc", "latent=3,125", "batch_size=64,128", *TINY]
    assert aecli("train", *line, "name=a-name-of-many-words-and-numbers-1234-z${latent}") == 0
    assert len(checked) == 1


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("line", ["model=deep image_size=512 latent=125", "model=fc latent=784"])
def test_the_layers_of_a_network(
    line: str,
    width: int,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size = [] if "image_size" in line else ["data=mnist"]
    own = ["data=folder", "path=x", "channels=3"] if not size else size
    seen: list[tuple[int, list[str]]] = []

    def check(content: Table, _: int, min_text: int) -> list[str]:
        left_out = drop_columns(content, width, min_text)
        assert_whole(content, [content], width)
        seen.append((len(content.columns), left_out))
        return left_out

    monkeypatch.setattr(console, "drop_columns", check)
    assert aecli("shapes", *line.split(), *own) == 0
    ((columns, left_out),) = seen
    assert columns + len(left_out) == 5
    text = capsys.readouterr().out
    assert not left_out or f"Left out at this width: {', '.join(left_out)}." in text


def test_names_are_wrapped_between_words_and_never_within_numbers() -> None:
    table = new_table("runs")
    table.add_column("run")
    table.add_column("test mse", justify="right")
    table.add_row(Text("12-conv-z125-pixel_shuffle-k12345678901234"), "0.123456")
    shown = rendered([*fitted(table, 30)], 30)
    assert "12345678901234" in shown and "z125" in shown and "shuffle" in shown


def test_columns_that_leave_no_room_for_words_are_dropped_and_named() -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("", "layer", "output", "parameters", "multiply-\nadds"):
        table.add_column(name)
    table.add_row("encoder", "a layer with a long name of its own", "1x28x28", "12,345", "67,890")
    assert drop_columns(copy.deepcopy(table), 80, 24) == []
    assert drop_columns(copy.deepcopy(table), 55, 24) == ["multiply-adds"]
    assert drop_columns(copy.deepcopy(table), 45, 24) == ["parameters", "multiply-adds"]
