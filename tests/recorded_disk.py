"""Records what this process does to files, for `simulated_disk`."""

import atexit
import builtins
import io
import itertools
import os
import pickle
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.simulated_disk import ROOT, Data, Names, Operation, Recording, Size, Sync, read_tree

REAL_OPEN = io.open


class _RecordedFile(io.FileIO):
    """A file that is open for writing, without a buffer."""

    recorder: "Recorder"
    node: int | None
    """None for a file without a name, which is lost in any case."""

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
    """Records what this process does to the files below an existing folder.

    Files are identified by their inodes, because names may change while they are open.
    """

    folder: Path
    log: Path
    """Where the recording is saved when the process ends; outside the folder."""
    reports: Callable[["Recorder"], None]
    """Makes the program's own functions call `add` with a `Report`; must be picklable."""

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
        """Save the recording after checking that it is complete."""
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
        """A record that a path stands for `node`; None if it is not below our folder."""
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
        """Make all operations on files go through this recorder until the process ends."""
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
