"""Small arrays of numbers from the command line or a file.

They are parsed as plain numbers; nothing in them is executed.
"""

import contextlib
import io
import json
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aecli.config.limits import MAX_PIXELS, check_integer
from aecli.convolution.arithmetic import Sizes
from aecli.errors import StorageError, UsageError
from aecli.errors.text import shortened

Array = NDArray[np.float64]

EXAMPLES = {1: "3", 2: "3, or 3x1 as rows x columns", 3: "3, or 3x1x1 as depth x rows x columns"}
"""Number of axes -> valid sizes."""
MAX_BYTES = 2**24  # file size
MAX_VALUE = 1e100  # so that no sum of products overflows


def read_sizes(key: str, text: str, axes: int = 2) -> Sizes:
    """Parse a size for each axis: `3x1`, or `3` for all of them.

    Raises:
        UsageError: `key=text` is neither.
    """
    sizes = split_sizes(text)
    if sizes is None or len(sizes) not in (1, axes):
        raise UsageError(f"{key}={shortened(text)} is not valid: give {EXAMPLES[axes]}")
    return sizes * axes if len(sizes) == 1 else sizes


def split_sizes(text: str) -> Sizes | None:
    """The numbers of `2x8x64x64`; None if it is not made of one to five."""
    if not re.fullmatch(r"[0-9]{1,9}(x[0-9]{1,9}){0,4}", text):
        return None
    return tuple(map(int, text.split("x")))


def read_image_size(text: str) -> tuple[int, int]:
    """Parse rows and columns of an image, at least one of each.

    Raises:
        UsageError: `image_size=text` is not valid.
    """
    rows, columns = read_sizes("image_size", text)
    if min(rows, columns) < 1:
        raise UsageError(f"image_size={text} is not valid: give at least one pixel")
    check_integer("image_size", max(rows, columns), MAX_PIXELS)
    return rows, columns


def looks_like_sizes(text: str) -> bool:
    """Whether `text` is meant as a size, valid or not."""
    return re.fullmatch(r"[-+0-9.x*]+", text) is not None


def read_array(key: str, text: str, alternatives: str = "") -> Array:
    """Read the array given as `key=text`: a number, a list of numbers in brackets, or a file.

    Args:
        key, text: the option as typed.
        alternatives: other valid inputs, for the error message.

    Raises:
        UsageError: there is no such file, or it is not a full array of finite numbers.
        StorageError: the file cannot be read.
    """
    source = f"{key}={shortened(text)}"
    with contextlib.suppress(ValueError):
        return _checked(source, float(text))
    if text.startswith("["):
        return _checked(source, _parse_json(source, text))
    path = Path(text)
    if path.suffix not in READERS:
        suffixes = ", ".join(READERS)
        raise UsageError(
            f"{source} is not valid: give {alternatives}a list such as [[1,2],[3,4]], or a file "
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
    # JSON needs the zeros that people and torch omit: .5 and 1. are 0.5 and 1.0.
    text = re.sub(r"(?<![0-9])\.(?=[0-9])", "0.", text)
    text = re.sub(r"(?<=[0-9])\.(?![0-9])", ".0", text)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{source} is not a list of numbers such as [[1,2],[3,4]]") from error


def _read_table(source: str, content: bytes) -> list[list[float]]:
    """Numbers separated by commas or blanks, one row per line."""
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
        raise UsageError(f"{place}: {shortened(text)!r} is not a number") from error


def _read_npy(source: str, content: bytes) -> object:
    try:
        array: NDArray[np.generic] = np.lib.format.read_array(
            io.BytesIO(content), allow_pickle=False
        )
    except Exception as error:  # a damaged header raises many kinds
        raise UsageError(f"{source} is not an array of numbers saved by numpy.save") from error
    if array.dtype.kind not in "iuf":
        raise UsageError(f"{source} holds {array.dtype}, not numbers")
    return array.astype(np.float64).tolist()


def _decoded(source: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")  # spreadsheets add a byte order mark
    except UnicodeDecodeError as error:
        raise UsageError(f"{source} is not a text file") from error


READERS = {".json": _read_json, ".csv": _read_table, ".txt": _read_table, ".npy": _read_npy}


def _checked(source: str, values: object) -> Array:
    """Convert nested lists to an array.

    Raises:
        UsageError: they are empty, contain anything but finite numbers, or have unequal rows.
    """
    remaining = [values]
    while remaining:
        value = remaining.pop()
        if isinstance(value, list):
            remaining += value
        elif type(value) not in (int, float):
            raise UsageError(f"{source}: {shortened(json.dumps(value))} is not a number")
        elif not abs(value) <= MAX_VALUE:  # type: ignore[arg-type]  # also catches NaN
            raise UsageError(f"{source}: give finite numbers, of at most {MAX_VALUE:g}")
    try:
        array = np.array(values, np.float64)
    except ValueError as error:
        raise UsageError(f"{source}: its rows differ in length") from error
    if not array.size:
        raise UsageError(f"{source} is empty: give at least one number")
    return array
