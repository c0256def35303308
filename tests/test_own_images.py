"""Images of a person's own, handed to the commands that use a run."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from aecli.analysis.probe import match_labels
from aecli.data.batches import to_pixels
from aecli.data.own_images import load_own_images
from aecli.errors import DataError
from aecli.evaluation import examples as evaluation
from aecli.evaluation.examples import ExampleImages
from aecli.runs.directory import RunDirectory
from aecli.runs.trained import open_run
from tests.conftest import planted

pytestmark = pytest.mark.undrawn

Aecli = Callable[..., int]
GREY = (1, 4, 6)  # channels, rows, columns


def draw(path: Path, level: int, size: tuple[int, int] = (4, 6), mode: str = "L") -> Path:
    """An image of one level; size in rows and columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full(size, level, np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def test_the_subfolders_are_the_classes(tmp_path: Path) -> None:
    for name, level in (("b/x/2", 20), ("b/10", 100), ("a/1", 1), ("loose", 5)):
        draw(tmp_path / f"{name}.png", level)
    own = load_own_images([str(tmp_path)], GREY, resize=False)
    found = {
        str(file.relative_to(tmp_path)): (int(image[0, 0, 0]), own.split.class_name(int(label)))
        for file, image, label in zip(own.files, own.split.images, own.split.labels, strict=True)
    }
    assert found == {
        "loose.png": (5, "."), "a/1.png": (1, "a"), "b/10.png": (100, "b"), "b/x/2.png": (20, "b"),
    }  # fmt: skip
    assert own.split.images.shape == (4, *GREY)
    assert own.name == f"images in {tmp_path.name}"
    assert own.notices == []


def test_files_and_folders_may_be_mixed(tmp_path: Path) -> None:
    one, other = draw(tmp_path / "one.png", 1), draw(tmp_path / "folder/other.png", 2)
    own = load_own_images([str(one), str(other.parent)], GREY, resize=False)
    assert own.files == [one, other]
    assert own.split.labels.tolist() == [0, 0]
    assert own.name == "images of your own"


def test_images_of_another_size_are_resized_only_when_asked(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", 7)
    odd = draw(tmp_path / "odd.png", 9, size=(8, 6))
    with pytest.raises(DataError, match=f"^{odd} has 8x6 pixels, but the run takes .* 4x6: resize"):
        load_own_images([str(tmp_path)], GREY, resize=False)
    own = load_own_images([str(tmp_path)], GREY, resize=True)
    assert own.split.images.flatten(1).float().mean(1).tolist() == [7, 9]
    assert own.notices == ["cropped and resized to 4x6: 1 of the images"]


def test_conversion_to_grey_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    Image.new("RGB", (6, 4), (255, 0, 0)).save(path)
    own = load_own_images([str(path)], GREY, resize=False)
    assert own.split.images.unique().tolist() == [76]  # 0.299 of 255, as ITU-R 601 has it
    assert own.notices == ["converted to greyscale, which the run takes: 1 of the images"]
    assert load_own_images([str(path)], (3, 4, 6), resize=False).notices == []


def test_broken_files_are_named_and_left_out(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", 7)
    broken = tmp_path / "b.png"
    broken.write_text("nothing")
    own = load_own_images([str(tmp_path)], GREY, resize=False)
    assert len(own.split) == len(own.files) == 1
    assert len(own.notices) == 1
    words = f"1 of the 2 image files cannot be read and are left out ({broken}: its format is not "
    assert own.notices[0].startswith(f"{words}one of PNG, ")
    with pytest.raises(
        DataError, match="^none of the 1 images can be read .*b.png: its format is not one of"
    ):
        load_own_images([str(broken)], GREY, resize=False)


def test_folders_without_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=f"^images={tmp_path} contains no images: no file at any depth"
    ):
        load_own_images([str(tmp_path)], GREY, resize=False)
    with pytest.raises(DataError, match="there is no file or folder .*nowhere"):
        load_own_images([str(tmp_path / "nowhere")], GREY, resize=False)


@pytest.fixture
def digits(finished: Path, tmp_path: Path) -> Path:
    """A folder with the first six test images of the run, those with odd numbers in a class 1."""
    test = open_run(finished, device="cpu").data().test
    folder = tmp_path / "digits"
    for number, image in enumerate(test.images[:6]):
        path = folder / str(number % 2) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(path)
    return folder


def test_a_run_uses_them_instead_of_its_test_images(finished: Path, digits: Path) -> None:
    usual = open_run(finished, device="cpu")
    trained = open_run(finished, device="cpu", images=[str(digits)])
    order = [0, 2, 4, 1, 3, 5]  # a folder after the other
    assert torch.equal(trained.images.images, usual.images.images[order])
    assert trained.images is trained.data().test
    assert torch.equal(trained.data().train.images, usual.data().train.images)
    assert trained.images_name == "6 images in digits"
    assert usual.images_name == "100 test images of synthetic"


@pytest.mark.parametrize(
    "line",
    [
        "evaluate", "reconstruct", "interpolate", "sample", "probe", "embed", "anomaly",
        "denoise noise=gaussian strengths=0.5", "export part=encoder", "compress",
        "robust eps=0.1",
    ],
)  # fmt: skip
def test_every_command_takes_them(
    line: str, run: RunDirectory, digits: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *options = line.split()
    assert aecli(command, str(run.path), f"images={digits}", *options) == 0
    # A title is broken into lines as wide as the table.
    assert "images in digits" in " ".join(capsys.readouterr().out.split())
    assert (run.path / command / "numbers.json").is_file()


def test_reconstructing_them_needs_no_data_set(
    run: RunDirectory, digits: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    text = run.config_file.read_text()
    planted(run, "config.yaml", text.replace("name: synthetic", "name: mnist"))
    line = ["data_dir=nowhere"]
    assert aecli("reconstruct", str(run.path), f"images={digits}", *line) == 0
    assert aecli("evaluate", str(run.path), f"images={digits}", *line) == 3
    assert "mnist" in capsys.readouterr().err


def test_reconstruct_saves_every_output_as_a_file(
    run: RunDirectory, digits: Path, aecli: Aecli
) -> None:
    line = ["reconstruct", str(run.path), f"images={digits}", "count=2", "device=cpu"]
    assert aecli(*line) == 0
    outputs = sorted((run.path / "reconstruct/outputs").iterdir())
    assert [path.name for path in outputs] == [
        "0000-0.png", "0001-2.png", "0002-4.png", "0003-1.png", "0004-3.png", "0005-5.png",
    ]  # fmt: skip
    trained = open_run(run.path, device="cpu", images=[str(digits)])
    with torch.inference_mode():
        expected = trained.reconstruct(to_pixels(trained.images.images))
    for path, image in zip(outputs, expected, strict=True):
        found = torch.from_numpy(np.array(Image.open(path)))
        assert torch.equal(found, (image[0] * 255).round().byte())
    numbers = json.loads((run.path / "reconstruct/numbers.json").read_text())
    # One of each class first.
    assert numbers["images"] == [str(digits / "0/0.png"), str(digits / "1/1.png")]


@pytest.mark.parametrize("corrupt", [True, False])
def test_own_images_may_go_in_as_they_are(
    corrupt: bool,
    run: RunDirectory,
    digits: Path,
    aecli: Aecli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = run.config_file.read_text()
    planted(run, "config.yaml", text.replace("name: none", "name: masking", 1))
    seen: list[ExampleImages] = []

    def reconstruction_figure(
        title: str, shown: ExampleImages, outputs: dict[str, torch.Tensor]
    ) -> Figure:
        seen.append(shown)
        return evaluation.reconstruction_figure(title, shown, outputs)

    monkeypatch.setattr("aecli.analysis.reconstruct.reconstruction_figure", reconstruction_figure)
    line = ["reconstruct", str(run.path), f"images={digits}", f"corrupt={str(corrupt).lower()}"]
    assert aecli(*line) == 0
    (shown,) = seen
    assert shown.are_corrupted is corrupt
    assert torch.equal(shown.inputs, shown.pixels) is not corrupt


def test_evaluate_scores_each_of_their_classes(
    run: RunDirectory, digits: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    (digits / "0").rename(digits / "e[b]$")  # of which tables and figures would make markup
    assert aecli("evaluate", str(run.path), f"images={digits}") == 0
    numbers = json.loads((run.path / "evaluate/numbers.json").read_text())
    assert list(numbers["by_class"]["model"]) == ["1", "e[b]$"]
    assert " e[b]$ " in capsys.readouterr().out


def test_a_probe_knows_classes_by_their_names(
    run: RunDirectory, digits: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = open_run(run.path, device="cpu")
    labels = trained.images.labels[:6].tolist()
    for number, label in enumerate(labels):
        draw_from = digits / str(number % 2) / f"{number}.png"
        place = digits.parent / "named" / str(label)
        place.mkdir(parents=True, exist_ok=True)
        draw_from.rename(place / f"{number}.png")
    line = ["probe", str(run.path), "labels=1", "draws=1"]
    assert aecli(*line, f"images={digits.parent / 'named'}") == 0
    own = open_run(run.path, device="cpu", images=[str(digits.parent / "named")])
    found = match_labels(own.images, own.data().train)
    order = [int(file.stem) for file in own.own.files] if own.own else []
    assert found.labels.tolist() == [labels[number] for number in order]
    assert torch.equal(found.images, trained.images.images[order])
    (digits.parent / "named" / str(labels[0])).rename(digits.parent / "named/zebra")
    assert aecli(*line, f"images={digits.parent / 'named'}") == 3
    errors = capsys.readouterr().err
    assert "in a folder zebra, which is not a class that the run knows" in errors


def test_mistakes_have_the_status_of_data(
    run: RunDirectory, tmp_path: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = draw(tmp_path / "odd.png", 3, size=(20, 28))
    for images, words in (
        (tmp_path / "nowhere", "there is no file or folder"),
        (odd, "has 20x28 pixels, but the run takes images of 28x28: resize=true"),
    ):
        assert aecli("evaluate", str(run.path), f"images={images}") == 3
        errors = capsys.readouterr().err
        assert words in errors and errors.count("\n") == 1
    assert not (run.path / "evaluate").exists()
    assert aecli("interpolate", str(run.path), f"images={odd}", "resize=true") == 2
    assert "nothing to go between: give 2 images or more" in capsys.readouterr().err
