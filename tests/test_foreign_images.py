"""`aecli denoise data=...`: images of another data set, in addition to those of the run."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aecli.analysis.denoise import NOISY, Denoised
from aecli.analysis.denoise_findings import findings
from aecli.config import CorruptionKind, DataConfig
from aecli.data import DATASETS, Split
from aecli.data.foreign import fit_to
from aecli.data.split import LoadedData
from aecli.runs.directory import RunDirectory
from aecli.runs.known_images import KnownImages

pytestmark = pytest.mark.undrawn("train", "denoise")

Aecli = Callable[..., int]
GAUSSIAN = CorruptionKind.gaussian


def stripes(channels: int, side: int) -> Callable[[DataConfig, Path], LoadedData]:
    """A data set of vertical stripes."""
    row = torch.tensor([0, 200]).to(torch.uint8).repeat(side // 2)
    images = row.expand(40, channels, side, side).contiguous()
    split = Split(images, torch.zeros(40, dtype=torch.int64), ("stripes",))
    return lambda _, __: LoadedData(split, split, "nowhere")


@pytest.fixture
def fashion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS, "fashion_mnist", stripes(1, 28))


LINE = ["noise=gaussian", "strengths=0.1,0.5", "n=30", "device=cpu"]


def test_another_data_set_is_denoised_next_to_the_runs_own(
    run: RunDirectory, aecli: Aecli, fashion: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("denoise", str(run.path), *LINE) == 0
    own = json.loads((run.path / "denoise/numbers.json").read_text())
    assert "own" not in own
    assert aecli("denoise", str(run.path), "data=fashion_mnist", *LINE) == 0
    numbers = json.loads((run.path / "denoise/numbers.json").read_text())
    assert numbers["own"] == own["settings"]  # as without the others, with the same noise
    assert (numbers["own_images"], numbers["images"]) == ("synthetic", "fashion_mnist")
    assert [list(each["mse"]) for each in numbers["settings"]] == [
        list(each["mse"]) for each in own["settings"]
    ]
    # A network that has seen digits for one epoch makes nothing of stripes.
    assert len(numbers["findings"]) == 2
    assert numbers["findings"][1].startswith("fashion_mnist, gaussian noise: conv-z3-synthetic")
    assert "worse than doing nothing" in numbers["findings"][1]
    output = " ".join(capsys.readouterr().out.split())
    assert "30 of the 40 test images of fashion_mnist" in output
    assert " ".join(numbers["findings"][1].split()) in output
    assert "0.1 own" in output and "0.1 other" in output


@pytest.fixture
def photos(tmp_path: Path) -> None:
    """A folder of even images."""
    (tmp_path / "photos").mkdir()
    for level in range(0, 250, 10):
        Image.fromarray(np.full((28, 28), level, np.uint8)).save(tmp_path / f"photos/{level}.png")


def test_own_images_are_denoised_next_to_the_runs_own(
    run: RunDirectory, aecli: Aecli, photos: None
) -> None:
    assert aecli("denoise", str(run.path), "images=photos", *LINE) == 0
    numbers = json.loads((run.path / "denoise/numbers.json").read_text())
    assert (numbers["own_images"], numbers["images"]) == ("synthetic", "images in photos")
    assert numbers["own"] != numbers["settings"]


def test_own_test_images_that_cannot_be_used_are_left_out(
    run: RunDirectory,
    aecli: Aecli,
    photos: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    summary = run.load_summary()
    summary["data"]["fingerprints"]["test"] = 64 * "0"
    run.save_summary(summary)
    monkeypatch.setattr(KnownImages, "seen", lambda _, split: torch.ones(len(split)).bool())
    assert aecli("denoise", str(run.path), "images=photos", *LINE) == 0
    assert "the run's own test images are left out: " in capsys.readouterr().err
    assert "own" not in json.loads((run.path / "denoise/numbers.json").read_text())


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        (["data=cifar10"], 3, "data=cifar10 has 3x32x32 images, but the run takes 1x28x28"),
        (["data=synthetic"], 2, "data=synthetic is what "),
        (["data=folder"], 2, "for images of your own give images=..."),
        (["data=fashoin_mnist"], 2, "did you mean fashion_mnist?"),
        (["data=fashion_mnist", "images=one.png"], 2, "cannot both be given"),
    ],
)
def test_an_unusable_data_set_gets_one_line(
    line: list[str],
    status: int,
    words: str,
    run: RunDirectory,
    aecli: Aecli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(DATASETS, "cifar10", stripes(3, 32))
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(tmp_path / "one.png")
    assert aecli("denoise", str(run.path), *line, *LINE) == status
    errors = capsys.readouterr().err
    assert words in errors and errors.count("\n") == 1
    assert not (run.path / "denoise").exists()
    if status == 3:
        assert "resize=true" in errors
        assert aecli("denoise", str(run.path), *line, "resize=true", *LINE) == 0


def test_images_are_converted_as_files_are() -> None:
    grey = torch.full((2, 1, 8, 8), 77, dtype=torch.uint8)
    assert fit_to(grey, (1, 8, 8)) is grey
    assert torch.equal(fit_to(grey, (3, 4, 6)), torch.full((2, 3, 4, 6), 77, dtype=torch.uint8))
    red = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    red[:, 0] = 255
    assert torch.equal(fit_to(red, (1, 4, 4)), torch.full((1, 1, 4, 4), 76, dtype=torch.uint8))


def result(strength: float, **errors: torch.Tensor) -> Denoised:
    named = {NOISY if name == "noisy" else name: each.double() for name, each in errors.items()}
    return Denoised(GAUSSIAN, strength, named, {})


def test_sentences_claim_only_what_the_images_support() -> None:
    noise = torch.randn(100, generator=torch.Generator().manual_seed(0)) * 0.01
    level = torch.full((100,), 0.1)
    results = [
        result(
            0.1,
            noisy=level - 0.05,
            net=level,
            median=level - 0.04,
            same=level + noise,
            twin=level - noise,
        ),
        result(
            0.5,
            noisy=level + 0.05,
            net=level,
            median=level - 0.04,
            same=level + noise,
            twin=level - noise,
        ),
    ]
    assert findings({"there": results}, ["net"]) == [
        "there, gaussian noise: net is worse than doing nothing at 0.1; worse than median at "
        "every strength; better than doing nothing at 0.5"
    ]
    (few,) = findings({"there": [result(0.1, noisy=level[:5], net=level[:5] * 2)]}, ["net"])
    assert few == "there, gaussian noise: no claims are made for fewer than 20 images"
    (equal,) = findings({"there": [result(0.1, noisy=level + noise, net=level)]}, ["net"])
    assert equal.endswith("net is not significantly different from any other method")
