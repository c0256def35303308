"""Numbers in the terminal: aligned, beside one another, and as many as there is room for."""

import numpy as np
import pytest
from numpy.typing import ArrayLike

from aecli.cli import console
from aecli.cli.number_grids import MAX_GRIDS, MAX_ROWS, NumberGrid, is_printable, number_grids


def grid(heading: str, numbers: ArrayLike, real: ArrayLike | None = None) -> NumberGrid:
    return NumberGrid(heading, np.array(numbers), None if real is None else np.array(real))


def show(capsys: pytest.CaptureFixture[str], *groups: list[NumberGrid]) -> list[str]:
    number_grids(*groups)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("numbers", "lines"),
    [
        ([[1, 20], [-3, 4]], [" 1 20", "-3  4"]),
        ([[0.5, 1.0]], ["0.5 1.0"]),
        ([[0.25, 10]], [" 0.25 10.00"]),
        ([[1 / 3, 2]], ["0.3333 2.0000"]),
        ([[0.1 + 0.2, -0.0]], ["0.3 0.0"]),
        ([[-0.00001, 1]], ["-1e-05      1"]),  # no nonzero looks like zero
        ([[1e-5, 1.25]], ["1e-05  1.25"]),
        ([[-1e-16, 1]], ["0 1"]),  # an error of rounding
        ([[1e-5, 2e-8]], ["1e-05 2e-08"]),
        ([[123456789.0, 0]], ["1.235e+08         0"]),
    ],
)
def test_numbers_are_aligned_and_have_the_decimals_that_they_need(
    numbers: ArrayLike, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(capsys, [grid("n", numbers)]) == ["", "n", *(f"  {line}" for line in lines)]


def test_inserted_zeros_are_dots_and_do_not_count_for_the_decimals(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sparse = grid("n", [[0.0, 0.25], [10.0, 0.125]], [[True, False], [True, False]])
    assert show(capsys, [sparse]) == ["", "n", "   0  .", "  10  ."]
    assert show(capsys, [grid("n", [[0.0]], [[False]])]) == ["", "n", "  ."]


def test_grids_are_side_by_side_where_there_is_room(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.out, "width", 19)
    first, second, third = grid("first", [[1, 2], [3, 4]]), grid("b", [[5]]), grid("third", [[6]])
    assert show(capsys, [first, second], [], [third]) == [
        "",
        "first   b     third",
        "  1 2     5     6",
        "  3 4",
    ]
    monkeypatch.setattr(console.out, "width", 18)
    assert show(capsys, [first, second], [third]) == [
        "",
        "first   b",
        "  1 2     5",
        "  3 4",
        "",
        "third",
        "  6",
    ]


def test_a_grid_that_does_not_fit_is_called_too_large(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.out, "width", 40)
    for columns, fits in ((19, True), (20, False)):  # 2 blanks, and a blank between digits
        wide = grid("wide", np.ones((1, columns)))
        assert is_printable(wide) is fits
        assert (show(capsys, [wide])[1] == "wide (too large to print)") is not fits
    high = np.ones((MAX_ROWS + 1, 1))
    assert is_printable(grid("high", high[1:]))
    assert not is_printable(grid("high", high))
    assert not is_printable(NumberGrid("huge", np.broadcast_to(0.0, (10**6, 10**6))))
    assert not is_printable(grid("digits", np.full((1, 15), 100)))


def test_only_the_first_of_many_grids_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    many = [grid(f"map {number}", [[number]]) for number in range(MAX_GRIDS + 3)]
    lines = show(capsys, many, [grid("last", [[7]])])
    text = " ".join(" ".join(lines).split())
    assert "map 5" in text and "map 6" not in text
    assert "last" in text
    assert lines[-1] == "... and 3 more like map 0"


def test_many_grids_that_are_too_large_have_one_heading(
    capsys: pytest.CaptureFixture[str],
) -> None:
    large = np.ones((MAX_ROWS + 1, 1))
    lines = show(capsys, [grid(f"map {number}", large) for number in range(8)], [])
    assert [line for line in lines if line] == [
        "map 0 (too large to print)",
        "... and 7 more like map 0",
    ]
