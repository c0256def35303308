"""Kernel PCA: against the formulas written out, on MNIST, and in `aecli compare`."""

import csv
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from aecli.baselines import kernel_pca as module
from aecli.baselines.kernel_pca import STRENGTHS, kernel_pca_errors
from aecli.baselines.pca import fit_pca
from aecli.config import DataConfig
from aecli.data import load_data
from aecli.data.batches import to_pixels
from aecli.runs.directory import RunDirectory
from aecli.runs.known_images import KnownImages
from tests.conftest import TINY
from tests.test_compare import on_other_images

Aecli = Callable[..., int]
Floats = NDArray[np.float64]


def drawn(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 1, 3, 3), generator=generator, dtype=torch.uint8)


def rows(images: Tensor) -> Floats:
    return to_pixels(images).flatten(1).double().numpy()


def gaussian(one: Floats, other: Floats, like: Floats) -> Floats:
    """The kernel of two sets of rows, as wide as the rows `like` vary."""
    squares = ((one[:, None] - other[None]) ** 2).sum(2)
    kernel: Floats = np.exp(-squares / like.var(0).sum())
    return kernel


def by_hand(train: Tensor, test: Tensor, size: int) -> float:
    fitted, choosing = np.split(rows(train), [len(train) * 4 // 5])
    kernel = gaussian(fitted, fitted, fitted)
    centring = np.eye(len(fitted)) - 1 / len(fitted)
    values, vectors = np.linalg.eigh(centring @ kernel @ centring)
    values, vectors = values[::-1][:size], vectors[:, ::-1][:, :size]

    def encode(images: Floats) -> Floats:
        centred = (gaussian(images, fitted, fitted) - kernel.mean(0)) @ centring
        codes: Floats = centred @ vectors / np.sqrt(values)
        return codes

    codes, mean = encode(fitted), fitted.mean(0)

    def error(images: Floats, strength: float) -> float:
        inner = gaussian(codes, codes, codes) + strength * np.eye(len(codes))
        weights = np.linalg.solve(inner, fitted - mean)
        outputs = gaussian(encode(images), codes, codes) @ weights + mean
        return float(((outputs.clip(0, 1) - images) ** 2).mean())

    best = min(STRENGTHS, key=lambda strength: error(choosing, strength))
    return error(rows(test), best)


def test_the_errors_are_those_of_the_formulas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 7)
    train, test = drawn(60, 0), drawn(20, 1)
    found = dict(kernel_pca_errors(train, test, [5, 2, 5]))
    assert list(found) == [2, 5]
    for size, mse in found.items():
        assert mse == pytest.approx(by_hand(train, test, size), rel=1e-6)


def test_fewer_large_images_are_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NUMBERS", 9 * 50)
    monkeypatch.setattr(module, "BATCH_NUMBERS", 9 * 7)
    train, test = drawn(60, 0), drawn(20, 1)
    ((_, mse),) = kernel_pca_errors(train, test, [3])
    assert mse == pytest.approx(by_hand(train[:50], test, 3), rel=1e-6)


def test_sizes_that_need_more_images_are_left_out() -> None:
    # Of ten training images eight are fitted, and two choose the strength of the ridge.
    assert [size for size, _ in kernel_pca_errors(drawn(10, 0), drawn(5, 1), [7, 8, 784])] == [7]
    assert not [*kernel_pca_errors(drawn(10, 0), drawn(5, 1), [8])]


def test_equal_images_are_reproduced() -> None:
    same = torch.full((10, 1, 3, 3), 51, dtype=torch.uint8)
    assert dict(kernel_pca_errors(same, same, [1]))[1] == pytest.approx(0, abs=1e-12)


def test_it_is_better_than_pca_on_mnist(mnist_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slice; all 4,000 images give 0.0263 of 0.0367."""
    monkeypatch.setattr(module, "MAX_FITTED", 800)
    data = load_data(DataConfig("mnist"), mnist_dir, torch.device("cpu"))
    train, test = data.train.images[:1000], data.test.images[:1000]
    ((_, mse),) = kernel_pca_errors(train, test, [8])
    pixels = to_pixels(test)
    linear = (fit_pca(train).reconstruct(pixels, 8) - pixels).square().mean().item()
    assert mse < 0.9 * linear


def table(folder: Path) -> dict[str, dict[str, str]]:
    lines = (folder / "table.csv").read_text().splitlines()
    return {row["latent"]: row for row in csv.DictReader(lines)}


@pytest.fixture
def sweep(aecli: Aecli, data_dir: Path, tmp_path: Path) -> Path:
    """Three runs, one of them on noisy images."""
    line = [*TINY, f"data_dir={data_dir}", "model=fc"]
    for name, more in (("a", ["latent=2"]), ("b", ["latent=5"]), ("c", ["corruption=gaussian"])):
        assert aecli("train", *line, *more, f"hydra.run.dir=runs/{name}") == 0
    return tmp_path / "runs"


@pytest.mark.undrawn("train")
def test_compare_shows_it_with_the_networks(
    sweep: Path, aecli: Aecli, data_dir: Path, tmp_path: Path
) -> None:
    assert aecli("compare", str(sweep), "output=out", "kernel_pca=true") == 0
    data = load_data(
        DataConfig("synthetic", train_size=256, val_size=100, test_size=100),
        data_dir,
        torch.device("cpu"),
    )
    expected = dict(kernel_pca_errors(data.train.images, data.test.images, [2, 5]))
    found = table(tmp_path / "out")
    for size, mse in expected.items():
        assert float(found[str(size)]["kernel_pca_mse"]) == pytest.approx(mse)
    assert found["25"]["kernel_pca_mse"] == ""  # its inputs are noisy
    report = (tmp_path / "out" / "report.html").read_text()
    assert "kernel PCA mse" in report and "kernel_pca=true" in report
    assert "kernel PCA of images without corruption" in report
    svg = (tmp_path / "out" / "figures" / "mse-by-latent.svg").read_text()
    assert "kernel PCA" in svg
    assert (
        "No kernel PCA in a row: its inputs are corrupted, or"
        in (tmp_path / "out/table.md").read_text()
    )


@pytest.mark.undrawn("train", "compare")
def test_runs_that_it_cannot_be_compared_with_are_refused(
    sweep: Path,
    aecli: Aecli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert aecli("compare", str(sweep / "c"), "output=out", "kernel_pca=true") == 2
    refused = "aecli: kernel PCA cannot be compared with these runs, because their inputs are"
    assert capsys.readouterr().err.startswith(refused)
    changed = "other test images than those of the run"
    monkeypatch.setattr(KnownImages, "check_test_images", lambda self: changed)
    assert aecli("compare", str(sweep / "a"), "output=out", "kernel_pca=true") == 3
    assert capsys.readouterr().err == f"aecli: {changed}: leave kernel_pca out\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.undrawn("train", "compare")
def test_a_data_set_without_such_runs_is_still_compared(
    sweep: Path, aecli: Aecli, tmp_path: Path
) -> None:
    noisy = RunDirectory(sweep / "c")
    on_other_images(noisy, name="other", fingerprints=None)
    assert aecli("compare", str(sweep), "output=out", "kernel_pca=true") == 0
    tables = {each.parent.name: each.read_text() for each in tmp_path.glob("out/*/table.csv")}
    assert {name: "kernel_pca_mse" in table for name, table in tables.items()} == {
        "synthetic": True,
        "other": False,
    }


@pytest.mark.undrawn("train", "compare")
def test_a_missing_library_is_named_and_nothing_is_written(
    sweep: Path,
    aecli: Aecli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = ["compare", str(sweep), "output=out", "kernel_pca=true"]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "sklearn.kernel_ridge", None)
        assert aecli(*line) == 2
    assert capsys.readouterr().err == (
        "aecli: kernel_pca=true is an extra: pip install 'aecli[uses]'\n"
    )
    assert not (tmp_path / "out").exists()
    assert aecli("compare", str(sweep), "output=out") == 0
    assert "kernel_pca_mse" not in table(tmp_path / "out")["2"]
