"""`aecli reconstruct`: images and their reconstructions by a trained model."""

import json
from collections.abc import Callable

import pytest
import torch

from aecli.analysis.reconstruct import figure, reconstruct
from aecli.runs.directory import RunDirectory
from aecli.runs.trained import open_run

Aecli = Callable[..., int]


def test_the_errors_are_those_of_the_images_that_the_run_kept(
    run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("reconstruct", str(run.path)) == 0
    numbers = json.loads((run.path / "reconstruct/numbers.json").read_text())
    kept = run.load_images()
    expected = (kept["output"] - kept["original"]).square().mean((1, 2, 3)).tolist()
    assert numbers["mse_of_each"] == pytest.approx(expected, rel=0.02)  # kept as 256 levels
    assert numbers["mse"] == pytest.approx(sum(numbers["mse_of_each"]) / 10)
    assert f"{numbers['mse']:.6f}" in capsys.readouterr().out
    assert (run.path / "reconstruct/reconstructions.png").stat().st_size > 1000


def test_as_many_images_as_are_asked_for(run: RunDirectory, aecli: Aecli) -> None:
    assert aecli("reconstruct", str(run.path), "count=3") == 0
    numbers = json.loads((run.path / "reconstruct/numbers.json").read_text())
    assert len(numbers["mse_of_each"]) == 3


@pytest.mark.parametrize("count", [0, 25])
def test_too_many_images_for_a_row_are_refused(
    count: int, run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("reconstruct", str(run.path), f"count={count}") == 2
    assert capsys.readouterr().err == f"aecli: count={count} is not valid: give 1 to 24\n"


def test_the_figure_shows_each_error_and_pca(
    run: RunDirectory,
) -> None:
    found = reconstruct(open_run(run.path, device="cpu"), 10, corrupt=True)
    assert found.pca is not None
    kept = run.load_images()["pca"]
    assert torch.allclose(found.pca, kept, atol=1 / 255)  # kept as 256 levels
    (axes,) = figure("title", found).axes
    rows = [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()]
    assert rows == [
        *("original", "autoencoder, mse", "absolute error"),
        *("PCA, same latent size, mse", "absolute error", "scale of errors"),
    ]
    pca = (found.pca - found.examples.pixels).square().mean((1, 2, 3)).tolist()
    assert [text.get_text() for text in axes.texts] == [
        *(f"{mse:.3f}" for mse in [*found.mse.values(), *pca]),
        *("0", "0.25", "0.5", "0.75", "1"),
    ]
