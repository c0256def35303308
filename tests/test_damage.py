"""Whatever happens to a file of a run: it is named, or was not needed; no number is ever wrong."""

import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from aecli.errors import DataError, StorageError, UsageError
from aecli.runs.directory import RunDirectory
from aecli.runs.trained import open_run
from tests.conftest import TINY
from tests.gathered import gather
from tests.same_run import assert_same_run

pytestmark = pytest.mark.undrawn

Aecli = Callable[..., int]


def flipped(content: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(content))
    return (
        content[:place] + bytes([content[place] ^ (1 << draw.randrange(8))]) + content[place + 1 :]
    )


def zeroed(content: bytes, draw: random.Random) -> bytes:
    """A block of zeros, as a disk leaves it that lost one."""
    start = draw.randrange(len(content))
    return content[:start] + bytes(min(512, len(content) - start)) + content[start + 512 :]


def truncated(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes | None]] = {
    "truncated": truncated,
    "cut to nothing": lambda content, _: b"",
    "last byte lost": lambda content, _: content[:-1],
    "a bit flipped": flipped,
    "zeroed": zeroed,
    "deleted": lambda content, _: None,
}

READ = [
    "config.yaml", "manifest.json", "metrics.jsonl", "best.safetensors", "images.safetensors",
    "summary.json",
]  # fmt: skip
# Whoever needs one of these does not stop at the damage of another.
SEEDS = range(5)


def damage(file: Path, kind: str, seed: int) -> bool:
    """Whether anything about the file is different now."""
    before = file.read_bytes()
    after = DAMAGES[kind](before, random.Random(f"{file.name} {kind} {seed}"))
    if after is None:
        file.unlink()
    else:
        file.write_bytes(after)
    return after != before


def values(run: Path) -> Any:
    """The numbers of a comparison."""
    (setting,) = gather([run]).settings
    result = setting.first
    return (
        result.mse,
        result.records,
        {name: image.tolist() for name, image in result.run.load_images().items()},
    )


def outputs(run: Path) -> torch.Tensor:
    """What the trained model makes of an image."""
    trained = open_run(run, device="cpu")
    with torch.inference_mode():
        return trained.reconstruct(torch.linspace(0, 1, 28 * 28).reshape(1, 1, 28, 28))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("name", READ)
def test_a_damaged_file_of_a_finished_run_is_named_and_never_used(
    name: str, kind: str, seed: int, run: RunDirectory, finished: Path
) -> None:
    if not damage(run.path / name, kind, seed):
        return
    for use in (values, outputs):
        try:
            found = use(run.path)
        except (StorageError, UsageError, DataError) as error:
            # Of a manifest a flipped bit is as good as one in the file that it stands for.
            named = {"manifest.json": "manifest", "config.yaml": "config.yaml|holds no runs"}
            expected = named.get(name, f"{name}|is not finished|no summary")
            assert re.search(expected, str(error)), error
            assert "\n" not in str(error)
        else:
            whole = use(finished)
            assert torch.equal(found, whole) if use is outputs else found == whole


@pytest.fixture(scope="module")
def interrupted(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was interrupted after two of its three epochs."""
    from aecli.cli import main as cli
    from aecli.errors import Interrupted
    from aecli.training import loop as training
    from aecli.training.validation import validate

    folder = tmp_path_factory.mktemp("interrupted")
    calls = []

    def interrupt(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise Interrupted
        return validate(*arguments)

    line = ["train", "model=fc", "latent=2", *TINY, "epochs=3", f"data_dir={data_dir}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.run([*line, "hydra.run.dir=whole"]) == 0
        patch.setattr(training, "validate", interrupt)
        assert cli.run([*line, "hydra.run.dir=run"]) == 130
    return folder


KEPT = ["0000000006", "0000000003"]  # two steps and the end of an epoch, twice and once


@pytest.mark.undrawn
@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize(
    "name",
    ["config.yaml", "manifest.json", "metrics.jsonl", "best.safetensors", "EVENTS"]
    + [f"checkpoints/{steps}.{end}" for steps in KEPT for end in ("pt", "json")],
)
def test_an_interrupted_run_resumes_from_undamaged_files(
    name: str, kind: str, interrupted: Path, aecli: Aecli, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = tmp_path / "run"
    shutil.copytree(interrupted / "run", run)
    file = next(run.glob("events*")) if name == "EVENTS" else run / name
    if not damage(file, kind, 0):
        return
    capsys.readouterr()
    status = aecli("train", f"resume={run}")
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    is_harmless = file.suffix == ".json" and kind == "last byte lost"  # the end of its line
    # Of Hydra's copies the manifest has names and digests, which a resume does not need.
    is_of_copies = name == "manifest.json" and kind == "a bit flipped" and status == 0
    if name in ("config.yaml", "manifest.json") and not (is_harmless or is_of_copies):
        assert status in (2, 5) and errors.count("\n") == 1
        assert ("manifest" if name == "manifest.json" else name) in errors
        return
    assert status == 0, errors
    is_uncounted = file.suffix == ".json" and kind == "deleted"  # as if it had not been finished
    if name.startswith(f"checkpoints/{KEPT[0]}") and not (is_harmless or is_uncounted):
        assert f"{KEPT[0]}" in errors and "using the previous checkpoint" in errors
    if name != "EVENTS":
        assert_same_run(run, interrupted / "whole")


def test_damage_to_all_checkpoints_is_reported(
    interrupted: Path, aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(interrupted / "run", run)
    for file in (run / "checkpoints").glob("*.pt"):
        file.write_bytes(b"")
    capsys.readouterr()
    assert aecli("train", f"resume={run}") == 5
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and "to train from the beginning, add restart=true" in errors
    assert aecli("train", f"resume={run}", "restart=true") == 0
    assert_same_run(run, interrupted / "whole")
