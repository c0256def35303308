"""Small arrays of numbers that a person types in or keeps in a file.

Both are read as numbers and as nothing else: nothing in them is executed.
"""

import contextlib
import io
import json
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aecli.errors import StorageError, UsageError, one_line

Array = NDArray[np.float64]

MAX_BYTES = 2**24  # of a file
MAX_VALUE = 1e100  # so that no sum of products overflows
MAX_QUOTE_LENGTH = 60  # characters of what was typed, in an error's line


def read_sizes(key: str, text: str) -> tuple[int, int]:
    """Rows and columns: `3x1`, or `3` for both.

    Raises:
        UsageError: `key=text` is neither.
    """
    if not re.fullmatch(r"[0-9]{1,9}(x[0-9]{1,9})?", text):
        raise UsageError(f"{key}={_quoted(text)} is not valid: give 3, or 3x1 as rows x columns")
    rows, _, columns = text.partition("x")
    return int(rows), int(columns or rows)


def read_image_size(text: str) -> tuple[int, int]:
    """Rows and columns of an image, of one pixel at least.

    Raises:
        UsageError: `image_size=text` is not valid.
    """
    rows, columns = read_sizes("image_size", text)
    if min(rows, columns) < 1:
        raise UsageError(f"image_size={text} is not valid: give at least one pixel")
    return rows, columns


def looks_like_sizes(text: str) -> bool:
    """Whether somebody who typed `text` meant a size, be it a valid one."""
    return re.fullmatch(r"[-+0-9.x*]+", text) is not None


def read_array(key: str, text: str, otherwise: str = "") -> Array:
    """What `key=text` gives: a number, a list of numbers in brackets, or those in a file.

    Args:
        key, text: what was typed.
        otherwise: what else would have been valid, for the error.

    Raises:
        UsageError: there is no such file, or what is given is no full array of finite numbers.
        StorageError: the file cannot be read.
    """
    source = f"{key}={_quoted(text)}"
    with contextlib.suppress(ValueError):
        return _checked(source, float(text))
    if text.startswith("["):
        return _checked(source, _parse_json(source, text))
    path = Path(text)
    if path.suffix not in READERS:
        suffixes = ", ".join(READERS)
        raise UsageError(
            f"{source} is not valid: give {otherwise}a list such as [[1,2],[3,4]], or a file "
            f"({suffixes})"
        )
    if not path.is_file():
        raise UsageError(f"{source}: there is no such file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError(f"{source} cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise UsageError(f"{source} is too large: {len(content):,} bytes, {MAX_BYTES:,} at most")
    return _checked(source, READERS[path.suffix](source, content))


def _read_json(source: str, content: bytes) -> object:
    return _parse_json(source, _decoded(source, content))


def _parse_json(source: str, text: str) -> object:
    # JSON wants the digits that people and torch leave out: .5 and 1. are 0.5 and 1.0.
    text = re.sub(r"(?<![0-9])\.(?=[0-9])", "0.", text)
    text = re.sub(r"(?<=[0-9])\.(?![0-9])", ".0", text)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{source} is no list of numbers such as [[1,2],[3,4]]") from error


def _read_table(source: str, content: bytes) -> list[list[float]]:
    """Numbers between commas or blanks, a row a line."""
    lines = _decoded(source, content).splitlines()
    return [
        [_number(f"{source}, line {number}", cell.strip()) for cell in _cells(line)]
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]


def _cells(line: str) -> list[str]:
    return line.split(",") if "," in line else line.split()


def _number(place: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"{place}: {_quoted(text)!r} is no number") from error


def _read_npy(source: str, content: bytes) -> object:
    try:
        array: NDArray[np.generic] = np.lib.format.read_array(
            io.BytesIO(content), allow_pickle=False
        )
    except Exception as error:  # of many kinds, where the header is damaged
        raise UsageError(f"{source} is no array of numbers that numpy.save has written") from error
    if array.dtype.kind not in "iuf":
        raise UsageError(f"{source} holds {array.dtype}, not numbers")
    return array.astype(np.float64).tolist()


def _decoded(source: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")  # spreadsheets put a mark in front
    except UnicodeDecodeError as error:
        raise UsageError(f"{source} is no text file") from error


READERS = {".json": _read_json, ".csv": _read_table, ".txt": _read_table, ".npy": _read_npy}


def _checked(source: str, values: object) -> Array:
    """Nested lists as an array.

    Raises:
        UsageError: they hold something else than finite numbers, nothing, or rows that differ.
    """
    left = [values]
    while left:
        value = left.pop()
        if isinstance(value, list):
            left += value
        elif type(value) not in (int, float):
            raise UsageError(f"{source}: {_quoted(json.dumps(value))} is no number")
        elif not abs(value) <= MAX_VALUE:  # type: ignore[arg-type]  # nor is NaN
            raise UsageError(f"{source}: give finite numbers, of at most {MAX_VALUE:g}")
    try:
        array = np.array(values, np.float64)
    except ValueError as error:
        raise UsageError(f"{source}: its rows are not equally long") from error
    if not array.size:
        raise UsageError(f"{source} is empty: give at least one number")
    return array


def _quoted(text: str) -> str:
    """What was typed, in one line that is not too long."""
    text = one_line(text)
    return text if len(text) <= MAX_QUOTE_LENGTH else f"{text[:MAX_QUOTE_LENGTH]}..."
