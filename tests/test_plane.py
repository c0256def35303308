"""Points on a curve in the plane, and what an autoencoder with a single number makes of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from aecli.cli.compose import compose
from aecli.config import DataConfig, FCConfig, UpsampleConfig
from aecli.data import load_data
from aecli.data.curve import SECTIONS, load_curve, spiral
from aecli.evaluation.plane import NEAR, Plane, has_plane, measure_plane
from aecli.figures import PlaneChart, plane_figure, to_array
from aecli.models.fc import FCAutoencoder
from aecli.runs.directory import RunDirectory

Aecli = Callable[..., int]


def test_the_points_are_on_the_curve_but_for_their_levels() -> None:
    curve = spiral(torch.linspace(0, 1, 5000, dtype=torch.float64))
    assert 0 <= curve.min() and curve.max() <= 1
    loaded = load_curve()
    for split in (loaded.train, loaded.test):
        assert split.images.shape == (len(split), 1, 1, 2) and split.images.dtype == torch.uint8
        points = split.images.reshape(-1, 2).double() / 255
        distances = torch.cdist(points, curve).amin(1)
        assert distances.max() < 0.5**0.5 / 255 + 1e-3
        # Rounding has a variance of 1 / (12 * 255^2); half of it leads along the curve.
        nearest_mse = distances.square().mean().item() / 2
        assert nearest_mse == pytest.approx(1 / (12 * 255**2) / 2, rel=0.1)
    assert loaded.train.labels.unique().tolist() == [*range(len(SECTIONS))]
    start, end = (loaded.train.images[loaded.train.labels == n].double() / 255 for n in (0, 9))
    middle = torch.tensor([0.5, 0.5])
    assert (start.reshape(-1, 2) - middle).norm(dim=1).max() < 0.15
    assert (end.reshape(-1, 2) - middle).norm(dim=1).min() > 0.4


def test_coinciding_points_cause_no_warning() -> None:
    data = load_data(DataConfig("curve", val_size=500), Path("nowhere"), torch.device("cpu"))
    assert data.copies and data.notice is None
    assert (len(data.train), len(data.validation), len(data.test)) == (5000, 500, 1000)


@pytest.fixture
def projection() -> Plane:
    """The plane as seen by f(x, y) = 2x and g(z) = (z/2, 1/4), on real points."""
    model = FCAutoencoder(FCConfig("fc", latent=1), UpsampleConfig(), (1, 1, 2))
    model.decoder = torch.nn.Sequential(model.decoder[0], model.decoder[-1])  # without the sigmoid
    values = {
        "encoder.1.weight": torch.tensor([[2.0, 0.0]]), "encoder.1.bias": torch.zeros(1),
        "decoder.0.weight": torch.tensor([[0.5], [0.0]]),
        "decoder.0.bias": torch.tensor([0.0, 0.25]),
    }  # fmt: skip
    model.load_state_dict(values)
    config = compose(["experiment=spiral"])
    return measure_plane(config, model, load_curve().test, lambda pixels: pixels)


def test_f_and_g_are_evaluated_where_the_figure_says(projection: Plane) -> None:
    x, y = projection.points.T
    low, high = 2 * x.min(), 2 * x.max()
    assert projection.curve_codes[[0, -1]].tolist() == pytest.approx(
        [low.item(), high.item()], abs=1e-5
    )
    assert torch.allclose(projection.curve[:, 0], projection.curve_codes / 2, atol=1e-6)
    assert torch.allclose(projection.curve[:, 1], torch.tensor(0.25))
    side = len(projection.codes)
    centres = (torch.arange(side) + 0.5) / side
    assert torch.allclose(projection.codes, (2 * centres).expand(side, side), atol=1e-5)
    starts, ends = projection.starts, projection.ends
    assert torch.allclose(ends[:, 0], starts[:, 0], atol=1e-6)
    assert torch.allclose(ends[:, 1], torch.tensor(0.25))
    near = torch.cdist(starts, projection.points).amin(1)
    assert 100 < len(starts) and near.max() < NEAR


def test_the_figure_shows_the_curve_in_the_colours_of_its_codes(projection: Plane) -> None:
    arrays = {name: each.double().numpy() for name, each in vars(projection).items()}
    figure = plane_figure("title", PlaneChart(**arrays))
    left, right, bar = figure.axes
    assert left.images[0].get_clim() == pytest.approx(arrays["curve_codes"][[0, -1]])
    assert left.images[0].origin == "lower"
    steps, curve = right.collections
    assert len(steps.get_paths()) == len(arrays["starts"])
    assert len(curve.get_paths()) == len(arrays["curve"]) - 1
    codes = curve.get_array()
    assert codes is not None and (np.diff(codes) > 0).all()
    assert bar.get_ylabel() == "code z"
    assert to_array(figure).std() > 0


def test_only_points_with_one_number_have_such_a_figure() -> None:
    assert has_plane(compose(["experiment=spiral"]), (1, 1, 2))
    assert not has_plane(compose(["experiment=spiral", "latent=2"]), (1, 1, 2))
    assert not has_plane(compose(["model=fc", "latent=1"]), (1, 28, 28))


def test_a_run_on_a_curve_has_the_figure_and_can_be_used(aecli: Aecli) -> None:
    line = ["train", "experiment=spiral", "epochs=2", "device=cpu"]
    assert aecli(*line, "hydra.run.dir=run") == 0
    run = RunDirectory(Path("run"))
    for kind in ("png", "svg"):
        assert (run.path / f"figures/curve.{kind}").stat().st_size > 10_000
    summary = run.load_summary()
    assert summary["data"]["image_shape"] == [1, 1, 2] and summary["test"]["ssim"] is None
    assert aecli("train", "resume=run", "epochs=3") == 0
    assert (run.path / "figures/curve.png").exists()
    for command in ("evaluate", "embed", "compare"):
        assert aecli(command, "run") == 0
    assert aecli(*line, "latent=2", "hydra.run.dir=flat") == 0
    assert not Path("flat/figures/curve.png").exists()
    assert aecli("runs", "remove", "run", "yes=true") == 0
    assert not run.path.exists()


@pytest.mark.undrawn
def test_the_recipe_unrolls_the_curve(aecli: Aecli) -> None:
    assert aecli("train", "experiment=spiral", "device=cpu", "epochs=30", "hydra.run.dir=run") == 0
    summary = RunDirectory(Path("run")).load_summary()
    assert summary["test"]["mse"] < summary["baselines"]["pca"]["mse"] / 50
