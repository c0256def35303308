"""`aecli denoise`: the error that is left after denoising."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from aecli.analysis import denoise as analysis
from aecli.analysis.denoise import (
    NOISY,
    STRENGTHS,
    denoise,
    draw_images,
    names_with_noise,
    read_strengths,
    training_noise,
)
from aecli.config import CorruptionConfig, CorruptionKind
from aecli.data.corruption import NOISES
from aecli.errors import UsageError
from aecli.runs.directory import RunDirectory
from aecli.runs.trained import Trained, open_run
from tests.conftest import planted

Aecli = Callable[..., int]
GAUSSIAN = CorruptionKind.gaussian


@pytest.fixture
def trained(finished: Path) -> Trained:
    return open_run(finished, device="cpu")


def test_a_perfect_denoiser_has_no_error(trained: Trained) -> None:
    images = draw_images(trained, 20, 0)

    class Perfect:
        config = trained.config

        def reconstruct(self, _: torch.Tensor) -> torch.Tensor:
            return images.test

    result = denoise([Perfect()], images, GAUSSIAN, 0.3, 0)  # type: ignore[list-item]
    assert result.mse[names_with_noise([trained])[0]] == 0
    # Half of all noise on black is clipped, which leaves a mean square of 0.3 ** 2 / 2 there.
    assert 0.3**2 / 2 < result.mse[NOISY] < 0.3**2
    assert result.mse["best linear"] < result.mse[NOISY]
    assert result.psnr[NOISY] == pytest.approx(
        -10 * torch.tensor(result.mse[NOISY]).log10().item(), abs=1e-4
    )


def test_the_model_is_given_the_noisy_images(trained: Trained) -> None:
    images = draw_images(trained, 20, 0)

    class Copy:
        config = trained.config

        def reconstruct(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels

    result = denoise([Copy()], images, GAUSSIAN, 0.3, 0)  # type: ignore[list-item]
    assert result.mse[names_with_noise([trained])[0]] == result.mse[NOISY]


def test_images_are_drawn_by_seed_and_there_may_be_fewer(trained: Trained) -> None:
    some, again, other = (draw_images(trained, 30, seed).test for seed in (0, 0, 1))
    assert torch.equal(some, again) and not torch.equal(some, other)
    assert len(some) == 30
    assert len(draw_images(trained, 1000, 0).test) == 100


def test_the_command_measures_every_kind(
    run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("denoise", str(run.path), "n=10") == 0
    numbers = json.loads((run.path / "denoise/numbers.json").read_text())
    noises = [(each["noise"], each["strength"]) for each in numbers["settings"]]
    assert noises == [(kind.name, each) for kind, some in STRENGTHS.items() for each in some]
    for setting in numbers["settings"]:
        assert len(setting["mse"]) == 6
        key = f"psnr_{setting['noise']}_{setting['strength']:g}"
        assert numbers[key] == setting["psnr"]["conv-z3-synthetic, no noise"]
    captured = capsys.readouterr()
    assert f"{numbers['psnr_gaussian_0.5']:.2f}" in captured.out
    assert (
        "to see the effect of noise in training, compare with a run trained with noise (such as "
        "corruption=gaussian): aecli denoise RUN OTHER\n"
    ) in captured.err
    for figure in ("psnr", "images"):
        assert (run.path / f"denoise/{figure}.png").stat().st_size > 1000


def test_a_second_model_is_measured_too(
    run: RunDirectory, finished: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    text = run.config_file.read_text()
    planted(run, "config.yaml", text.replace("name: none", "name: masking", 1))
    line = ["noise=masking", "strengths=0.9,0.5", "n=10"]
    assert aecli("denoise", str(run.path), str(finished), *line) == 0
    numbers = json.loads((run.path / "denoise/numbers.json").read_text())
    assert [each["strength"] for each in numbers["settings"]] == [0.5, 0.9]
    names = list(numbers["settings"][0]["mse"])
    assert names[1:3] == ["conv-z3-synthetic, masking 0.25", "conv-z3-synthetic, no noise"]
    captured = capsys.readouterr()
    assert "+0.00" in captured.out  # they have the same weights
    assert "RUN OTHER" not in captured.err
    assert not (finished / "denoise").exists()


def test_models_are_named_with_their_training_noise(trained: Trained) -> None:
    expected = {
        "no noise": CorruptionConfig(),
        "gaussian 0.5": CorruptionConfig(GAUSSIAN, noise_std=0.5),
        "salt-and-pepper 0.3": CorruptionConfig(CorruptionKind.salt_and_pepper, rate=0.3),
        "downsample": CorruptionConfig(CorruptionKind.downsample),
    }
    for words, corruption in expected.items():
        assert training_noise(replace(trained.config, corruption=corruption)) == words
    assert names_with_noise([trained, trained]) == [
        "conv-z3-synthetic, no noise (1)",
        "conv-z3-synthetic, no noise (2)",
    ]


def test_large_images_have_no_linear_denoiser(
    run: RunDirectory,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(analysis, "MAX_NUMBERS", 28 * 28 - 1)
    assert aecli("denoise", str(run.path), "n=5", "noise=gaussian", "strengths=0.5") == 0
    numbers = json.loads((run.path / "denoise/numbers.json").read_text())
    assert "best linear" not in numbers["settings"][0]["mse"]
    assert "no best linear denoiser" in capsys.readouterr().err


def test_strengths_are_read_in_their_order() -> None:
    assert read_strengths("0.5, 0.1,0.5", GAUSSIAN) == (0.1, 0.5)
    assert read_strengths("1", CorruptionKind.masking) == (1.0,)


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "a", "0.1;0.2", "11"])
def test_invalid_strengths_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=f"^strengths={text} is not valid for gaussian: "):
        read_strengths(text, GAUSSIAN)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["noise=rain"], "noise=rain is not valid"),
        (["noise=masking", "strengths=1.5"], "strengths=1.5 is not valid for masking: give shares"),
        (["n=0"], "n=0 is not valid: give 1 or more"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing(
    line: list[str],
    words: str,
    run: RunDirectory,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert aecli("denoise", str(run.path), *line) == 2
    errors = capsys.readouterr().err
    assert words in errors and errors.count("\n") == 1
    assert not (run.path / "denoise").exists()


def test_runs_on_different_images_are_refused(
    run: RunDirectory, finished: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = run.load_summary()
    summary["data"]["fingerprints"]["test"] = 64 * "0"
    run.save_summary(summary)
    assert aecli("denoise", str(run.path), str(finished)) == 2
    assert "whose test images are others" in capsys.readouterr().err


def test_the_cost_of_choosing_settings_does_not_grow_with_the_images(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analysis, "MAX_CROP", 10)
    images = draw_images(trained, 20, 0)
    assert images.validation.shape == (25, 1, 10, 10) and images.test.shape == (20, 1, 28, 28)
    again, other = (draw_images(trained, 20, seed).validation for seed in (0, 1))
    assert torch.equal(images.validation, again) and not torch.equal(images.validation, other)


def test_fewer_images_are_measured_where_they_are_large(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(draw_images(trained, None, 0).test) == 100
    monkeypatch.setattr(analysis, "MAX_VALUES", 3 * 28 * 28)
    assert len(draw_images(trained, None, 0).test) == 3
    assert len(draw_images(trained, 20, 0).test) == 20  # as was asked


def test_every_method_is_counted(trained: Trained) -> None:
    images, ends = draw_images(trained, 5, 0), []
    denoise([trained], images, GAUSSIAN, 0.3, 0, lambda: ends.append(1))
    assert len(ends) == analysis.method_count([trained], images)


def test_no_number_in_the_results_is_infinite(
    run: RunDirectory, aecli: Aecli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analysis, "NOISES", {**NOISES, GAUSSIAN: lambda pixels, *_: pixels})
    assert aecli("denoise", str(run.path), "n=5", "noise=gaussian", "strengths=0.5") == 0
    text = (run.path / "denoise/numbers.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["settings"][0]["psnr"][NOISY] is None
