"""Tables in the terminal: whole numbers at any width, and names as they are."""

import io
import re

import pytest
from rich.console import Console
from rich.text import Text

from aecli.cli.tables import fitted, new_table

NUMBERS = ["0.123456", "1,234,567", "98.765", "12.34", "0.9876", "1,234.56"]
HEADINGS = ["mse", "parameters", "sse", "psnr (dB)", "ssim", "checkerboard (ppm)"]


def shown(width: int, *names: str) -> str:
    table = new_table("a title of several words that may be wrapped")
    table.add_column("class")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for name in names:
        table.add_row(Text(name), *NUMBERS)
    console = Console(file=io.StringIO(), width=width)
    for part in fitted(table, width):
        console.print(part)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 100, 200])
def test_no_number_is_cut_at_any_width(width: int) -> None:
    text = shown(width, "one", "another one with a long name", "x" * 50)
    for number in NUMBERS:
        assert len(re.findall(rf"(?<![\d.,]){re.escape(number)}(?![\d.,])", text)) == 3
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= max(width, 30)


def test_a_table_that_fits_is_one_table() -> None:
    assert shown(100, "one").count("┏") == 1
    assert 1 < shown(60, "one").count("┏") < len(NUMBERS)


def test_each_part_of_a_wide_table_names_its_rows() -> None:
    text = shown(60, "one", "two")
    assert text.count("one") == text.count("two") == text.count("┏")
    assert text.count("title") == 1


def test_a_name_is_not_markup() -> None:
    assert "[bold]" in shown(100, "[bold]") and "[/]" in shown(100, "[/]")
