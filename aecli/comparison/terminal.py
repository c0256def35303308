"""The table of a comparison in a terminal, at any width."""

from collections.abc import Sequence
from dataclasses import replace

from rich import box
from rich.cells import cell_len
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from aecli.comparison.results import RunGroup
from aecli.comparison.table import PLUS_MINUS, SEEDS, Column, columns, notes, rows
from aecli.errors.text import left_out_columns

# Columns that are left out in a narrow terminal, in this order.
EXPENDABLE = (
    "sse",
    "compression ratio",
    "training time",
    "parameters",
    "PCA mse",
    "angle to PCA (°)",
    "live units",
    "ssim",
    "checkerboard (ppm)",
    "psnr (dB)",
    "validation mse",
    "kernel PCA mse",
)
GAP = 2  # spaces between columns in the terminal


def terminal_table(settings: Sequence[RunGroup], width: int) -> Table:
    """A table for `width` characters that breaks no number and names the columns it leaves out.

    To fit, it drops the standard deviations of all but the mse, then the columns of `EXPENDABLE`,
    then the deviation of the mse, and finally breaks long words.
    """
    shown = _columns_that_fit(settings, width)
    names = [each.name for each in shown]
    skipped = [each.name for each in columns(settings) if each.name not in names]
    missing = [left_out_columns(skipped)] if skipped else []
    body = rows(settings, shown)
    text = " ".join(cell for row in body for cell in row.cells)
    sentences = [each for each in notes(settings) if not each.startswith("±") or "±" in text]
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0, 0, GAP - 1),
        header_style="bold", caption=Text(" ".join([*sentences, *missing])),
        caption_justify="left",
    )  # fmt: skip
    for each, column_width in zip(shown, _column_widths(settings, shown, width), strict=True):
        justify: JustifyMethod = "right" if each.is_number else "left"
        table.add_column(Text(each.name), justify=justify, overflow="fold", width=column_width)
    for row in body:
        cells = [
            Text(cell, no_wrap=each.is_number) for cell, each in zip(row.cells, shown, strict=True)
        ]
        table.add_row(*cells, style="bold green" if row.is_best else "")
    return table


def _columns_that_fit(settings: Sequence[RunGroup], width: int) -> list[Column]:
    """The columns that fit into `width` characters."""
    shown = columns(settings)
    if _table_width(settings, shown) > width:
        shown = [each if each.name == "test mse" else _mean_only(each) for each in shown]
    for name in EXPENDABLE:
        if _table_width(settings, shown) > width:
            shown = [each for each in shown if each.name != name]
    if _table_width(settings, shown) > width:
        shown = [_mean_only(each) for each in shown if each.name != SEEDS]
    return shown


def _column_widths(settings: Sequence[RunGroup], shown: Sequence[Column], width: int) -> list[int]:
    """Characters per column: spare ones go to the first columns, missing ones are taken from
    text."""
    widths = [_min_width(settings, each) for each in shown]
    spare = width - _table_width(settings, shown)
    for number, each in enumerate(shown):
        extra = min(max(spare, 0), _preferred_width(settings, each) - widths[number])
        widths[number] += extra
        spare -= extra
    texts = [number for number, each in enumerate(shown) if not each.is_number]
    for _ in range(-spare):
        widest = max(texts, key=widths.__getitem__)
        widths[widest] = max(1, widths[widest] - 1)
    return widths


def _mean_only(column: Column) -> Column:
    return replace(column, text=lambda setting: column.text(setting).partition(PLUS_MINUS)[0])


def _table_width(settings: Sequence[RunGroup], shown: Sequence[Column]) -> int:
    """Characters that the table needs."""
    return sum(_min_width(settings, each) + GAP for each in shown) - GAP


def _min_width(settings: Sequence[RunGroup], column: Column) -> int:
    """Characters that a column needs so that no number and no word is broken."""
    cells = [column.text(setting) for setting in settings]
    pieces = cells if column.is_number else " ".join(cells).split()
    return max(map(cell_len, [*column.name.split(), *pieces]))


def _preferred_width(settings: Sequence[RunGroup], column: Column) -> int:
    """Characters that keep every cell on one line, and the name on at most two."""
    words = column.name.split()
    name = min(
        max(map(cell_len, (" ".join(words[:line]), " ".join(words[line:]))))
        for line in range(1, len(words) + 1)
    )
    return max(name, *(cell_len(column.text(setting)) for setting in settings))
