"""`aecli anomaly`: images that a run was not trained on, detected by their error."""

import csv
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from aecli.analysis import anomaly
from aecli.analysis.anomaly import error_detector, extreme_rows, fit_detectors, scores_csv
from aecli.baselines.pca import fit_pca
from aecli.cli.compose import compose_sweep
from aecli.config import CorruptionConfig, CorruptionKind
from aecli.data import Data, Split
from aecli.data.batches import to_pixels
from aecli.data.own_images import OwnImages
from aecli.evaluation.anomaly import Detector, Histogram, ScoredImages, Threshold
from aecli.evaluation.metrics import image_mse
from aecli.runs.directory import RunDirectory
from aecli.runs.trained import Trained, open_run
from tests.conftest import TINY, train_once

pytestmark = pytest.mark.undrawn

Aecli = Callable[..., int]
DETECTOR_KEYS = {"": "model", "_pca": "pca", "_forest": "forest", "_svm": "svm"}


@pytest.fixture(scope="session")
def of_ones(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished run on ones only; read-only."""
    folder = tmp_path_factory.mktemp("ones") / "run"
    small = ["data.val_size=1000", "data.test_size=300"]
    model = ["model=fc", "latent=3", "epochs=20", "batch_size=32", "lr=0.005"]
    return train_once(folder, data_dir, *small, "data.classes=[1]", *model)


@pytest.fixture
def ones(of_ones: Path, tmp_path: Path) -> RunDirectory:
    """A writable copy of a finished run on ones only."""
    return RunDirectory(Path(shutil.copytree(of_ones, tmp_path / "run")))


def opened(run: RunDirectory, **changes: object) -> Trained:
    trained = open_run(run.path, device="cpu")
    return replace(trained, config=replace(trained.config, **changes))  # type: ignore[arg-type]


def numbers_of(run: RunDirectory) -> dict[str, Any]:
    numbers: dict[str, Any] = json.loads((run.path / "anomaly/numbers.json").read_text())
    return numbers


def put(path: Path, level: int) -> None:
    """Save an image of the size of the digits, uniformly grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((28, 28), level, np.uint8)).save(path)


def is_other(split: Split) -> torch.Tensor:
    return (split.labels != 1).float().cpu()  # as errors are


def known_answers(_: Trained, __: Data, ___: int) -> dict[str, Detector]:
    """One that is always right, one that is always wrong, and an uninformative one."""
    return {
        "model": is_other,
        "pca": lambda split: -is_other(split),
        "forest": lambda split: torch.full((len(split),), 0.5),
        "svm": lambda split: torch.zeros(len(split)),
    }


def test_known_scores_give_known_results(
    ones: RunDirectory, aecli: Aecli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anomaly, "fit_detectors", known_answers)
    assert aecli("anomaly", str(ones.path)) == 0
    numbers = numbers_of(ones)
    assert (numbers["auroc"], numbers["average_precision"]) == (1, 1)
    assert (numbers["auroc_pca"], numbers["auroc_forest"], numbers["auroc_svm"]) == (0, 0.5, 0.5)
    assert (numbers["threshold"], numbers["fpr_measured"], numbers["recall"]) == (0, 0, 1)
    for found in [*numbers["by_class"].values(), numbers["all"]]:
        share = found["images"] / (found["images"] + numbers["normal_images"])
        for useless in ("pca", "forest"):
            precision = found["detections"][useless]["average_precision"]
            assert precision == pytest.approx(share)
    roc = numbers["roc"]
    assert (roc["false_positive_rate"][0], roc["false_positive_rate"][-1]) == (0, 1)
    assert set(roc["recall"]["model"]) == {1}
    assert roc["recall"]["forest"] == pytest.approx(roc["false_positive_rate"])


def test_the_auroc_of_a_class_is_the_share_of_pairs_in_the_right_order(
    ones: RunDirectory, aecli: Aecli
) -> None:
    assert aecli("anomaly", str(ones.path), "device=cpu") == 0
    numbers = numbers_of(ones)
    trained = opened(ones)
    test, others = trained.data().test, trained.test_of_other_classes()
    threes = others.images[others.labels == 3]

    def errors(images: torch.Tensor) -> torch.Tensor:
        pixels = to_pixels(images)
        with torch.inference_mode():
            return image_mse(pixels, trained.reconstruct(pixels))

    right = (errors(threes).unsqueeze(1) > errors(test.images)).double().mean().item()
    found = numbers["by_class"]["3"]
    assert found["images"] == len(threes)
    assert found["detections"]["model"]["auroc"] == pytest.approx(right, abs=1e-6)
    above = (errors(threes) > numbers["threshold"]).double().mean().item()
    assert found["recall"] == pytest.approx(above)
    alarms = (errors(test.images) > numbers["threshold"]).double().mean().item()
    assert numbers["fpr_measured"] == pytest.approx(alarms)


def test_every_other_class_is_measured_and_the_mean_is_that_of_the_classes(
    ones: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("anomaly", str(ones.path)) == 0
    captured, folder = capsys.readouterr(), ones.path / "anomaly"
    numbers = numbers_of(ones)
    by_class = numbers["by_class"]
    assert list(by_class) == list("023456789")
    assert numbers["normal_images"] == 300  # test_size, of ones only
    others = sum(each["images"] for each in by_class.values())
    assert others == numbers["all"]["images"] == 300  # test_size, of others only
    for name, detector in DETECTOR_KEYS.items():
        for measure in ("auroc", "average_precision"):
            each = [found["detections"][detector][measure] for found in by_class.values()]
            assert numbers[f"{measure}{name}"] == pytest.approx(sum(each) / 9)
            assert f" {numbers[f'{measure}{name}']:.4f} " in captured.out
            assert f" {by_class['7']['detections'][detector][measure]:.4f} " in captured.out
            assert f" {numbers['all']['detections'][detector][measure]:.4f} " in captured.out
    assert numbers["auroc"] > 0.9 and numbers["auroc_pca"] > 0.9  # ones are thin
    assert f"mse {numbers['threshold']:.6f}, which " in captured.out
    assert f"{100 * numbers['fpr_measured']:.2f} % of the 300 normal test images" in captured.out
    assert captured.out.endswith(f"results          {folder}\n") and captured.err == ""
    assert {path.name for path in folder.iterdir() if "tfevents" not in path.name} == {
        "errors.png", "errors.svg", "roc.png", "roc.svg", "extremes.png", "extremes.svg",
        "manifest.json",
        "numbers.json",
    }  # fmt: skip
    assert max(map(len, captured.out.splitlines()[:18])) <= 80


def test_a_run_without_one_class_is_measured_on_that_one(
    aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [*TINY, "latent=3", "model=fc", "data.exclude_classes=[4]", "hydra.run.dir=run"]
    assert aecli("train", *line) == 0
    capsys.readouterr()
    assert aecli("anomaly", "run", "fpr=0.1") == 0
    numbers = numbers_of(RunDirectory(Path("run")))
    assert list(numbers["by_class"]) == ["4"]
    assert numbers["auroc"] == numbers["all"]["detections"]["model"]["auroc"]
    output = capsys.readouterr().out
    assert "trained on synthetic (without 4)" in output
    assert " mean " not in output and " all " not in output  # they would repeat the row


def test_the_baselines_are_fitted_to_the_training_images_of_the_run(ones: RunDirectory) -> None:
    trained = opened(ones)
    data, others = trained.data(), trained.test_of_other_classes()
    detectors = fit_detectors(trained, data, 0)
    assert list(detectors) == ["model", "pca", "forest", "svm"]
    pixels = to_pixels(others.images)
    pca = fit_pca(data.train.images)
    expected = image_mse(pixels, pca.reconstruct(pixels, trained.config.latent))
    assert torch.allclose(detectors["pca"](others), expected, atol=1e-6)
    for score in detectors.values():
        assert score(others).mean() > score(data.train).mean()


def test_images_are_not_corrupted(ones: RunDirectory) -> None:
    trained = opened(ones)
    noise = CorruptionConfig(CorruptionKind.gaussian, noise_std=0.5)
    denoising, split = opened(ones, corruption=noise), trained.data().test
    clean = error_detector(trained, trained.reconstruct)(split)
    assert torch.equal(error_detector(denoising, denoising.reconstruct)(split), clean)


@pytest.mark.undrawn("train", "anomaly")
@pytest.mark.parametrize(("fpr", "above"), [("0.05", 5), ("0.25", 25), ("0.001", 0)])
def test_the_threshold_is_set_on_validation_images(
    fpr: str, above: int, ones: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("anomaly", str(ones.path), f"fpr={fpr}", "device=cpu") == 0
    captured, trained = capsys.readouterr(), opened(ones)
    validation = trained.data().validation
    assert len(validation) == 103  # the ones among the last thousand training images
    errors = error_detector(trained, trained.reconstruct)(validation)
    numbers = numbers_of(ones)
    assert int((errors > numbers["threshold"] + 1e-9).sum()) == above
    assert f"which {above} of 103 validation images exceed (fpr={fpr})" in captured.out
    assert ("less than one image: the threshold is their largest" in captured.err) == (above == 0)


@pytest.mark.undrawn("train", "anomaly")
def test_the_seed_changes_only_the_forest(ones: RunDirectory, aecli: Aecli) -> None:
    found = []
    for seed in (0, 0, 1):
        assert aecli("anomaly", str(ones.path), f"seed={seed}") == 0
        found.append(numbers_of(ones))
    assert found[0] == found[1]
    assert found[0]["auroc_forest"] != found[2]["auroc_forest"]
    for name in ("auroc", "auroc_pca", "auroc_svm", "threshold"):
        assert found[0][name] == found[2][name]


def test_a_run_on_all_classes_has_no_unknown_class(
    run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("anomaly", str(run.path)) == 2
    errors = capsys.readouterr().err
    assert (
        f"no class is unknown to {run.path}: train a run on some classes, as in aecli train data"
    ) in errors
    assert errors.count("\n") == 1
    assert not [path for path in run.path.iterdir() if "anomaly" in path.name]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("fpr=0", "fpr=0.0 is not valid: give a share above 0 and below 1"),
        ("fpr=1", "fpr=1.0 is not valid: "),
        ("fpr=-0.1", "fpr=-0.1 is not valid: "),
        ("fpr=nan", "fpr=nan is not valid: "),
        ("fpr=5%", "fpr=5% is not valid: give a number"),
        ("seed=-1", "seed=-1 is not valid: give a whole number from 0 to 4294967295"),
        ("seed=4294967296", "seed=4294967296 is not valid: "),
        ("images=nowhere", "nowhere"),
    ],
)
def test_a_mistake_gives_one_line_and_writes_nothing(
    line: str, words: str, ones: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("anomaly", str(ones.path), line) in (2, 3)
    errors = capsys.readouterr().err
    assert words in errors and errors.count("\n") == 1
    assert not [path for path in ones.path.iterdir() if "anomaly" in path.name]


def test_without_scikit_learn_only_own_images_are_scored(
    ones: RunDirectory,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("sklearn", "sklearn.ensemble", "sklearn.metrics", "sklearn.svm"):
        monkeypatch.setitem(sys.modules, name, None)
    assert aecli("anomaly", str(ones.path)) == 2
    assert capsys.readouterr().err == (
        "aecli: AUROC, like isolation forests and one-class SVMs, is an extra: pip install "
        "'aecli[uses]'\n"
    )
    put(Path("photos/a.png"), 0)
    assert aecli("anomaly", str(ones.path), "images=photos") == 0
    assert numbers_of(ones)["by_folder"] == {}  # a single folder is not listed


def test_scores_of_own_images_are_sorted_with_the_most_anomalous_first(
    ones: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = opened(ones)
    one = trained.data().train.images[0, 0].numpy()
    put(Path("photos/odd/white, all.png"), 255)
    put(Path("photos/odd/grey.png"), 128)
    put(Path("photos/good/=1.png"), 0)
    Image.fromarray(one).save("photos/good/=1.png")
    assert aecli("anomaly", str(ones.path), "images=photos", "fpr=0.02") == 0
    captured, folder = capsys.readouterr(), ones.path / "anomaly"
    with open(folder / "scores.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [
        "photos/odd/white, all.png", "photos/odd/grey.png", "photos/good/=1.png"
    ]  # fmt: skip
    assert [row["anomalous"] for row in rows] == ["true", "true", "false"]
    assert rows[0]["validation_images_below"] == "1.0000"
    assert float(rows[2]["validation_images_below"]) < float(rows[1]["validation_images_below"])
    numbers = numbers_of(ones)
    for row in rows:
        assert (float(row["mse"]) > numbers["threshold"]) == (row["anomalous"] == "true")
    pixels = torch.full((1, 1, 28, 28), 1.0)
    with torch.inference_mode():
        white = image_mse(pixels, trained.reconstruct(pixels)).item()
    assert float(rows[0]["mse"]) == pytest.approx(white, rel=1e-5)
    assert (numbers["images"], numbers["anomalous"]) == (3, pytest.approx(2 / 3))
    by_folder = {name: row["anomalous"] for name, row in numbers["by_folder"].items()}
    assert by_folder == {"good": 0, "odd": 1}
    assert f"{numbers['mse']:.6f}" in captured.out and "66.7 %" in captured.out
    assert f"scores     {folder / 'scores.csv'}" in captured.out
    assert captured.err == (
        "of these 3 images, the run was trained on 1 and validated on 0, so their errors are not "
        "those of new images: photos/good/=1.png\n"
    )
    for name in ("errors", "extremes"):
        assert (folder / f"{name}.png").is_file() and (folder / f"{name}.svg").is_file()
    assert not (folder / "roc.png").exists()


def test_a_run_on_all_classes_scores_own_images_too(
    run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    put(Path("photos/a.png"), 255)
    put(Path("photos/b/c.png"), 128)
    assert aecli("anomaly", str(run.path), "images=photos") == 0
    numbers = numbers_of(run)
    assert numbers["validation_images"] == 100
    assert list(numbers["by_folder"]) == [".", "b"]
    assert " in no folder " in capsys.readouterr().out


def test_file_names_are_written_byte_for_byte() -> None:
    split = Split(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64))
    names = [Path("b"), Path('a,"\n'), Path("caf\udce9")]  # the last is not UTF-8 on the disk
    normal, errors = torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([0.3, 0.5, 0.35])
    content = scores_csv(
        OwnImages(split, "", names, []), errors, normal, Threshold.from_errors(normal, 0.25)
    )
    assert content.splitlines()[0] == b"file,mse,anomalous,validation_images_below"
    rows = list(csv.reader(content.decode("utf-8", "surrogateescape").splitlines(keepends=True)))
    assert [(row[0], row[2], row[3]) for row in rows[1:]] == [
        ('a,"\n', "true", "1.0000"), ("caf\udce9", "true", "0.7500"), ("b", "false", "0.5000")
    ]  # fmt: skip
    assert b"caf\xe9," in content


def test_extremes_are_the_largest_and_the_smallest_errors_first() -> None:
    levels = torch.tensor([51, 255, 0, 102, 204, 153, 26])
    images = levels.to(torch.uint8).reshape(-1, 1, 1, 1)
    errors = (levels / 255).square()
    scored = ScoredImages(Split(images, torch.zeros(7, dtype=torch.int64)), {"model": errors})
    original, output = extreme_rows(scored, torch.zeros_like, largest=True)
    assert (original.images.flatten() * 255).tolist() == pytest.approx([255, 204, 153, 102, 51])
    assert original.captions == ["1.0", "0.64", "0.36", "0.16", "0.040"]
    assert output.images.max() == 0
    original, _ = extreme_rows(scored, torch.zeros_like, largest=False)
    assert (original.images.flatten() * 255).tolist() == pytest.approx([0, 26, 51, 102, 153])


def test_a_histogram_counts_every_image_once() -> None:
    few, many = torch.tensor([0.0, 0.01, 0.01]), torch.rand(1000).square()
    found = Histogram.from_errors({"few": few, "many": many})
    assert all(sum(shares) == pytest.approx(1) for shares in found.shares.values())
    assert found.shares["few"][0] == pytest.approx(1 / 3)
    assert found.edges == sorted(found.edges) and found.edges[-1] >= many.max()
    steps = {
        round(upper / lower, 6) for lower, upper in zip(found.edges, found.edges[1:], strict=False)
    }
    assert len(steps) == 1
    alike = Histogram.from_errors({"alike": torch.full((5,), 0.1)})
    assert sum(alike.shares["alike"]) == pytest.approx(1)


def test_the_ready_made_sweep_trains_on_each_digit() -> None:
    jobs = compose_sweep(["sweep=one_class"]).jobs
    assert jobs is not None
    assert [job.config.data.classes for job in jobs] == [[str(digit)] for digit in range(10)]


def test_a_sweep_over_classes_ends_without_a_warning(
    aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["sweep=one_class", *TINY, "latent=3", "data.classes=[1],[7]", "hydra.sweep.dir=sweep"]
    assert aecli("train", "-m", *line) == 0
    captured = capsys.readouterr()
    assert "comparison  none: the runs use different classes" in captured.out
    assert "no comparison" not in captured.err and not Path("sweep/compare").exists()
    assert aecli("anomaly", "sweep/0-conv-z3-classes1") == 0
    assert "conv-z3-classes1, trained on synthetic (only 1)" in capsys.readouterr().out


def test_a_network_trained_on_one_digit_of_mnist_detects_the_others(
    mnist_dir: Path, aecli: Aecli
) -> None:
    line = ["data=mnist", f"data_dir={mnist_dir}", "data.classes=[0]", "model=fc", "latent=16"]
    assert aecli("train", *line, "device=cpu", "hydra.run.dir=run") == 0
    assert aecli("anomaly", "run", "device=cpu") == 0
    numbers = numbers_of(RunDirectory(Path("run")))
    assert numbers["auroc"] > 0.98 and numbers["auroc_pca"] > 0.98
    assert 0.98 < numbers["auroc_forest"] < numbers["auroc_svm"]
    assert numbers["fpr_measured"] == pytest.approx(0.05, abs=0.03)
