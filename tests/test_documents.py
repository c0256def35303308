"""Documents from damaged or crafted files: read soon, or refused in one line."""

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest

from aecli.config import from_yaml
from aecli.errors import StorageError, UsageError
from aecli.files.documents import (
    MAX_DEPTH,
    MAX_YAML_BYTES,
    InvalidDocumentError,
    parse_json,
    parse_yaml,
    to_csv,
    to_json,
)
from aecli.files.storage import read_json

SOON = 10.0  # seconds, on a busy machine


def alias_bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


CRAFTED_JSON = {
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "just too deep": b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "cut off": b'{"mse": 0.1',
    "empty": b"",
    "not UTF-8": b'{"name": "\xff\xfe"}',
    "5,000 digits": b'{"epochs": ' + b"9" * 5000 + b"}",
    "65 bits": str(2**64).encode(),
    "NaN": b'{"mse": NaN}',
    "infinite": b'{"mse": -Infinity}',
    "too large for a float": b'{"mse": 1e999}',
}

CRAFTED_YAML = {
    "deep": "[" * 20_000 + "]" * 20_000,
    "deep blocks": "\n".join(" " * n + "a:" for n in range(500)),
    "alias bomb": alias_bomb(10),
    "an alias of itself": "a: &a [*a]",
    "bad date": "name: 2026-13-45",
    "bad integer": "name: !!int ''",
    "bad bool": "name: !!bool perhaps",
    "5,000 digits": "latent: " + "9" * 5000,
    "an object": "name: !!python/object/apply:os.getcwd []",
    "a control character": "name: \x00",
    "large": "# " * MAX_YAML_BYTES,
}


@pytest.mark.parametrize("content", CRAFTED_JSON.values(), ids=CRAFTED_JSON)
def test_crafted_json_is_refused_quickly_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file.json").write_bytes(content)
    started = time.monotonic()
    with pytest.raises(InvalidDocumentError) as invalid:
        parse_json(content)
    with pytest.raises(StorageError, match="file.json is damaged: it "):
        read_json(tmp_path / "file.json")
    assert "\n" not in str(invalid.value) and len(str(invalid.value)) < 200
    assert time.monotonic() - started < SOON


@pytest.mark.parametrize("content", CRAFTED_YAML.values(), ids=CRAFTED_YAML)
def test_crafted_yaml_is_refused_quickly_in_one_line(content: str) -> None:
    started = time.monotonic()
    with pytest.raises(InvalidDocumentError) as invalid:
        parse_yaml(content)
    with pytest.raises(UsageError, match="it is not an aecli configuration: it "):
        from_yaml(content)
    assert "\n" not in str(invalid.value)
    assert time.monotonic() - started < SOON


def test_yaml_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(InvalidDocumentError, match="not UTF-8 text"):
        parse_yaml(b"name: \xff")


def nested(levels: int) -> Any:
    return [nested(levels - 1)] if levels > 1 else []


def test_json_and_yaml_are_read_back(tmp_path: Path) -> None:
    value = {"a": [1, -2.5, None, True, "ä\x1b"], "deep": nested(MAX_DEPTH - 1), "n": 2**63 - 1}
    (tmp_path / "file").write_bytes(to_json(value))
    assert read_json(tmp_path / "file") == value
    assert parse_yaml("a: [1, 2.5, x]\nb: {c: null}") == {"a": [1, 2.5, "x"], "b": {"c": None}}


def test_json_is_written_without_numbers_that_it_does_not_have() -> None:
    value = {"psnr": {"a": math.inf, "b": [math.nan, 1.5]}, "pair": (1, -math.inf)}
    written = json.loads(to_json(value), parse_constant=pytest.fail)
    assert written == {"psnr": {"a": None, "b": [None, 1.5]}, "pair": [1, None]}


def test_a_file_too_large_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1234")
    assert read_json(tmp_path / "file", max_bytes=4) == 1234
    with pytest.raises(StorageError, match="file is damaged: it has 4 bytes, and 3 at most"):
        read_json(tmp_path / "file", max_bytes=3)


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf"])
def test_a_configuration_has_no_infinite_numbers(value: str) -> None:
    with pytest.raises(UsageError, match="^lr=.* is not valid"):
        from_yaml(
            f"name: x\nmodel: {{kind: fc, latent: 2, name: x}}\ndata: {{name: mnist}}\nlr: {value}"
        )


def test_csv_holds_no_formula_and_no_control_character() -> None:
    cells = ["=1+1", "+a", "@sum", "-b", "-1.5", "+2", -3, 0.5, None, "a\x1b[2J", "x=1", "ä,b"]
    assert to_csv([cells]) == ("'=1+1,'+a,'@sum,'-b,-1.5,+2,-3,0.5,,a\\x1b[2J,x=1,\"ä,b\"\n")


def test_a_duplicate_key_is_found_quickly() -> None:
    many = "".join(f"k{number}: 1\n" for number in range(20_000))
    started = time.monotonic()
    assert len(parse_yaml(many)) == 20_000
    with pytest.raises(InvalidDocumentError, match="it holds k7 twice"):
        parse_yaml(f"{many}k7: 2\n")
    assert time.monotonic() - started < 20  # comparing all with all takes minutes
