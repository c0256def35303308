"""`--config-dir`: choices of one's own, which runs outlive."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aecli.runs.directory import RunDirectory
from tests.conftest import TINY

pytestmark = pytest.mark.undrawn

Aecli = Callable[..., int]
MODEL = "defaults: [fc_schema]\n\nname: mine\nlatent: ${latent}\nwidths: [9]\n"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with a model and an experiment."""
    folder = tmp_path / "my own, (folder)"
    (folder / "model").mkdir(parents=True)
    (folder / "experiment").mkdir()
    (folder / "model" / "mine.yaml").write_text(MODEL)
    (folder / "experiment" / "short.yaml").write_text("# @package _global_\nlatent: 4\n")
    return folder


def test_a_run_of_an_own_model_outlives_its_file(mine: Path, aecli: Aecli) -> None:
    line = ["--config-dir", str(mine), "model=mine", "experiment=short", "hydra.run.dir=run"]
    assert aecli("train", *line, *TINY) == 0
    config = RunDirectory(Path("run")).load_config()
    assert (config.name, config.model.widths, config.latent) == ("mine-z4-short-synthetic", [9], 4)
    shutil.rmtree(mine)
    assert aecli("evaluate", "run", "device=cpu") == 0
    assert aecli("train", "resume=run", "epochs=2") == 0


def test_a_sweep_and_shapes_have_them_too(
    mine: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [
        f"--config-dir={mine}",
        "model=fc,mine",
        "model.widths=[7]",
        "hydra.sweep.dir=sweep",
        "compare=false",
    ]
    assert aecli("train", "-m", *line, *TINY) == 0
    names = sorted(path.parent.name for path in Path("sweep").glob("*/summary.json"))
    assert names == ["0-fc-z25", "1-mine-z25"]
    capsys.readouterr()
    assert aecli("shapes", "model=mine", "data=mnist", "--config-dir", str(mine)) == 0
    assert "784 -> 9" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--config-dir nowhere", "--config-dir nowhere is not a folder that can be used"),
        ("--config-dir", "--config-dir ... is not a folder"),
        ("--config-dir MINE model=min", "model=min: did you mean mine?"),
        ("--config-dir MINE model=mine model.widhts=[3]", "did you mean model.widths?"),
        ("--config-dir MINE --config-dir MINE", "is given twice"),
        ("--config-dir MINE resume=x", "--config-dir is for a new run"),
        ("model=mine", "model=mine: "),
    ],
)
def test_a_mistake_gets_one_line(
    line: str, words: str, mine: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("train", *(str(mine) if each == "MINE" else each for each in line.split())) == 2
    errors = capsys.readouterr().err
    assert words in errors and errors.count("\n") == 1


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("model/mine.yaml", f"{MODEL}_target_: os.system\n", "_target_"),
        ("model/mine.yaml", "name: mine\n_target_: os.system\n", "defaults: [fc_schema]"),
        ("model/mine.yaml", "defaults: [fc_schema\nname: mine\n", "mine.yaml"),
        ("model/conv.yaml", MODEL, "has the name of a choice that exists, model=conv"),
        ("models/x.yaml", MODEL, "holds models, which is not a group of choices"),
        (
            "hydra/launcher/joblib.yaml",
            "_target_: os.system\n",
            "holds hydra, which is not a group",
        ),
    ],
)
def test_a_file_that_cannot_be_used_gets_one_line(
    file: str,
    text: str,
    words: str,
    mine: Path,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    (mine / file).parent.mkdir(parents=True, exist_ok=True)
    (mine / file).write_text(text)
    assert aecli("train", "--config-dir", str(mine), "model=mine", *TINY) == 2
    errors = capsys.readouterr().err
    assert words in errors and errors.count("\n") == 1
    assert not list(tmp_path.rglob("outputs/*/*"))
