"""A disk that loses power: what a process does to the files below a folder, and what may be left.

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

import atexit
import builtins
import io
import itertools
import os
import pickle
import random
import stat
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NEVER = 1 << 62
REAL_OPEN = io.open
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
    """That the program has reported a checkpoint of so many epochs as written."""

    epochs: int


Operation = Data | Size | Names | Sync | Report

ROOT = 0


@dataclass
class Recording:
    """Everything that happened below a folder, which existed before and is on the disk."""

    folders: set[int]
    """Files and folders are numbered; these are the folders."""
    before: list[Operation]
    """What makes the folder as it was in the beginning."""
    operations: list[Operation]

    def synced_at(self) -> list[int]:
        """For each operation the number of that from which on it is on the disk for certain."""
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
        """What is on the disk if `kept` has reached it, in this order."""
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
        """What has a name.

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
    """What may be left of a recording."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._synced_at = recording.synced_at()

    def at(self, end: int, fate: Callable[[Operation], Operation | None]) -> Tree:
        """What is left if the power is cut before operation `end`.

        Args:
            fate: what became of an operation that is not synced; None if it is lost.
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
        """All that may be left at `end`, except for parts of operations.

        What a file holds does not depend on the fate of other files, nor on that of the names. So
        the contents of each that are possible, and the names, are found by themselves.
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
        """All operations before `end`, with their numbers; those that came first have none."""
        yield from ((None, operation) for operation in self.recording.before)
        yield from enumerate(self.recording.operations[:end])

    def draw(self, draw: random.Random, end: int) -> Tree:
        """One of the states that are possible at `end`, drawn at random."""
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
    """What may become of an operation that is not synced; first, that nothing happens to it."""
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
    for path in sorted(earlier, reverse=True):  # what is in a folder before the folder
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


class _RecordedFile(io.FileIO):
    """A file that is open for writing, without a buffer."""

    recorder: "Recorder"
    node: int | None
    """None for one that has no name, and is lost whatever happens."""

    def write(self, content: Any, /) -> int:
        offset = os.fstat(self.fileno()).st_size if "a" in self.mode else self.tell()
        size = super().write(content)
        if self.node is not None:
            self.recorder.add(Data(self.node, offset, bytes(memoryview(content).cast("B")[:size])))
        return size

    def truncate(self, size: int | None = None, /) -> int:
        size = super().truncate(size)
        if self.node is not None:
            self.recorder.add(Size(self.node, size))
        return size


@dataclass
class Recorder:
    """Notes what this process does to the files below a folder, which is there already.

    A thing of the operating system is known by its inode, for names change while it is open.
    """

    folder: Path
    log: Path
    """Where the recording is kept when the process ends; outside of the folder."""
    reports: Callable[["Recorder"], None]
    """Makes the program's own functions call `add` with a `Report`; must be possible to pickle."""

    def __call__(self) -> None:
        self.root = os.path.realpath(self.folder)
        self.numbers = itertools.count(ROOT)
        self.by_inode: dict[int, int] = {}
        self.recording = Recording(set(), [], [])
        self._number_folder(self.root)
        for path in sorted(Path(self.root).rglob("*")):
            change = self._named(str(path), None)
            assert change is not None
            node = self._number_folder(path) if path.is_dir() else self._number(os.stat(path))
            self.add(Names(((*change[:2], node),)))
            if path.is_file():
                self.add(Data(node, 0, path.read_bytes()))
        self.recording.before = self.recording.operations
        self.recording.operations = []
        self._patch()
        self.reports(self)
        atexit.register(self._end)

    def add(self, operation: Operation) -> None:
        self.recording.operations.append(operation)

    def _end(self) -> None:
        """Keep the recording, having made sure that it tells of everything."""
        recording = self.recording
        assert recording.left(iter(recording.operations)) == read_tree(Path(self.root))
        self.log.write_bytes(pickle.dumps(recording))

    def _number(self, status: os.stat_result) -> int:
        """A number for a new file or folder."""
        self.by_inode[status.st_ino] = node = next(self.numbers)
        return node

    def _number_folder(self, path: str | Path) -> int:
        node = self._number(os.stat(path))
        self.recording.folders.add(node)
        return node

    def _forget(self, status: os.stat_result) -> None:
        """A file or folder has lost a name; with the last one its inode is free for another."""
        if stat.S_ISDIR(status.st_mode) or status.st_nlink == 1:
            self.by_inode.pop(status.st_ino, None)

    def _node(self, path: Any) -> int | None:
        """The number of a path or a descriptor; None if it is not below our folder."""
        try:
            status = os.fstat(path) if isinstance(path, int) else os.lstat(path)
        except FileNotFoundError:
            return None
        return self.by_inode.get(status.st_ino)

    def _named(
        self, path: Any, node: int | None, dir_fd: int | None = None
    ) -> tuple[int, str, int | None] | None:
        """That a path stands for `node`; None if it is not below our folder."""
        if isinstance(path, int):
            return None
        parent, name = os.path.split(os.fspath(path))
        folder = self._node(dir_fd if dir_fd is not None and not parent else parent or ".")
        return None if folder is None else (folder, name, node)

    def _add_names(self, *changes: tuple[int, str, int | None] | None) -> None:
        inside = tuple(change for change in changes if change is not None)
        if inside:
            self.add(Names(inside))

    def _patch(self) -> None:
        """Have all operations on files go through this recorder, for as long as the process is."""
        real = {name: getattr(os, name) for name in (
            "mkdir", "rmdir", "unlink", "rename", "link", "truncate", "ftruncate", "fsync", "open",
            "write",
        )}  # fmt: skip

        def mkdir(path: Any, *arguments: Any, dir_fd: int | None = None) -> None:
            real["mkdir"](path, *arguments, dir_fd=dir_fd)
            if self._named(path, None, dir_fd) is not None:
                self._add_names(self._named(path, self._number_folder(path), dir_fd))

        def remove(name: str) -> Callable[..., None]:
            def removed(path: Any, *, dir_fd: int | None = None) -> None:
                status = os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
                real[name](path, dir_fd=dir_fd)
                self._forget(status)
                self._add_names(self._named(path, None, dir_fd))

            return removed

        def rename(source: Any, target: Any) -> None:
            node = self._node(source)
            changes = self._named(source, None), self._named(target, node)
            replaced = os.lstat(target) if os.path.lexists(target) else None
            real["rename"](source, target)
            if replaced is not None:
                self._forget(replaced)
            self._add_names(*changes)

        def link(source: Any, target: Any) -> None:
            real["link"](source, target)
            self._add_names(self._named(target, self._node(source)))

        def truncate(name: str) -> Callable[..., None]:
            def truncated(path: Any, length: int) -> None:
                real[name](path, length)
                node = self._node(path)
                if node is not None:
                    self.add(Size(node, length))

            return truncated

        def fsync(descriptor: Any) -> None:
            number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
            real["fsync"](number)
            node = self._node(number)
            if node is not None:
                self.add(Sync(node))

        def opened(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
            is_new = not os.path.lexists(path)
            descriptor: int = real["open"](path, flags, *arguments, **options)
            self._opened(path, descriptor, is_new, bool(flags & os.O_TRUNC))
            return descriptor

        def write(descriptor: int, content: Any) -> int:
            offset = os.lseek(descriptor, 0, os.SEEK_CUR)
            size: int = real["write"](descriptor, content)
            node = self._node(descriptor)
            if node is not None:
                self.add(Data(node, offset, bytes(content)[:size]))
            return size

        for name, function in {
            "mkdir": mkdir, "rmdir": remove("rmdir"), "unlink": remove("unlink"),
            "remove": remove("unlink"), "rename": rename, "replace": rename, "link": link,
            "truncate": truncate("truncate"), "ftruncate": truncate("ftruncate"), "fsync": fsync,
            "fdatasync": fsync, "open": opened, "write": write,
        }.items():  # fmt: skip
            setattr(os, name, function)
        builtins.open = io.open = self._open

    def _opened(self, path: Any, descriptor: int, is_new: bool, is_emptied: bool) -> int | None:
        """The number of a file that has just been opened for writing, which may be a new one."""
        if self._named(path, None) is not None and is_new and os.path.lexists(path):
            node: int | None = self._number(os.fstat(descriptor))
            self._add_names(self._named(path, node))
        else:
            node = self._node(descriptor)
            if is_emptied and node is not None:
                self.add(Size(node, 0))
        return node

    def _open(
        self, file: Any, mode: str = "r", buffering: int = -1, encoding: str | None = None,
        errors: str | None = None, newline: str | None = None, closefd: bool = True,
        opener: Any = None,
    ) -> Any:  # fmt: skip
        """As `io.open`."""
        inside = self._node(file) if isinstance(file, int) else self._named(file, None)
        if not set(mode) & set("wax+") or inside is None:
            return REAL_OPEN(file, mode, buffering, encoding, errors, newline, closefd, opener)
        is_new = not isinstance(file, int) and not os.path.lexists(file)
        raw = _RecordedFile(file, mode.replace("b", "").replace("t", ""), closefd, opener)
        node = self._opened(file, raw.fileno(), is_new, "w" in mode and not is_new)
        raw.recorder, raw.node = self, node
        if buffering == 0:
            return raw
        buffered = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)
