"""A run knows its images: others are refused, or named where the result is true all the same."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aecli.cli import console
from aecli.data import Split, load_data
from aecli.runs.directory import RunDirectory
from aecli.runs.discovery import runs_below
from aecli.runs.trained import open_run
from tests.conftest import TINY, planted
from tests.gathered import gather

pytestmark = pytest.mark.undrawn

Aecli = Callable[..., int]
Capture = pytest.CaptureFixture[str]

LINE = ["data=folder", "path=photos", "latent=2", "model=fc", "device=cpu", "hydra.run.dir=run"]
CPU = torch.device("cpu")


def draw(folder: Path, count: int, seed: int, size: int = 16) -> None:
    """Images of noise called 000.png and so on; equal seeds draw equal images."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for number in range(count):
        pixels = random.integers(0, 256, (size, size), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.png")


def rename(folder: Path) -> None:
    """New names, by which other images are set apart for testing."""
    for file in sorted(folder.iterdir()):
        file.rename(file.with_name(f"renamed-{file.name}"))


@pytest.fixture
def photos(aecli: Aecli, tmp_path: Path) -> Path:
    """A folder of 60 images, on which `run` was trained: 49 to train on, 5 and 6 set apart."""
    draw(tmp_path / "photos", 60, seed=0)
    assert aecli("train", *LINE, "epochs=1") == 0
    return tmp_path / "photos"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def one_error(capsys: Capture) -> str:
    errors = capsys.readouterr().err
    assert errors.startswith("aecli: ") and errors.count("\n") == 1, errors
    return errors


# The fingerprint of a split.


def test_a_fingerprint_changes_with_pixels_labels_names_and_order() -> None:
    images = torch.arange(24, dtype=torch.uint8).view(3, 1, 2, 4)
    labels = torch.tensor([0, 1, 1])
    split = Split(images, labels, ("a", "b"))
    changed = images.clone()
    changed[2, 0, 1, 3] += 1
    others = [
        Split(changed, labels, ("a", "b")),
        Split(images, labels.flip(0), ("a", "b")),
        Split(images, labels, ("a", "c")),
        Split(images, labels),
        Split(images.view(3, 1, 4, 2), labels, ("a", "b")),
        Split(images[[0, 2, 1]], labels, ("a", "b")),
        Split(images[:2], labels[:2], ("a", "b")),
    ]
    fingerprints = {each.fingerprint for each in [split, *others]}
    assert len(fingerprints) == 1 + len(others)
    assert Split(images.clone(), labels.clone(), ("a", "b")).fingerprint == split.fingerprint
    # A class that has no image here does not matter.
    assert Split(images, labels + 1, ("0", "a", "b")).fingerprint == split.fingerprint
    # Digests that were taken earlier go along with the images.
    assert (
        split.with_digests()[1:].fingerprint
        == Split(images[1:], labels[1:], ("a", "b")).fingerprint
    )
    mask = torch.tensor([True, False, True])
    assert torch.equal(split.with_digests()[mask].image_keys, split.image_keys[mask])


def test_a_cached_data_set_has_the_fingerprints_of_its_images(finished: Path) -> None:
    data = open_run(finished, device="cpu").data()
    fresh = Split(data.test.images.clone(), data.test.labels, data.test.classes)
    assert data.test.digests is not None
    summary = RunDirectory(finished).load_summary()["data"]
    assert fresh.fingerprint == data.test.fingerprint == summary["fingerprints"]["test"]
    assert set(summary["fingerprints"]) == {"train", "validation", "test"}


def test_a_copy_in_train_and_test_is_counted_and_reported(
    aecli: Aecli, tmp_path: Path, capsys: Capture
) -> None:
    draw(tmp_path / "photos" / "train", 12, seed=0)
    draw(tmp_path / "photos" / "test", 4, seed=1)
    train, test = tmp_path / "photos" / "train", tmp_path / "photos" / "test"
    shutil.copy(train / "000.png", test / "copy.png")
    os.link(train / "001.png", test / "hard-link.png")
    (test / "link.png").symlink_to(train / "002.png")
    assert aecli("train", *LINE, "epochs=1") == 0
    printed = "".join(capsys.readouterr())
    assert "3 of the 7 test images are copies of training or validation images" in " ".join(
        printed.split()
    )
    assert RunDirectory(tmp_path / "run").load_summary()["data"]["test_copies"] == 3
    # They were there from the beginning, so the run's numbers are what they were.
    assert aecli("evaluate", "run") == 0


def test_own_images_that_were_used_in_training_are_counted_and_named(
    aecli: Aecli, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    draw(tmp_path / "new", 3, seed=5)
    capsys.readouterr()
    assert aecli("evaluate", "run", "images=new") == 0
    assert "trained on" not in capsys.readouterr().err
    numbers = json.loads((tmp_path / "run/evaluate/numbers.json").read_text())
    assert numbers["used_in_training"] == {"train": [], "validation": []}
    for command, others in (("evaluate", []), ("reconstruct", ["images=new"])):
        assert aecli(command, "run", "images=photos", *others) == 0
        words = " ".join(capsys.readouterr().err.split())
        assert f"of these {60 + 3 * len(others)} images, the run was trained on 49" in words
        assert "validated on 5, so their errors are not those of new images: photos/0" in words
        assert words.endswith(" and 51 more")
    numbers = json.loads((tmp_path / "run/evaluate/numbers.json").read_text())
    used = numbers["used_in_training"]
    assert (len(used["train"]), len(used["validation"])) == (49, 5)
    assert {*used["train"], *used["validation"]} < {str(f) for f in Path("photos").iterdir()}
    shutil.move(photos, tmp_path / "away")  # the run knows without them
    assert aecli("reconstruct", "run", "images=away") == 0
    assert "trained on 49 and validated on 5" in " ".join(capsys.readouterr().err.split())


# Resuming.


def replace_one(photos: Path) -> None:
    draw(photos, 1, seed=9)


def add_some(photos: Path) -> None:
    draw(photos / "more", 30, seed=9)


def remove_one(photos: Path) -> None:
    (photos / "031.png").unlink()


@pytest.mark.parametrize("change", [replace_one, rename, add_some, remove_one])
@pytest.mark.parametrize("is_finished", [True, False])
def test_other_images_are_not_trained_on_further(
    photos: Path,
    aecli: Aecli,
    tmp_path: Path,
    capsys: Capture,
    change: Callable[[Path], None],
    is_finished: bool,
) -> None:
    run = RunDirectory(tmp_path / "run")
    if not is_finished:
        run.summary_file.unlink()
    change(photos)
    before = contents(run.path)
    capsys.readouterr()
    assert aecli("train", "resume=run", "epochs=2") == 3
    error = one_error(capsys)
    assert " images are not those that the run was started with: give path=" in error
    assert "train" in error or "validation" in error or "test" in error
    assert contents(run.path) == before


def test_a_moved_folder_is_given_when_resuming(
    photos: Path, aecli: Aecli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    moved = photos.rename(tmp_path / "moved")
    assert aecli("train", "resume=run", "epochs=2") == 3
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    draw(tmp_path / "elsewhere" / "photos", 60, seed=3)  # of the same name, but others
    capsys.readouterr()
    assert aecli("train", "resume=../run", "epochs=2", "path=photos") == 3
    assert "path=" in one_error(capsys)
    assert aecli("train", "resume=../run", "epochs=2", "path=../moved") == 0
    saved = RunDirectory(tmp_path / "run").load_config()
    assert Path(saved.data.path or "").resolve() == moved
    assert Path(saved.data.path or "").is_absolute()
    assert aecli("evaluate", "../run") == 0


def test_a_path_is_only_for_the_users_own_images(
    run: RunDirectory, aecli: Aecli, capsys: Capture
) -> None:
    for line in (["train", f"resume={run.path}", "epochs=2"], ["evaluate", str(run.path)]):
        assert aecli(*line, "path=photos") == 2
        assert "path=photos is for runs on images of your own" in one_error(capsys)


@pytest.mark.parametrize(
    "setting", ["seed=1", "lr=0.01", "batch_size=7", "latent=4", "corruption=masking"]
)
def test_a_checkpoint_of_another_configuration_is_refused(
    run: RunDirectory, aecli: Aecli, tmp_path: Path, capsys: Capture, setting: str
) -> None:
    line = ["train", *TINY, "latent=3", setting, "hydra.run.dir=other"]
    assert aecli(*line) == 0
    shutil.rmtree(run.checkpoints.folder)
    shutil.copytree(tmp_path / "other" / "checkpoints", run.checkpoints.folder)
    before = contents(run.path)
    capsys.readouterr()
    assert aecli("train", f"resume={run.path}", "epochs=2") == 5
    error = one_error(capsys)
    key, _, value = setting.partition("=")
    key = "corruption.name" if key == "corruption" else key
    assert f"{key}={value} instead of " in error and "restart=true" in error
    assert str(run.checkpoints.folder) in error
    assert contents(run.path) == before


def test_a_checkpoint_accepts_settings_that_may_change_on_resuming(
    run: RunDirectory, aecli: Aecli, tmp_path: Path, data_dir: Path
) -> None:
    shutil.copytree(data_dir, tmp_path / "moved")
    assert aecli("train", f"resume={run.path}", "epochs=2", "data_dir=moved", "device=auto") == 0


# Commands that use a run.

NEED_TRAINING_IMAGES = ["sample", "embed", "interpolate", "denoise", "compress", "robust"]


def test_test_images_that_were_trained_on_are_never_reported(
    photos: Path, aecli: Aecli, tmp_path: Path, capsys: Capture
) -> None:
    config = RunDirectory(tmp_path / "run").load_config()
    known = load_data(config.data, tmp_path / "before", CPU)
    rename(photos)
    now = load_data(config.data, tmp_path / "after", CPU)
    trained, validated = (
        sum(bool((split.images == image).all((1, 2, 3)).any()) for image in now.test.images)
        for split in (known.train, known.validation)
    )
    assert trained > 0
    before = contents(tmp_path / "run")
    for command in ("evaluate", "reconstruct", *NEED_TRAINING_IMAGES):
        capsys.readouterr()
        assert aecli(command, "run") == 3, command
        error = one_error(capsys)
        assert f"and {trained} of the 6 test images were trained on" in error
        assert ("used for validation" in error) == (validated > 0)
        assert "the train, validation and test images differ" in error
        assert "give path=... with the images of the run" in error
    assert contents(tmp_path / "run") == before


def test_images_that_the_run_has_never_seen_are_named_and_scored_without_pca(
    photos: Path, aecli: Aecli, tmp_path: Path, capsys: Capture
) -> None:
    assert aecli("evaluate", "run") == 0
    assert "mse_pca" in json.loads((tmp_path / "run/evaluate/numbers.json").read_text())
    draw(photos, 60, seed=1)
    for command in ("evaluate", "reconstruct"):
        capsys.readouterr()
        assert aecli(command, "run") == 0
        errors = capsys.readouterr().err
        assert errors.count("\n") == 1 and "holds other images than run was trained on" in errors
        assert "0 of the 6 test images were trained on" in errors
        assert "what is fitted to training images is left out" in errors
    numbers = json.loads((tmp_path / "run/evaluate/numbers.json").read_text())
    trained = open_run(tmp_path / "run", device="cpu", warn=lambda _: None)
    pixels = trained.images.images.float() / 255
    with torch.inference_mode():
        mse = (trained.reconstruct(pixels) - pixels).square().mean().item()
    assert numbers["mse"] == pytest.approx(mse, rel=1e-5)
    assert "mse_pca" not in numbers and set(numbers["by_class"]) == {"model"}
    for command in NEED_TRAINING_IMAGES:
        capsys.readouterr()
        assert aecli(command, "run") == 3
        assert "this command needs the images that the run was trained on" in one_error(capsys)


def test_only_the_test_images_may_be_replaced(
    aecli: Aecli, tmp_path: Path, capsys: Capture
) -> None:
    draw(tmp_path / "photos" / "train", 30, seed=0)
    draw(tmp_path / "photos" / "test", 10, seed=1)
    assert aecli("train", *LINE, "epochs=1") == 0
    draw(tmp_path / "photos" / "test", 10, seed=2)
    for command in ("evaluate", "embed"):
        capsys.readouterr()
        assert aecli(command, "run") == 0
        assert (
            "the test images differ, and 0 of the 10 test images were trained on: scores are not "
            "those of its summary" in capsys.readouterr().err
        )
    shutil.copy(tmp_path / "photos/train/000.png", tmp_path / "photos/test/000.png")
    assert aecli("embed", "run") == 3


def test_images_are_found_from_any_working_folder(
    photos: Path, aecli: Aecli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    expected = RunDirectory(tmp_path / "run").load_summary()["test"]["mse"]
    elsewhere = tmp_path / "elsewhere"
    draw(elsewhere / "photos", 60, seed=3)
    monkeypatch.chdir(elsewhere)

    def measured(*line: str) -> float:
        assert aecli("evaluate", "../run", *line) == 0
        numbers: dict[str, float] = json.loads((tmp_path / "run/evaluate/numbers.json").read_text())
        return numbers["mse"]

    assert measured() == pytest.approx(expected, rel=1e-6)
    photos.rename(tmp_path / "moved")
    assert aecli("evaluate", "../run") == 3
    capsys.readouterr()
    assert measured("path=../moved") == pytest.approx(expected, rel=1e-6)
    assert capsys.readouterr().err == ""


def test_export_and_own_images_need_no_training_images(
    photos: Path, aecli: Aecli, tmp_path: Path, capsys: Capture
) -> None:
    draw(tmp_path / "mine", 3, seed=5)
    shutil.rmtree(photos)
    assert aecli("export", "run", "format=torch_export") == 0
    assert aecli("reconstruct", "run", "images=mine") == 0
    assert capsys.readouterr().err == ""
    assert aecli("evaluate", "run") == 3
    assert "is not a folder" in one_error(capsys)


def test_images_of_unknown_classes_are_compared_with_the_training_images(
    aecli: Aecli, tmp_path: Path, capsys: Capture
) -> None:
    for number, name in enumerate(("cats", "dogs")):
        draw(tmp_path / "photos" / "train" / name, 20, seed=number)
        draw(tmp_path / "photos" / "test" / name, 5, seed=10 + number)
    assert aecli("train", *LINE, "epochs=1", "data.classes=[cats]") == 0
    shutil.copy(tmp_path / "photos/train/cats/000.png", tmp_path / "photos/test/dogs/000.png")
    capsys.readouterr()
    others = open_run(tmp_path / "run", device="cpu", warn=console.warn).test_of_other_classes()
    assert len(others) == 4
    assert "1 of the 5 test images of other classes were trained on" in capsys.readouterr().err


def test_a_run_without_fingerprints_says_that_it_cannot_tell(
    run: RunDirectory, aecli: Aecli, capsys: Capture
) -> None:
    summary = run.load_summary()
    del summary["data"]["fingerprints"]
    planted(run, "summary.json", json.dumps(summary))
    assert aecli("reconstruct", str(run.path)) == 0
    errors = capsys.readouterr().err
    assert "was trained by an earlier version of aecli and has kept no fingerprints" in errors


def test_models_are_compared_on_the_same_images_only(
    photos: Path, aecli: Aecli, tmp_path: Path, capsys: Capture
) -> None:
    draw(tmp_path / "b" / "photos", 60, seed=7)
    line = [each for each in LINE if not each.startswith(("path", "hydra"))]
    assert aecli("train", *line, "epochs=1", "path=b/photos", "hydra.run.dir=second") == 0
    capsys.readouterr()
    assert aecli("denoise", "run", "second", "n=2", "noise=gaussian", "strengths=0.1") == 2
    assert "give runs on the same images" in one_error(capsys)


# Comparing.


@pytest.mark.undrawn("train", "compare")
def test_folders_with_the_same_name_are_different_data_sets(
    photos: Path, aecli: Aecli, tmp_path: Path, capsys: Capture
) -> None:
    draw(tmp_path / "b" / "photos", 60, seed=7)
    line = [each for each in LINE if not each.startswith(("path", "hydra"))]
    assert aecli("train", *line, "epochs=1", "seed=1", "path=b/photos", "hydra.run.dir=second") == 0
    capsys.readouterr()
    assert aecli("compare", "run", "second", "output=compared") == 0
    digests = [
        RunDirectory(tmp_path / name).load_summary()["data"]["fingerprints"]["test"]
        for name in ("run", "second")
    ]
    reports = {path.parent.name for path in (tmp_path / "compared").rglob("report.html")}
    assert reports == {f"photos-{digest[:8]}" for digest in digests}
    for name, count in {"photos": 2, "folder": 2, f"photos-{digests[0][:8]}": 1}.items():
        assert aecli("compare", "run", "second", f"data={name}", "output=compared") == 0
        assert len(list((tmp_path / "compared").rglob("report.html"))) == count


def test_a_data_set_in_two_folders_is_recognised_as_the_same(
    photos: Path, aecli: Aecli, tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "pictures")
    line = [each for each in LINE if not each.startswith(("path", "hydra"))]
    assert aecli("train", *line, "epochs=1", "seed=1", "path=pictures", "hydra.run.dir=second") == 0
    comparison = gather([tmp_path / "run", tmp_path / "second"])
    (setting,) = comparison.settings
    assert setting.seeds == [0, 1]


def test_runs_on_other_training_images_are_not_averaged(aecli: Aecli, tmp_path: Path) -> None:
    line = [each for each in LINE if not each.startswith("hydra")]
    draw(tmp_path / "photos" / "train", 30, seed=0)
    draw(tmp_path / "photos" / "test", 10, seed=1)
    assert aecli("train", *line, "epochs=1", "hydra.run.dir=run") == 0
    draw(tmp_path / "photos" / "train" / "more", 10, seed=2)
    assert aecli("train", *line, "epochs=1", "seed=1", "hydra.run.dir=second") == 0
    settings = gather([tmp_path / "run", tmp_path / "second"]).settings
    assert sorted(setting.seeds for setting in settings) == [[0], [1]]
    assert all("training images=" in setting.family for setting in settings)


@pytest.mark.undrawn("train", "compare")
def test_a_copied_run_counts_once(
    finished: Path, tmp_path: Path, aecli: Aecli, capsys: Capture
) -> None:
    for name in ("a", "b"):
        shutil.copytree(finished, tmp_path / "runs" / name)
    assert aecli("compare", "runs") == 0
    printed = capsys.readouterr()
    assert "left out: runs/b, copy: the same run as runs/a" in " ".join(printed.err.split())
    (setting,) = gather([tmp_path / "runs"]).settings
    assert setting.seeds == [0]


def test_a_configuration_not_written_by_aecli_is_not_a_run(
    finished: Path, tmp_path: Path, aecli: Aecli, capsys: Capture
) -> None:
    shutil.copytree(finished, tmp_path / "runs" / "a")
    for number, text in enumerate(("site: blog\n", "", "{", "- 1\n", "latent: 3\n")):
        (tmp_path / "runs" / f"blog-{number}").mkdir()
        (tmp_path / "runs" / f"blog-{number}" / "config.yaml").write_text(text)
    (tmp_path / "runs" / "folder" / "config.yaml").mkdir(parents=True)
    os.mkfifo(tmp_path / "runs" / "folder" / "manifest.json")
    assert gather([tmp_path / "runs"]).skipped == []
    assert aecli("compare", "runs/blog-0") == 2
    assert "holds no runs" in one_error(capsys)


def test_runs_behind_links_are_found_once(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    (folder / "inner").mkdir(parents=True)
    shutil.copytree(finished, tmp_path / "store" / "deep" / "run")
    (folder / "linked").symlink_to(tmp_path / "store")
    (folder / "again").symlink_to(tmp_path / "store" / "deep")
    (folder / "circle").symlink_to(folder)
    (folder / "inner" / "up").symlink_to(tmp_path)
    (folder / "broken").symlink_to(tmp_path / "nothing")
    (found,) = runs_below(folder)
    assert found.path.resolve() == tmp_path / "store" / "deep" / "run"
    # A run inside the folder is listed by its own path, not by that of a link to it.
    (folder / "a-link").symlink_to(folder / "z-run")
    shutil.copytree(finished, folder / "z-run")
    assert [run.path.name for run in runs_below(folder)] == ["run", "z-run"]
