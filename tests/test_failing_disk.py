"""A disk that is full, broken or read-only, at any moment of a run: one line, and nothing lost."""

import builtins
import errno
import io
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aecli.cli import main as cli
from aecli.runs.directory import RunDirectory
from aecli.runs.lock import LOCK
from tests.conftest import TINY
from tests.same_run import assert_same_run
from tests.undrawn import undrawn_training

pytestmark = pytest.mark.undrawn

Aecli = Callable[..., int]

ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT)
LINE = ["model=fc", "latent=2", *TINY, "epochs=2"]


class Disk:
    """Counts what is done to files below a folder, and makes one operation fail."""

    def __init__(self, folder: Path, failing: int | None) -> None:
        self.folder, self.failing = str(folder), failing
        self.paths: list[str] = []
        self.failed = ""

    def operate(self, name: str, path: object) -> None:
        if not str(path).startswith(self.folder):
            return
        if len(self.paths) == self.failing:
            self.failed = f"{name} {path}"
        self.paths.append(str(path))
        # A full disk stays full.
        if self.failed and name not in ("unlink", "rmdir"):
            assert self.failing is not None
            number = ERRORS[self.failing % len(ERRORS)]
            raise OSError(number, os.strerror(number), str(path))


class Watched:
    """A file that is open for writing."""

    def __init__(self, file: Any, disk: Disk) -> None:
        self.file, self.disk, self.is_new = file, disk, True

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, content: Any) -> Any:
        # A figure is written in hundreds of pieces, of which the first stands for all.
        if self.is_new or self.disk.failed or not self.file.name.endswith((".svg", ".png")):
            self.disk.operate("write", self.file.name)
        self.is_new = False
        return self.file.write(content)


@contextmanager
def watched(disk: Disk) -> Iterator[None]:
    """Have everything that this process does to files go through `disk`."""
    real = builtins.open

    def opened(path: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        is_written = isinstance(path, str | os.PathLike) and set(mode) & set("wax+")
        if not is_written:
            return real(path, mode, *arguments, **options)
        disk.operate("open", os.path.abspath(path))
        return Watched(real(os.path.abspath(path), mode, *arguments, **options), disk)

    def around(name: str) -> Callable[..., Any]:
        function = getattr(os, name)

        def operated(path: Any, *arguments: Any, **options: Any) -> Any:
            if isinstance(path, str | os.PathLike):
                disk.operate(name, os.path.abspath(path))
            elif name == "fsync":
                disk.operate(name, os.readlink(f"/proc/self/fd/{path}"))
            return function(path, *arguments, **options)

        return operated

    with pytest.MonkeyPatch.context() as patch:
        for name in ("mkdir", "replace", "rename", "unlink", "rmdir", "fsync"):
            patch.setattr(os, name, around(name))
        patch.setattr(builtins, "open", opened)
        patch.setattr(io, "open", opened)
        yield


@pytest.fixture(scope="module")
def whole(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A run on a good disk, and the path of every operation."""

    folder = tmp_path_factory.mktemp("whole")
    disk = Disk(folder, None)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with (
            undrawn_training(),
            watched(disk),
        ):  # as the runs on a bad disk, for the same operations
            assert cli.run(["train", *LINE, f"data_dir={data_dir}", "hydra.run.dir=run"]) == 0
    assert 100 < len(disk.paths) < 1000
    return folder / "run", disk.paths


# What must not be lost: the last checkpoint, and that a run is finished.
DEAR = re.compile(r"/checkpoints$|/checkpoints/\.0*6\.|/\.summary\.json")


def failing(paths: list[str], soak: bool) -> list[int]:
    """Which operations are to fail: without a soak every tenth, and those on what is dear."""
    return [
        number for number, path in enumerate(paths) if soak or number % 10 == 0 or DEAR.search(path)
    ]


PARTS = 8


@pytest.mark.parametrize("part", range(PARTS))
def test_whichever_disk_operation_fails_the_error_is_one_line_and_the_run_can_be_resumed(
    part: int,
    soak: bool,
    whole: tuple[Path, list[str]],
    aecli: Aecli,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected, paths = whole
    for number in failing(paths, soak)[part::PARTS]:
        disk = Disk(tmp_path, number)
        with watched(disk):
            status = aecli("train", *LINE, "hydra.run.dir=run")
        errors = capsys.readouterr().err
        where = f"operation {number}, {disk.failed}: {errors}"
        run = RunDirectory(tmp_path / "run")
        assert disk.failed, where
        if status == 0:  # what failed was tidying up
            assert disk.failed.startswith(("unlink", "rmdir")) or LOCK in disk.failed, where
        else:
            assert status == 5, where
            assert errors.startswith("aecli: ") and errors.count("\n") == 1, where
        if run.summary_file.exists():  # the last thing to be written, and what failed came after
            assert run.load_summary()["epochs"] == 2, where
        if run.config_file.exists() and not run.summary_file.exists():
            assert run.checkpoints.newest()[1] == [], where
            if number % 5 == 0:
                # Left by the broken disk, and of this process, which has not ended as it should.
                shutil.rmtree(run.path / LOCK, ignore_errors=True)
                assert aecli("train", "resume=run") == 0, where
                with run.locked():  # puts what is finished in its place
                    pass
                assert_same_run(run.path, expected)
        for name in ("run", "outputs"):  # the next one begins from nothing, too
            shutil.rmtree(tmp_path / name, ignore_errors=True)
        capsys.readouterr()


def test_a_disk_that_is_really_full_gets_one_line(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a file system")
    try:
        line = ["train", "model=fc", "latent=25", *TINY, "hydra.run.dir=disk/run"]
        assert aecli(*line, "output_dir=disk") == 5
        errors = capsys.readouterr().err
        assert errors.startswith("aecli: ") and errors.count("\n") == 1
        assert "No space left on device" in errors
        assert not (disk / "run" / "summary.json").exists()
        # With more room the run goes on.
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        assert aecli("train", "resume=disk/run") == 0
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
