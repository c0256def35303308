"""`aecli superres`: images at a higher resolution."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from aecli.analysis.superres import BICUBIC, LINEAR, MODEL, upscaled, upscaling_methods
from aecli.data.batches import to_pixels
from aecli.data.corruption import enlarge, shrink
from aecli.runs.directory import RunDirectory
from aecli.runs.trained import open_run
from tests.conftest import train_once
from tests.scores import score

Aecli = Callable[..., int]


@pytest.fixture(scope="module")
def shrunk(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A finished run that was trained on images of a quarter of the resolution."""
    folder = tmp_path_factory.mktemp("superres") / "run"
    line = ["latent=3", "corruption=downsample", "factor=4"]
    return RunDirectory(train_once(folder, data_dir, *line))


def test_the_model_does_what_it_was_trained_for(shrunk: RunDirectory) -> None:
    trained = open_run(shrunk.path, device="cpu")
    assert trained.config.corruption.factor == 4
    summary = shrunk.load_summary()
    assert summary["corruption"] == "downsample"
    scored = score(trained.config, trained.reconstruct, trained.images)
    assert scored.mse == pytest.approx(summary["test"]["mse"], rel=1e-6)


def test_every_method_starts_from_the_small_images(shrunk: RunDirectory) -> None:
    trained = open_run(shrunk.path, device="cpu")
    pixels = to_pixels(trained.images.images[:7])
    methods = upscaling_methods(trained, 4)
    with torch.inference_mode():
        ((originals, bicubic),) = upscaled(trained.images.images[:7], methods[BICUBIC], 4)
        assert torch.equal(originals, pixels)
        assert torch.equal(bicubic, enlarge(shrink(pixels, 4), (28, 28)))
        ((_, output),) = upscaled(trained.images.images[:7], methods[MODEL], 4)
        assert torch.allclose(output, trained.reconstruct(bicubic))
        assert methods[LINEAR](shrink(pixels, 4)).shape == pixels.shape


def test_the_command_prints_what_the_run_ended_with(
    shrunk: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("superres", str(shrunk.path), "count=3") == 0
    numbers = json.loads((shrunk.path / "superres/numbers.json").read_text())
    summary = shrunk.load_summary()
    assert numbers["mse_autoencoder"] == pytest.approx(summary["test"]["mse"], rel=1e-5)
    corrupted = summary["baselines"]["corrupted_input"]
    assert numbers["mse_bicubic"] == pytest.approx(corrupted["mse"], rel=1e-5)
    assert numbers["scores"]["bicubic"]["ssim"] == pytest.approx(corrupted["ssim"], rel=1e-5)
    assert numbers["mse_best_linear"] < numbers["mse_bicubic"]
    assert f"{numbers['mse_autoencoder']:.6f}" in capsys.readouterr().out
    assert (shrunk.path / "superres/resolution.png").stat().st_size > 1000


def test_a_run_that_was_trained_for_something_else_is_refused(
    run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("superres", str(run.path)) == 2
    errors = capsys.readouterr().err
    assert "aecli train corruption=downsample factor=2" in errors and errors.count("\n") == 1
    assert not (run.path / "superres").exists()


@pytest.mark.parametrize("count", [0, 25])
def test_too_many_images_for_a_row_are_refused(
    count: int, shrunk: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("superres", str(shrunk.path), f"count={count}") == 2
    assert capsys.readouterr().err == f"aecli: count={count} is not valid: give 1 to 24\n"
