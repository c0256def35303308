"""Tables in the terminal that never cut or break a number."""

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Column, Table
from rich.text import Text

MIN_TEXT = 12  # characters to which a column of words is narrowed; longer text is wrapped
FRAME = 3  # characters between columns: a line, and a space on both sides


def new_table(title: str) -> Table:
    """An empty table with a title, in the style that all of them share."""
    return Table(title=Text(title, "bold"), title_justify="left", header_style="bold")


def fitted(content: Table, width: int) -> list[Text | Table]:
    """What to print, one below the other: the title and the table.

    A table that is too wide becomes several, each with the first column. Numbers, the columns that
    are justified to the right, are not broken; words are.
    """
    title = [] if content.title is None else [_as_text(content.title)]
    content.title = None  # which would be wrapped to the width of a narrow table
    if sum(_natural_width(column) + FRAME for column in content.columns) + 1 <= width:
        return [*title, content]
    others = [_Fitted(column) for column in content.columns[1:]]
    room = width - 1 - FRAME - sum(column.width + FRAME for column in others)
    first = _Fitted(content.columns[0], max(MIN_TEXT, room))
    parts, used = [[first]], first.width + FRAME + 1
    for column in others:
        if used + column.width + FRAME > width and len(parts[-1]) > 1:
            parts.append([first])
            used = first.width + FRAME + 1
        parts[-1].append(column)
        used += column.width + FRAME
    return [*title, *(_table(content, part) for part in parts)]


def drop_columns(content: Table, width: int, min_text: int) -> list[str]:
    """Remove the last columns until `min_text` characters are left for the only column of words
    that may be wrapped; returns the headings of those removed.
    """
    dropped: list[str] = []
    while len(content.columns) > 3 and _least_width(content, min_text) > width:
        dropped.insert(0, _as_text(content.columns.pop().header).plain.replace("-\n", "-"))
    return dropped


def fit_first_column(
    content: Table, width: int, min_text: int, expendable: Iterable[str]
) -> list[str]:
    """Remove `expendable` columns of a table without a box, in this order, until `min_text`
    characters are left for the first column, and wrap that; returns the headings of those removed.
    """
    dropped: list[str] = []
    for heading in expendable:
        if _room_for_first(content, width) >= min(min_text, _natural_width(content.columns[0])):
            break
        kept = [each for each in content.columns if each.header != heading]
        _fill(content, kept, [[*each.cells] for each in kept])
        dropped.append(heading)
    room = max(_room_for_first(content, width), 1)
    first, *others = content.columns
    paths = [_wrapped(_at_slashes(_as_text(cell), room), room) for cell in first.cells]
    _fill(content, [first, *others], [paths, *([*each.cells] for each in others)])
    return dropped


def _fill(content: Table, columns: list[Column], cells: Sequence[Sequence[RenderableType]]) -> None:
    """Replace the columns of a table and their cells; its rows keep their style."""
    rows, content.columns, content.rows = content.rows, [], []
    for column in columns:
        content.add_column(
            column.header, justify=column.justify, no_wrap=column.no_wrap, overflow=column.overflow
        )
    for row, own in zip(rows, zip(*cells, strict=True), strict=True):
        content.add_row(*own, style=row.style, end_section=row.end_section)


def _at_slashes(path: Text, width: int) -> Text:
    """A path in lines of `width` characters, as far as they can be broken at its slashes."""
    lines: list[Text] = []
    for part in path.split("/", include_separator=True):
        if lines and lines[-1].cell_len + part.cell_len <= width:
            lines[-1].append_text(part)
        else:
            lines.append(part)
    return Text("\n").join(lines)


def _room_for_first(content: Table, width: int) -> int:
    gap = content.padding[1] + content.padding[3]
    return width - sum(_natural_width(column) + gap for column in content.columns[1:])


def _least_width(content: Table, min_text: int) -> int:
    """The characters that a table without a box takes with a narrow column of words."""
    first, words, *numbers = (_natural_width(column) for column in content.columns)
    gap = max(1, content.padding[1] + content.padding[3])
    return first + min(words, min_text) + sum(numbers) + gap * (len(numbers) + 1)


class _Fitted:
    """A column with its heading wrapped, and the characters that it needs."""

    def __init__(self, column: Column, max_text: int = MIN_TEXT) -> None:
        """Words are wrapped to `max_text` characters."""
        self.cells = [_as_text(cell) for cell in column.cells]
        self.is_number = column.justify == "right"
        widest = max((_width(cell) for cell in self.cells), default=1)
        heading = _as_text(column.header)
        words = max(map(cell_len, heading.plain.split()), default=1)
        if self.is_number:
            self.width = max(widest, words)
            lines = (textwrap.fill(line, self.width) for line in heading.plain.split("\n"))
            self.heading = Text("\n".join(lines))
        else:
            numbers = _NUMBER.findall(" ".join(cell.plain for cell in self.cells))
            natural = max(widest, cell_len(heading.plain))
            self.width = max(1, min(max_text, natural), *map(len, numbers))
            self.cells = [_wrapped(cell, self.width) for cell in self.cells]
            self.heading = heading


def _table(content: Table, columns: list[_Fitted]) -> Table:
    table = Table(header_style=content.header_style)
    for column in columns:
        table.add_column(
            column.heading,
            justify="right" if column.is_number else "left",
            no_wrap=column.is_number,
            overflow="fold",
        )
    rows = zip(*(each.cells for each in columns), strict=True)
    for row, cells in zip(content.rows, rows, strict=True):
        table.add_row(*cells, style=row.style, end_section=row.end_section)
    return table


_NUMBER = re.compile(r"\d[\d.,]*")


def _wrapped(cell: Text, width: int) -> Text:
    """A cell wrapped to `width` characters, broken where that reads best, and never within a
    number."""
    breaks, start, end = [], 0, 0
    for piece in _pieces(cell.plain, width):
        if end > start and cell_len(cell.plain[start : end + len(piece)].rstrip()) > width:
            breaks.append(end)
            start = end
        end += len(piece)
        start = end if piece.endswith("\n") else start
    lines = cell.divide(breaks)
    for line in lines[:-1]:
        line.rstrip()
    return Text("\n").join(lines)


def _pieces(text: str, width: int) -> Iterator[str]:
    """The pieces that are not broken: the words of a text or name and, if one is too long, its
    numbers."""
    for word in re.findall(r"[^\s_/,-]*[\s_/,-]|[^\s_/,-]+", text):
        if cell_len(word.rstrip()) <= width:
            yield word
        else:
            for part in re.findall(r"\d[\d.,]*|[^\d]+", word):
                yield from [part] if _NUMBER.match(part) else list(part)


def _as_text(cell: RenderableType) -> Text:
    """A cell as text; the cells of our tables are strings with markup, or texts."""
    return cell if isinstance(cell, Text) else Text.from_markup(str(cell))


def _natural_width(column: Column) -> int:
    """The characters that a column takes where nothing is wrapped."""
    return max(map(_width, map(_as_text, [column.header, *column.cells])))


def _width(cell: Text) -> int:
    lines: Iterable[str] = cell.plain.split("\n")
    return max(map(cell_len, lines))
