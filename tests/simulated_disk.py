"""A disk that loses power: the operations of a process on the files below a folder, and the states
that may be left.

The model, after Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014), and LazyFS:

- An operation has reached the disk for certain once it is synced: a write or a truncation by an
  fsync of its file, and a name (of a file or folder that is created, renamed, linked or removed) by
  an fsync of the folder that it is in, of a rename the one that it goes to. Nothing else syncs
  anything: not the closing of a file, not its rename, not an fsync of another file or folder.
- When the power is cut, every operation that is not synced may have reached the disk or not, each
  for itself and in any order. Of a write there may also be a beginning alone, or its length with
  zeros in place of its bytes.
- A change of names is atomic: of a rename there is never one half. It says what its names stand for
  afterwards, so that a rename can be there without the creation of what it renamed.
- A folder without a name is lost with everything in it, whatever in it was synced.
- What a process still holds in a buffer of its own was never written.

This allows more than any one file system does. Times, owners and permissions are not modelled.
"""

import itertools
import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

NEVER = 1 << 62
LONG_AGO = time.time() - 3600

Tree = dict[str, bytes | None]
"""Path -> the content of a file, or None for a folder."""


@dataclass(frozen=True)
class Data:
    """A write, or bytes that replace others."""

    file: int
    offset: int
    content: bytes


@dataclass(frozen=True)
class Size:
    """A truncation."""

    file: int
    size: int


@dataclass(frozen=True)
class Names:
    """What names stand for from now on: (folder, name, file or folder; None if removed)."""

    changes: tuple[tuple[int, str, int | None], ...]


@dataclass(frozen=True)
class Sync:
    """An fsync of a file or folder."""

    node: int


@dataclass(frozen=True)
class Report:
    """The program has reported a checkpoint of this many epochs as written."""

    epochs: int


Operation = Data | Size | Names | Sync | Report

ROOT = 0


@dataclass
class Recording:
    """Everything that happened below a folder that existed before and is on the disk."""

    folders: set[int]
    """Files and folders are numbered; these are the folders."""
    before: list[Operation]
    """The operations that create the folder as it was at the beginning."""
    operations: list[Operation]

    def synced_at(self) -> list[int]:
        """For each operation, the number of the one after which it is certainly on the disk."""
        syncs: dict[int, int] = {}
        found = [NEVER] * len(self.operations)
        for number in reversed(range(len(self.operations))):
            match self.operations[number]:
                case Sync(node):
                    syncs[node] = number
                case Data(file) | Size(file):
                    found[number] = syncs.get(file, NEVER)
                case Names(changes):
                    found[number] = syncs.get(changes[-1][0], NEVER)
                case Report():
                    pass
        return found

    def left(self, kept: Iterator[Operation]) -> Tree:
        """The state of the disk if the operations `kept` have reached it, in this order."""
        names: dict[tuple[int, str], int] = {}
        contents: dict[int, bytearray] = {}
        for operation in itertools.chain(self.before, kept):
            match operation:
                case Data(file) | Size(file):
                    change_content(contents.setdefault(file, bytearray()), operation)
                case Names():
                    change_names(names, operation)
        return self.tree(names, contents)

    def tree(
        self, names: dict[tuple[int, str], int], contents: Mapping[int, bytes | bytearray]
    ) -> Tree:
        """The files and folders that have a name.

        Args:
            names: (folder, name) -> file or folder.
            contents: file -> its content; nothing if it is missing.
        """
        below: dict[int, list[tuple[str, int]]] = defaultdict(list)
        for (folder, name), node in names.items():
            below[folder].append((name, node))
        tree: Tree = {}
        waiting = [("", ROOT)]
        while waiting:
            path, folder = waiting.pop()
            for name, node in below[folder]:
                place = f"{path}{name}"
                if node in self.folders:
                    tree[place] = None
                    waiting.append((f"{place}/", node))
                else:
                    tree[place] = bytes(contents.get(node, b""))
        return tree


def change_content(content: bytearray, operation: Data | Size) -> None:
    match operation:
        case Data(_, offset, written):
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(written)] = written
        case Size(_, size):
            del content[size:]
            content.extend(bytes(size - len(content)))


def change_names(names: dict[tuple[int, str], int], operation: Names) -> None:
    for folder, name, node in operation.changes:
        if node is None:
            names.pop((folder, name), None)
        else:
            names[folder, name] = node


class PowerCuts:
    """The states that may be left of a recording."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._synced_at = recording.synced_at()

    def at(self, end: int, fate: Callable[[Operation], Operation | None]) -> Tree:
        """The state that is left if the power is cut before operation `end`.

        Args:
            fate: what becomes of an operation that is not synced; None if it is lost.
        """
        operations = self.recording.operations

        def kept() -> Iterator[Operation]:
            for number in range(end):
                if self._synced_at[number] < end:
                    yield operations[number]
                elif (left := fate(operations[number])) is not None:
                    yield left

        return self.recording.left(kept())

    def every(self, end: int) -> Iterator[Tree]:
        """All states that may be left at `end`, except for parts of operations.

        The content of a file depends neither on the fate of other files nor on that of names. So
        the possible contents of each file, and the names, are found independently.
        """
        contents: dict[int, set[bytes]] = defaultdict(lambda: {b""})
        namings: set[frozenset[tuple[tuple[int, str], int]]] = {frozenset()}
        for number, operation in self._until(end):
            may_be_lost = number is not None and self._synced_at[number] >= end
            match operation:
                case Data(file) | Size(file):
                    before = contents[file]
                    contents[file] = {_with_content(each, operation) for each in before}
                    contents[file] |= before if may_be_lost else set()
                case Names():
                    earlier = namings
                    namings = {_with_names(each, operation) for each in earlier}
                    namings |= earlier if may_be_lost else set()
        for naming in namings:
            names = dict(naming)
            files = [*set(names.values()) - self.recording.folders]
            for held in itertools.product(*(contents[file] for file in files)):
                yield self.recording.tree(names, dict(zip(files, held, strict=True)))

    def _until(self, end: int) -> Iterator[tuple[int | None, Operation]]:
        """All operations before `end`, with their numbers; those that create the folder have
        none."""
        yield from ((None, operation) for operation in self.recording.before)
        yield from enumerate(self.recording.operations[:end])

    def draw(self, draw: random.Random, end: int) -> Tree:
        """A random state of those that are possible at `end`."""
        share = draw.choice((0, 0.1, 0.5, 0.9, 1))  # of the operations that are not lost

        def fate(operation: Operation) -> Operation | None:
            if draw.random() >= share:
                return None
            return draw.choice(fates(operation)) if draw.random() < 0.2 else operation

        return self.at(end, fate)


def _with_content(content: bytes, operation: Data | Size) -> bytes:
    changed = bytearray(content)
    change_content(changed, operation)
    return bytes(changed)


def _with_names(
    naming: frozenset[tuple[tuple[int, str], int]], operation: Names
) -> frozenset[tuple[tuple[int, str], int]]:
    changed = dict(naming)
    change_names(changed, operation)
    return frozenset(changed.items())


def fates(operation: Operation) -> list[Operation | None]:
    """The possible fates of an operation that is not synced; the first is that it is complete."""
    match operation:
        case Data(file, offset, content):
            half = Data(file, offset, content[: len(content) // 2])
            return [operation, None, half, Data(file, offset, bytes(len(content)))]
        case Sync() | Report():
            return [operation]
        case _:
            return [operation, None]


def write_tree(tree: Tree, folder: Path, earlier: Tree) -> None:
    """Write `tree` into `folder`, which holds `earlier`, with the times of an hour ago."""
    for path in sorted(earlier, reverse=True):  # the content of a folder before the folder
        if path not in tree or (tree[path] is None) != (earlier[path] is None):
            (os.unlink if earlier[path] is not None else os.rmdir)(folder / path)
    for path in sorted(tree):
        content, place = tree[path], f"{folder}/{path}"
        if path in earlier and earlier[path] == content:
            continue
        if content is None:
            os.mkdir(place)
        else:
            with open(place, "wb", buffering=0) as file:
                file.write(content)
            os.utime(place, (LONG_AGO, LONG_AGO))


def read_tree(folder: Path) -> Tree:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }
