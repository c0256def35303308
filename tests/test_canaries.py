"""Nothing is executed from a file: code that would run is planted wherever it could be."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hydra.utils import instantiate
from PIL import Image

from aecli.runs.directory import RunDirectory
from tests.conftest import TINY, planted

Aecli = Callable[..., int]


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that exists once something has run."""
    return tmp_path / "fired"


class Touch:
    """Pickled, it makes a file as soon as it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_the_canary_itself_works(canary: Path) -> None:
    pickle.loads(pickle.dumps(Touch(canary)))
    assert canary.exists()


@pytest.mark.parametrize("name", ["best.safetensors", "images.safetensors"])
@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_a_pickle_in_place_of_tensors(
    name: str, kind: str, canary: Path, run: RunDirectory, aecli: Aecli, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if kind == "torch":
        torch.save({"weight": Touch(canary)}, tmp_path / "evil")
    else:
        (tmp_path / "evil").write_bytes(pickle.dumps(Touch(canary)))
    planted(run, name, (tmp_path / "evil").read_bytes())
    command = "evaluate" if name.startswith("best") else "compare"
    assert aecli(command, str(run.path)) in (2, 5)
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and run.path.name in errors
    assert not canary.exists()


def test_a_pickle_in_a_checkpoint(
    canary: Path, run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    run.summary_file.unlink()
    run.checkpoints.save(10**6, {"model": Touch(canary)})
    assert aecli("train", f"resume={run.path}") == 0  # from the one before it
    assert "0001000000.pt cannot be used: it is not a checkpoint" in capsys.readouterr().err
    assert not canary.exists()


CONFIGS = {
    "_target_": "{text}_target_: os.system\n",
    "a model's _target_": "{text}  _target_: os.mkdir\n  path: {canary}\n",
    "a tag": "{text}extra: !!python/object/apply:os.mkdir [{canary}]\n",
    "the environment": "{text}extra: ${{oc.env:HOME}}\n",
    "a resolver": "name: ${{oc.create:x}}\n{text}",
    "another kind of model": "model:\n  kind: os.system\n",
}


def test_the_canaries_in_yaml_work_too(canary: Path) -> None:
    yaml.unsafe_load(CONFIGS["a tag"].format(text="", canary=canary))
    assert canary.exists()
    canary.rmdir()
    instantiate(yaml.safe_load(CONFIGS["a model's _target_"].format(text="", canary=canary)))
    assert canary.exists()


@pytest.mark.parametrize("planting", CONFIGS)
@pytest.mark.parametrize("command", ["evaluate", "compare", "train"])
def test_a_configuration_is_plain_data(
    planting: str, command: str, canary: Path, run: RunDirectory, aecli: Aecli,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("HOME", "/a secret")
    text = run.config_file.read_text()
    content = CONFIGS[planting].format(text=text, canary=canary)
    planted(run, "config.yaml", content)
    if command == "train":
        run.summary_file.unlink()
    where = f"resume={run.path}" if command == "train" else str(run.path)
    # What could not be a configuration is damage; so is each run of which compare has no other.
    is_damage = command == "compare" or planting in ("a tag", "a resolver")
    assert aecli(command, where) == (5 if is_damage else 2)
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and "secret" not in errors
    assert not canary.exists()


def test_arrays_with_objects_in_them(
    canary: Path, aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "evil.npy", np.array([Touch(canary)], dtype=object), allow_pickle=True)
    assert aecli("conv", "input=evil.npy", "kernel=3") == 2
    assert "evil.npy" in capsys.readouterr().err
    assert not canary.exists()


SCRIPT = "<script>document.title='fired'</script>"


def test_markup_in_names_is_text(run: RunDirectory, aecli: Aecli, tmp_path: Path) -> None:
    folder = tmp_path / f"runs {SCRIPT}".replace("/", "")
    shutil.move(run.path, folder / "run")
    moved = RunDirectory(folder / "run")
    summary = moved.load_summary()
    moved.save_summary({**summary, "device": SCRIPT, "data": {**summary["data"], "name": SCRIPT}})
    assert aecli("compare", str(folder), f"output={tmp_path / 'out'}") == 0
    pages = [*(tmp_path / "out").rglob("*.html"), *(tmp_path / "out").rglob("*.md")]
    assert len(pages) >= 2
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert "document.title" in text or page.suffix == ".md"
        assert SCRIPT not in text
        # The report has one script of its own, which the page's policy knows by its digest.
        assert text.count("<script") == (page.suffix == ".html")


@pytest.mark.parametrize("name", ["checkpoints", "figures"])
def test_links_out_of_a_run_are_not_followed_by_what_removes_files(
    name: str, run: RunDirectory, aecli: Aecli, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for file in ("thesis.tex", "photo.pt", "2024.json", ".hidden"):
        (outside / file).write_text("precious")
    shutil.rmtree(run.path / name)
    (run.path / name).symlink_to(outside)
    run.summary_file.unlink()
    aecli("train", f"resume={run.path}")
    for file in ("thesis.tex", "photo.pt", "2024.json", ".hidden"):
        assert (outside / file).read_text() == "precious"


def test_names_cannot_lead_elsewhere(aecli: Aecli, tmp_path: Path) -> None:
    assert aecli("train", *TINY, "name=../../elsewhere") == 2
    assert aecli("train", *TINY, "name=/tmp/elsewhere") == 2
    assert not list(tmp_path.parent.glob("elsewhere*"))


def test_huge_images_are_refused_before_they_are_decoded(
    run: RunDirectory, aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bomb = tmp_path / "bomb.png"
    Image.new("1", (30_000, 30_000)).save(bomb)  # 110 kB, and 900 million pixels
    assert aecli("evaluate", str(run.path), f"images={bomb}", "resize=true") == 3
    assert "it has more than" in capsys.readouterr().err
