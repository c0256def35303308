"""The settings of a comparison as a table: one list of columns for every format."""

import html
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rich import box
from rich.cells import cell_len
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from aecli import documents
from aecli.comparison.results import MeanStd, RunGroup, is_exact
from aecli.text import printable

SIGNIFICANT_DIGITS = 4
MILLION = 1e6
PLUS_MINUS = " ± "

# Columns that are left out in a narrow terminal, in this order.
EXPENDABLE = (
    "sse",
    "compression ratio",
    "training time",
    "seeds",
    "parameters",
    "PCA mse",
    "ssim",
    "checkerboard (ppm)",
    "psnr (dB)",
)
GAP = 2  # spaces between columns in the terminal

Value = str | float | None
"""A cell in CSV: a number with all its digits; None if there is no value."""


@dataclass(frozen=True)
class Column:
    """One column, in every format."""

    name: str
    """The heading, as displayed."""
    text: Callable[[RunGroup], str]
    """The cell, as displayed."""
    values: dict[str, Callable[[RunGroup], Value]]
    """Name in CSV -> cell; two for a mean and its standard deviation."""
    is_number: bool = True
    meaning: str = ""
    """An explanation of the quantity; empty if the name is enough."""


@dataclass(frozen=True)
class Row:
    """One setting, as displayed."""

    cells: list[str]
    """One per column."""
    is_best: bool
    """Whether it has the smallest test mse of several settings."""


SORT_KEYS: dict[str, Callable[[RunGroup], float | None]] = {
    "model": lambda setting: 0.0,  # all equal, which keeps the comparison's order
    "latent": lambda setting: setting.latent,
    "mse": lambda setting: setting.spread("mse").mean,
    "sse": lambda setting: setting.spread("sse").mean,
    "psnr": lambda setting: -setting.spread("psnr").mean,
    "ssim": lambda setting: None if setting.ssim is None else -setting.ssim.mean,
    "checkerboard": lambda setting: (
        None if setting.checkerboard is None else setting.checkerboard.mean
    ),
    "ratio": lambda setting: setting.ratio_to_pca,
    "parameters": lambda setting: setting.parameters,
    "seconds": lambda setting: setting.spread("seconds").mean,
}
"""Sort key -> a number that is smaller for settings that come first."""


def sort_settings(settings: Sequence[RunGroup], key: str) -> list[RunGroup]:
    """Sort by a key of `SORT_KEYS`, best first; settings without the quantity come last."""

    def rank(setting: RunGroup) -> tuple[bool, float]:
        number = SORT_KEYS[key](setting)
        return number is None, number or 0.0

    return sorted(settings, key=rank)


def best_setting(settings: Sequence[RunGroup]) -> RunGroup:
    """The setting with the smallest test mse."""
    return min(settings, key=lambda setting: setting.spread("mse").mean)


def columns(settings: Sequence[RunGroup]) -> list[Column]:
    """The columns that these settings need, in order."""
    shown = [_text_column("model", "model", lambda setting: setting.model)]
    if any(setting.upsample for setting in settings):
        shown.append(_text_column("upsampling", "upsample", lambda setting: setting.upsample or ""))
    keys = dict.fromkeys(key for setting in settings for key in setting.differences)
    return [*shown, *map(_difference, keys), *_sizes(), *_errors(), *_pca_and_time()]


def rows(settings: Sequence[RunGroup], shown: Sequence[Column]) -> list[Row]:
    """One row of cells per setting."""
    best = best_setting(settings) if len(settings) > 1 else None
    return [Row([each.text(setting) for each in shown], setting is best) for setting in settings]


def notes(settings: Sequence[RunGroup]) -> list[str]:
    """Notes needed to read the cells of this table, one sentence each."""
    sentences = []
    if len(settings) > 1:
        sentences.append("Bold: the smallest test mse.")
    if any(len(setting.results) > 1 for setting in settings):
        sentences.append("±: the standard deviation over the seeds.")
    if any(math.isinf(setting.ratio_to_pca) for setting in settings):
        sentences.append("A ratio of inf: PCA makes no error at that latent size.")
    return sentences


def terminal_table(settings: Sequence[RunGroup], width: int) -> Table:
    """A table for `width` characters that breaks no number and names the columns it leaves out.

    To fit, it drops the standard deviations of all but the mse, then the columns of `EXPENDABLE`,
    then the deviation of the mse, and finally breaks long words.
    """
    shown = _columns_that_fit(settings, width)
    names = [each.name for each in shown]
    skipped = [each.name for each in columns(settings) if each.name not in names]
    missing = [f"Left out at this width: {', '.join(skipped)}."] if skipped else []
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0, 0, GAP - 1),
        header_style="bold", caption=Text(" ".join([*notes(settings), *missing])),
        caption_justify="left",
    )  # fmt: skip
    for each, column_width in zip(shown, _column_widths(settings, shown, width), strict=True):
        justify: JustifyMethod = "right" if each.is_number else "left"
        table.add_column(Text(each.name), justify=justify, overflow="fold", width=column_width)
    for row in rows(settings, shown):
        cells = [
            Text(cell, no_wrap=each.is_number) for cell, each in zip(row.cells, shown, strict=True)
        ]
        table.add_row(*cells, style="bold green" if row.is_best else "")
    return table


def to_csv(settings: Sequence[RunGroup]) -> str:
    """CSV for programs: all digits, and standard deviations in columns of their own."""
    cells = {name: cell for each in columns(settings) for name, cell in each.values.items()}
    return documents.to_csv(
        [cells, *([cell(setting) for cell in cells.values()] for setting in settings)]
    )


def to_markdown(settings: Sequence[RunGroup]) -> str:
    """A table in GitHub Markdown, with its notes."""
    shown = columns(settings)
    lines = [
        [_escape_markdown(each.name) for each in shown],
        ["---:" if each.is_number else "---" for each in shown],
    ]
    for row in rows(settings, shown):
        cells = [_escape_markdown(cell) for cell in row.cells]
        lines.append([f"**{cell}**" if row.is_best and cell else cell for cell in cells])
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return table + "".join(f"\n{sentence}\n" for sentence in notes(settings))


def format_ppm(share: float) -> str:
    """A share in parts per million, as in all tables and sentences."""
    return _ppm(MeanStd(share, None))


def format_mse(mse: float) -> str:
    """A mean squared error, as in all tables and sentences."""
    return _error(MeanStd(mse, None))


def _text_column(name: str, key: str, value: Callable[[RunGroup], str]) -> Column:
    return Column(name, value, {key: value}, is_number=False)


def _difference(key: str) -> Column:
    return _text_column(key, key, lambda setting: setting.differences.get(key, ""))


def _sizes() -> list[Column]:
    """Columns for what a setting consists of."""
    return [
        Column("latent", lambda each: str(each.latent), {"latent": lambda each: each.latent}),
        Column(
            "seeds",
            lambda each: ", ".join(map(str, each.seeds)),
            {"seeds": lambda each: " ".join(map(str, each.seeds))},
            is_number=False,
        ),
        Column(
            "parameters",
            lambda each: f"{each.parameters:,}",
            {"parameters": lambda each: each.parameters},
        ),
        Column(
            "compression ratio",
            lambda each: f"{each.compression:.1f}",
            {"compression_ratio": lambda each: each.compression},
            meaning="values in an image per value of its code",
        ),
    ]


def _errors() -> list[Column]:
    """Columns for the scores on the test images."""
    return [
        _measured(
            "test mse", "test_mse", lambda each: each.spread("mse"), _error,
            "squared error of pixels in [0, 1], averaged over all pixels and test images",
        ),
        _measured(
            "sse", "test_sse", lambda each: each.spread("sse"), _error,
            "squared errors summed over the pixels of an image, averaged over the images",
        ),
        _measured(
            "psnr (dB)", "test_psnr", lambda each: each.spread("psnr"), lambda it: _fixed(it, 2),
            "peak signal-to-noise ratio, 10 log10(1 / mse)",
        ),
        _measured(
            "ssim", "test_ssim", lambda each: each.ssim, lambda it: _fixed(it, 4),
            "mean structural similarity (Wang et al., 2004), 1 for identical images",
        ),
        _measured(
            "checkerboard (ppm)", "test_checkerboard", lambda each: each.checkerboard, _ppm,
            "share of the outputs' energy that repeats with the decoder's stride, in parts per "
            "million: the pattern left by uneven overlap",
        ),
    ]  # fmt: skip


def _measured(
    name: str,
    key: str,
    spread: Callable[[RunGroup], MeanStd | None],
    text: Callable[[MeanStd], str],
    meaning: str,
) -> Column:
    """A column of means over the seeds, with their standard deviation."""

    def cell(setting: RunGroup) -> str:
        found = spread(setting)
        return "" if found is None else text(found)

    def mean(setting: RunGroup) -> Value:
        found = spread(setting)
        return None if found is None else found.mean

    def std(setting: RunGroup) -> Value:
        found = spread(setting)
        return None if found is None else found.std

    return Column(name, cell, {key: mean, f"{key}_std": std}, meaning=meaning)


def _pca_and_time() -> list[Column]:
    """Columns for the comparison with PCA and for the training time."""
    return [
        Column(
            "PCA mse",
            lambda each: format_mse(each.pca_mse),
            {"pca_mse": lambda each: each.pca_mse},
            meaning="test mse of PCA with as many components as the latent size",
        ),
        Column(
            "ratio to PCA",
            lambda each: _significant(each.ratio_to_pca, 3),
            {"ratio_to_pca": lambda each: each.ratio_to_pca},
            meaning="test mse divided by the PCA mse: below 1 the network is better",
        ),
        Column(
            "training time",
            lambda each: f"{each.spread('seconds').mean:,.1f} s",
            {"training_seconds": lambda each: each.spread("seconds").mean},
        ),
    ]


def _error(spread: MeanStd) -> str:
    """Mean and deviation with as many decimals as the mean needs."""
    if is_exact(spread.mean):
        return "0"
    return _fixed(spread, _decimals(spread.mean, SIGNIFICANT_DIGITS))


def _ppm(spread: MeanStd) -> str:
    """A share in parts per million, to two significant digits and at most two decimals."""
    scaled = spread.times(MILLION)
    return _fixed(scaled, _decimals(max(scaled.mean, 0.1), 2))


def _fixed(spread: MeanStd, decimals: int) -> str:
    deviation = "" if spread.std is None else f"{PLUS_MINUS}{spread.std:,.{decimals}f}"
    return f"{spread.mean:,.{decimals}f}{deviation}"


def _significant(number: float, digits: int) -> str:
    return f"{number:,.{_decimals(number, digits)}f}" if math.isfinite(number) else "inf"


def _decimals(number: float, digits: int) -> int:
    """Decimals that show `digits` significant digits of `number`."""
    exponent = int(f"{number:.{digits - 1}e}".partition("e")[2])  # of the rounded number
    return max(0, digits - 1 - exponent)


def _escape_markdown(text: str) -> str:
    """Escape text that a renderer could take for a table edge, emphasis, code or HTML."""
    return re.sub(r"([\\|*_`~])", r"\\\1", html.escape(printable(text), quote=False))


def _columns_that_fit(settings: Sequence[RunGroup], width: int) -> list[Column]:
    """The columns that fit into `width` characters."""
    shown = columns(settings)
    if _table_width(settings, shown) > width:
        shown = [each if each.name == "test mse" else _mean_only(each) for each in shown]
    for name in EXPENDABLE:
        if _table_width(settings, shown) > width:
            shown = [each for each in shown if each.name != name]
    if _table_width(settings, shown) > width:
        shown = [_mean_only(each) for each in shown]
    return shown


def _column_widths(settings: Sequence[RunGroup], shown: Sequence[Column], width: int) -> list[int]:
    """Characters per column: spare ones go to the first columns, missing ones come from text."""
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
