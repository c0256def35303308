"""Files that are whole or not there."""

import errno
import os
import re
from pathlib import Path
from typing import Any

import pytest

from aecli.errors import StorageError
from aecli.files.storage import (
    fingerprint,
    fsync_file,
    make_folder,
    natural_key,
    read_json,
    read_regular,
    read_verified,
    remove_scratch,
    writable_folder,
    write_atomically,
)


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("operation", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_no_other(
    operation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, operation, fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    writable_folder(tmp_path / "a" / "b", "output_dir")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_folder_below_a_file_is_refused_with_its_key(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/x cannot be written .* output_dir="):
        writable_folder(tmp_path / "file" / "x", "output_dir")


def test_a_folder_that_cannot_be_written_is_refused_with_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_file = os.open

    def read_only(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & os.O_RDWR and Path(path).is_relative_to(tmp_path):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return open_file(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(StorageError, match=r"cannot be written \(Read-only .* output_dir="):
        writable_folder(tmp_path, "output_dir")


def test_a_link_planted_under_a_temporary_name_is_not_written_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    replace = os.replace

    def note(source: Path, target: Path) -> None:
        names.append(Path(source).name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", note)
    for _ in range(2):
        write_atomically(tmp_path / "file", b"content")
    assert len(set(names)) == 2  # not to be guessed from the first
    monkeypatch.setattr("secrets.token_hex", lambda _: "guessed")
    (tmp_path / "victim").write_bytes(b"theirs")
    (tmp_path / ".file.guessed.aecli-part").symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError):
        write_atomically(tmp_path / "file", b"content")
    assert (tmp_path / "victim").read_bytes() == b"theirs"


def test_a_file_is_on_disk_before_its_name_and_its_name_before_the_call_ends(
    tmp_path: Path, operations: list[str]
) -> None:
    write_atomically(tmp_path / "file", b"content")
    scratch, *others = operations
    assert re.fullmatch(r"sync \.file\.[0-9a-f]{16}\.aecli-part", scratch)
    assert others == ["rename file", f"sync {tmp_path.name}"]
    operations.clear()
    fsync_file(tmp_path / "file")
    assert operations == ["sync file"]


def test_a_file_is_synced_once_all_of_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: sizes.append(os.fstat(descriptor).st_size))
    write_atomically(tmp_path / "file", b"content")
    assert sizes[0] == len(b"content")


def test_a_file_is_written_where_a_folder_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_DIRECTORY", raising=False)
    write_atomically(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"


def test_a_new_folder_is_synced_where_it_is_new(tmp_path: Path, operations: list[str]) -> None:
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert sorted(operations) == sorted(["sync a", f"sync {tmp_path.name}"])
    operations.clear()
    make_folder(tmp_path / "a" / "b")
    assert operations == []


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        write_atomically(tmp_path / "file", b"content")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_killed_processs_unfinished_file_is_removed(tmp_path: Path) -> None:
    for name in (".file.0123.aecli-part", "mine.aecli-part", ".mine"):
        (tmp_path / name).touch()
    remove_scratch(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"mine.aecli-part", ".mine"}


def test_a_file_removed_meanwhile_is_not_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".file.0123.aecli-part").touch()
    unlink = Path.unlink

    def too_late(path: Path, missing_ok: bool = False) -> None:
        unlink(path)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", too_late)
    remove_scratch(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for read in (read_regular, read_json, lambda path: read_verified(path, fingerprint(b""))):
        with pytest.raises(StorageError, match="pipe cannot be read: it is not a regular file"):
            read(tmp_path / "pipe")


def test_a_file_may_have_at_most_max_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"[12]")
    assert read_regular(tmp_path / "file", 4) == b"[12]" == read_regular(tmp_path / "file")
    assert read_json(tmp_path / "file") == [12]
    with pytest.raises(StorageError, match="it has 4 bytes, and 3 at most belong there"):
        read_json(tmp_path / "file", 3)
    os.truncate(tmp_path / "file", 2**26 + 1)  # it would take seconds to parse
    with pytest.raises(StorageError, match="67,108,865 bytes, and 67,108,864 at most"):
        read_json(tmp_path / "file")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"[12")
    with pytest.raises(StorageError, match="file is damaged: it is not JSON"):
        read_json(tmp_path / "file")
    for read in (read_json, lambda path: read_verified(path, fingerprint(b""))):
        with pytest.raises(StorageError, match="none cannot be read: No such file"):
            read(tmp_path / "none")
        with pytest.raises(StorageError, match="cannot be read: Is a directory"):
            read(tmp_path)


def test_a_file_is_verified_by_size_and_digest(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    expected = fingerprint(b"abc")
    assert expected == {
        "size": 3,
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    }
    assert read_verified(tmp_path / "file", expected) == b"abc"
    for wrong, reason in (
        (fingerprint(b"abcd"), "file is damaged: it has 3 bytes, but 4 were written"),
        (fingerprint(b"abd"), "file is damaged: its sha256 is not the one in its manifest$"),
        ({"size": "4"}, "its sha256 is not the one"),
        (None, "its sha256 is not the one"),
    ):
        with pytest.raises(StorageError, match=reason):
            read_verified(tmp_path / "file", wrong)


def test_names_are_sorted_by_the_numbers_in_them() -> None:
    names = ["10-fc", "2-fc", "a", "2-fc-z10", "2-fc-z9", "01", "1"]
    assert sorted(names, key=natural_key) == [
        "01",
        "1",
        "2-fc",
        "2-fc-z9",
        "2-fc-z10",
        "10-fc",
        "a",
    ]
