"""`aecli interpolate`: paths between images, and how close they stay to real ones."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch import Tensor

from aecli.analysis.interpolate import (
    GIF_SCALE,
    NO_BREAK,
    Paths,
    distance_to_real,
    draw_pairs,
    figure,
    interpolate,
    map_figure,
    map_paths,
    pair_names,
    read_class_pairs,
    read_pairs,
    to_gif,
)
from aecli.data import Split
from aecli.data.batches import to_pixels
from aecli.errors import UsageError
from aecli.latent.neighbours import nearest
from aecli.runs.directory import RunDirectory
from aecli.runs.trained import open_run

Aecli = Callable[..., int]


def split_of(*levels: int) -> Split:
    """Images of 2 x 3 pixels of one grey each."""
    images = torch.tensor(levels, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 3)
    return Split(images, torch.zeros(len(levels)))


class Linear:
    """A model whose code is the image itself: its latent space is the pixel space."""

    def encode(self, pixels: Tensor) -> Tensor:
        return pixels.flatten(1)

    def decode(self, codes: Tensor) -> Tensor:
        return codes.reshape(-1, 1, 2, 3)


def test_in_a_linear_latent_space_both_paths_are_the_same() -> None:
    paths = interpolate(Linear(), split_of(0, 255, 102), [(0, 1), (1, 2)], 6, is_spherical=False)  # type: ignore[arg-type]
    assert paths.latent.shape == (2, 6, 1, 2, 3)
    assert torch.allclose(paths.latent, paths.pixel)
    assert paths.pixel[0, :, 0, 0, 0].tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert paths.pixel[1, -1].unique().tolist() == pytest.approx([0.4])


def test_a_path_begins_and_ends_at_the_reconstructions(finished: Path) -> None:
    trained = open_run(finished, device="cpu")
    split = trained.data().test
    for is_spherical in (False, True):
        paths = interpolate(trained, split, [(3, 8)], 5, is_spherical)
        with torch.inference_mode():
            ends = trained.reconstruct(to_pixels(split.images[[3, 8]]))
        assert torch.allclose(paths.latent[0, [0, -1]], ends, atol=1e-5)
        assert torch.equal(paths.pixel[0, [0, -1]], to_pixels(split.images[[3, 8]]))


def test_arcs_are_only_in_latent_space() -> None:
    # From (1, 0, ...) to (0, 1, ...): halfway an arc of radius 1 is at (0.7071, 0.7071, ...).
    images = torch.zeros(2, 1, 2, 3, dtype=torch.uint8)
    images[0, 0, 0, 0] = images[1, 0, 0, 1] = 255
    split = Split(images, torch.zeros(2))
    paths = interpolate(Linear(), split, [(0, 1)], 3, is_spherical=True)  # type: ignore[arg-type]
    assert paths.latent[0, 1, 0, 0].tolist() == pytest.approx([0.5**0.5, 0.5**0.5, 0])
    assert paths.pixel[0, 1, 0, 0].tolist() == pytest.approx([0.5, 0.5, 0])


def test_the_distance_is_to_the_nearest_real_image_averaged_over_the_pairs() -> None:
    levels = torch.tensor([[0.0, 0.5], [0.2, 1.0]])  # two pairs, two steps
    paths = levels.reshape(2, 2, 1, 1, 1).expand(2, 2, 1, 2, 3)
    images = split_of(*([0] * 6000), 255).images  # the white one in a batch of its own
    assert distance_to_real(paths, images).tolist() == pytest.approx([0.02, 0.125], abs=1e-6)


def test_pairs_are_read_as_they_are_typed() -> None:
    assert read_pairs("0:2, 1:1", split_of(1, 2, 3)) == [(0, 2), (1, 1)]


@pytest.mark.parametrize(
    "text", ["", "3", "0:1;1:2", "0-1", "a:b", "0:1:2", "-1:2", "0:3", "1.0:2", "0:1,", ":"]
)
def test_invalid_pairs_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="^pairs=.* is not valid: "):
        read_pairs(text, split_of(1, 2, 3))


def labelled(labels: list[int], *classes: str) -> Split:
    return Split(torch.zeros(len(labels), 1, 2, 3), torch.tensor(labels), classes)


def test_a_class_stands_for_its_images_one_after_another() -> None:
    split = labelled([1, 0, 1, 0, 0])
    # The third 1 is the first one again: there are only two.
    assert read_class_pairs("class:0-1, 1-0,0-1", split) == [(1, 0), (2, 3), (4, 0)]
    assert read_class_pairs("class:0-0", split) == [(1, 3)]


def test_classes_are_named_as_their_folders_even_with_hyphens() -> None:
    split = labelled([0, 1, 2, 3], "t-shirt", "dress", "-", "long dress")
    for text, pair in (
        ("t-shirt-dress", (0, 1)), ("dress-t-shirt", (1, 0)), ("t-shirt--", (0, 2)),
        ("---", (2, 2)), ("long dress-dress", (3, 1)),
    ):  # fmt: skip
        assert read_class_pairs(f"class:{text}", split) == [pair]
    for text in ("t-shirt", "dress", "t-dress", "0-1", "dress-", ""):
        with pytest.raises(UsageError, match="is not two classes with a hyphen between them; the "):
            read_class_pairs(f"class:{text}", split)


def test_ambiguous_pairs_are_refused() -> None:
    split = labelled([0, 1, 2, 3], "a", "b-c", "a-b", "c")
    with pytest.raises(UsageError, match="'a-b-c' can be read as a to b-c and a-b to c: give two "):
        read_class_pairs("class:a-b-c", split)


def test_a_class_without_test_images_is_refused() -> None:
    with pytest.raises(UsageError, match="'a-b' is not two classes .* of the classes a, c$"):
        read_class_pairs("class:a-b", labelled([0, 2], "a", "b", "c"))


def test_the_paths_on_the_map_lead_from_code_to_code(finished: Path) -> None:
    trained = open_run(finished, device="cpu")
    data = trained.data()
    pairs = [(3, 8), (12, 40)]
    straight = map_paths(trained, data, pairs, 5, is_spherical=False)
    for path, (first, second) in zip(straight.paths, pairs, strict=True):
        expected = straight.map.points[first] + torch.linspace(0, 1, 5).outer(
            straight.map.points[second] - straight.map.points[first]
        )
        assert torch.allclose(path, expected, atol=1e-4)
    arcs = map_paths(trained, data, pairs, 5, is_spherical=True)
    assert torch.allclose(arcs.paths[:, [0, -1]], straight.paths[:, [0, -1]], atol=1e-4)
    assert not torch.allclose(arcs.paths, straight.paths, atol=1e-4)


def test_the_map_of_many_images_shows_some(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = open_run(finished, device="cpu")
    data, pairs = trained.data(), [(3, 8)]
    monkeypatch.setattr("aecli.analysis.interpolate.MAPPED", 30)
    mapped = map_paths(trained, data, pairs, 4, is_spherical=False)
    assert (len(mapped.map.points), len(mapped.shown), mapped.paths.shape) == (30, 30, (1, 4, 2))
    drawn = map_figure(trained, mapped, data.test, pairs, is_spherical=False)
    title = " ".join(drawn.get_suptitle().split())
    assert title == (
        f"{trained.config.name}: lines between codes, on a map of 30 of the 100 test images of "
        "synthetic (PCA of the codes)"
    )
    labels = data.test.labels.tolist()
    (axes,) = drawn.axes
    assert [text.get_text().replace(NO_BREAK, " ") for text in axes.texts] == [
        f"{labels[number]} (image {number})" for number in pairs[0]
    ]


def test_drawn_pairs_are_of_different_images_and_follow_the_seed() -> None:
    pairs = draw_pairs(10, 20, seed=0)
    assert sorted(number for pair in pairs for number in pair) == list(range(20))
    assert pairs == draw_pairs(10, 20, seed=0) != draw_pairs(10, 20, seed=1)
    for n, images in ((0, 100), (17, 100), (6, 11)):
        with pytest.raises(UsageError, match=f"n={n} is not valid: give 1 to"):
            draw_pairs(n, images, seed=0)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_animation_goes_there_and_back_endlessly(channels: int) -> None:
    latent = torch.linspace(0, 1, 4).reshape(1, 4, 1, 1, 1).expand(2, 4, channels, 5, 7)
    film = Image.open(io.BytesIO(to_gif(Paths(latent, 1 - latent))))
    assert sum(1 for _ in ImageSequence.Iterator(film)) == 6  # 0 1 2 3 2 1
    assert film.info["loop"] == 0
    assert film.size == (2 * 7 * GIF_SCALE, 2 * 5 * GIF_SCALE)
    for frame, level in enumerate((0, 85, 170, 255, 170, 85)):
        film.seek(frame)
        shown = np.asarray(film.convert("L"))
        left, right = shown[:, : 7 * GIF_SCALE], shown[:, 7 * GIF_SCALE :]
        assert abs(left.astype(int) - level).max() <= 3
        assert abs(right.astype(int) - (255 - level)).max() <= 3


def test_the_command_saves_a_figure_an_animation_and_their_numbers(
    run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("interpolate", str(run.path), "pairs=3:7,12:40", "steps=5") == 0
    folder = run.path / "interpolate"
    numbers = json.loads((folder / "numbers.json").read_text())
    assert numbers["pairs"] == [[3, 7], [12, 40]]
    labels = open_run(run.path, device="cpu").data().test.labels.tolist()
    assert numbers["labels"] == [[labels[3], labels[7]], [labels[12], labels[40]]]
    assert [len(numbers["nearest_mse"][way]) for way in ("latent", "pixel")] == [5, 5]
    data, pixel = (
        open_run(run.path, device="cpu").data(),
        numbers["nearest_mse"]["pixel"],
    )
    starts, _ = nearest(
        *(to_pixels(each) for each in (data.test.images[[3, 12]], data.train.images))
    )
    assert pixel[0] == pytest.approx(starts.mean().item(), rel=1e-5)
    assert {path.name for path in folder.glob("[im]*.[!j]*")} == {
        "interpolation.png", "interpolation.svg", "interpolation.gif", "map.png", "map.svg",
    }  # fmt: skip
    assert numbers["map"]["kind"] == "pca" and np.array(numbers["map"]["paths"]).shape == (2, 5, 2)
    output = capsys.readouterr().out
    assert "line in latent space" in output and f"{pixel[2]:.6f}" in output


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("steps=1", "steps=1 is not valid: give 2 to 24"),
        ("steps=many", "steps=many is not valid: give a whole number"),
        ("n=0", "n=0 is not valid: give 1 to 16 pairs"),
        ("pairs=0-1", "pairs=0-1 is not valid: give two images for each, as in 3:7,12:40, or two"),
        ("pairs=class:5-x", "pairs=class:5-x is not valid: '5-x' is not two classes with a hyphen"),
        ("pairs=class:", "pairs=class: is not valid: '' is not two classes with a hyphen"),
        (f"pairs=class:{','.join(['0-1'] * 17)}", " are too many to be seen: give at most 16"),
        ("pairs=0:100", "pairs=0:100 is not valid: the images are numbered 0 to 99"),
        ("spherical=round", "spherical=round is not valid: give true or false"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing(
    line: str, words: str, run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("interpolate", str(run.path), line) == 2
    errors = capsys.readouterr().err
    assert words in errors and errors.count("\n") == 1
    assert not [path for path in run.path.iterdir() if "interpolate" in path.name]


def test_a_number_of_pairs_that_are_named_is_refused(
    run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("interpolate", str(run.path), "pairs=class:0-1", "n=3") == 2
    assert "n=3 is how many pairs are drawn, and pairs= names them" in capsys.readouterr().err


def test_a_pair_has_the_names_of_its_classes_and_each_step_its_place() -> None:
    images = torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
    split = Split(images, torch.tensor([0, 1, 0]), ("cat", "dog"))
    pairs = [(0, 1), (1, 2)]
    names = [name.replace(NO_BREAK, " ") for name in pair_names(split, pairs)]
    assert names == ["cat (image 0) to dog (image 1)",
                                        "dog (image 1) to cat (image 2)"]  # fmt: skip
    assert pair_names(Split(images, torch.zeros(3)), pairs) == ["image 0 to 1", "image 1 to 2"]
    steps = torch.zeros(2, 5, 1, 8, 8)
    (axes,) = figure("title", Paths(steps, steps), ["cat to dog", "dog to cat"]).axes
    assert [text.get_text() for text in axes.texts] == ["0", "0.25", "0.5", "0.75", "1"]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert rows == ["cat to dog:\nlatent space", "pixel space",
                    "dog to cat:\nlatent space", "pixel space"]  # fmt: skip
