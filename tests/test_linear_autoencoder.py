"""A linear autoencoder and PCA: the angles between their subspaces."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from aecli.baselines.pca import fit_pca, principal_angles
from aecli.cli.compose import compose, compose_sweep
from aecli.config import FCConfig, UpsampleConfig
from aecli.data.synthetic import synthetic_digits
from aecli.evaluation.linear import angles_to_pca, is_linear
from aecli.models.fc import FCAutoencoder
from aecli.runs.directory import RunDirectory
from tests.conftest import TINY

Aecli = Callable[..., int]


def test_a_subspace_has_no_angle_to_itself_in_another_basis() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(4, 30, generator=generator)
    mixed = torch.randn(4, 4, generator=generator) @ rows
    assert principal_angles(rows, mixed) == pytest.approx([0.0] * 4, abs=1e-4)


def test_angles_are_those_known_from_geometry() -> None:
    line, plane = torch.tensor([[3.0, 0.0, 3.0]]), torch.eye(3)[:2]
    assert principal_angles(line, plane) == pytest.approx([45.0])
    tilted = torch.tensor([[1.0, 0.0, 0.0], [0.0, math.cos(0.1), math.sin(0.1)]])
    assert principal_angles(plane, tilted) == pytest.approx([math.degrees(0.1), 0.0], abs=1e-4)
    assert principal_angles(plane[:1], torch.eye(3)[2:]) == pytest.approx([90.0])
    # As small as an angle may be: its cosine is 1 in double precision.
    tiny = torch.tensor([[1.0, 0.0, 1e-9]])
    assert principal_angles(plane[:1], tiny) == pytest.approx([math.degrees(1e-9)])


def test_rows_that_depend_on_one_another_have_fewer_angles() -> None:
    plane = torch.eye(3)[:2]
    assert principal_angles(torch.tensor([[1.0, 0, 0], [2.0, 0, 0]]), plane) == [0.0]
    assert principal_angles(torch.zeros(2, 3), plane) == []


@pytest.mark.parametrize("degrees", [0.0, 7.5, 90.0])
def test_a_decoder_rotated_away_from_pca_has_that_angle(degrees: float) -> None:
    images, _ = synthetic_digits(256, seed=0)
    pca = fit_pca(images)
    turn = math.radians(degrees)
    basis = pca.components[:5].clone()
    basis[4] = math.cos(turn) * pca.components[4] + math.sin(turn) * pca.components[5]
    model = FCAutoencoder(FCConfig("fc", latent=5), UpsampleConfig(), (1, 28, 28))
    mixing = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    decoder = dict(model.decoder[0].named_parameters())
    with torch.no_grad():
        decoder["weight"].copy_((mixing @ basis).T)
        decoder["bias"].copy_(pca.mean + 0.5)
    model.decoder = torch.nn.Sequential(model.decoder[0], model.decoder[-1])  # without the sigmoid
    expected = [degrees, 0.0, 0.0, 0.0, 0.0]
    assert angles_to_pca(model, pca) == pytest.approx(expected, abs=0.01)


def test_the_recipe_is_linear_and_the_sweep_is_made_of_it() -> None:
    config = compose(["experiment=linear"])
    assert is_linear(config) and (config.latent, config.weight_decay) == (32, 0)
    for change in ("model.widths=[9]", "model=conv", "corruption=gaussian"):
        assert not is_linear(compose(["experiment=linear", change]))
    jobs = compose_sweep(["sweep=linear"]).jobs
    assert jobs is not None
    assert [job.config.latent for job in jobs] == [2, 4, 8, 16, 32]
    assert all(is_linear(job.config) and job.config.lr == config.lr for job in jobs)
    assert jobs[0].folder == "0-linear-z2"


@pytest.mark.undrawn("train", "evaluate", "compare")
def test_every_result_of_a_linear_run_has_its_angles(
    aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["train", *TINY[:-2], "experiment=linear", "latent=2", "epochs=9", "batch_size=16"]
    assert aecli(*line, "device=cpu", "hydra.run.dir=run") == 0
    shown = " ".join(capsys.readouterr().out.split())
    angles = RunDirectory(Path("run")).load_summary()["angles_to_pca"]
    assert len(angles) == 2 and 0 <= angles[1] <= angles[0] <= 90
    described = f"the largest of 2 angles to that of PCA is {angles[0]:.1f}°"
    assert f"subspace {described}" in shown

    assert aecli("evaluate", "run") == 0
    assert described in " ".join(capsys.readouterr().out.split())
    numbers = json.loads(Path("run/evaluate/numbers.json").read_text())
    assert numbers["angles_to_pca"] == pytest.approx(angles, abs=1e-3)

    assert aecli("compare", "run") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"and its subspace is within {angles[0]:.1f}° of PCA's." in shown
    (row,) = csv.DictReader(Path("run/compare/table.csv").read_text().splitlines())
    assert float(row["angle_to_pca_degrees"]) == angles[0]


@pytest.mark.undrawn("compare")
def test_other_runs_have_none(run: RunDirectory, aecli: Aecli) -> None:
    assert run.load_summary()["angles_to_pca"] is None
    assert aecli("compare", str(run.path), "output=out") == 0
    assert "angle" not in Path("out/table.csv").read_text()


@pytest.mark.undrawn
def test_the_recipe_reaches_pca_on_mnist(aecli: Aecli, mnist_dir: Path) -> None:
    line = ["train", "experiment=linear", "latent=16", "epochs=6", f"data_dir={mnist_dir}"]
    assert aecli(*line, "data=mnist", "hydra.run.dir=run") == 0
    summary = RunDirectory(Path("run")).load_summary()
    assert summary["test"]["mse"] / summary["baselines"]["pca"]["mse"] < 1.01
    assert summary["angles_to_pca"][0] < 20
