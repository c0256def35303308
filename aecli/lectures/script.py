"""The script of a lecture: a YAML file, read into dataclasses."""

import re
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from aecli.cli.lookup import command_names
from aecli.errors import UsageError
from aecli.errors.text import shortened, suggest
from aecli.files.documents import InvalidDocumentError, parse_yaml
from aecli.files.places import CONF_DIR, LECTURE
from aecli.files.storage import is_inside, read_file
from aecli.lectures.checks import Check, Grid, Number, Says

FOLDER = CONF_DIR / LECTURE
PICTURES = (".png", ".svg", ".gif")
_ID = re.compile(r"[a-z0-9-]+")
_RUN = re.compile(r"\{([a-z0-9_-]+)\}")


@dataclass(frozen=True)
class Run:
    """A run, or a sweep, that the slides use."""

    key: str
    line: str
    """The arguments of `aecli train`."""
    quick: str
    """Arguments that are added for a quick run."""


@dataclass(frozen=True)
class Slide:
    """The content of a slide: a command and a part of its results, or only text."""

    id: str
    title: str
    rows: tuple[int, ...]
    """The numbers of the rows in the list of what the lectures show."""
    remark: str
    line: str | None = None
    """Without `aecli`; {KEY} stands for the folder of a run."""
    show: tuple[str, ...] = ()
    """Pictures, as paths below the folder of the results, or of a run: {KEY}/figures/loss.png;
    none: the printed text is shown."""
    start: str | None = None
    """The printed text is shown from the line that contains this ..."""
    end: str | None = None
    """... to the one before that which contains this."""
    checks: tuple[Check, ...] = ()
    slip: str | None = None
    """An error on the original slide."""

    @property
    def runs(self) -> list[str]:
        """The keys of the runs whose folders it names."""
        files = [check.file for check in self.checks if isinstance(check, Number)]
        return [key for text in (self.line or "", *self.show, *files) for key in _RUN.findall(text)]

    def line_with(self, folders: Mapping[str, Path]) -> str:
        """The line with the folders of its runs."""
        return _RUN.sub(lambda run: shlex.quote(str(folders[run[1]])), self.line or "")


@dataclass(frozen=True)
class Lecture:
    """A lecture."""

    name: str
    title: str
    about: str
    slides_from: str
    """The source of the slides."""
    runs: tuple[Run, ...]
    slides: tuple[Slide, ...]


def lecture_names() -> list[str]:
    """The names of the lectures that come with aecli."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def read_lecture(name: str) -> Lecture:
    """Read a lecture: one that comes with aecli, or a YAML file of the user's own.

    Raises:
        UsageError: there is none of this name, or the script is not valid; the message names the
            file, the slide and what is wrong.
        StorageError: it cannot be read.
    """
    is_own = name.endswith(".yaml")
    if not is_own and name not in lecture_names():
        raise UsageError(f"there is no lecture {name!r}: {suggest(name, lecture_names())}")
    file = Path(name) if is_own else FOLDER / f"{name}.yaml"
    if not _ID.fullmatch(file.stem):
        raise UsageError(f"{file} needs a name of small letters, digits and dashes")
    try:
        content = parse_yaml(read_file(file))
    except InvalidDocumentError as error:
        raise UsageError(f"{file} is not a lecture: {error}") from error
    return _lecture(_Table(str(file), content), file.stem)


def _lecture(table: "_Table", name: str) -> Lecture:
    runs = table.take("runs", dict, {})
    lecture = Lecture(
        name=name,
        title=table.take("title", str),
        about=table.take("about", str),
        slides_from=table.take("slides_from", str),
        runs=tuple(_run(key, table.below(f"run {key}", each)) for key, each in runs.items()),
        slides=tuple(
            _slide(table.below(f"slide {number + 1}", each))
            for number, each in enumerate(table.take("slides", list))
        ),
    )
    table.end()
    twice = [name for name, n in Counter(slide.id for slide in lecture.slides).items() if n > 1]
    if twice:
        raise table.error(f"two slides have the id {twice[0]}")
    for slide in lecture.slides:
        for key in slide.runs:
            if key not in runs:
                known = suggest(key, map(str, runs))
                raise table.error(f"slide {slide.id}: there is no run {key!r}; {known}")
    return lecture


def _run(key: object, table: "_Table") -> Run:
    if not isinstance(key, str) or not _RUN.fullmatch(f"{{{key}}}"):
        raise table.error("its key may have small letters, digits, - and _")
    run = Run(key, table.take("line", str), table.take("quick", str, ""))
    table.end()
    return run


def _slide(table: "_Table") -> Slide:
    name = table.take("id", str)
    if not _ID.fullmatch(name):
        raise table.error(f"id: {shortened(name)} may have small letters, digits and dashes")
    table.where = re.sub(r"slide \d+$", f"slide {name}", table.where)
    show, line = table.take("show", str | list, []), table.take("line", str, None)
    slide = Slide(
        id=name,
        title=table.take("title", str),
        rows=tuple(table.take("rows", list)),
        remark=table.take("remark", str),
        line=line and " ".join(line.split()),
        show=(show,) if isinstance(show, str) else tuple(show),
        start=table.take("from", str, None),
        end=table.take("to", str, None),
        checks=tuple(
            _check(table.below(f"check {number + 1}", each))
            for number, each in enumerate(table.take("checks", list, []))
        ),
        slip=table.take("slip", str, None),
    )
    table.end()
    _check_slide(slide, table)
    return slide


def _check_slide(slide: Slide, table: "_Table") -> None:
    """Raise a UsageError for values that have the right types but are not valid."""
    if not all(type(row) is int for row in slide.rows):
        raise table.error("rows: give a list of integers")
    for path in slide.show:
        if not isinstance(path, str) or not is_inside(path) or Path(path).suffix not in PICTURES:
            raise table.error(f"show: {shortened(path)} is no {', '.join(PICTURES)} of the results")
    if slide.line is None:
        if slide.checks or slide.show or slide.start or slide.end:
            raise table.error("without a line there are no results to show or to check")
        return
    try:
        command = shlex.split(slide.line)[0]
    except (ValueError, IndexError) as error:
        raise table.error(f"line: {shortened(slide.line)} is not a command line") from error
    if command not in command_names():
        raise table.error(f"line: there is no command {command!r}")


def _check(table: "_Table") -> Check:
    full = table.take("full", bool, False)
    check: Check
    if table.has("says"):
        check = Says(table.take("says", str), full)
    elif table.has("grid"):
        heading, numbers = table.take("grid", str), _numbers(table)
        check = Grid(heading, numbers, table.take("within", float, 0.0), full)
    elif table.has("file"):
        bounds = {key: table.take(key, float) for key in ("at_least", "at_most") if table.has(key)}
        file, key = table.take("file", str), table.take("key", str)
        value, within = table.take("is", float, None), table.take("within", float, 0.0)
        per = table.take("per", str, None)
        if (value is None) == (not bounds):
            raise table.error("give is, or at_least or at_most")
        check = Number(file, key, value, within, per=per, full=full, **bounds)
    else:
        raise table.error("a check has says, grid or file")
    table.end()
    return check


def _numbers(table: "_Table") -> list[list[float]]:
    rows = table.take("is", list)
    rows = rows if all(isinstance(row, list) for row in rows) else [rows]
    cells = [cell for row in rows for cell in row]
    if not cells or not all(type(cell) in (int, float) for cell in cells):
        raise table.error("is: give rows of numbers, as in [[1, 2], [3, 4]]")
    return [[float(cell) for cell in row] for row in rows]


Value = TypeVar("Value")
_REQUIRED: Any = object()


class _Table:
    """A mapping of the script, from which each value is taken once."""

    def __init__(self, where: str, content: Any) -> None:
        self.where = where
        if not isinstance(content, dict):
            raise self.error("give keys with values")
        self._content = dict(content)
        self._known: list[str] = []

    def below(self, name: str, content: Any) -> "_Table":
        return _Table(f"{self.where}, {name}", content)

    def has(self, key: str) -> bool:
        return key in self._content

    def take(self, key: str, kind: Any, default: Any = _REQUIRED) -> Any:
        """The value of `key`, of the type `kind`.

        Raises:
            UsageError: it is missing and has no default, or is of another type.
        """
        self._known.append(key)
        if key not in self._content:
            if default is _REQUIRED:
                raise self.error(f"{key} is missing")
            return default
        value = self._content.pop(key)
        wanted = int | float if kind is float else kind
        if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool):
            name = getattr(kind, "__name__", str(kind)).replace("str | list", "text or list")
            raise self.error(f"{key}: {shortened(value)} is not of type {name}")
        return value

    def end(self) -> None:
        """Raise a UsageError if there is a key that has not been taken."""
        for key in self._content:
            raise self.error(f"there is no key {key!r}: {suggest(str(key), self._known)}")

    def error(self, problem: str) -> UsageError:
        return UsageError(f"{self.where}: {problem}")
