"""Runs of every version are read, evaluated, compared and resumed by this one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from aecli.runs.directory import RunDirectory, Status
from tests.golden import EPOCHS, FINISHED, IMAGES, INTERRUPTED, versions

Aecli = Callable[..., int]


@pytest.fixture(params=versions(), ids=lambda folder: folder.name)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the runs of one version."""
    folder: Path = request.param
    return Path(shutil.copytree(folder, tmp_path / "golden"))


def test_there_are_runs_of_a_version() -> None:
    assert versions()


def test_a_finished_run_is_evaluated(golden: Path, aecli: Aecli) -> None:
    run = RunDirectory(golden / FINISHED)
    assert aecli("evaluate", str(run.path), f"path={IMAGES}", "device=cpu", "output=out") == 0
    numbers = json.loads(Path("out/numbers.json").read_text())
    assert numbers["mse"] == pytest.approx(run.load_summary()["test"]["mse"], rel=1e-4)


@pytest.mark.undrawn("compare")
def test_a_finished_run_is_compared_and_the_other_is_named(
    golden: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("compare", str(golden), "output=out") == 0
    assert "interrupted: it has 2 epochs" in capsys.readouterr().err
    assert Path("out/report.html").is_file()


def test_an_interrupted_run_ends_where_the_finished_one_ended(golden: Path, aecli: Aecli) -> None:
    run, whole = RunDirectory(golden / INTERRUPTED), RunDirectory(golden / FINISHED)
    assert run.status is Status.interrupted
    assert aecli("train", f"resume={run.path}", f"path={IMAGES}", "data_dir=data") == 0
    assert [line["epoch"] for line in run.load_metrics()] == list(range(1, EPOCHS + 1))
    weights, expected = load_file(run.weights_file), load_file(whole.weights_file)
    for name in expected:  # another processor rounds differently
        torch.testing.assert_close(weights[name], expected[name], rtol=1e-3, atol=1e-5)


def test_a_finished_run_is_trained_further(golden: Path, aecli: Aecli) -> None:
    run = RunDirectory(golden / FINISHED)
    line = [f"resume={run.path}", f"path={IMAGES}", "data_dir=data", f"epochs={EPOCHS + 1}"]
    assert aecli("train", *line) == 0
    assert run.load_summary()["epochs"] == EPOCHS + 1
