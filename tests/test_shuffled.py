"""`aecli anomaly shuffle=true`: detection where pixels are not correlated."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from aecli.analysis.shuffled import (
    BRIGHTNESS,
    ORDERED,
    REFITTED,
    SHUFFLED,
    ShuffledReport,
    brightness_detector,
    train_again,
)
from aecli.data import Split
from aecli.data.shuffled import shuffle_split
from aecli.evaluation.detection import AurocInterval, auroc_difference, auroc_interval
from aecli.runs.directory import RunDirectory
from aecli.runs.trained import open_run
from tests.conftest import train_once

Aecli = Callable[..., int]


def some_split(count: int, channels: int = 1) -> Split:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, channels, 6, 5), generator=generator).to(torch.uint8)
    return Split(images, torch.zeros(count, dtype=torch.int64)).with_digests()


def test_each_image_is_shuffled_differently(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    split = some_split(20, channels=3)
    same = Split(split.images[:1].expand(20, -1, -1, -1), split.labels)
    shuffled, again, other = (shuffle_split(same, seed).images for seed in (0, 0, 1))
    assert torch.equal(shuffled, again) and not torch.equal(shuffled, other)
    assert len(shuffled.flatten(1).unique(dim=0)) == 20
    for image in shuffled:  # the channels of a pixel stay together
        pixels = {tuple(pixel) for pixel in image.flatten(1).T.tolist()}
        assert pixels == {tuple(pixel) for pixel in same.images[0].flatten(1).T.tolist()}
    assert shuffle_split(split, 0).fingerprint != split.fingerprint
    monkeypatch.setattr("aecli.data.shuffled.BATCH_NUMBERS", 3 * 30)  # three images at a time
    in_parts = shuffle_split(same, 0).images
    assert torch.equal(in_parts, shuffled)


def test_shuffling_keeps_the_brightness() -> None:
    train, test = some_split(30), some_split(10)
    score = brightness_detector(train)
    assert torch.allclose(score(test), score(shuffle_split(test, 0)), atol=1e-6)
    expected = (test.images[0].double().mean() - train.images.double().mean()).abs() / 255
    assert score(test)[0].item() == pytest.approx(expected.item(), abs=1e-6)


def scores(count: int, mean: float, seed: int) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed)) + mean


def test_the_auroc_is_that_of_scikit_learn_and_its_interval_that_of_the_bootstrap() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    normal, anomalous = scores(300, 0, 1), scores(200, 1, 2)
    normal[:20] = anomalous[:20]  # ties
    labels = torch.cat([torch.zeros(300), torch.ones(200)])
    found = auroc_interval(normal, anomalous)
    expected = metrics.roc_auc_score(labels.numpy(), torch.cat([normal, anomalous]).numpy())
    assert found.value == pytest.approx(expected)
    generator, resampled = torch.Generator().manual_seed(0), []
    for _ in range(2000):
        a = normal[torch.randint(300, (300,), generator=generator)]
        b = anomalous[torch.randint(200, (200,), generator=generator)]
        resampled.append(auroc_interval(a, b).value)
    low, high = torch.tensor(resampled).quantile(torch.tensor([0.025, 0.975])).tolist()
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.004)


def test_the_difference_of_two_detectors_is_paired_by_image() -> None:
    normal, anomalous = scores(300, 0, 1), scores(200, 1, 2)
    same = auroc_difference((normal, anomalous), (2 * normal, 2 * anomalous))
    assert same == AurocInterval(0, 0, 0)
    flipped = auroc_difference((-normal, -anomalous), (normal, anomalous))
    assert flipped.value == pytest.approx(1 - 2 * auroc_interval(normal, anomalous).value)
    assert flipped.high < 0
    assert auroc_interval(normal[:1], anomalous)[1:] == (0, 1)  # of one image nothing is known


def test_scores_that_do_not_overlap_have_an_interval_with_a_width() -> None:
    two, three = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0, 5.0])
    # Two pairs without a common image: of an AUROC of sqrt(0.025) both are in order by 2.5 %.
    bound = math.sqrt(0.025)
    assert auroc_interval(two, three) == pytest.approx((1, bound, 1))
    assert auroc_interval(three, two) == pytest.approx((0, 0, 1 - bound))
    # Of a thousand: exp(log(0.025) / 1000), and log(0.025) is -3.68888.
    many = torch.arange(1000.0)
    found = auroc_interval(many, many + 1000)
    assert found == pytest.approx((1, math.exp(-0.00368888), 1), abs=1e-8)
    assert auroc_interval(torch.ones(5), torch.ones(5)).value == 0.5


@pytest.fixture(scope="module")
def of_ones(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ones") / "run"
    small = ["data.val_size=1000", "data.test_size=200", "data.classes=[1]"]
    model = ["model=fc", "latent=3", "epochs=20", "batch_size=32", "lr=0.005"]
    return train_once(folder, data_dir, *small, *model)


def test_without_correlations_only_grey_levels_help_detection(
    of_ones: Path, aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(of_ones.rglob("*"))
    assert aecli("anomaly", str(of_ones), "shuffle=true", "output=found", "device=cpu") == 0
    assert sorted(of_ones.rglob("*")) == before  # the second network is not saved
    numbers = json.loads(Path("found/numbers.json").read_text())
    shuffled = numbers["shuffled"]
    assert [*shuffled["auroc"]] == [ORDERED, SHUFFLED, REFITTED]
    plain = numbers["all"]["detections"]["model"]["auroc"]
    assert shuffled["auroc"][ORDERED]["model"]["value"] == pytest.approx(plain)
    brightness = shuffled["auroc"][ORDERED][BRIGHTNESS]
    assert shuffled["auroc"][SHUFFLED][BRIGHTNESS] == pytest.approx(brightness, abs=1e-3)
    for setting in (SHUFFLED, REFITTED):
        change = shuffled["difference"][setting]["model"]["value"]
        after = shuffled["auroc"][setting]["model"]["value"]
        assert change == pytest.approx(after - plain)
    output = " ".join(capsys.readouterr().out.split())
    assert all(" ".join(each.split()) in output for each in shuffled["findings"])
    for figure in ("shuffled", "shuffled_images"):
        assert Path(f"found/{figure}.png").stat().st_size > 1000


def test_the_second_network_is_trained_as_the_run_was(of_ones: Path) -> None:
    trained = open_run(of_ones, device="cpu")
    ends: list[None] = []
    again = train_again(trained, trained.data(), lambda: ends.append(None))
    assert len(ends) == trained.config.epochs
    for name, weights in trained.model.state_dict().items():
        assert torch.equal(again.state_dict()[name], weights)


def test_a_sentence_says_what_the_interval_supports() -> None:
    def at(value: float, half: float) -> dict[str, AurocInterval]:
        interval = AurocInterval(value, value - half, value + half)
        return {"model": interval, BRIGHTNESS: interval}

    auroc = {ORDERED: at(0.9, 0.01), SHUFFLED: at(0.5, 0.1), REFITTED: at(0.89, 0.1)}
    changes = {SHUFFLED: at(-0.4, 0.1), REFITTED: at(-0.01, 0.1)}
    report = ShuffledReport(auroc, changes, retrained=None)  # type: ignore[arg-type]
    first, second, third = report.findings()
    assert first.startswith("On shuffled pixels, the AUROC of the autoencoder falls: 0.900 to 0.5")
    assert "falls: 0.900 to 0.500 (difference -0.400" in first
    assert second.startswith("Trained on shuffled pixels too, the AUROC")
    assert "does not change significantly: 0.900 to 0.890" in second
    assert "mean brightness alone has an AUROC of 0.900" in third


def test_own_images_are_not_shuffled(
    run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("anomaly", str(run.path), "shuffle=true", "images=photos") == 2
    assert "shuffle=true is for the run's test images" in capsys.readouterr().err
