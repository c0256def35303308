"""Files of ours are replaced all at once, and files of others not at all."""

import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from aecli.errors import StorageError
from aecli.runs.owned import MANIFEST, NEXT, OwnedFiles


def published(folder: Path, contents: dict[str, str]) -> OwnedFiles:
    files = OwnedFiles(folder)
    for name, content in contents.items():
        files.stage(name).write_text(content)
    files.publish(contents)
    return files


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST
    }


def test_new_versions_replace_the_old(tmp_path: Path) -> None:
    published(tmp_path, {"a": "old", "sub/b": "old", "sub/gone": "old"})
    files = published(tmp_path, {"a": "new", "sub/b": "new"})
    assert contents(tmp_path) == {"a": "new", "sub/b": "new"}
    assert not (tmp_path / NEXT).exists()
    assert files.read("sub/b") == b"new"


def test_new_versions_are_on_disk_before_they_count(tmp_path: Path, operations: list[str]) -> None:
    files = OwnedFiles(tmp_path / "run")
    for name in ("a", "sub/b"):
        files.stage(name).write_text("new")
    (tmp_path / "run/log").write_text("written in its place")
    operations.clear()
    files.publish(["a", "sub/b", "log"])
    steps = iter([each for each in operations if ".aecli-part" not in each])
    first = {next(steps) for _ in range(5)}
    assert first == {"sync a", "sync b", "sync log", "sync sub", f"sync {NEXT}"}
    assert [next(steps), next(steps)] == [f"rename {MANIFEST}", f"sync {NEXT}"]  # now they count
    assert {next(steps), next(steps)} == {"rename a", "rename b"}
    moved = {step for step in iter(lambda: next(steps), f"rename {MANIFEST}")}
    assert moved == {"sync run", "sync sub"}
    assert list(steps) == ["sync run"]


def test_a_removal_is_on_disk_before_the_manifest_without_it(
    tmp_path: Path, operations: list[str]
) -> None:
    files = published(tmp_path / "run", {"sub/a": "old", "gone": "old"})
    files.stage("sub/a").write_text("new")
    operations.clear()
    files.publish(["sub/a"])
    moved = operations[operations.index("rename a") :]
    assert moved == ["rename a", "sync sub", "sync run", f"rename {MANIFEST}", "sync run"]


def test_unpublished_files_are_not_in_force(tmp_path: Path) -> None:
    files = published(tmp_path, {"a": "old"})
    files.stage("a").write_text("new")
    assert files.read("a") == b"old"
    assert contents(tmp_path) == {"a": "old", f"{NEXT}/a": "new"}


@pytest.mark.parametrize("name", ["a", "sub/b", "sub/new"])
def test_a_file_of_another_program_is_named_and_nothing_is_done(name: str, tmp_path: Path) -> None:
    files = published(tmp_path, {"a": "old", "sub/b": "old"})
    (tmp_path / name).write_text("precious")
    before = contents(tmp_path)
    for each in ("a", "sub/b", "sub/new"):
        files.stage(each).write_text("new")
    is_changed = name != "sub/new"
    reason = "has been changed since aecli wrote it" if is_changed else "was not written by aecli"
    with pytest.raises(StorageError, match=f"{name} {reason}, so it is not replaced: move it"):
        files.publish(["a", "sub/b", "sub/new"])
    assert before.items() <= contents(tmp_path).items()
    (tmp_path / name).rename(tmp_path / "elsewhere")
    files.publish(["a", "sub/b", "sub/new"])
    assert contents(tmp_path) == {
        "a": "new", "sub/b": "new", "sub/new": "new", "elsewhere": "precious",
    }  # fmt: skip


def test_an_old_file_that_was_changed_is_left(tmp_path: Path) -> None:
    files = published(tmp_path, {"a": "old", "gone": "old", "changed": "old"})
    (tmp_path / "changed").write_text("precious")
    files.stage("a").write_text("new")
    files.publish(["a"])
    assert contents(tmp_path) == {"a": "new", "changed": "precious"}


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    files = published(tmp_path / "ours", {"a": "old"})
    (tmp_path / "theirs").write_text("precious")
    (tmp_path / "ours/b").symlink_to(tmp_path / "missing")
    for name in ("a", "b"):
        files.stage(name).write_text("new")
    with pytest.raises(StorageError, match="b was not written by aecli"):
        files.publish(["a", "b"])
    assert not (tmp_path / "missing").exists()


def test_files_that_are_written_in_their_places_are_claimed_first(tmp_path: Path) -> None:
    files = OwnedFiles(tmp_path)
    files.claim("log")
    (tmp_path / "log").write_text("1 line")
    files.check_replaceable(["log"])
    files.stage("result").write_text("done")
    files.publish(["log", "result"])
    assert files.read("log") == b"1 line"
    (tmp_path / "log").write_text("2 lines")
    with pytest.raises(StorageError, match="log is damaged"):
        files.read("log")


def interrupted_after(replaced: int, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`os.replace` that is killed after so many calls."""
    real, calls = os.replace, iter(range(replaced))

    def replace(source: Path, target: Path) -> None:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    return replace


def published_and_not_moved(folder: Path, monkeypatch: pytest.MonkeyPatch) -> OwnedFiles:
    """A file whose next version is in force, and which a process was killed before moving."""
    files = published(folder, {"a": "old"})
    files.stage("a").write_text("new")
    with monkeypatch.context() as patch:
        interrupted_after(1, patch)
        with pytest.raises(KeyboardInterrupt):
            files.publish(["a"])
    return files


@pytest.mark.parametrize("replaced", range(5))
def test_at_every_moment_all_files_are_old_or_all_are_new(
    replaced: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = published(tmp_path, {"a": "old", "b": "old", "c": "old"})
    for name in ("a", "b", "c"):
        files.stage(name).write_text("new")
    with monkeypatch.context() as patch:  # the manifest, three files, and the manifest again
        interrupted_after(replaced, patch)
        with pytest.raises(KeyboardInterrupt):
            files.publish(["a", "b", "c"])
    seen = {files.read(name) for name in ("a", "b", "c")}
    assert seen == ({b"new"} if replaced else {b"old"})
    files.complete()
    assert {files.read(name) for name in ("a", "b", "c")} == seen
    assert not replaced or not (tmp_path / NEXT).exists()


@pytest.mark.parametrize("content", ["", "[]", "null", '{"a": 1}', '{"name": "my app"}', "\xff"])
def test_a_manifest_of_another_program_is_not_taken_for_ours(content: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(content, encoding="latin1")
    files = OwnedFiles(tmp_path)
    with pytest.raises(StorageError, match="was not written by aecli"):
        files.stage("a").write_text("new")
        files.publish(["a"])
    assert (tmp_path / MANIFEST).read_text(encoding="latin1") == content


def test_the_names_are_those_that_are_documented() -> None:
    assert (MANIFEST, NEXT) == ("manifest.json", ".next")


def test_a_single_file_is_written_with_its_entry(tmp_path: Path) -> None:
    files = OwnedFiles(tmp_path)
    files.save("a", b"one")
    files.save("b", b"two")
    assert (files.read("a"), files.read("b")) == (b"one", b"two")
    assert files.manifest().keys() == {"a", "b"}
    files.disclaim("a")
    files.disclaim("never there")
    assert files.manifest().keys() == {"b"} and (tmp_path / "a").exists()


def test_a_file_is_written_to_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    files = OwnedFiles(tmp_path / "a" / "b")
    files.save("file", b"one")
    assert files.read("file") == b"one"


def test_claimed_files_that_were_never_written_need_not_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = published_and_not_moved(tmp_path, monkeypatch)
    files.claim("log")
    files.complete()
    assert files.read("a") == b"new"


def test_the_manifest_tells_which_files_are_ours(tmp_path: Path) -> None:
    files = OwnedFiles(tmp_path)
    assert not files.owns("a")
    files.save("a", b"one")
    assert files.owns("a") and not files.owns("b")
    (tmp_path / MANIFEST).write_text("{}, or so")
    assert not files.owns("a")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    files = OwnedFiles(tmp_path)
    with pytest.raises(StorageError, match="manifest.json .* cannot be read: No such file"):
        files.read("a")
    files.save("a", b"one")
    with pytest.raises(StorageError, match="manifest.json is damaged .* no entry for b"):
        files.read("b")
    (tmp_path / MANIFEST).unlink()
    (tmp_path / MANIFEST).mkdir()
    with pytest.raises(StorageError, match="manifest.json cannot be read: Is a directory"):
        files.manifest()


@pytest.mark.parametrize(
    ("content", "reason"),
    [('{"a": 1}', "sizes and digests"), ('{"a": {"size": 1}}', "sizes and digests"),
     ('{"/etc/passwd": null}', "outside of its folder"),
     ('{"a/../../b": null}', "outside of its folder"),
     ("[]", "sizes and digests"), ("{", "it is not JSON .*")],
)  # fmt: skip
def test_an_invalid_manifest_says_why(content: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(StorageError, match=f"was not written by aecli: .*{reason}$"):
        OwnedFiles(tmp_path).manifest()


def test_leftovers_of_a_process_killed_while_staging_are_removed(tmp_path: Path) -> None:
    files = OwnedFiles(tmp_path)
    files.stage("sub/deep/a").write_text("new")
    (files.next / ".a.1234.aecli-part").write_text("half")
    files.publish(["sub/deep/a"])
    assert contents(tmp_path) == {"sub/deep/a": "new"}
    assert not files.next.exists()


@pytest.mark.parametrize("name", ["mine", "mine/too"])
def test_foreign_files_among_the_next_versions_stay(name: str, tmp_path: Path) -> None:
    files = OwnedFiles(tmp_path)
    files.stage("a").write_text("new")
    files.stage(name).write_text("precious")
    files.publish(["a"])
    assert contents(tmp_path) == {"a": "new", f"{NEXT}/{name}": "precious"}


def test_a_file_that_is_not_always_written_may_be_missing(tmp_path: Path) -> None:
    files = OwnedFiles(tmp_path)
    files.stage("a").write_text("new")
    files.publish(["a", "b"])
    assert files.manifest().keys() == {"a"}


@pytest.mark.parametrize("name", ["a", "sub/a", MANIFEST])
def test_a_foreign_file_in_the_place_of_a_next_version_is_named(name: str, tmp_path: Path) -> None:
    files = published(tmp_path, {"a": "old", "sub/a": "old"})
    theirs = files.next / name
    theirs.parent.mkdir(parents=True)
    theirs.write_text('{"name": "my app"}')
    with pytest.raises(StorageError, match=f"{NEXT}/{name} .*was not written by aecli"):
        files.stage(name)
    files.complete()  # which takes nothing of theirs for a version of ours
    assert theirs.read_text() == '{"name": "my app"}' and files.read("a") == b"old"


def test_a_foreign_file_among_the_next_versions_is_not_published(tmp_path: Path) -> None:
    files = published(tmp_path, {"a": "old"})
    files.stage("b").write_text("new")
    (files.next / "a").write_text("precious")
    assert [*files.staged()] == ["b"]
    for check in (files.check_replaceable, files.publish):
        with pytest.raises(StorageError, match=f"{NEXT}/a was not written by aecli"):
            check(["a", "b"])
    assert contents(tmp_path) == {"a": "old", f"{NEXT}/a": "precious", f"{NEXT}/b": "new"}


def test_the_manifest_holds_sizes_and_digests(tmp_path: Path) -> None:
    published(tmp_path, {"a": "abc"})
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert json.loads((tmp_path / MANIFEST).read_bytes()) == {"a": {"size": 3, "sha256": digest}}


@pytest.mark.parametrize("replaced", range(4))
def test_a_single_file_is_readable_whenever_its_writing_is_cut_off(
    replaced: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = OwnedFiles(tmp_path)
    files.save("config", b"old")
    with monkeypatch.context() as patch:  # the claim, the file, and its entry
        interrupted_after(replaced, patch)
        with pytest.raises(KeyboardInterrupt) if replaced < 3 else nullcontext():
            files.save("config", b"new")
    assert files.read("config") == (b"new" if replaced > 1 else b"old")


def test_a_reader_finds_a_file_that_is_moved_while_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = published_and_not_moved(tmp_path, monkeypatch)
    locate = files.locate

    def moved_meanwhile(name: str) -> Path:
        path = locate(name)
        OwnedFiles(tmp_path).complete()
        return path

    monkeypatch.setattr(files, "locate", moved_meanwhile)
    assert files.read("a") == b"new"
