"""`aecli probe`: accuracy by features and by number of labels."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from aecli.analysis.probe import (
    default_labels,
    draw_balanced,
    feature_functions,
    measure_accuracy,
    probe,
    read_labels,
)
from aecli.data import Data, Split
from aecli.errors import UsageError
from aecli.figures import Accuracy
from aecli.latent.linear_probe import flat_pixels
from aecli.runs.directory import RunDirectory
from aecli.runs.trained import Trained, open_run

Aecli = Callable[..., int]


def split_of(*labels: int) -> Split:
    """An image for each label; the number of a pixel that is lit says which label it is."""
    images = torch.zeros(len(labels), 1, 2, 3, dtype=torch.uint8)
    images.flatten(1)[torch.arange(len(labels)), torch.tensor(labels)] = 255
    return Split(images, torch.tensor(labels))


def data_of(train: Split, test: Split) -> Data:
    return Data("dots", "dots", "dots", "here", None, train, train[:1], test)


DOTS = data_of(split_of(*[0, 1, 2, 3] * 10), split_of(0, 1, 1, 2, 3, 3, 3, 0))


def test_what_the_features_say_is_said_by_one_label_of_each_class() -> None:
    chosen = [[draw_balanced(DOTS.train, 1, seed) for seed in range(3)]]
    assert measure_accuracy(flat_pixels, DOTS, chosen) == [
        Accuracy(4, 1.0, 0.0),
        Accuracy(40, 1.0, None),
    ]


def test_what_the_features_do_not_say_is_guessed() -> None:
    def left_half(images: Tensor) -> Tensor:  # pixels 0 and 1: 2 and 3 look alike
        return flat_pixels(images)[:, :2]

    balanced = data_of(split_of(*[0, 1, 2, 3, 3] * 8), DOTS.test)
    (found,) = measure_accuracy(left_half, balanced, [])
    assert found.mean == 7 / 8  # the one 2 is taken for a 3, which are more


def test_a_linear_latent_space_that_loses_nothing_is_as_good_as_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.linalg.qr(torch.randn(6, 6, generator=generator)).Q  # an isometry, as PCA's is
    images = torch.randint(0, 256, (600, 1, 2, 3), dtype=torch.uint8, generator=generator)
    labels = (images[:, 0, 0, 0] > images[:, 0, 1, 2]).long()
    split = Split(images, labels)
    data = data_of(split[:500], split[500:])
    chosen = [[draw_balanced(data.train, 50, 0), draw_balanced(data.train, 50, 1)]]
    plain = measure_accuracy(flat_pixels, data, chosen)
    linear = measure_accuracy(lambda images: flat_pixels(images) @ mixing, data, chosen)
    for one, other in zip(plain, linear, strict=True):
        assert one.labels == other.labels
        assert one.mean == pytest.approx(other.mean, abs=0.04)
    assert plain[1].mean > 0.95


def test_accuracies_of_several_draws_have_a_mean_and_a_standard_deviation() -> None:
    # Trained on one class, the classifier predicts no other: its accuracy is the class's share.
    chosen = [[torch.tensor([0, 4]), torch.tensor([1, 5]), torch.tensor([3, 7])]]
    few, _ = measure_accuracy(flat_pixels, DOTS, chosen)
    assert few.labels == 2
    assert few.mean == pytest.approx((2 / 8 + 2 / 8 + 3 / 8) / 3)
    assert few.std == pytest.approx(1 / 8 / 3**0.5)  # of 2, 2 and 3 eighths, with 3 - 1 below


def test_every_draw_is_another_one(run: RunDirectory, aecli: Aecli) -> None:
    assert aecli("probe", str(run.path), "labels=1", "draws=4") == 0
    numbers = json.loads((run.path / "probe/numbers.json").read_text())
    assert numbers["by_labels"]["pixels"][0]["std"] > 0.005


def test_drawn_images_are_different_and_as_many_of_each_class() -> None:
    labels = torch.tensor([5] * 30 + [2] * 20 + [0] * 10)
    split = Split(torch.zeros(60, 1, 2, 2, dtype=torch.uint8), labels)
    chosen = draw_balanced(split, 7, seed=0)
    assert len(chosen.unique()) == 21
    assert labels[chosen].bincount().tolist() == [7, 0, 7, 0, 0, 7]
    assert torch.equal(chosen, draw_balanced(split, 7, seed=0))
    assert not torch.equal(chosen, draw_balanced(split, 7, seed=1))


def test_default_labels_are_fewer_than_the_smallest_class_has() -> None:
    assert default_labels(split_of(*[0] * 500, *[1] * 101)) == [10, 100]
    assert default_labels(split_of(*[0] * 500, *[1] * 100)) == [10]  # 100 would be all of them
    assert default_labels(split_of(0, 1)) == []


def test_labels_are_read_as_they_are_typed() -> None:
    assert read_labels("3, 1,3", split_of(0, 0, 0, 1, 1, 1)) == [1, 3]


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "a", "1;2", "1,", "4"])
def test_labels_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=f"^labels={text} is not valid: "):
        read_labels(text, split_of(0, 0, 0, 1, 1, 1, 1))


def test_the_codes_are_compared_with_as_many_principal_components(finished: Path) -> None:
    trained = open_run(finished, device="cpu")
    data = trained.data()
    found = {
        name: features(data.test.images)
        for name, features in feature_functions(trained, data).items()
    }
    shapes = {name: list(rows.shape) for name, rows in found.items()}
    assert shapes == {"codes": [100, 3], "pca": [100, 3], "pixels": [100, 28 * 28]}
    assert torch.equal(found["codes"], trained.codes(data.test.images))


def test_the_command_leaves_a_figure_and_prints_its_numbers(
    run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("probe", str(run.path), "labels=2,5", "draws=3") == 0
    folder, output = run.path / "probe", capsys.readouterr().out
    numbers = json.loads((folder / "numbers.json").read_text())
    assert (numbers["labels_per_class"], numbers["draws"]) == ([2, 5], 3)
    for kind in ("codes", "pca", "pixels"):
        points = numbers["by_labels"][kind]
        assert [point["labels"] for point in points] == [20, 50, 256]
        assert points[2]["std"] is None and points[2]["mean"] == numbers[f"accuracy_{kind}"]
        for point in points[:2]:
            assert f"{point['mean']:.4f} ± {point['std']:.4f}" in output
        assert f"{points[2]['mean']:.4f}" in output
    assert numbers["accuracy_pixels"] > 0.6 and numbers["accuracy_codes"] > 0.2  # chance: 0.1
    assert {path.name for path in folder.glob("accuracy.*")} == {"accuracy.png", "accuracy.svg"}
    assert output.endswith(f"results  {folder}\n")


def test_the_same_line_gives_the_same_numbers(run: RunDirectory, aecli: Aecli) -> None:
    found = []
    for seed in (0, 0, 1):
        assert aecli("probe", str(run.path), "draws=1", f"seed={seed}") == 0
        numbers = json.loads((run.path / "probe/numbers.json").read_text())
        found.append(numbers["by_labels"])
        assert numbers["by_labels"]["codes"][0]["std"] is None  # of a single draw
    assert found[0] == found[1] != found[2]
    assert found[0]["pixels"][-1] == found[2]["pixels"][-1]  # with all labels nothing is drawn


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("draws=0", "draws=0 is not valid: give 1 or more"),
        ("draws=some", "draws=some is not valid: give a whole number"),
        ("labels=10,1000", "labels=10,1000 is not valid: the smallest class has"),
        ("labels=few", "labels=few is not valid: give images of each class, as in 10,100"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing(
    line: str, words: str, run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("probe", str(run.path), line) == 2
    errors = capsys.readouterr().err
    assert words in errors and errors.count("\n") == 1
    assert not [path for path in run.path.iterdir() if "probe" in path.name]


def without_classes(trained: Trained) -> Data:
    data = trained.data()
    return replace(data, train=Split(data.train.images, torch.zeros_like(data.train.labels)))


def test_images_of_one_class_are_refused(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = open_run(run.path, device="cpu")
    data = without_classes(trained)
    monkeypatch.setattr(Trained, "data", lambda _: data)
    with pytest.raises(UsageError, match="^the images of synthetic are all of one class, and"):
        probe(trained, None, 5, 0)


def test_on_mnist_accuracies_are_those_that_logistic_regression_is_known_for(
    mnist_dir: Path,
) -> None:
    from aecli.baselines.pca import fit_pca
    from aecli.config import DataConfig
    from aecli.data import load_data

    data = load_data(DataConfig(name="mnist"), mnist_dir, torch.device("cpu"))
    (pixels,) = measure_accuracy(flat_pixels, data, [])
    assert pixels.mean == pytest.approx(0.926, abs=0.003)
    (pca,) = measure_accuracy(lambda images: fit_pca(data.train.images).codes(images, 25), data, [])
    assert pca.mean == pytest.approx(0.889, abs=0.003)
