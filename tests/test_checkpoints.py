"""Checkpoints: whichever line a process dies in, and whatever becomes of a file, one is left."""

import hashlib
import itertools
import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from aecli.errors import StorageError
from aecli.files import storage
from aecli.runs.checkpoints import KEEP_LAST, Checkpoints
from aecli.runs.directory import RunDirectory
from tests.apart import run_apart
from tests.conftest import TINY
from tests.same_run import assert_same, assert_same_run

pytestmark = pytest.mark.undrawn


def state(number: int) -> dict[str, Any]:
    return {"number": number, "weights": torch.full((100,), float(number)), "list": [1, None, "a"]}


@pytest.fixture
def three(tmp_path: Path) -> Checkpoints:
    """A folder in which three have been saved."""
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for steps in (5, 10, 100):
        checkpoints.save(steps, state(steps))
    return checkpoints


def names(checkpoints: Checkpoints) -> list[str]:
    return sorted(path.name for path in checkpoints.folder.iterdir())


def test_the_newest_is_read_back_and_the_one_before_it_is_kept(three: Checkpoints) -> None:
    found, problems = three.newest()
    assert_same(found, state(100))
    assert problems == []
    assert names(three) == [
        "0000000010.json", "0000000010.pt", "0000000100.json", "0000000100.pt",
    ]  # fmt: skip
    three.keep_newest()
    assert names(three) == ["0000000100.json", "0000000100.pt"]


def test_a_manifest_has_the_size_and_the_sha256(three: Checkpoints) -> None:
    content = (three.folder / "0000000100.pt").read_bytes()
    manifest = json.loads((three.folder / "0000000100.json").read_bytes())
    sha256 = hashlib.sha256(content).hexdigest()
    assert manifest == {"0000000100.pt": {"size": len(content), "sha256": sha256}}


def test_without_checkpoints_there_is_no_newest(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "nowhere")
    checkpoints.remove_all()
    assert checkpoints.newest() == (None, [])
    assert not checkpoints.folder.exists()


def test_only_checkpoints_are_removed(three: Checkpoints) -> None:
    theirs = ["12.pt", "notes.json", "notes.txt"]
    for name in theirs:
        (three.folder / name).touch()
    half = three.folder / ".0000000200.pt.0123456789abcdef.aecli-part"
    half.touch()  # by a process that was killed
    three.save(200, state(200))
    assert not half.exists()
    assert_same(three.newest()[0], state(200))
    three.remove_all()
    assert names(three) == theirs


@pytest.mark.parametrize("is_reversed", [False, True])
def test_an_interrupted_removal_leaves_no_manifest_without_its_file(
    is_reversed: bool, three: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink, glob = Path.unlink, Path.glob
    removed: list[Path] = []

    def cut_off(path: Path) -> None:
        if removed:
            raise KeyboardInterrupt
        unlink(path)
        removed.append(path)

    def in_some_order(folder: Path, pattern: str) -> list[Path]:
        return sorted(glob(folder, pattern), reverse=is_reversed)

    monkeypatch.setattr(Path, "unlink", cut_off)
    monkeypatch.setattr(Path, "glob", in_some_order)
    with pytest.raises(KeyboardInterrupt):
        three.remove_all()
    left, problems = three.newest()
    assert_same(left, state(100))
    assert problems == []
    assert names(three) == ["0000000010.pt", "0000000100.json", "0000000100.pt"]


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a bit": flip,
    "half": lambda content: content[: len(content) // 2],
    "nothing left": lambda _: b"",
    "more": lambda content: content + b"\0",
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["pt", "json"])
def test_a_damaged_checkpoint_is_named_and_the_previous_one_used(
    damage: str, kind: str, three: Checkpoints
) -> None:
    newest = three.folder / f"0000000100.{kind}"
    newest.write_bytes(DAMAGES[damage](newest.read_bytes()))
    found, problems = three.newest()
    assert_same(found, state(10))
    assert len(problems) == 1 and str(newest.with_suffix("")) in problems[0]


def test_if_all_are_damaged_all_are_named(three: Checkpoints) -> None:
    for file in three.folder.glob("*.pt"):
        file.write_bytes(flip(file.read_bytes()))
    with pytest.raises(
        StorageError, match="100.pt is damaged: .*; /.*10.pt is damaged: .*; to train"
    ):
        three.newest()


@pytest.mark.parametrize("content", ["[]", "{}", '{"0000000010.pt": {}}'])
def test_a_manifest_without_its_entry_is_named(content: str, three: Checkpoints) -> None:
    (three.folder / "0000000100.json").write_text(content)
    found, problems = three.newest()
    assert_same(found, state(10))
    assert len(problems) == 1
    assert "100.json is damaged: it has no entry for 0000000100.pt" in problems[0]


def test_a_file_that_holds_something_else_is_named(three: Checkpoints) -> None:
    three.save(200, [1, 2])  # type: ignore[arg-type]
    found, problems = three.newest()
    assert_same(found, state(100))
    assert len(problems) == 1 and "200.pt cannot be used: it holds no checkpoint" in problems[0]


def test_what_was_saved_on_a_gpu_is_read_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("torch.serialization.location_tag", lambda _: "cuda:0")
        checkpoints.save(1, state(1))
    found, problems = checkpoints.newest()
    assert problems == [] and found is not None
    assert_same(found, state(1))
    assert found["weights"].device == torch.device("cpu")


@pytest.mark.parametrize("is_allowed_elsewhere", [False, True])
def test_code_is_not_executed(
    is_allowed_elsewhere: bool,
    three: Checkpoints,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if is_allowed_elsewhere:  # which torch heeds where it is not told what to do
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "fired",))

    three.save(200, {"bomb": Bomb()})
    found, problems = three.newest()
    assert_same(found, state(100))
    assert len(problems) == 1 and "0000000200.pt cannot be used" in problems[0]
    assert not (tmp_path / "fired").exists()


def test_a_state_of_another_version_gets_one_line(
    run: RunDirectory, aecli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    run.summary_file.unlink()
    run.checkpoints.save(10**6, {"epoch": 3})
    assert aecli("train", f"resume={run.path}") == 5
    errors = capsys.readouterr().err
    assert (
        errors.count("\n") == 1
        and "was not written by this version of aecli: 'images'" in errors
        and f"or train it from the beginning with resume={run.path} restart=true" in errors
    )


# Killed while a checkpoint is written.

LINE = ["train", "model=fc", "latent=2", *TINY, "epochs=4", "hydra.run.dir=run"]
SAVED = KEEP_LAST + 1  # the first that removes another


@dataclass(frozen=True)
class Stepped:
    """Goes through the writing of a checkpoint operation by operation."""

    log: Path
    """Where the operations are noted."""
    last: int | None = None
    """The number of the one at which the process is killed."""

    def __call__(self) -> None:
        numbers = itertools.count()
        saves = itertools.count(1)
        is_on = False

        def point(name: str) -> None:
            if is_on:
                with self.log.open("a") as log:
                    log.write(name + "\n")
                if next(numbers) == self.last:
                    os.kill(os.getpid(), signal.SIGKILL)

        def around(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def stepped(*arguments: Any, **options: Any) -> Any:
                point(f"before {name}")
                result = function(*arguments, **options)
                point(f"after {name}")
                return result

            return stepped

        class Slow:
            """A file in whose writing there is a middle."""

            def __init__(self, path: Path, mode: str) -> None:
                self.file = open(path, mode)

            def __enter__(self) -> "Slow":
                return self

            def __exit__(self, *_: object) -> None:
                self.file.close()

            def __getattr__(self, name: str) -> Any:
                return getattr(self.file, name)

            def write(self, content: bytes) -> None:
                for part in (content[: len(content) // 2], content[len(content) // 2 :]):
                    point("before write")
                    self.file.write(part)
                    self.file.flush()
                point("after write")

        for name in ("fsync", "replace", "unlink"):
            setattr(os, name, around(name, getattr(os, name)))
        storage.open = around("open", Slow)  # type: ignore[attr-defined]
        save = Checkpoints.save

        def stepped_save(*arguments: Any) -> None:
            nonlocal is_on
            is_on = next(saves) == SAVED
            save(*arguments)
            is_on = False

        Checkpoints.save = stepped_save  # type: ignore[assignment, method-assign]


@pytest.fixture(scope="module")
def whole(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A run that nothing happened to, and the operations in the writing of one checkpoint."""
    folder = tmp_path_factory.mktemp("whole")
    log = folder / "operations"
    done = run_apart([*LINE, f"data_dir={data_dir}"], folder, Stepped(log))
    assert done.status == 0, done.errors
    return folder / "run", log.read_text().splitlines()


PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
def test_killed_while_writing_a_checkpoint_the_run_can_be_resumed(
    part: int, soak: bool, whole: tuple[Path, list[str]], data_dir: Path, tmp_path: Path
) -> None:
    expected, points = whole
    # Open, write, flush, rename, flush the folder: of the state and of its manifest. Then the
    # oldest of each is removed.
    assert points.count("before open") == 2
    assert points.count("before fsync") == 4
    assert points.count("before replace") == 2
    assert points.count("before unlink") >= 2
    # Without a soak at every fifth of these points, and where a file takes its name.
    chosen = [
        number
        for number, point in enumerate(points)
        if soak or number % 5 == 0 or point == "before replace"
    ]
    for number in chosen[part::PARTS]:
        folder = tmp_path / str(number)
        folder.mkdir()
        line = [*LINE, f"data_dir={data_dir}"]
        done = run_apart(line, folder, Stepped(folder / "operations", number))
        where = f"{points[number]} ({number})"
        assert done.status == -signal.SIGKILL, where
        found, problems = RunDirectory(folder / "run").checkpoints.newest()
        assert found is not None and len(found["records"]) in (SAVED - 1, SAVED), where
        assert problems == [], where
        done = run_apart(["train", "resume=run"], folder)
        assert done.status == 0, f"{where}: {done.errors}"
        assert_same_run(folder / "run", expected)
