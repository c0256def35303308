"""Grids of numbers in the terminal, as lectures draw matrices and small images."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from aecli.cli.console import out
from aecli.convolution.gather import looks_like_zero

MAX_ROWS = 64  # per grid
MAX_GRIDS = 6  # per group
MAX_DRAWN = 128  # cells along a side of a grid that is drawn as a figure
NOT_DRAWN = f"none: more than {MAX_DRAWN} cells along a side would not be visible"
GRID_INDENT, GRID_GAP = 2, 3  # spaces before a grid's numbers, and between two grids
DECIMALS = 4  # at most, as torch prints
SCIENTIFIC = 1e-3, 1e7  # outside, decimals would hide digits or waste space


class NumberGrid(NamedTuple):
    """Numbers in rows and columns under a heading."""

    heading: str
    numbers: NDArray[Any]  # (rows, columns); may be words
    real: NDArray[np.bool_] | None = None
    """False where a zero is filler, shown as a dot; None: all numbers are real."""
    cut: NDArray[np.bool_] | None = None
    """True where a number is not part of the result, shown in parentheses; None: nowhere."""


def number_grids(*groups: list[NumberGrid]) -> None:
    """Print grids of numbers, side by side where the terminal is wide enough.

    Only the first `MAX_GRIDS` of a group are printed, and one heading if they are too large.
    """
    groups = tuple(filter(None, groups))
    shown = [MAX_GRIDS if is_printable(grids[0]) else 1 for grids in groups]
    blocks = [_block(grid) for grids, n in zip(groups, shown, strict=True) for grid in grids[:n]]
    lines: list[list[list[Text]]] = [[]]
    for block in blocks:
        widths = [_width(placed) + GRID_GAP for placed in lines[-1]]
        if lines[-1] and sum(widths) + _width(block) > out.width:
            lines.append([])
        lines[-1].append(block)
    for line in lines:
        out.print()
        _print_side_by_side(line)
    for grids, n in zip(groups, shown, strict=True):
        if len(grids) > n:
            out.print(f"... and {len(grids) - n} more like {grids[0].heading}")


def is_printable(grid: NumberGrid) -> bool:
    """Whether a grid fits in the terminal; if not, only its heading is printed."""
    rows, columns = grid.numbers.shape
    narrowest = GRID_INDENT + 2 * columns - 1
    if rows > MAX_ROWS or narrowest > out.width:  # before formatting millions of numbers
        return False
    return _width(_lines(grid)) <= out.width


def _block(grid: NumberGrid) -> list[Text]:
    """The lines of a grid, heading first."""
    if is_printable(grid):
        return [Text(grid.heading, "bold"), *_lines(grid)]
    return [Text.assemble((grid.heading, "bold"), " (too large to print)")]


def _lines(grid: NumberGrid) -> list[Text]:
    """The numbers as aligned lines of text."""
    real = np.full(grid.numbers.shape, True) if grid.real is None else grid.real
    cut = np.full(grid.numbers.shape, False) if grid.cut is None else grid.cut
    formatted = [
        f"({word})" if is_cut else word
        for word, is_cut in zip(_format(grid.numbers[real]), cut[real], strict=True)
    ]
    width = max(map(len, formatted), default=1)
    cells = iter(formatted)
    lines = []
    for row in real:
        shown = [Text(f"{next(cells):>{width}}") if is_real else _dot(width) for is_real in row]
        lines.append(Text(" " * GRID_INDENT) + Text(" ").join(shown))
    return lines


def _dot(width: int) -> Text:
    return Text(f"{'.':>{width}}", "dim")


def _format(numbers: NDArray[Any]) -> list[str]:
    """Format all numbers with as many decimals as the longest needs, `DECIMALS` at most, and those
    that would round to 0 with an exponent; words stay as they are."""
    if numbers.dtype.kind == "U":
        return [str(word) for word in numbers]
    magnitudes = np.abs(numbers[numbers != 0])
    low, high = SCIENTIFIC
    if magnitudes.size and (magnitudes.max() < low or magnitudes.max() >= high):
        return [_in_digits(number) for number in numbers]
    rounded = np.round(numbers, DECIMALS) + 0.0  # -0 is 0
    enough = (n for n in range(DECIMALS) if np.array_equal(np.round(rounded, n), rounded))
    decimals = next(enough, DECIMALS)
    small = looks_like_zero(numbers, rounded)
    return [
        _in_digits(number) if is_small else f"{shown:.{decimals}f}"
        for number, shown, is_small in zip(numbers, rounded, small, strict=True)
    ]


def _in_digits(number: float) -> str:
    return f"{number:.{DECIMALS}g}"


def _width(lines: list[Text]) -> int:
    return max(map(len, lines))


def _print_side_by_side(blocks: list[list[Text]]) -> None:
    """Print blocks of lines side by side, aligned at the top."""
    for number in range(max(map(len, blocks))):
        line = Text(" " * GRID_GAP).join(
            _padded(block[number] if number < len(block) else Text(), _width(block))
            for block in blocks
        )
        line.rstrip()
        out.print(line, soft_wrap=True)


def _padded(line: Text, width: int) -> Text:
    return line + Text(" " * (width - len(line)))
