"""`aecli data`: what it finds out about a data set, how it is asked, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aecli.analysis.data_sheet import (
    GRID,
    MAX_CLASSES,
    class_counts,
    count_levels,
    pixel_statistics,
    sheet_figure,
)
from aecli.data import Data, Split

Aecli = Callable[..., int]

PLAIN = ["synthetic", "data.train_size=256", "data.val_size=100", "data.test_size=100"]


def split_of(levels: list[int], labels: list[int], classes: tuple[str, ...] = ()) -> Split:
    """Images of 2 x 3 pixels of one grey each."""
    images = torch.tensor(levels, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 3)
    return Split(images, torch.tensor(labels, dtype=torch.int64), classes)


def data_of(train: Split, validation: Split, test: Split) -> Data:
    return Data("some", "folder", "folder", "here", None, train, validation, test)


def texts(data: Data) -> list[str]:
    (axes,) = sheet_figure(data).axes
    return [label.get_text() for label in axes.get_yticklabels()]


def numbers(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "numbers.json").read_text())
    return found


def test_mean_and_deviation_are_those_of_the_pixels() -> None:
    torch.manual_seed(0)
    images = torch.randint(256, (7, 3, 4, 5), dtype=torch.uint8)
    train = Split(images, torch.zeros(7, dtype=torch.int64))
    data = data_of(train, train[:2], train[:0])
    found = pixel_statistics(data)
    assert list(found) == ["train", "validation", "train + validation"]  # test has no images
    pixels = images.double() / 255
    assert found["train"].mean == pytest.approx(float(pixels.mean()))
    assert found["train"].std == pytest.approx(float(pixels.std(correction=0)))
    both = torch.cat([pixels, pixels[:2]])
    assert (found["train + validation"].images, found["train"].images) == (9, 7)
    assert found["train + validation"].mean == pytest.approx(float(both.mean()))
    for channel, (mean, std) in enumerate(found["train"].by_channel):
        assert mean == pytest.approx(float(pixels[:, channel].mean()))
        assert std == pytest.approx(float(pixels[:, channel].std(correction=0)))


def test_levels_are_counted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    split = split_of([3, 255, 3, 0, 7], [0] * 5)
    whole = count_levels(split)
    monkeypatch.setattr("aecli.analysis.data_sheet.BATCH", 7)  # one image at a time
    assert torch.equal(count_levels(split), whole)
    assert {level: int(n) for level, n in enumerate(whole[0]) if n} == {0: 6, 3: 12, 7: 6, 255: 6}


def test_images_are_counted_by_class_and_split() -> None:
    classes = ("a", "b", "c", "d")
    data = data_of(
        split_of([1, 2, 3], [0, 2, 2], classes),
        split_of([4], [2], classes),
        split_of([5, 6], [0, 3], classes),  # class d is in no other split, and b in none
    )
    assert class_counts(data) == {
        "a": {"train": 1, "validation": 0, "test": 1},
        "c": {"train": 2, "validation": 1, "test": 0},
        "d": {"train": 0, "validation": 0, "test": 1},
    }
    assert texts(data) == ["a\n1 image", "c\n2 images"]


@pytest.mark.parametrize("classes", [(), (".",)])
def test_images_without_classes_are_shown_in_a_grid(classes: tuple[str, ...]) -> None:
    split = split_of([5] * 200, [0] * 200, classes)
    data = data_of(split, split[:3], split[:4])
    assert class_counts(data) == {}
    rows, _ = GRID
    assert texts(data) == [""] * rows


def test_only_the_first_of_very_many_classes_are_shown() -> None:
    split = split_of([9] * 60, list(range(30)) * 2)
    figure = sheet_figure(data_of(split, split[:3], split[:4]))
    assert len(figure.axes[0].get_yticklabels()) == MAX_CLASSES
    assert figure.get_suptitle().replace("\n", " ") == (
        "some: the first training images of 20 of 30 classes"
    )


def test_the_published_numbers_of_mnist_come_out(
    mnist_dir: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("data", "mnist", f"data_dir={mnist_dir}") == 0
    output = capsys.readouterr().out
    assert "mean 0.1307, standard deviation 0.3081 (train + validation, in [0, 1])" in output
    assert "1x28x28" in output and str(mnist_dir / "MNIST/raw") in output
    folder = Path("outputs/data/mnist")
    assert {path.name for path in folder.glob("images.*")} == {"images.png", "images.svg"}
    found = json.loads((folder / "numbers.json").read_text())
    sizes = {name: each["images"] for name, each in found["splits"].items()}
    assert sizes == {
        "train": 55_000, "validation": 5_000, "train + validation": 60_000, "test": 10_000
    }  # fmt: skip
    assert (found["mean"], found["std"]) == pytest.approx((0.1307, 0.3081), abs=5e-5)
    assert found["classes"]["1"] == {"train": 6212, "validation": 530, "test": 1135}


def test_pca_errors_are_the_published_ones(mnist_dir: Path, aecli: Aecli) -> None:
    line = ["mnist", "data.val_size=0", "keep=last", f"data_dir={mnist_dir}", "output=sheet"]
    assert aecli("data", *line, "pca=32,2,30") == 0
    found = numbers(Path("sheet"))["pca"]
    assert isinstance(found, dict) and list(found) == ["2", "30", "32"]
    # Kaustic-user/PCA-PPCA-VAE-MNIST, and Hinton and Salakhutdinov, 2006, figure 2
    assert (found["2"]["mse"], found["32"]["mse"]) == pytest.approx((0.055669, 0.016828), rel=1e-4)
    assert found["30"]["sse"] == pytest.approx(13.87, rel=1e-3)
    assert found["30"]["sse_clipped"] < found["30"]["sse"]


def test_pca_has_at_most_as_many_numbers_as_images_and_clipping_helps_it(aecli: Aecli) -> None:
    assert aecli("data", *PLAIN, "output=sheet", "pca=1,784") != 0  # of 256 images
    assert aecli("data", *PLAIN, "output=sheet", "pca=1,256") == 0
    found = numbers(Path("sheet"))["pca"]
    assert isinstance(found, dict)
    for each in found.values():
        assert each["sse"] == pytest.approx(784 * each["mse"])
        assert each["mse_clipped"] <= each["mse"]


def test_the_keys_of_train_choose_the_images(
    aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("data", *PLAIN, "data.classes=[3,5]", "output=sheet", "data.train_size=20") == 0
    assert capsys.readouterr().out.endswith("results  sheet\n")
    found = numbers(Path("sheet"))
    classes = found["classes"]
    assert isinstance(classes, dict) and list(classes) == ["3", "5"]
    assert sum(each["train"] for each in classes.values()) == 20
    assert found["data"] == "synthetic (only 3, 5)"


def test_a_folder_of_images_needs_no_run(
    tmp_path: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3), dtype=np.uint8)
    for number, image in enumerate(pixels):
        folder = tmp_path / "photos" / ("cats" if number % 2 else "dogs")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number}.png")
    (tmp_path / "photos/cats/broken.png").write_bytes(b"no picture")
    assert aecli("data", "folder", "path=photos") == 0
    printed = capsys.readouterr()
    assert "1 of the 25 image files cannot be read" in " ".join(printed.err.split())
    assert "3x16x16" in printed.out and "by channel  mean 0." in printed.out
    found = numbers(Path("outputs/data/photos"))
    assert found["image_shape"] == [3, 16, 16]
    assert isinstance(found["classes"], dict) and list(found["classes"]) == ["cats", "dogs"]


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("mnits", 2, "data=mnits: did you mean mnist? (valid: auto, cifar10"),
        ("photos", 2, "photos is a folder, and none of the data sets by name: give aecli data "),
        ("mnist cifar10", 2, "data shows one data set, not 2: mnist, cifar10"),
        ("mnist data=kmnist", 2, "data shows one data set, not 2: mnist, kmnist"),
        ("synthetic output=", 2, "output= has no value: give a folder, or leave output= out"),
        ("synthetic pca=two", 2, "pca=two is not valid: give numbers of components from 1 to 784"),
        ("synthetic pca=0,2", 2, "pca=0,2 is not valid: give numbers of components from 1 to 784"),
        ("synthetic latnt=3", 2, "there is no key 'latnt': did you mean latent?"),
        ("synthetic image_size=12", 2, "image_size=12 is for images of your own: add data=folder"),
        ("synthetic data.classes=[x]", 2, "data.classes=[x] is not valid: there is no class 'x'"),
        ("folder", 2, "data=folder needs path=...: the folder with the images"),
        ("folder path=nowhere", 3, "path=nowhere is not a folder: give the folder with the images"),
        ("synthetic -m", 2, "'-m' is not of the form key=value"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing(
    line: str,
    status: int,
    words: str,
    tmp_path: Path,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "photos").mkdir()
    assert aecli("data", *line.split()) == status
    printed = capsys.readouterr()
    assert printed.err.startswith(f"aecli: {words}") and printed.err.count("\n") == 1
    assert not printed.out and not Path("outputs").exists()
