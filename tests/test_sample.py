"""`aecli sample`: decoded random codes, their nearest images, and the Fréchet distances."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from aecli.analysis.sample import decode_with_nearest, fit_density, frechet_distances
from aecli.commands.sample import Density
from aecli.config import UpsampleConfig, Upsampling
from aecli.data import Data, Split
from aecli.data.batches import to_pixels
from aecli.latent.density import fit_diagonal, fit_full
from aecli.runs.directory import RunDirectory
from aecli.runs.trained import Trained, open_run

Aecli = Callable[..., int]


class Linear:
    """A model whose code is the image itself: its latent space is the pixel space."""

    def decode(self, codes: Tensor) -> Tensor:
        return codes.reshape(-1, 1, 2, 3).clamp(0, 1)

    def reconstruct(self, pixels: Tensor) -> Tensor:
        return pixels


FITTED = [density for density in Density if density is not Density.prior]


def pairs(count: int, seed: int) -> Split:
    """Images of two classes whose pixels are all the same grey, with a little noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    levels = 90 + 60 * labels.reshape(-1, 1, 1, 1)
    noise = torch.randint(-20, 21, (count, 1, 2, 3), generator=generator)
    return Split((levels + noise).to(torch.uint8), labels)


DATA = Data("greys", "greys", "greys", "here", None, pairs(2000, 0), pairs(10, 1), pairs(1000, 2))
LINEAR: Trained = Linear()  # type: ignore[assignment]


def codes_of(split: Split) -> Tensor:
    return to_pixels(split.images).flatten(1)


def test_in_a_linear_latent_space_distances_are_those_of_the_codes() -> None:
    copied = frechet_distances(LINEAR, codes_of(DATA.test), DATA)
    assert copied["samples"] == pytest.approx(0, abs=1e-6)
    assert copied["reconstructions"] == pytest.approx(0, abs=1e-6)
    assert 0 < copied["training"] < 1
    trained = frechet_distances(LINEAR, codes_of(DATA.train)[:1000], DATA)
    assert trained["samples"] == pytest.approx(trained["training"], rel=1e-4)


def test_a_density_without_the_correlations_of_the_codes_is_farther_away() -> None:
    codes, generator = codes_of(DATA.train), torch.Generator().manual_seed(0)
    found = {
        name: frechet_distances(LINEAR, density.draw(1000, generator), DATA)
        for name, density in (("diagonal", fit_diagonal(codes)), ("full", fit_full(codes)))
    }
    # All pixels go up and down together. Logits add them up: their deviation would shrink.
    assert found["full"]["samples"] < 0.1 * found["diagonal"]["samples"]
    assert found["full"]["training"] == found["diagonal"]["training"]


def test_each_density_keeps_what_its_name_says() -> None:
    codes = codes_of(DATA.train)
    generator = torch.Generator().manual_seed(0)
    mixtures = {density: fit_density(codes, density.value, 2, 0) for density in FITTED}
    correlations = {
        density: torch.corrcoef(mixture.draw(5000, generator).T)[0, 1].item()
        for density, mixture in mixtures.items()
    }
    own = torch.corrcoef(codes.T)[0, 1].item()
    assert own > 0.8 and abs(correlations[Density.diagonal]) < 0.05
    assert correlations[Density.full] == pytest.approx(own, abs=0.03)
    assert correlations[Density.gmm] == pytest.approx(own, abs=0.03)
    assert [len(mixture.components) for mixture in mixtures.values()] == [1, 1, 2]


def test_reconstructions_are_as_far_away_as_the_model_moves_them() -> None:
    class Darkening(Linear):
        def reconstruct(self, pixels: Tensor) -> Tensor:
            return pixels / 2

    darkened: Trained = Darkening()  # type: ignore[assignment]
    codes = codes_of(DATA.test)
    found = frechet_distances(darkened, codes / 2, DATA)
    assert found["reconstructions"] == pytest.approx(found["samples"]) and found["samples"] > 1


def test_a_copied_image_is_detected() -> None:
    train = codes_of(DATA.train)
    some = torch.stack([train[1234], train[7] + 0.001, torch.ones(6)])
    decoded = decode_with_nearest(LINEAR, some, DATA)
    assert decoded.indices[:2].tolist() == [1234, 7]
    assert decoded.mse.tolist() == pytest.approx(
        [0, 1e-6, (1 - train).square().mean(1).min().item()], abs=1e-6
    )
    assert torch.equal(decoded.nearest[:2], to_pixels(DATA.train.images[[1234, 7]]))


@pytest.mark.parametrize("density", FITTED)
def test_the_command_saves_a_figure_and_prints_its_numbers(
    density: Density, run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["n=11", f"density={density.value}", "components=3"]
    assert aecli("sample", str(run.path), *line) == 0
    captured = capsys.readouterr()
    folder = run.path / "sample"
    numbers = json.loads((folder / "numbers.json").read_text())
    assert numbers["density"] == density.value
    assert numbers["components"] == (3 if density is Density.gmm else 1)
    for name in ("samples", "reconstructions", "training"):
        assert f" {numbers[f'frechet_{name}']:.3f} " in captured.out
    assert len(numbers["nearest"]) == len(numbers["nearest_mse"]) == 11
    assert numbers["nearest_mse_samples"] == pytest.approx(sum(numbers["nearest_mse"]) / 11)
    assert f"{numbers['nearest_mse_samples']:.6f}" in captured.out
    assert f"{numbers['nearest_mse_test']:.6f}" in captured.out
    assert {path.name for path in folder.glob("samples.*")} == {"samples.png", "samples.svg"}
    is_ignored = "components=3 is ignored: it is for density=gmm" in captured.err
    assert is_ignored == (density is not Density.gmm) and captured.err.count("\n") == is_ignored
    assert captured.out.endswith(f"results  {folder}\n")


def test_the_samples_follow_the_seed_and_the_references_do_not(
    run: RunDirectory, aecli: Aecli
) -> None:
    found = []
    for seed in (0, 0, 1):
        assert aecli("sample", str(run.path), f"seed={seed}") == 0
        found.append(json.loads((run.path / "sample/numbers.json").read_text()))
    assert found[0] == found[1]
    assert found[0]["frechet_samples"] != found[2]["frechet_samples"]
    for name in ("frechet_reconstructions", "frechet_training", "nearest_mse_test"):
        assert found[0][name] == found[2][name]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["n=0"], "n=0 is not valid: give 1 to 64"),
        (["n=65"], "n=65 is not valid: give 1 to 64"),
        (["density=gaussian"], "density=gaussian is not valid: "),
        (["density=gmm", "components=0"], "components=0 is not valid: give 1 to 100"),
        (["density=gmm", "components=101"], "components=101 is not valid: give 1 to 100"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing(
    line: list[str], words: str, run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("sample", str(run.path), *line) == 2
    errors = capsys.readouterr().err
    assert words in errors and errors.count("\n") == 1
    assert not [path for path in run.path.iterdir() if "sample" in path.name]


def test_without_scikit_learn_only_the_mixture_is_refused(
    run: RunDirectory,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("sklearn", "sklearn.mixture", "sklearn.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    assert aecli("sample", str(run.path), "density=gmm") == 2
    assert capsys.readouterr().err == (
        "aecli: density=gmm is an extra: pip install 'aecli[uses]'\n"
    )
    assert aecli("sample", str(run.path), "density=full") == 0
    assert aecli("probe", str(run.path)) == 0


def test_the_samples_of_an_unpooling_decoder_have_a_caveat(
    run: RunDirectory,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained = open_run(run.path, device="cpu")
    config = replace(trained.config, upsample=UpsampleConfig(name=Upsampling.max_unpool))
    unpooling = replace(trained, config=config)
    monkeypatch.setattr("aecli.runs.trained.open_run", lambda *_, **__: unpooling)
    assert aecli("sample", str(run.path), "n=1") == 0
    errors = capsys.readouterr().err
    assert "the decoder unpools, and a code alone has no positions of maxima" in errors
    assert errors.count("\n") == 1


def test_images_of_one_class_are_sampled_without_a_distance(
    run: RunDirectory,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained = open_run(run.path, device="cpu")
    data = trained.data()
    blank = replace(data, train=Split(data.train.images, torch.zeros_like(data.train.labels)))
    monkeypatch.setattr(Trained, "data", lambda _: blank)
    assert aecli("sample", str(run.path), "n=4", "device=cpu") == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("no Fréchet distance: ") and captured.err.count("\n") == 1
    numbers = json.loads((run.path / "sample/numbers.json").read_text())
    assert not [name for name in numbers if name.startswith("frechet")]
    assert f"{numbers['nearest_mse_samples']:.6f}" in captured.out
    assert "reconstructions" not in captured.out
