"""`aecli embed`: the map, the plane, the projector and the neighbours of the codes."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image
from torch import Tensor

from aecli.analysis import embed as analysis
from aecli.analysis.embed import (
    PLANE_STEPS,
    choose_images,
    decode_plane,
    map_codes,
    plane_axes,
    plane_caveats,
)
from aecli.baselines.pca import pca_of
from aecli.commands import embed as command
from aecli.config import UpsampleConfig, Upsampling
from aecli.data import Split
from aecli.figures import Direction, as_image
from aecli.figures.theme import CATEGORIES
from aecli.latent.neighbourhoods import neighbour_ranks, trustworthiness
from aecli.latent.neighbours import majority, nearest_neighbours
from aecli.runs.directory import RunDirectory
from aecli.runs.trained import Trained, open_run
from tests.conftest import TINY

pytestmark = pytest.mark.undrawn

Aecli = Callable[..., int]


def numbers_of(run: RunDirectory) -> dict[str, Any]:
    return dict(json.loads((run.path / "embed/numbers.json").read_text()))


def files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("events.")
    }


PROJECTOR = {
    f"projector/{name}" for name in ("codes.tsv", "pca_codes.tsv", "metadata.tsv", "thumbnails.png")
}


def test_the_command_saves_a_map_the_projector_and_the_accuracies(
    run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("embed", str(run.path), "k=3") == 0
    captured, numbers = capsys.readouterr(), numbers_of(run)
    assert files(run.path / "embed") == {
        "map.png", "map.svg", "manifest.json", "numbers.json", *PROJECTOR,
    }  # fmt: skip
    config = (run.path / "projector_config.pbtxt").read_text()  # where TensorBoard sees a run
    assert all(f'"embed/{name}"' in config for name in PROJECTOR)
    assert (numbers["map"], numbers["k"], numbers["n"]) == ("pca", 3, 100)
    for kind in ("codes", "pca", "pixels"):
        assert f"{numbers[f'accuracy_{kind}']:.4f}" in captured.out
    assert numbers["accuracy_pixels"] > 0.6 and numbers["accuracy_pca"] > 0.2  # chance: 0.1
    assert 0 < sum(numbers["variance"]) < 1
    assert captured.err == ""
    assert captured.out.endswith(f"results  {run.path / 'embed'}\n")


def test_all_columns_are_those_of_the_test_images(run: RunDirectory, aecli: Aecli) -> None:
    assert aecli("embed", str(run.path)) == 0
    trained, numbers = open_run(run.path, device="cpu"), numbers_of(run)
    labels, codes = trained.images.labels.tolist(), trained.codes(trained.images.images)
    assert numbers["class"] == [str(label) for label in labels]
    assert numbers["image"] == [str(number) for number in range(100)]
    assert len(numbers["x"]) == len(numbers["y"]) == 100
    written = (run.path / "embed/projector/codes.tsv").read_text().splitlines()
    found = torch.tensor([[float(each) for each in line.split("\t")] for line in written])
    assert torch.allclose(found, codes, rtol=1e-4)
    pca = pca_of(trained.data().train, codes.shape[1])
    written = (run.path / "embed/projector/pca_codes.tsv").read_text().splitlines()
    found = torch.tensor([[float(each) for each in line.split("\t")] for line in written])
    expected = pca.codes(trained.images.images, codes.shape[1])
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4)
    lines = (run.path / "embed/projector/metadata.tsv").read_text().splitlines()
    assert lines == ["class\timage", *(f"{label}\t{i}" for i, label in enumerate(labels))]
    with Image.open(run.path / "embed/projector/thumbnails.png") as sprite:
        height, width = trained.images.images.shape[2:]
        third = np.asarray(sprite)[:height, 2 * width : 3 * width]
    ink = trained.images.images[2, 0].double() / 255
    colour = 255 * torch.tensor(to_rgb(CATEGORIES[labels[2]]), dtype=torch.float64)
    assert torch.allclose(torch.tensor(third).double(), ink[..., None] * colour, atol=0.51)


def test_neighbours_are_looked_for_among_the_training_codes(
    run: RunDirectory, aecli: Aecli
) -> None:
    assert aecli("embed", str(run.path), "k=4", "n=30") == 0  # the accuracy is of all images
    trained = open_run(run.path, device="cpu")
    data = trained.data()
    places = nearest_neighbours(
        trained.codes(data.test.images), trained.codes(data.train.images), 4
    )
    right = majority(data.train.labels[places]) == data.test.labels
    assert numbers_of(run)["accuracy_codes"] == pytest.approx(right.double().mean().item())


def test_neighbours_by_code_are_compared_with_those_by_pixels(
    run: RunDirectory,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(analysis, "MAX_RANKED", 60)
    assert aecli("embed", str(run.path), "k=4", "n=30", "seed=2") == 0
    trained, numbers, out = open_run(run.path, device="cpu"), numbers_of(run), capsys.readouterr()
    assert (numbers["ranked_images"], numbers["ranked_k"]) == (60, 4)
    images = trained.images.images[choose_images(100, 60, seed=2)]
    pca = pca_of(trained.data().train, trained.config.latent)
    by_pixels = neighbour_ranks(images.flatten(1) / 255)
    for name, codes in (
        ("codes", trained.codes(images)),
        ("pca", pca.codes(images, trained.config.latent)),
    ):
        ranks = neighbour_ranks(codes)
        trust, continuity = numbers[f"trustworthiness_{name}"], numbers[f"continuity_{name}"]
        assert trust == pytest.approx(trustworthiness(by_pixels, ranks, 4), abs=1e-3)
        assert continuity == pytest.approx(trustworthiness(ranks, by_pixels, 4), abs=1e-3)
        assert 0.5 < trust < 1 and f"{trust:.4f}" in out.out and f"{continuity:.4f}" in out.out
    assert "trustworthiness, 4 of 60" in out.out


def test_units_that_never_vary_are_counted(
    run: RunDirectory,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    codes = Trained.codes
    live = torch.tensor([1.0, 0.0, 1.0])
    monkeypatch.setattr(
        Trained, "codes", lambda self, images: codes(self, images) * live.to(images.device)
    )
    assert aecli("embed", str(run.path)) == 0
    assert numbers_of(run)["live_units"] == 2
    out = capsys.readouterr().out
    assert "2 of 3" in out and "active" not in out


def test_active_units_are_those_whose_means_vary_noticeably(
    aecli: Aecli,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "vae"
    line = ["model=fc", "latent=3", "regularizer=vae", f"hydra.run.dir={path}"]
    assert aecli("train", *TINY, *line) == 0
    codes = Trained.codes

    def by_hand(self: Trained, images: Tensor) -> Tensor:
        signs = torch.tensor([1.0, -1.0]).repeat(len(images))[: len(images), None]
        # Of variance 0.0121, 0.0081 and 0: active, live and dead.
        means = 5 + signs * torch.tensor([0.11, 0.09, 0.0])
        return codes(self, images) * 0 + means.to(images.device)

    monkeypatch.setattr(Trained, "codes", by_hand)
    assert aecli("embed", str(path)) == 0
    numbers = numbers_of(RunDirectory(path))
    assert (numbers["live_units"], numbers["active_units"]) == (2, 1)
    out = capsys.readouterr().out
    assert "active units" in out and "1 of 3" in out


@pytest.mark.undrawn("train", "embed")
def test_fewer_images_are_drawn_by_the_seed_and_stay_in_order(
    run: RunDirectory, aecli: Aecli
) -> None:
    found = []
    for seed in (0, 0, 1):
        assert aecli("embed", str(run.path), "n=30", f"seed={seed}") == 0
        found.append(numbers_of(run)["image"])
    assert found[0] == found[1] != found[2]
    assert found[0] == sorted(found[0], key=int) and len(set(found[0])) == 30
    assert found[0] != [str(number) for number in range(30)]
    assert choose_images(5, 10, seed=0).tolist() == [0, 1, 2, 3, 4]


def test_a_map_may_keep_neighbours_together(
    run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("embed", str(run.path), "map=tsne", "n=50") == 0
    numbers = numbers_of(run)
    assert numbers["map"] == "tsne" and numbers["variance"] is None
    assert len(numbers["x"]) == len(numbers["y"]) == len(numbers["class"]) == 50
    assert capsys.readouterr().err == ""


def test_a_map_is_made_by_the_named_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "t_sne", lambda codes: codes[:, :2])
    monkeypatch.setattr(analysis, "umap", lambda codes, seed: codes[:, :2] + seed)
    codes = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    found = map_codes(codes, codes, "tsne", 3)
    assert found.kind == "tsne" and torch.equal(found.points, codes[:, :2])
    assert found.directions == (Direction("t-SNE 1", False), Direction("t-SNE 2", False))
    found = map_codes(codes, codes, "umap", 3)
    assert found.kind == "umap" and torch.equal(found.points, codes[:, :2] + 3)
    assert found.directions == (Direction("UMAP 1", False), Direction("UMAP 2", False))


def test_a_slow_map_is_announced(
    run: RunDirectory,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "MANY", 20)
    monkeypatch.setattr(analysis, "t_sne", lambda codes: codes[:, :2].cpu())
    for count in (20, 21):
        assert aecli("embed", str(run.path), "map=tsne", f"n={count}") == 0
    words = capsys.readouterr().err
    assert words == "t-SNE of 21 codes takes a while: n=20 would be faster\n"


def test_codes_of_two_numbers_are_the_map_itself_unless_another_is_asked_for() -> None:
    codes = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    found = map_codes(codes, codes, None, 0)
    assert found.kind == "codes" and torch.equal(found.points, codes)
    assert found.directions == (Direction("code 1"), Direction("code 2"))
    assert map_codes(codes, codes, "pca", 0).kind == "pca"
    three = torch.tensor([[0.0, 0.0, 4.0], [0.0, 0.0, -4.0], [3.0, 0.0, 0.0], [-3.0, 0.0, 0.0]])
    found = map_codes(three, three, None, 0)
    assert found.kind == "pca" and found.variance == pytest.approx([0.64, 0.36])
    assert found.directions[0] == Direction("PCA 1 (64.0 % of the variance)")


def test_for_two_numbers_the_plane_of_codes_is_decoded(aecli: Aecli, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "two")
    line = ["model=fc", "latent=2", f"hydra.run.dir={run.path}"]
    assert aecli("train", *TINY, *line) == 0
    assert aecli("embed", str(run.path)) == 0
    plane = {"plane.png", "plane.svg"}
    assert files(run.path / "embed") == {
        "map.png", "map.svg", *plane, "manifest.json", "numbers.json", *PROJECTOR,
    }  # fmt: skip
    trained, numbers = open_run(run.path, device="cpu"), numbers_of(run)
    codes = trained.codes(trained.images.images)
    points = torch.tensor([numbers["x"], numbers["y"]]).T
    assert numbers["map"] == "codes" and torch.allclose(points, codes, rtol=1e-4)
    images = decode_plane(trained, [0.0, 1.0, 5.0], [-2.0, 3.0])
    with torch.inference_mode():
        last = trained.decode(torch.tensor([[5.0, -2.0]]))
    assert images.shape[:2] == (2, 3) and torch.allclose(images[0, 2], last[0], atol=1e-6)


def test_each_image_of_the_plane_is_that_of_its_code() -> None:
    class Linear:
        """Its decoder copies the two numbers to two pixels."""

        device = torch.device("cpu")

        def decode(self, codes: Tensor) -> Tensor:
            return codes.reshape(-1, 1, 1, 2)

    linear: Trained = Linear()  # type: ignore[assignment]
    x, y = torch.linspace(0, 1, 30).tolist(), torch.linspace(5, 9, 20).tolist()  # several batches
    images = decode_plane(linear, x, y)
    assert images.shape == (20, 30, 1, 1, 2)
    assert torch.equal(images[:, :, 0, 0, 0], torch.tensor(x).expand(20, 30))
    assert torch.equal(images[:, :, 0, 0, 1], torch.tensor(y).unsqueeze(1).expand(20, 30))


def test_the_plane_leaves_out_the_farthest_codes_and_has_room_for_a_dead_unit() -> None:
    training = torch.stack([torch.arange(1001.0), torch.full((1001,), 3.0)], dim=1)
    x, y = plane_axes(training)
    assert len(x) == len(y) == PLANE_STEPS
    assert (x[0], x[-1], y[0], y[-1]) == pytest.approx((10, 990, 2.5, 3.5))
    steps = torch.tensor(x).diff()
    assert torch.allclose(steps, steps[0])


def test_the_plane_of_an_unpooling_decoder_has_a_caveat(
    run: RunDirectory,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained = open_run(run.path, device="cpu")
    config = replace(trained.config, upsample=UpsampleConfig(name=Upsampling.max_unpool))
    unpooling = replace(trained, config=config)
    monkeypatch.setattr("aecli.runs.trained.open_run", lambda *_, **__: unpooling)
    assert aecli("embed", str(run.path), "n=10", "k=1") == 0
    assert capsys.readouterr().err == ""  # latent=3 has no plane
    assert plane_caveats(replace(unpooling, config=replace(config, latent=2)))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("k=0", "k=0 is not valid: give 1 to 256"),
        ("k=257", "k=257 is not valid: give 1 to 256"),
        ("n=0", "n=0 is not valid: give 1 or more"),
        ("map=foo", "map=foo is not valid: give one of pca, tsne, umap"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing(
    line: str, words: str, run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("embed", str(run.path), line) == 2
    errors = capsys.readouterr().err
    assert words in errors and errors.count("\n") == 1
    assert not [path for path in run.path.iterdir() if "embed" in path.name]


def test_without_the_extras_only_their_maps_are_refused(
    run: RunDirectory,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("sklearn.manifold", "umap"):
        monkeypatch.setitem(sys.modules, name, None)
    for kind, extra in (("tsne", "uses"), ("umap", "umap")):
        assert aecli("embed", str(run.path), f"map={kind}") == 2
        expected = f"aecli: map={kind} is an extra: pip install 'aecli[{extra}]'\n"
        assert capsys.readouterr().err == expected
    assert aecli("embed", str(run.path)) == 0


def own_images(trained: Trained, folder: Path, names: dict[int, str]) -> None:
    """Ten test images as files, each in the folder that `names` gives to its label."""
    split = trained.data().test
    for number in range(10):
        file = folder / names[int(split.labels[number])] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        as_image(split.images[number] / 255).save(file)


def test_own_images_in_folders_of_the_classes_are_known_by_their_neighbours(
    run: RunDirectory, aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = open_run(run.path, device="cpu")
    own_images(trained, tmp_path / "own", {label: str(label) for label in range(10)})
    assert aecli("embed", str(run.path), f"images={tmp_path / 'own'}", "k=1") == 0
    assert capsys.readouterr().err == ""
    numbers, data = numbers_of(run), trained.data()
    assert all(Path(file).parent.name == name for file, name in
               zip(numbers["image"], numbers["class"], strict=True))  # fmt: skip
    places = nearest_neighbours(
        trained.codes(data.test.images[:10]), trained.codes(data.train.images), 1
    )
    right = data.train.labels[places].squeeze(1) == data.test.labels[:10]
    assert numbers["accuracy_codes"] == pytest.approx(right.double().mean().item())


@pytest.mark.parametrize("name", ["", "letters"])
def test_own_images_of_unknown_classes_have_a_map_but_no_accuracy(
    name: str,
    run: RunDirectory,
    aecli: Aecli,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trained = open_run(run.path, device="cpu")
    names = {label: name if label < 5 else "" for label in range(10)}
    own_images(trained, tmp_path / "own", names)
    assert aecli("embed", str(run.path), f"images={tmp_path / 'own'}") == 0
    errors, numbers = capsys.readouterr().err, numbers_of(run)
    assert errors.startswith("no nearest-neighbour accuracy: there are images in ")
    assert errors.count("\n") == 1
    assert not [key for key in numbers if key.startswith("accuracy")]
    assert (numbers["ranked_images"], numbers["ranked_k"]) == (10, 4)  # 10 is too much of 10
    assert len(numbers["x"]) == len(numbers["image"]) == 10
    lines = (run.path / "embed/projector/metadata.tsv").read_text().splitlines()
    if name:
        assert set(numbers["class"]) == {name, "."}
        assert {line.split("\t")[0] for line in lines[1:]} == {name, "."}
    else:
        assert "class" not in numbers and lines == numbers["image"]


def test_a_single_own_image_is_mapped(run: RunDirectory, aecli: Aecli, tmp_path: Path) -> None:
    trained = open_run(run.path, device="cpu")
    own_images(trained, tmp_path / "own", dict.fromkeys(range(10), "."))
    assert aecli("embed", str(run.path), f"images={tmp_path / 'own' / '3.png'}") == 0
    with_it = numbers_of(run)
    assert not [key for key in with_it if key.startswith(("trustworthiness", "ranked"))]
    assert aecli("embed", str(run.path)) == 0
    whole = numbers_of(run)  # on the same directions, as these are those of the training codes
    assert with_it["x"] == pytest.approx(whole["x"][3:4], rel=1e-3)
    assert with_it["y"] == pytest.approx(whole["y"][3:4], rel=1e-3)


def test_training_images_of_one_class_have_no_accuracy(
    run: RunDirectory,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained = open_run(run.path, device="cpu")
    data = trained.data()
    blank = replace(data, train=Split(data.train.images, torch.zeros_like(data.train.labels)))
    monkeypatch.setattr(Trained, "data", lambda _: blank)
    assert aecli("embed", str(run.path), "n=100", "k=1", "device=cpu") == 0
    expected = "no nearest-neighbour accuracy: the images of synthetic are all of one class\n"
    assert capsys.readouterr().err == expected
    assert "accuracy_codes" not in numbers_of(run)
