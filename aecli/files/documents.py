"""JSON, YAML and CSV whose content may be damaged or malicious.

Parsing any text ends quickly, with plain data of bounded depth and finite numbers, or with an error
of one line.
"""

import csv
import io
import json
import math
import re
from collections.abc import Iterable
from typing import Any

import yaml

from aecli.errors.text import one_line, printable

MAX_YAML_BYTES = 2**18  # a configuration has 2 kB; YAML is slow to parse
MAX_DEPTH = 50
MAX_INTEGER = 2**63 - 1
# libyaml's parser where PyYAML was built with it: ten times as fast.
_YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class InvalidDocumentError(ValueError):
    """Text that is not a valid document; the message says why in one line."""


def parse_json(content: bytes | str) -> Any:
    """Parse JSON; numbers are finite, and integers have at most 64 bits.

    Raises:
        InvalidDocumentError: it is not such a document.
    """
    try:
        value = _JSON.decode(decode_text(content))
    except InvalidDocumentError:
        raise
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise InvalidDocumentError(f"it is not JSON ({one_line(error)})") from error
    _check_depth(value)
    return value


def to_json(value: Any) -> bytes:
    """Write JSON for people and programs: indented, and null for what JSON has no number for."""
    return (json.dumps(_finite(value), indent=2, allow_nan=False) + "\n").encode()


def to_csv(rows: Iterable[Iterable[Any]]) -> str:
    """Write CSV in which no name controls a terminal or is taken for a formula."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([_csv_cell(cell) for cell in row] for row in rows)
    return file.getvalue()


def _csv_cell(cell: Any) -> Any:
    """Put an apostrophe before a text that spreadsheets would compute; numbers stay numbers."""
    if not isinstance(cell, str):
        return cell
    if cell.startswith(("=", "+", "-", "@")) and not _is_number(cell):
        cell = f"'{cell}"
    return printable(cell)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def parse_yaml(content: bytes | str) -> Any:
    """Parse YAML without aliases, which let a small text stand for an endless one.

    Raises:
        InvalidDocumentError: it is not such a document.
    """
    if len(content) > MAX_YAML_BYTES:
        raise InvalidDocumentError(f"it has more than {MAX_YAML_BYTES:,} bytes")
    text = decode_text(content)
    try:
        depth = 0
        # libyaml refuses the escapes by which PyYAML writes file names that are not UTF-8.
        loader = yaml.SafeLoader if _SURROGATE.search(text) else _YAML_LOADER
        for event in yaml.parse(text, loader):
            if isinstance(event, yaml.AliasEvent):
                raise InvalidDocumentError("it is not a document without aliases (*name)")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise _too_deep()
        return _construct(loader(text))
    except InvalidDocumentError:
        raise
    except Exception as error:  # a value such as the date 2026-13-45 raises any kind
        raise InvalidDocumentError(f"it is not YAML ({one_line(error)})") from error


def _construct(loader: Any) -> Any:
    """The data of the one document in a text."""
    try:
        node = loader.get_single_node()
        _check_unique(node)
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _check_unique(node: yaml.Node | None) -> None:
    """Raise an InvalidDocumentError if a key occurs twice, of which PyYAML would take the last."""
    children = node.value if isinstance(node, yaml.CollectionNode) else []
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, _ in children:
            if str(key.value) in seen:
                raise InvalidDocumentError(f"it holds {one_line(key.value)} twice")
            seen.add(str(key.value))
        children = [value for _, value in children]
    for child in children:
        _check_unique(child)


def decode_text(content: bytes | str) -> str:
    """Decode UTF-8.

    Raises:
        InvalidDocumentError: it is not UTF-8.
    """
    if isinstance(content, str):
        return content
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidDocumentError(f"it is not UTF-8 text (byte {error.start})") from error


def _integer(digits: str) -> int:
    if len(digits) > len(str(-MAX_INTEGER)) or abs(int(digits)) > MAX_INTEGER:
        raise InvalidDocumentError(f"it holds a number of {len(digits)} digits")
    return int(digits)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise InvalidDocumentError(f"it holds {text[:20]} where a number belongs")
    return value


_JSON = json.JSONDecoder(parse_int=_integer, parse_float=_number, parse_constant=_number)


def _check_depth(value: Any) -> None:
    """Raise an InvalidDocumentError if lists and dicts are nested too deeply for recursive
    functions."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [each for each in level if isinstance(each, dict | list)]
        if not level:
            return
        level = [
            child for each in level for child in (each.values() if isinstance(each, dict) else each)
        ]
    raise _too_deep()


def _too_deep() -> InvalidDocumentError:
    return InvalidDocumentError(f"it is nested more than {MAX_DEPTH} levels deep")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
