"""Runs whose files somebody has made: damaged is damaged, and named, in every command."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from aecli.data.image_cache import ImageCache
from aecli.data.images import Broken, decode_images
from aecli.errors import StorageError
from aecli.files.documents import to_json
from aecli.files.storage import fingerprint
from aecli.runs.checkpoints import Checkpoints
from aecli.runs.directory import RunDirectory, Status
from aecli.runs.summary import check_summary
from tests.conftest import planted

pytestmark = pytest.mark.undrawn

Aecli = Callable[..., int]

# Seconds after which a test that waits for a pipe ends its process.
PATIENCE = 120


@pytest.fixture(autouse=True)
def nothing_waits_for_ever() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(PATIENCE)
    yield
    signal.alarm(0)


def without(path: str) -> Callable[[dict[str, Any]], None]:
    def change(summary: dict[str, Any]) -> None:
        *parents, key = path.split(".")
        for parent in parents:
            summary = summary[parent]
        del summary[key]

    return change


def with_value(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(summary: dict[str, Any]) -> None:
        *parents, key = path.split(".")
        for parent in parents:
            summary = summary[parent]
        summary[key] = value

    return change


CHANGES = {
    "versions missing": without("versions"),
    "mse missing": without("test.mse"),
    "mse of NaN": with_value("test.mse", float("nan")),
    "mse a text": with_value("test.mse", "low"),
    "data a list": with_value("data", []),
    "seconds a text": with_value("seconds", "\x1b[2J"),
    "pca missing": without("baselines.pca"),
}


def assert_damaged(
    run: RunDirectory, name: str, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both a comparison and an evaluation end with status 5 and one line that names the file."""
    for line in (["compare", str(run.path)], ["evaluate", str(run.path), "device=cpu"]):
        capsys.readouterr()
        assert aecli(*line) == 5, line
        errors = capsys.readouterr().err
        assert errors.startswith("aecli: ") and errors.count("\n") == 1
        assert name in errors and "damaged" in errors


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_summary_without_a_required_value_is_damaged(
    change: Callable[[dict[str, Any]], None], run: RunDirectory, aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    summary = run.load_summary()
    change(summary)
    planted(run, "summary.json", to_json(summary))
    assert_damaged(run, "summary.json", aecli, capsys)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"test": {"mse": NaN}}']
)
def test_an_invalid_summary_is_damaged(
    content: bytes, run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    planted(run, "summary.json", content)
    assert_damaged(run, "summary.json", aecli, capsys)


def test_a_truncated_summary_is_damaged(
    run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    run.summary_file.write_bytes(run.summary_file.read_bytes()[:100])
    assert_damaged(run, "summary.json", aecli, capsys)


def test_a_truncated_manifest_is_named(
    run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    run.manifest_file.write_bytes(run.manifest_file.read_bytes()[:100])
    assert_damaged(run, "was not written by aecli: it is not JSON", aecli, capsys)


@pytest.mark.parametrize(
    "content", [b"a: &a [x]\nb: [*a, *a]", b"\xff", b"d: 2026-13-45", b"[" * 9999]
)
def test_an_invalid_configuration_is_damaged(
    content: bytes, run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    planted(run, "config.yaml", content)
    assert_damaged(run, "config.yaml is damaged: it ", aecli, capsys)


@pytest.mark.undrawn("compare")
def test_a_comparison_leaves_a_damaged_run_out_and_names_it(
    finished: Path, run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    planted(run, "config.yaml", "[" * 9999)
    capsys.readouterr()
    assert aecli("compare", str(finished), str(run.path), "output=o") == 0
    assert f"left out: {run.path}, damaged: " in capsys.readouterr().err


NOT_READ = [("metrics.jsonl", "evaluate"), ("best.safetensors", "compare")]


@pytest.mark.undrawn("compare", "evaluate")
@pytest.mark.parametrize(
    "name", ["config.yaml", "manifest.json", "summary.json", "metrics.jsonl", "best.safetensors"]
)
def test_a_pipe_in_place_of_a_file_does_not_block(
    name: str, run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    (run.path / name).unlink()
    os.mkfifo(run.path / name)
    capsys.readouterr()
    for line in (["compare", str(run.path)], ["evaluate", str(run.path), "device=cpu"]):
        status = aecli(*line)
        errors = capsys.readouterr().err
        if (name, line[0]) in NOT_READ:
            assert status == 0
        else:
            assert status == 5 and name in errors and errors.count("\n") == 1


def test_the_reason_of_a_failure_is_always_one_line(run: RunDirectory) -> None:
    run.summary_file.unlink()
    for content in (b"", b"[]", b"[" * 100_000, b"\xff", b'{"why": 1}'):
        run.failure_file.write_bytes(content)
        assert run.status is Status.failed
        assert f"{run.failure_file} is damaged" in run.failure()
    run.failure_file.unlink()
    os.mkfifo(run.failure_file)
    assert "not a regular file" in run.failure()


class Other:
    """A class that a checkpoint does not have."""


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"\x80\x02.", b"\x80\x04N.", b"not a file of torch's" * 99]
)
def test_a_crafted_checkpoint_is_named(content: bytes, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    (tmp_path / "0000000001.pt").write_bytes(content)
    vouching = to_json({"0000000001.pt": fingerprint(content)})
    (tmp_path / "0000000001.json").write_bytes(vouching)
    with pytest.raises(StorageError, match="0000000001.pt cannot be used"):
        checkpoints.newest()


@pytest.mark.parametrize("state", [[1, 2], 3, "text", torch.zeros(2), Other()])
def test_a_checkpoint_with_other_content_is_named(state: Any, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state)
    with pytest.raises(StorageError, match="0000000001.pt cannot be used"):
        checkpoints.newest()


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"[" * 100_000, b'{"facts": ' + b"9" * 5000 + b"}"]
)
def test_a_crafted_manifest_of_a_checkpoint_is_named(content: bytes, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {})
    (tmp_path / "0000000001.json").write_bytes(content)
    with pytest.raises(StorageError, match="0000000001.json is damaged"):
        checkpoints.newest()


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"\xff", b"{}", b"[" * 100_000, b'{"facts": NaN, "sha256": "x"}']
)
def test_a_crafted_index_of_a_cache_is_ignored(content: bytes, tmp_path: Path) -> None:
    cache = ImageCache(tmp_path / "images", tmp_path / "index")
    cache.index_file.write_bytes(content)
    assert cache.read_index() is None


def test_a_pipe_among_the_images_is_broken(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (broken,) = decode_images([tmp_path / "pipe.png"], 1, (4, 4))
    assert isinstance(broken, Broken) and "not a regular file" in broken.reason


@pytest.mark.parametrize(
    "name", ["manifest.json", "config.yaml", "metrics.jsonl", "summary.json", "best.safetensors"]
)
def test_an_endless_file_is_not_read(name: str, run: RunDirectory) -> None:
    with open(run.path / name, "r+b") as file:
        file.truncate(2**42)  # of holes, which take no room
    with pytest.raises(StorageError, match=f"{name} is damaged: it has 4,398,046,511,104 bytes"):
        run.load_config()
        run.load_metrics()
        run.load_summary()
        run.load_weights(torch.nn.Linear(1, 1))


def test_an_endless_log_is_not_counted(run: RunDirectory) -> None:
    run.summary_file.unlink()
    with open(run.metrics_file, "r+b") as file:
        file.truncate(2**42)
    assert run.finished_epochs() == 0


@pytest.mark.parametrize("kept", ["abc", {"test": "0"}, [1]], ids=str)
def test_invalid_fingerprints_are_damage(kept: Any, run: RunDirectory) -> None:
    summary = run.load_summary()
    summary["data"]["fingerprints"] = kept
    with pytest.raises(StorageError, match="data.fingerprints is"):
        check_summary(summary, "summary.json")
