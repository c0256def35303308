"""Numbers as people type them in or keep them in files, and nothing but numbers."""

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from aecli.convolution.arrays import MAX_BYTES, Array, looks_like_sizes, read_array, read_sizes
from aecli.errors import StorageError, UsageError

ROWS = [[1.0, -2.5, 3.0], [0.25, 5.0, 60.0]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "sizes"), [("3", (3, 3)), ("3x1", (3, 1)), ("0", (0, 0)), ("12x4096", (12, 4096))]
)
def test_sizes_are_for_both_axes_or_for_rows_and_columns(text: str, sizes: tuple[int, int]) -> None:
    assert looks_like_sizes(text)
    assert read_sizes("kernel", text) == sizes


@pytest.mark.parametrize(
    "text", ["", "x", "3x", "x3", "2x3x4", "-1", "1.5", "1e3", "٣", "3 ", "[3]", "9" * 5000]
)
def test_an_invalid_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="^kernel=.* is not valid: give 3, or 3x1 as rows x col"):
        read_sizes("kernel", text)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.5", 0.5),
        ("-3", -3.0),
        ("[1, 2.5]", [1, 2.5]),
        ("[[1,-2.5,3],[0.25,5,6e1]]", ROWS),
        ("[[[1],[2]],[[3],[4]]]", [[[1], [2]], [[3], [4]]]),
        ("[1., -2.5, 3.0]", [1, -2.5, 3]),  # as torch prints them
        ("[.5, -.25, 1.e1, 2.]", [0.5, -0.25, 10, 2]),
    ],
)
def test_a_list_is_read_as_it_is_nested(text: str, values: object) -> None:
    array = read_array("input", text)
    assert array.dtype == np.float64
    assert array.tolist() == values


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "1,-2.5,3\n0.25,5,60\n"),
        ("spreadsheet.csv", "\ufeff1, -2.5, 3\r\n\r\n0.25, 5, 60"),
        ("blanks.txt", "1 -2.5\t3\n  .25 5. 6e1  \n\n"),
        ("commas.txt", "1,-2.5,3\n0.25,5,60"),
        ("a.json", "[[1, -2.5, 3],\n [0.25, 5, 60]]\n"),
    ],
)
def test_text_files_hold_a_row_a_line_or_a_list(folder: Path, name: str, content: str) -> None:
    Path(name).write_text(content, encoding="utf-8")
    assert read_array("input", name).tolist() == ROWS
    assert read_array("input", str(folder / name)).tolist() == ROWS


@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<f2", "i8", "u1"])
def test_npy_files_of_any_kind_of_number(folder: Path, dtype: str) -> None:
    numbers = np.arange(24).reshape(2, 3, 4)
    np.save("a.npy", np.asfortranarray(numbers.astype(dtype)))
    assert read_array("input", "a.npy").tolist() == numbers.tolist()


@given(
    arrays.arrays(
        np.float64,
        arrays.array_shapes(max_dims=4, max_side=4),
        elements=st.floats(-1e100, 1e100),
    )
)
def test_a_list_of_any_shape_comes_back_to_the_bit(numbers: Array) -> None:
    assert np.array_equal(read_array("input", json.dumps(numbers.tolist())), numbers)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[1,2],[3]]", "input=[[1,2],[3]]: its rows differ in length"),
        ("[[1,2],3]", "its rows differ in length"),
        ('[["1"]]', '"1" is not a number'),
        ("[[true]]", "true is not a number"),
        ("[[null]]", "null is not a number"),
        ('[{"a": 1}]', '{"a": 1} is not a number'),
        ("[[NaN]]", "give finite numbers, of at most 1e+100"),
        ("[[1e999]]", "give finite numbers"),
        ("[[-Infinity]]", "give finite numbers"),
        (f"[[1{'0' * 400}]]", "give finite numbers"),
        (f"[[{'1' * 5000}]]", "is not a list of numbers such as [[1,2],[3,4]]"),
        ("inf", "give finite numbers"),
        ("[]", "input=[] is empty: give at least one number"),
        ("[[],[]]", "is empty"),
        ("[1,2", "is not a list of numbers such as [[1,2],[3,4]]"),
        ("[__import__('os').system('touch executed')]", "is not a list of numbers"),
        ("[" * 100_000, "is not a list of numbers"),
        ("[" * 500 + "]" * 500, "input=["),
        ("hello", "input=hello is not valid: give a list such as [[1,2],[3,4]], or a file (.json"),
        ("image.png", "is not valid: give a list"),
        ("missing.csv", "input=missing.csv: there is no such file"),
        ("folder.csv", "there is no such file"),
    ],
)
def test_a_mistake_gets_one_short_line(folder: Path, text: str, words: str) -> None:
    Path("folder.csv").mkdir()
    with pytest.raises(UsageError) as caught:
        read_array("input", text)
    line = str(caught.value)
    assert words in line
    assert "\n" not in line and len(line) < 200
    assert os.listdir() == ["folder.csv"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"1,2\n3,4,5\n", "a.csv: its rows differ in length"),
        ("a.csv", b"1,2\n3,x\n", "a.csv, line 2: 'x' is not a number"),
        ("a.csv", b"1,,2\n", "line 1: '' is not a number"),
        ("a.csv", b"1;2\n", "line 1: '1;2' is not a number"),
        ("a.csv", b"1,nan\n", "give finite numbers"),
        ("a.csv", b"\n\n", "is empty"),
        ("a.txt", b"1 0x10\n", "'0x10' is not a number"),
        ("a.txt", b"\xff\xfe1\x00", "is not a text file"),
        ("a.json", b"", "is not a list of numbers"),
        ("a.json", b'{"rows": [[1]]}', "is not a number"),
        ("a.npy", b"", "is not an array of numbers saved by numpy.save"),
        ("a.npy", b"\x93NUMPY\x01\x00v\x00{'descr': oops}", "is not an array of numbers"),
        ("a.npy", b"PK\x03\x04", "is not an array of numbers"),
    ],
)
def test_a_damaged_file_gets_one_line(folder: Path, name: str, content: bytes, words: str) -> None:
    Path(name).write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_array("input", name)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"input={name}")


class Intruder:
    """Leaves a file behind if it is ever unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return Path.touch, (Path("executed"),)  # type: ignore[return-value]


def test_pickled_objects_are_not_loaded(folder: Path) -> None:
    np.save("a.npy", np.array([[Intruder()]], dtype=object))
    with pytest.raises(UsageError, match="is not an array of numbers"):
        read_array("input", "a.npy")
    assert os.listdir() == ["a.npy"]


@pytest.mark.parametrize("dtype", ["U3", "c16", "M8[s]", "?"])
def test_arrays_that_are_not_numbers_are_refused(folder: Path, dtype: str) -> None:
    np.save("a.npy", np.zeros((2, 2)).astype(dtype))
    with pytest.raises(UsageError, match="holds .*, not numbers"):
        read_array("input", "a.npy")


def test_a_file_that_claims_more_than_it_holds_is_damaged(folder: Path) -> None:
    np.save("a.npy", np.zeros((2, 2)))
    content = Path("a.npy").read_bytes()
    for claim in (b"(2, 3)", b"(9999,)", b"(999999999999,)"):
        header = content.replace(b"(2, 2)", claim).replace(b" " * (len(claim) - 6) + b"\n", b"\n")
        assert len(header) == len(content)
        Path("a.npy").write_bytes(header)
        with pytest.raises(UsageError, match="is not an array of numbers"):
            read_array("input", "a.npy")


def test_a_huge_file_is_not_read(folder: Path) -> None:
    with open("a.csv", "wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(UsageError, match="a.csv is too large: 16,777,217 bytes, 16,777,216 at mo"):
        read_array("input", "a.csv")


def test_an_unreadable_file_is_a_storage_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    Path("a.csv").touch()
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(StorageError, match="a.csv cannot be read: Permission denied"):
        read_array("input", "a.csv")


@given(st.binary(max_size=300))
def test_any_file_content_is_read_or_refused(content: bytes) -> None:
    files = {".json": content, ".csv": content, ".npy": b"\x93NUMPY\x01\x00" + content}
    with tempfile.TemporaryDirectory() as folder:
        for suffix, written in files.items():
            path = Path(folder, f"any{suffix}")
            path.write_bytes(written)
            try:
                array = read_array("input", str(path))
            except UsageError as error:
                assert "\n" not in str(error)
            else:
                assert array.size and np.isfinite(array).all()
