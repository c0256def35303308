"""What the model of a disk says may be left after a power cut, in cases worked out by hand."""

import pytest

from tests.simulated_disk import (
    ROOT,
    Data,
    Names,
    Operation,
    PowerCuts,
    Recording,
    Size,
    Sync,
    Tree,
)

FILE, OTHER, FOLDER = 1, 2, 3
CREATED = Names(((ROOT, "a", FILE),))
X, Y = Data(FILE, 0, b"x"), Data(FILE, 1, b"y")
SAVED_BEFORE: list[Operation] = [CREATED, Data(FILE, 0, b"old")]
SCRATCH, NEW = Names(((ROOT, "b", OTHER),)), Data(OTHER, 0, b"new")
RENAMED = Names(((ROOT, "b", None), (ROOT, "a", OTHER)))


@pytest.mark.parametrize(
    ("before", "operations", "left"),
    [
        ([], [], [{}]),
        ([], [CREATED, X], [{}, {"a": b""}, {"a": b"x"}]),
        ([], [CREATED, X, Sync(ROOT)], [{"a": b""}, {"a": b"x"}]),
        ([], [CREATED, X, Sync(FILE), Y], [{}, {"a": b"x"}, {"a": b"xy"}]),
        # In any order: the second write without the first leaves a hole.
        ([CREATED], [X, Y], [{"a": b""}, {"a": b"x"}, {"a": b"\0y"}, {"a": b"xy"}]),
        (SAVED_BEFORE, [Size(FILE, 1), Data(FILE, 1, b"n")],
         [{"a": b"old"}, {"a": b"o"}, {"a": b"ond"}, {"a": b"on"}]),
        # The name may be there before the content.
        (SAVED_BEFORE, [SCRATCH, NEW, RENAMED],
         [{"a": b"old"}, {"a": b"old", "b": b""}, {"a": b"old", "b": b"new"}, {"a": b""},
          {"a": b"new"}]),
        (SAVED_BEFORE, [SCRATCH, NEW, Sync(OTHER), RENAMED],
         [{"a": b"old"}, {"a": b"old", "b": b"new"}, {"a": b"new"}]),
        (SAVED_BEFORE, [SCRATCH, NEW, Sync(OTHER), RENAMED, Sync(ROOT)], [{"a": b"new"}]),
        # A folder that has no name is lost with what is in it.
        ([], [Names(((ROOT, "f", FOLDER),)), Names(((FOLDER, "a", FILE),)), Sync(FOLDER)],
         [{}, {"f": None, "f/a": b""}]),
    ],
)  # fmt: skip
def test_every_state_and_no_other_may_be_left(
    before: list[Operation], operations: list[Operation], left: list[Tree]
) -> None:
    cuts = PowerCuts(Recording({ROOT, FOLDER}, before, operations))
    found = [*cuts.every(len(operations))]
    assert all(tree in left for tree in found)
    assert all(tree in found for tree in left)
    assert cuts.at(len(operations), lambda operation: operation) == left[-1]
    assert cuts.at(len(operations), lambda _: None) == left[0]
