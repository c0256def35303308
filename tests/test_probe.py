"""`aecli probe`: accuracy by features and by number of labels."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
import torch
from torch import Tensor

from aecli.analysis.probe import (
    Probe,
    ProbeScores,
    check_same_data,
    claims,
    default_labels,
    draw_balanced,
    feature_functions,
    feature_names,
    measure,
    probe,
    read_labels,
)
from aecli.data import Data, Split
from aecli.errors import UsageError
from aecli.figures import Accuracy
from aecli.latent.linear_probe import flat_pixels
from aecli.runs.directory import RunDirectory
from aecli.runs.trained import Trained, open_run
from tests.conftest import planted, train_once

Aecli = Callable[..., int]


def split_of(*labels: int) -> Split:
    """An image for each label; the number of a pixel that is lit says which label it is."""
    images = torch.zeros(len(labels), 1, 2, 3, dtype=torch.uint8)
    images.flatten(1)[torch.arange(len(labels)), torch.tensor(labels)] = 255
    return Split(images, torch.tensor(labels))


def data_of(train: Split, test: Split) -> Data:
    return Data("dots", "dots", "dots", "here", None, train, train[:1], test)


DOTS = data_of(split_of(*[0, 1, 2, 3] * 10), split_of(0, 1, 1, 2, 3, 3, 3, 0))


def test_informative_features_need_one_label_per_class() -> None:
    chosen = [[draw_balanced(DOTS.train, 1, seed) for seed in range(3)]]
    few, every = measure(flat_pixels, DOTS, chosen).accuracies
    assert few == Accuracy(4, 1.0, 0.0)
    assert every[:3] == (40, 1.0, None)


def test_uninformative_features_give_chance_accuracy() -> None:
    def left_half(images: Tensor) -> Tensor:  # pixels 0 and 1: 2 and 3 look alike
        return flat_pixels(images)[:, :2]

    balanced = data_of(split_of(*[0, 1, 2, 3, 3] * 8), DOTS.test)
    (found,) = measure(left_half, balanced, []).accuracies
    assert found.mean == 7 / 8  # the one 2 is taken for a 3, which are more


def test_a_linear_latent_space_that_loses_nothing_is_as_good_as_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.linalg.qr(torch.randn(6, 6, generator=generator)).Q  # an isometry, as PCA's is
    images = torch.randint(0, 256, (600, 1, 2, 3), dtype=torch.uint8, generator=generator)
    labels = (images[:, 0, 0, 0] > images[:, 0, 1, 2]).long()
    split = Split(images, labels)
    data = data_of(split[:500], split[500:])
    chosen = [[draw_balanced(data.train, 50, 0), draw_balanced(data.train, 50, 1)]]
    plain = measure(flat_pixels, data, chosen).accuracies
    linear = measure(lambda images: flat_pixels(images) @ mixing, data, chosen).accuracies
    for one, other in zip(plain, linear, strict=True):
        assert one.labels == other.labels
        assert one.mean == pytest.approx(other.mean, abs=0.04)
    assert plain[1].mean > 0.95


def test_accuracies_of_several_draws_have_a_mean_and_a_standard_deviation() -> None:
    # Trained on one class, the classifier predicts no other: its accuracy is the class's share.
    chosen = [[torch.tensor([0, 4]), torch.tensor([1, 5]), torch.tensor([3, 7])]]
    few, _ = measure(flat_pixels, DOTS, chosen).accuracies
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
def test_invalid_labels_are_refused(text: str) -> None:
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


def test_the_command_saves_a_figure_and_prints_its_numbers(
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


def measured(accuracies: list[list[float]], right: str) -> ProbeScores:
    """Accuracies of each draw, and which test images are right with all labels."""
    few = [Accuracy(9, fmean(draws), None) for draws in accuracies]
    correct = torch.tensor([each == "+" for each in right])
    with_all = Accuracy(99, right.count("+") / len(right), None)
    return ProbeScores([*few, with_all], accuracies, correct)


def test_a_claim_is_made_only_where_the_spread_supports_it() -> None:
    first = measured([[0.5, 0.6, 0.7], [0.8, 0.82, 0.84]], "++++++++-" * 3)
    worse = measured([[0.4, 0.5, 0.61], [0.79, 0.85, 0.83]], "--------+" * 3)
    similar = measured([[0.5, 0.6, 0.7], [0.9, 0.92, 0.94]], "+++++++-+" * 3)
    result = Probe({"codes": first, "codes_2": worse, "codes_3": similar, "pca": first}, [1, 10])
    found = [sentence.partition(": ")[0] for sentence in claims(result, 3)]
    assert found == [
        "With 1 label per class, model 1 classifies better than model 2",
        "With 10 labels per class, it cannot be told whether model 1 or model 2 classifies better",
        "With all 99 labels, model 1 classifies better than model 2",
        "With 1 label per class, it cannot be told whether model 1 or model 3 classifies better",
        "With 10 labels per class, model 1 classifies worse than model 3",
        "With all 99 labels, it cannot be told whether model 1 or model 3 classifies better",
    ]
    few, _, every, *_ = claims(result, 3)
    # The differences 0.1, 0.1 and 0.09 have the mean 0.0967; t is 4.3027, the deviation 0.00577.
    assert few.endswith(
        ": 0.6000 against 0.5033; the difference is +0.0967, between +0.0823 and +0.1110 with "
        "95 % confidence over 3 draws."
    )
    assert every.endswith(
        ": 0.8889 against 0.1111; of the 27 test images, 24 are right with model 1 alone and 3 "
        "with model 2 alone (McNemar's exact test, p < 0.0001)."
    )
    assert claims(result, 1) == []


def test_a_single_draw_allows_no_claim() -> None:
    one, other = measured([[0.9]], "++"), measured([[0.1]], "--")
    few, _ = claims(Probe({"codes": one, "codes_2": other}, [10]), 2)
    assert "it cannot be told whether" in few and few.endswith("; there is a single draw.")


def test_features_of_several_models_have_numbers_and_pca_one_for_each_size() -> None:
    assert list(feature_names(25)) == ["codes", "pca", "pixels"]
    assert feature_names(25, 8, 25) == {
        "codes": "model 1", "codes_2": "model 2", "codes_3": "model 3",
        "pca": "PCA codes, 25", "pca_8": "PCA codes, 8", "pixels": "pixels",
    }  # fmt: skip


def test_several_runs_are_compared_on_the_same_labels_and_images(
    run: RunDirectory,
    tmp_path: Path,
    data_dir: Path,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = train_once(tmp_path / "other", data_dir, "latent=5", "corruption=gaussian")
    assert aecli("probe", str(run.path), "labels=2,5", "draws=3") == 0
    alone = json.loads((run.path / "probe/numbers.json").read_text())
    assert aecli("probe", str(other), "labels=2,5", "draws=3") == 0
    second = json.loads((other / "probe/numbers.json").read_text())
    capsys.readouterr()
    assert aecli("probe", str(run.path), str(other), "labels=2,5", "draws=3") == 0
    printed, both = capsys.readouterr(), json.loads((run.path / "probe/numbers.json").read_text())
    for kind, numbers, name in (
        ("codes", alone, "codes"), ("codes_2", second, "codes"), ("pca", alone, "pca"),
        ("pca_5", second, "pca"), ("pixels", alone, "pixels"),
    ):  # fmt: skip
        assert both["by_labels"][kind] == numbers["by_labels"][name]
        assert both[f"accuracy_{kind}"] == numbers[f"accuracy_{name}"]
    assert [each["run"] for each in both["models"]] == [str(run.path), str(other)]
    assert [each["latent"] for each in both["models"]] == [3, 5]
    assert len(both["findings"]) == 3 and both["findings"][0].startswith("With 2 labels per class")
    text = " ".join(printed.out.split())
    assert all(sentence in text for sentence in both["findings"])
    assert "2: conv-z5-synthetic-gaussian, gaussian 0.1" in text
    assert "the codes have 3 and 5 numbers, and larger ones tend to classify better" in printed.err


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["data.train_size=200"], "the first has 256 training and 100 test images of synthetic "
         "(1x28x28) and the second 200 training and 100 test images of synthetic (1x28x28): give"),
        (["data.classes=[3,5]"], "and the second 200 training and 100 test images of synthetic "
         "(only 3, 5) (1x28x28): give runs on the same images and classes"),
    ],
)  # fmt: skip
def test_runs_on_other_images_or_labels_are_refused(
    settings: list[str],
    words: str,
    run: RunDirectory,
    tmp_path: Path,
    data_dir: Path,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "data.classes=[3,5]" in settings:
        settings = [*settings, "data.train_size=200"]
    other = train_once(tmp_path / "other", data_dir, "latent=3", *settings)
    capsys.readouterr()
    assert aecli("probe", str(run.path), str(other)) == 2
    errors = capsys.readouterr().err
    assert f"{run.path} and {other} cannot be probed together, because " in errors
    assert words in errors and errors.count("\n") == 1
    assert not (run.path / "probe").exists()


def test_images_that_differ_in_content_or_labels_alone_are_refused(
    run: RunDirectory, tmp_path: Path
) -> None:
    other = RunDirectory(Path(shutil.copytree(run.path, tmp_path / "other")))
    models = [open_run(each.path, device="cpu") for each in (run, other)]
    check_same_data(models)
    summary = other.load_summary()
    for splits, words in (
        (["validation"], None),  # of which a probe takes no notice
        (["test"], "their test images, or the labels of these, differ: give runs"),
        (["train", "test"], "their training and test images, or the labels of these, differ: "),
    ):
        changed = summary["data"]["fingerprints"] | dict.fromkeys(splits, "another")
        content = {**summary, "data": {**summary["data"], "fingerprints": changed}}
        planted(other, "summary.json", json.dumps(content))
        if words is None:
            check_same_data(models)
            continue
        with pytest.raises(UsageError, match=f"cannot be probed together, because {words}"):
            check_same_data(models)


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


@pytest.mark.soak
def test_on_mnist_accuracies_are_those_that_logistic_regression_is_known_for(
    mnist_dir: Path,
) -> None:
    from aecli.baselines.pca import fit_pca
    from aecli.config import DataConfig
    from aecli.data import load_data

    data = load_data(DataConfig(name="mnist"), mnist_dir, torch.device("cpu"))
    (pixels,) = measure(flat_pixels, data, []).accuracies
    assert pixels.mean == pytest.approx(0.926, abs=0.003)
    (pca,) = measure(
        lambda images: fit_pca(data.train.images).codes(images, 25), data, []
    ).accuracies
    assert pca.mean == pytest.approx(0.889, abs=0.003)
