"""The assertions of a slide about the results of its command, and whether they hold."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aecli.errors import StorageError
from aecli.files.storage import read_json

Numbers = list[list[float]]

_HEADING = re.compile(r"\S+(?: {1,2}\S+)*")
"""Grids are printed side by side with at least three spaces between them."""
_NUMBER = re.compile(r"\(?(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\)?")
"""Parentheses mean that a number is cut off from the result."""


@dataclass(frozen=True)
class Verdict:
    """Whether a check holds."""

    holds: bool | None
    """None: it is not asserted in a quick run."""
    text: str
    """What was found, in words."""
    difference: float | None = None
    """Difference from the slide's number; None if it has no such number."""
    is_exact: bool = True
    """Whether the slide has a number and not just bounds."""


@dataclass(frozen=True)
class Results:
    """The output and the files of a command."""

    printed: str
    folder: Path
    runs: Mapping[str, Path]
    """The folders of the lecture's runs."""

    def locate(self, path: str) -> Path:
        """The place of a file of the results, or of a run: {KEY}/summary.json."""
        first, _, rest = path.partition("/")
        key = first.removeprefix("{").removesuffix("}")
        return self.runs[key] / rest if first == f"{{{key}}}" else self.folder / path


@dataclass(frozen=True)
class Says:
    """The printed text contains this, where any white space equals one space."""

    text: str
    full: bool = False
    """Whether it is asserted only of the full training; likewise in the classes below."""

    def judge(self, results: Results) -> Verdict:
        """Look for the text in what was printed."""
        if _squeezed(self.text) in _squeezed(results.printed):
            return Verdict(True, self.text)
        return Verdict(False, f"{self.text!r} is not in the printed text")

    @property
    def subject(self) -> str:
        return self.text


@dataclass(frozen=True)
class Grid:
    """The numbers that are printed below a heading."""

    heading: str
    numbers: Numbers
    within: float = 0.0
    full: bool = False

    def judge(self, results: Results) -> Verdict:
        """Compare all numbers; the largest difference decides."""
        found = numbers_below(self.heading, results.printed)
        if [*map(len, found)] != [*map(len, self.numbers)]:
            return Verdict(False, f"{self.heading!r} has {_size(found)} in the printed text")
        pairs = zip(found, self.numbers, strict=True)
        difference = max(abs(x - y) for row in pairs for x, y in zip(*row, strict=True))
        return _of_difference(self.heading, difference, self.within)

    @property
    def subject(self) -> str:
        return self.heading


@dataclass(frozen=True)
class Number:
    """A number in a JSON file of the results."""

    file: str
    key: str
    """A dotted path, in which a number is an index into a list."""
    value: float | None = None
    within: float = 0.0
    at_least: float = -math.inf
    at_most: float = math.inf
    per: str | None = None
    """A key of the same file, by whose number that of `key` is divided."""
    full: bool = False

    def judge(self, results: Results) -> Verdict:
        """Compare the number with the value, or with the bounds."""
        try:
            content = read_json(results.locate(self.file))
        except StorageError as error:
            return Verdict(False, str(error).replace(f"{results.folder}/", ""))
        found = _value(content, self.key)
        unit = 1.0 if self.per is None else _value(content, self.per)
        if found is None or unit is None:
            missing = self.key if found is None else self.per
            return Verdict(False, f"{self.file} has no number at {missing}")
        if unit == 0:
            return Verdict(False, f"{self.key} cannot be divided by {self.per}, which is 0")
        found /= unit
        if self.value is not None:
            return _of_difference(
                f"{self._name} = {found:.6g}", abs(found - self.value), self.within
            )
        holds = self.at_least <= found <= self.at_most
        return Verdict(holds, f"{self._name} = {found:.6g}, {self._bounds}", is_exact=False)

    @property
    def subject(self) -> str:
        return self._name if self.value is not None else f"{self._name} {self._bounds}"

    @property
    def _name(self) -> str:
        return self.key if self.per is None else f"{self.key} / {self.per}"

    @property
    def _bounds(self) -> str:
        bounds = {"at least": self.at_least, "at most": self.at_most}
        return " and ".join(f"{word} {n:g}" for word, n in bounds.items() if math.isfinite(n))


Check = Says | Grid | Number


def judge(check: Check, results: Results, quick: bool) -> Verdict:
    """Whether a check holds."""
    if check.full and quick:
        return Verdict(None, check.subject)
    return check.judge(results)


def numbers_below(heading: str, printed: str) -> Numbers:
    """The grid of numbers below a heading; no rows if there is none. A dot is a zero."""
    lines = printed.splitlines()
    for place, line in enumerate(lines):
        headings = [*_HEADING.finditer(line)]
        for number, each in enumerate(headings):
            if each[0] == heading:
                following = headings[number + 1 :]
                end = following[0].start() if following else None
                columns = slice(each.start(), end)
                return [*_rows(below[columns].split() for below in lines[place + 1 :])]
    return []


def _rows(cells: Iterator[list[str]]) -> Iterator[list[float]]:
    """Rows of numbers, up to the first that has something else."""
    for row in cells:
        numbers = [_NUMBER.fullmatch("0" if cell == "." else cell) for cell in row]
        if not row or None in numbers:
            return
        yield [float(number[1]) for number in numbers if number]


def _value(content: Any, key: str) -> float | None:
    for part in key.split("."):
        if isinstance(content, list) and part.isdigit() and int(part) < len(content):
            content = content[int(part)]
        else:
            content = content.get(part) if isinstance(content, dict) else None
    is_number = isinstance(content, int | float) and not isinstance(content, bool)
    return float(content) if is_number else None


def _of_difference(subject: str, difference: float, within: float) -> Verdict:
    allowed = f", {within:g} allowed" if within else ""
    text = f"{subject}: difference {difference:.2g}{allowed}" if difference else subject
    # Numbers are written in decimals, so that 0.3 - 0.2 is not within 0.1 of binary arithmetic.
    return Verdict(difference <= within + 1e-12, text, difference)


def _size(rows: Numbers) -> str:
    return f"{len(rows)}x{len(rows[0])} numbers" if rows else "no numbers"


def _squeezed(text: str) -> str:
    return " ".join(text.split())
