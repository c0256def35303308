"""`data=folder`: a person's own images as a data set, decoded once and mapped into memory."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor

from aecli.config import DataConfig, config_groups
from aecli.data import Data, folder, image_cache, images, load_data
from aecli.data.batches import gather
from aecli.data.image_cache import ImageCache
from aecli.data.split import Split
from aecli.errors import DataError, StorageError, UsageError
from tests.apart import context
from tests.conftest import with_project

Aecli = Callable[..., int]
CPU = torch.device("cpu")


def put(path: Path, level: int, size: tuple[int, int] = (4, 6), colour: bool = False) -> None:
    """An image all of whose pixels are `level`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((*size, 3) if colour else size, level, np.uint8)
    Image.fromarray(pixels).save(path)


def put_all(root: Path, *names: str) -> Path:
    """Images whose level is their number."""
    for level, name in enumerate(names):
        put(root / name, level)
    return root


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of twenty grey images of 4x6 each: levels 0 to 19, and 100 to 119."""
    for number in range(20):
        put(tmp_path / "photos" / "cats" / f"{number}.png", number)
        put(tmp_path / "photos" / "dogs" / f"{number}.bmp", 100 + number)
    return tmp_path / "photos"


def load(path: Path, **options: object) -> Data:
    config = DataConfig("folder", str(path), **{"val_size": None, **options})  # type: ignore[arg-type]
    return load_data(config, path.parent / "data", CPU)


def levels(split: Split) -> list[int]:
    """The level of each image, all of whose pixels are alike."""
    assert all(image.unique().numel() == 1 for image in split.images)
    return [int(image.max()) for image in split.images]


def splits(data: Data) -> list[list[int]]:
    return [sorted(levels(split)) for split in (data.train, data.validation, data.test)]


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the decodings by noting the number of files of each."""
    counts: list[int] = []
    decode_images = images.decode_images

    def noting(paths: list[Path], *options: Any) -> object:
        counts.append(len(paths))
        return decode_images(paths, *options)

    monkeypatch.setattr(folder, "decode_images", noting)
    return counts


def test_every_image_is_in_one_split_with_the_label_of_its_folder(photos: Path) -> None:
    data = load(photos)
    assert (data.name, data.requested, data.source) == ("folder:photos", "folder", str(photos))
    assert data.notice is None and data.image_shape == (1, 4, 6)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [32, 4, 4]
    assert sorted(sum(splits(data), [])) == [*range(20), *range(100, 120)]
    for split in (data.train, data.validation, data.test):
        assert split.labels.tolist() == [int(level >= 100) for level in levels(split)]
        assert split.images.dtype == torch.uint8 and split.labels.dtype == torch.int64
    # Shuffled: the classes do not follow one another.
    for split in (data.train[:10], data.validation, data.test):
        assert set(split.labels.tolist()) == {0, 1}


def test_the_same_images_are_held_out_wherever_the_folder_is(photos: Path) -> None:
    elsewhere = photos.parent / "copy" / "renamed"
    shutil.copytree(photos, elsewhere)
    first, second = load(photos), load(elsewhere)
    assert splits(first) == splits(second)
    assert levels(first.train) == levels(second.train)
    assert (first.name, second.name) == ("folder:photos", "folder:renamed")


def test_classes_are_numbered_in_natural_order(tmp_path: Path) -> None:
    names = ["10/a/x.png", "2/a.png", "9/y.png", "2/b.png", "loose.png"]
    data = load(put_all(tmp_path / "set", *names))
    found = {
        level: label
        for split in (data.train, data.validation, data.test)
        for level, label in zip(levels(split), split.labels.tolist(), strict=True)
    }
    assert found == {0: 3, 1: 1, 2: 2, 3: 1, 4: 0}


def test_classes_are_named_after_their_folders(tmp_path: Path) -> None:
    names = [
        "+",
        "(",
        "!",
        "=",
        ",",
        "a&b",
        "a+b",
        "all",
        "1",
        "01",
        "1.10",
        "null",
        "[b]",
        "$x$",
        "_y",
    ]
    folder = put_all(tmp_path / "set", *(f"{name}/{i}.png" for name in names for i in range(5)))
    classes = load(folder).train.classes
    assert sorted(classes) == sorted(names) and load(folder).train.classes == classes
    assert classes.index("01") < classes.index("1") < classes.index("1.10")


def test_without_class_folders_there_is_one_class(tmp_path: Path) -> None:
    data = load(put_all(tmp_path / "set", *(f"{number}.png" for number in range(10))))
    assert set(data.train.labels.tolist() + data.test.labels.tolist()) == {0}


def test_folders_named_train_val_and_test_are_the_splits(tmp_path: Path) -> None:
    names = ["train/b/1.png", "train/a/2.png", "val/a/3.png", "test/a/4.png", "test/c/5.png"]
    data = load(put_all(tmp_path / "set", *names))
    assert splits(data) == [[0, 1], [2], [3, 4]]
    assert dict(zip(levels(data.train), data.train.labels.tolist(), strict=True)) == {0: 1, 1: 0}
    assert dict(zip(levels(data.test), data.test.labels.tolist(), strict=True)) == {3: 0, 4: 2}
    with pytest.raises(
        UsageError, match=r"data\.val_size=2 .* its own validation split of size 1,"
    ):
        load(tmp_path / "set", val_size=2)


def test_a_split_without_a_folder_is_held_out_of_the_training_images(tmp_path: Path) -> None:
    training = [f"train/{number}.png" for number in range(20)]
    with_test = load(put_all(tmp_path / "a", *training, "test/x.png", "test/y.png"))
    assert [len(part) for part in splits(with_test)] == [18, 2, 2]
    assert splits(with_test)[2] == [20, 21]
    with_val = load(put_all(tmp_path / "b", *training, "val/x.png", "val/y.png"))
    assert [len(part) for part in splits(with_val)] == [18, 2, 2]
    assert splits(with_val)[1] == [20, 21]


@pytest.mark.parametrize(
    "names", ["train valid test", "Training Val TESTING", "TRAIN Validation test"]
)
def test_splits_have_several_names(names: str, tmp_path: Path) -> None:
    train, val, test = names.split()
    files = [f"{train}/1.png", f"{train}/2.png", f"{val}/3.png", f"{test}/a/4.png"]
    assert splits(load(put_all(tmp_path / "set", *files))) == [[0, 1], [2], [3]]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            "train/1 test/2 car/3",
            r"splits \(test, train\) next to images .* are not \(car\): ",
        ),
        (
            "train/1 test/2 preview",
            r"\(test, train\) .* that are not \(preview0\.png, .*\): ",
        ),
        (
            "test/1 car/2 dog/3",
            r"splits \(test\) next to images .* are not \(car, dog\): ",
        ),
        ("train/1 Training/2 test/3", r"2 folders for the train split \(Training, train\): "),
        ("train/1 val/2 valid/3", r"2 folders for the validation split \(val, valid\): "),
        ("Test/1 val/2", r"test or validate with \(Test, val\), but no folder train: "),
        ("set/train/1 set/test/2", r"a folder set/test, .*, as in path=.*/set/set, "),
        ("cats/train/1 cats/test/2 dogs/3", r"a folder cats/test, which is named like a split "),
    ],
)
def test_unclear_splits_are_refused_and_may_be_classes(
    names: str, words: str, tmp_path: Path
) -> None:
    files = [f"{name}{number}.png" for name in names.split() for number in range(4)]
    folder = put_all(tmp_path / "set", *files)
    with pytest.raises(DataError, match=f"^path=.*set has .*{words}.*splits=false") as caught:
        load(folder)
    assert caught.value.status == 3 and "\n" not in str(caught.value)
    data = load(folder, splits=False)
    expected = sorted({file.partition("/")[0] if "/" in file else "." for file in files})
    assert sorted(data.train.classes) == expected
    assert len(data.train) + len(data.validation) + len(data.test) == len(files)


@pytest.mark.parametrize(
    "names",
    [
        "train2017 val2017 test2017",
        "train_set val-set TestSet",
        "train_images images_val test.imgs",
        "training-data validation_data testing data",
        "TRAIN_1 data_valid dataset-test",
    ],
)
def test_splits_may_have_years_and_words_for_images_in_their_names(
    names: str, tmp_path: Path
) -> None:
    train, val, test = names.split(maxsplit=2)
    files = [f"{train}/1.png", f"{train}/2.png", f"{val}/3.png", f"{test}/a/4.png"]
    assert splits(load(put_all(tmp_path / "set", *files))) == [[0, 1], [2], [3]]


def test_ambiguous_folder_names_are_an_error(tmp_path: Path) -> None:
    files = [f"{name}/{i}.png" for name in ("trainA", "my-test") for i in range(10)]
    folder = put_all(tmp_path / "set", *files)
    expected = r"folders that may be splits or classes \(my-test, trainA\): give splits=true"
    with pytest.raises(DataError, match=expected):
        load(folder)
    assert len(load(folder, splits=True).test) == 10
    assert load(folder, splits=False).train.classes == ("my-test", "trainA")
    shutil.move(folder / "trainA", folder / "cats")
    unclear = "taken as classes, though named like splits: my-test (splits=false confirms it)"
    assert unclear in str(load(folder).notice).splitlines()
    assert unclear not in str(load(folder, splits=False).notice).splitlines()
    with pytest.raises(DataError, match=r"that are splits \(my-test\) next to images .*\(cats\)"):
        load(folder, splits=True)
    shutil.move(folder / "my-test", folder / "dogs")
    with pytest.raises(DataError, match=r"no folder that is named like a split, but splits=true"):
        load(folder, splits=True)


@pytest.mark.parametrize("other", ["steamtraining", "valley", "contest", "trains"])
def test_part_of_a_word_does_not_name_a_split(other: str, tmp_path: Path) -> None:
    files = [f"{name}/{i}.png" for name in (other, "tested") for i in range(10)]
    data = load(put_all(tmp_path / "set", *files))
    assert sorted(data.train.classes) == sorted([other, "tested"])
    assert "named like" not in str(data.notice)


@pytest.mark.parametrize("empty", ["test", "val", "train", "Test_set"])
@pytest.mark.parametrize(
    "content", ["nothing", "other files", "a link to another split", "a link to nowhere"]
)
def test_a_split_without_images_of_its_own_is_refused(
    empty: str, content: str, tmp_path: Path
) -> None:
    tops = {"train", "val", "test"} - {empty.partition("_")[0].lower()}
    folder = put_all(tmp_path / "set", *(f"{top}/{i}.png" for top in sorted(tops) for i in "123"))
    if content == "a link to another split":
        (folder / empty).symlink_to(min(tops), target_is_directory=True)
        empty = f"({empty}|{min(tops)})"  # whichever is found second
    elif content == "a link to nowhere":
        (folder / empty).symlink_to("nowhere")
    else:
        (folder / empty / "deeper").mkdir(parents=True)
        if content == "other files":
            (folder / empty / "a.heic").touch()
    expected = rf"hold no images of their own .*\({empty}\): put .*, remove .*splits=false"
    with pytest.raises(DataError, match=expected):
        load(folder)


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_split_whose_images_are_all_broken_is_refused(part: str, tmp_path: Path) -> None:
    names = [f"{top}/{i}.png" for top in ("train", "val", "test") for i in "123"]
    folder = put_all(tmp_path / "set", *names)
    for file in (folder / part).iterdir():
        file.write_bytes(b"")
    with pytest.raises(DataError, match="too few readable images: 6 of 9, .*: it is empty"):
        load(folder)


@pytest.mark.parametrize("below", ["train/cats/test", "train/test", "test/x/y/val_images"])
def test_a_split_within_a_split_is_refused_and_may_be_part_of_it(
    below: str, tmp_path: Path
) -> None:
    names = [f"{top}/{i}.png" for top in ("train", "test", below) for i in "123"]
    folder = put_all(tmp_path / "set", *names)
    expected = f"a folder {below}, named like another split: .*splits=true if it belongs to"
    with pytest.raises(DataError, match=expected):
        load(folder)
    data = load(folder, splits=True)
    assert len(data.test) == (6 if below.startswith("test") else 3)


def test_a_class_may_be_called_as_a_split_within_splits(tmp_path: Path) -> None:
    files = [f"{split}/test/{number}.png" for split in ("train", "test") for number in range(3)]
    assert load(put_all(tmp_path / "set", *files)).train.classes == ("test",)


def test_each_class_is_in_the_test_set_in_proportion(tmp_path: Path) -> None:
    files = [f"many/{number}.png" for number in range(180)] + [f"few/{i}.png" for i in range(20)]
    data = load(put_all(tmp_path / "set", *files))
    for split, many in ((data.test, 18), (data.validation, 16)):
        counts = Counter(map(split.class_name, split.labels.tolist()))
        assert counts == {"many": many, "few": 2}


def test_a_class_of_a_few_images_has_one_to_test_on(tmp_path: Path) -> None:
    files = [f"{name}/{number}.png" for name in "abcdefg" for number in range(5)]
    data = load(put_all(tmp_path / "set", *files))
    assert sorted(map(data.test.class_name, data.test.labels.tolist())) == list("abcdefg")


def test_classes_without_training_or_test_images_are_reported(tmp_path: Path) -> None:
    rare = [f"{name}/1.png" for name in ("w", "x", "y", "z10", "z9", "zz")]
    files = [f"many/{number}.png" for number in range(80)] + rare
    notice = load(put_all(tmp_path / "set", *files)).notice
    assert notice == "no test images in 6 of 7 classes: w, x, y, z9, z10 and 1 more"
    files = [
        "train/cat/1.png",
        "train/cat/2.png",
        "train/dog/3.png",
        "test/cat/1.png",
        "test/eel/2.png",
    ]
    notice = load(put_all(tmp_path / "other", *files)).notice
    assert notice is not None and notice.splitlines() == [
        "all 5 images use little of their range: their values reach 4, while 255 counts as white; "
        "scale=7 makes 7 white",
        "no training images in 1 of 3 classes: eel",
        "no test images in 1 of 3 classes: dog",
    ]


def test_images_are_resized_only_when_asked(photos: Path) -> None:
    put(photos / "cats" / "large.png", 50, size=(8, 12))
    with pytest.raises(DataError) as caught:
        load(photos)
    message = str(caught.value)
    assert "images of 2 sizes" in message and "8x12 (cats/large.png)" in message
    assert "4x6 (" in message and "image_size=" in message and "\n" not in message
    data = load(photos, image_size="3x5")
    assert data.image_shape == (1, 3, 5) and sorted(sum(splits(data), []))[20] == 50
    assert load(photos, image_size="8").image_shape == (1, 8, 8)


def test_channels_are_those_of_the_images_unless_they_are_given(photos: Path) -> None:
    assert load(photos, channels=3).image_shape == (3, 4, 6)
    put(photos / "cats" / "colour.png", 50, colour=True)
    assert load(photos).image_shape == (3, 4, 6)
    assert load(photos, channels=1).image_shape == (1, 4, 6)


def test_broken_files_are_named_and_left_out(photos: Path) -> None:
    for number in range(5):
        (photos / "cats" / f"broken{number}.png").write_bytes(b"")
    data = load(photos)
    assert len(data.train) + len(data.validation) + len(data.test) == 40
    assert data.notice is not None
    assert data.notice.startswith("5 of the 45 image files cannot be read and are left out (")
    assert data.notice.count("it is empty") == 3 and "; and 2 more" in data.notice
    assert data.source == f"{photos} (5 of 45 files left out)"
    (index,) = (photos.parent / "data" / "folder").glob("*.json")
    assert str(index) in data.notice
    assert len(json.loads(index.read_text())["facts"]["broken"]) == 5
    assert load(photos).notice == data.notice  # read from the cache, it is told as well


def test_images_are_decoded_once(photos: Path, decodings: list[int]) -> None:
    first, second = load(photos), load(photos)
    assert decodings == [40]
    for one, other in zip(splits(first), splits(second), strict=True):
        assert one == other
    load(photos, image_size="2")
    load(photos, image_size="2")
    assert decodings == [40, 40]


@pytest.mark.parametrize(
    "change", ["added", "removed", "touched", "moved", "edited", "linked", "renamed", "splits"]
)
def test_a_change_of_the_files_is_noticed(change: str, photos: Path, decodings: list[int]) -> None:
    for name, level in (("one", 40), ("other", 41)):  # of one size and, to the cache, of one time
        put(photos.parent / f"{name}.bmp", level)
        os.utime(photos.parent / f"{name}.bmp", ns=(1, 1))
    (photos / "cats" / "link.bmp").symlink_to(photos.parent / "one.bmp")
    load(photos)
    options: dict[str, object] = {}
    if change == "added":
        put(photos / "cats" / "new.png", 77)
    elif change == "removed":
        (photos / "cats" / "3.png").unlink()
    elif change == "touched":
        put(photos / "cats" / "3.png", 77)
        os.utime(photos / "cats" / "3.png", ns=(1, 1))
    elif change == "edited":  # its time is put back, as some programs do
        status = (photos / "dogs" / "3.bmp").stat()
        put(photos / "dogs" / "3.bmp", 78)
        os.utime(photos / "dogs" / "3.bmp", ns=(status.st_atime_ns, status.st_mtime_ns))
    elif change == "linked":
        (photos / "cats" / "link.bmp").unlink()
        (photos / "cats" / "link.bmp").symlink_to(photos.parent / "other.bmp")
    elif change == "renamed":
        (photos / "cats").rename(photos / "lions")
    elif change == "splits":
        options["splits"] = False
    else:
        (photos / "cats" / "3.png").rename(photos / "dogs" / "3.png")
    data = load(photos, **options)
    assert len(decodings) == 2
    found = sum(splits(data), [])
    assert (77 in found) == (change in ("added", "touched"))
    assert (78 in found) == (change == "edited")
    assert (41 in found) == (change == "linked")
    assert (3 in found) == (change not in ("removed", "touched"))
    assert data.train.classes == (("dogs", "lions") if change == "renamed" else ("cats", "dogs"))
    if change != "splits":
        assert len(list((photos.parent / "data" / "folder").iterdir())) == 2  # in place of the old


@pytest.mark.parametrize("damage", ["cut", "longer", "flipped", "gone"])
@pytest.mark.parametrize("suffix", ["images", "json"])
def test_a_damaged_cache_is_rebuilt(
    suffix: str, damage: str, photos: Path, decodings: list[int]
) -> None:
    before = splits(load(photos))
    (path,) = (photos.parent / "data" / "folder").glob(f"*.{suffix}")
    whole = path.read_bytes()
    flipped = whole.replace(b"\n   1", b"\n   0", 1)  # a label
    if suffix == "images":
        flipped = bytes([whole[0] ^ 1]) + whole[1:]
    damaged = {"cut": whole[:-3], "longer": whole + b"\0", "flipped": flipped}
    if damage == "gone":
        path.unlink()
    else:
        assert damaged[damage] != whole
        path.write_bytes(damaged[damage])
    assert splits(load(photos)) == before
    assert decodings == [40, 40]
    assert path.read_bytes() == whole


def rewritten(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda facts: {**facts, **changes}


# What an index may say that somebody has made, with the digest of what it says.
CRAFTED: list[Callable[[dict[str, Any]], Any]] = [
    lambda _: None,
    lambda _: [1],
    lambda facts: {"fingerprint": facts["fingerprint"]},
    *(rewritten(image_shape=shape) for shape in ([], [1, 4], 7, "ab", [1, 4, 6, 1], [1, 0, 6])),
    *(rewritten(image_shape=shape) for shape in ([6, 4, 1], [1, 4, 7], [1, -4, -6], [10**18] * 3)),
    *(rewritten(image_shape=shape) for shape in ([3, 4, 6], [1, 4, 10**18], [None, 4, 6])),
    *(rewritten(broken=broken) for broken in (None, [1], 5, {"cats/1.png": "it is not"})),
    rewritten(broken={f"{name}/{n}.{kind}": "" for n in range(20) for name, kind in
                      (("cats", "png"), ("dogs", "bmp"))}),
    *(rewritten(notices=notices) for notices in (None, 5)),
    *(rewritten(pixels=pixels) for pixels in (None, "", [1], "0" * 64)),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(CRAFTED)))
def test_a_crafted_index_is_rebuilt(number: int, photos: Path, decodings: list[int]) -> None:
    before = splits(load(photos))
    (path,) = (photos.parent / "data" / "folder").glob("*.json")
    facts = CRAFTED[number](json.loads(path.read_bytes())["facts"])
    path.write_text(json.dumps({"sha256": image_cache._digest(facts), "facts": facts}))
    assert splits(load(photos)) == before and decodings == [40, 40]


@pytest.mark.parametrize("suffix", ["images", "json"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_something_other_than_a_file_in_place_of_the_cache_is_replaced_or_named(
    suffix: str, make: Callable[[Path], None], photos: Path
) -> None:
    before = splits(load(photos))
    (path,) = (photos.parent / "data" / "folder").glob(f"*.{suffix}")
    path.unlink()
    make(path)
    if (suffix, make) == ("images", os.mkfifo):
        assert splits(load(photos)) == before
    else:
        with pytest.raises(StorageError, match=rf"{path.name} cannot be "):
            load(photos)


def test_images_are_hashed_once_when_they_are_read_from_the_cache(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = load(photos).fingerprints
    hashed: list[int] = []
    sha256 = hashlib.sha256

    def counting(content: Any = b"") -> Any:
        if len(memoryview(content)) == 4 * 6:  # an image
            hashed.append(1)
        return sha256(content)

    monkeypatch.setattr(hashlib, "sha256", counting)
    monkeypatch.setattr(hashlib, "file_digest", None)
    data = load(photos)
    assert data.fingerprints == expected and data.copies == 0
    assert len(hashed) == 40


def test_interrupted_decoding_leaves_no_cache(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> object:
        yield torch.zeros(1, 4, 6, dtype=torch.uint8)
        raise KeyboardInterrupt

    monkeypatch.setattr(folder, "decode_images", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load(photos)
    assert list((photos.parent / "data" / "folder").iterdir()) == []


def test_images_that_use_little_of_their_range_are_reported_and_can_be_scaled(
    tmp_path: Path,
) -> None:
    deep = np.arange(200, dtype=np.uint16).reshape(10, 20)
    for number, level in enumerate(range(0, 4000, 200)):
        path = tmp_path / "deep" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(deep + np.uint16(level)).save(path)
    words = "little of their range: their values reach 3,999, while 65,535 counts as white"
    notice = f"all 20 images use {words}; scale=4095 makes 4,095 white"
    assert load(tmp_path / "deep").notice == notice
    scaled = load(tmp_path / "deep", scale=4095.0)
    assert scaled.notice is None
    assert (
        max(int(part.images.max()) for part in (scaled.train, scaled.validation, scaled.test))
        == 249
    )
    for number in range(20):  # beside others that are as bright as they can be
        put(tmp_path / "deep" / f"bright{number}.png", 230 + number, size=(10, 20))
    assert load(tmp_path / "deep").notice == notice.replace("all 20", "20 of 40")


def test_images_of_8_bits_may_be_dark_unless_all_are(tmp_path: Path) -> None:
    folder = put_all(tmp_path / "set", *(f"{number}.png" for number in range(20)))
    words = "little of their range: their values reach 19, while 255 counts as white"
    assert load(folder).notice == f"all 20 images use {words}; scale=31 makes 31 white"
    assert load(folder, scale=31.0).notice is None
    put(folder / "bright.png", 255)
    assert load(folder).notice is None
    for file in folder.iterdir():
        put(file, 0)
    assert str(load(folder).notice).startswith("all 21 images are black")


def test_files_that_are_not_read_are_counted_by_kind(photos: Path) -> None:
    for name in ("a.heic", "b.HEIC", "cats/c.txt", "README", ".hidden.heic"):
        (photos / name).touch()
    os.mkfifo(photos / "pipe.png")
    words = "files that are not read: 2 .heic, 1 .txt, 1 without a suffix, 1 .png"
    assert sorted(str(load(photos).notice).split(", ")) == sorted(words.split(", "))
    (photos.parent / "none").mkdir()
    (photos.parent / "none/a.heic").touch()
    with pytest.raises(DataError, match="no images: .*; files that are not read: 1 .heic$"):
        load(photos.parent / "none")


def test_files_of_several_images_are_counted(photos: Path) -> None:
    frames = [Image.new("L", (6, 4), level) for level in (200, 10)]
    for name in ("a.gif", "b.tif"):
        frames[0].save(photos / "cats" / name, save_all=True, append_images=frames[1:])
    data = load(photos)
    assert str(data.notice).startswith("2 files hold several images; the first of each is used")
    assert sum(splits(data), []).count(200) == 2
    assert load(photos, image_size="4x6", channels=1).notice == data.notice


def write_until_told(file: Path, pipe: Connection) -> None:
    """Write a cache, and end when all images are there and the other end of the pipe says so."""

    def images() -> Iterator[Tensor]:
        for _ in range(100):
            yield torch.zeros(1, 100, 100, dtype=torch.uint8)
        pipe.send("writing")
        pipe.recv()

    ImageCache(file, Path("unused")).write(images())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps files that are open")
def test_files_of_a_killed_process_are_removed_and_files_being_written_are_not(
    photos: Path,
) -> None:
    folder = photos.parent / "data" / "folder"
    folder.mkdir(parents=True)
    writers = []
    for name in ("killed.images", "alive.images"):
        pipe, theirs = context.Pipe()
        writer = context.Process(target=write_until_told, args=(folder / name, theirs))
        writer.start()
        theirs.close()
        assert pipe.recv() == "writing"
        writers.append((writer, pipe))
    other_host = {age: folder / f".a.images.elsewhere-{age}.part" for age in (0, 4000)}
    for age, file in other_host.items():
        file.write_bytes(b"1")
        os.utime(file, (time.time() - age,) * 2)
    (folder / ".a.images.part.kept").touch()
    (killed, _), (alive, pipe) = writers
    killed.kill()
    killed.join()
    load(photos)
    left = sorted(path.name.split(".")[1] for path in folder.glob(".*.images.*.part"))
    assert left == ["a", "alive"] and other_host[0].exists()
    assert (folder / ".a.images.part.kept").exists()
    pipe.send("end")
    alive.join()
    for _, pipe in writers:
        pipe.close()
    assert (folder / "alive.images").stat().st_size == 100 * 100 * 100


@pytest.mark.parametrize("files", [[], ["notes.txt"], [".hidden.png"]])
def test_a_folder_without_images_is_refused(files: list[str], tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for file in files:
        (tmp_path / "set" / file).touch()
    with pytest.raises(DataError, match=r"path=.*set contains no images: .*\.png") as caught:
        load(tmp_path / "set")
    assert caught.value.status == 3


@pytest.mark.parametrize("options", [{}, {"image_size": "4", "channels": 1}])
def test_too_few_images_that_can_be_read_are_refused(
    options: dict[str, object], tmp_path: Path
) -> None:
    root = tmp_path / "set"
    (root / "a").mkdir(parents=True)
    (root / "a" / "broken.png").write_text("no image")
    with pytest.raises(DataError, match="broken.png: its format is not one of PNG, ") as caught:
        load(root, **options)
    assert "\n" not in str(caught.value)
    put_all(root, "1.png", "2.png")
    with pytest.raises(DataError, match="too few readable images: . of 3, "):
        load(root, **options)
    (root / "a" / "broken.png").unlink()
    put_all(root, "1.png", "2.png", "3.png", "4.png")
    assert [len(part) for part in splits(load(root, **options))] == [2, 1, 1]


def test_a_data_folder_that_cannot_be_written_is_named(photos: Path) -> None:
    (photos.parent / "data").write_text("kept")
    with pytest.raises(StorageError, match="data.*data_dir="):
        load(photos)


def test_images_that_do_not_fit_on_a_gpu_are_refused(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 2000))
    config = DataConfig("folder", str(photos), val_size=None)
    with pytest.raises(UsageError, match=r"device=cuda has .* GiB free, .*device=cpu"):
        load_data(config, photos.parent / "data", torch.device("cuda"))


def test_the_images_are_read_from_the_file_and_not_held(photos: Path) -> None:
    data = load(photos)
    storages = {split.images.untyped_storage().data_ptr() for split in (data.train, data.test)}
    assert len(storages) == 1 and data.is_mapped  # parts of one mapping, not copies
    (path,) = (photos.parent / "data" / "folder").glob("*.images")
    (mapping,) = (line for line in Path("/proc/self/maps").read_text().splitlines()
                  if line.endswith(str(path)))  # fmt: skip
    assert "r--s" in mapping
    for numbers in torch.randperm(len(data.train)).split(5):
        assert gather(data.train.images, numbers).shape[1:] == (1, 4, 6)


# 200 MB of decoded images; what may be allocated while they are decoded, read and measured is less.
LARGE, SIDE, ALLOWED = 1000, 256, 120 * 2**20
USE = """
import os, resource, sys
from pathlib import Path
import torch
from aecli.config import DataConfig
from aecli.data import load_data
from aecli.data.batches import gather, ordered_batches

def use(count):
    config = DataConfig("folder", f"photos{count}", "256", 3, val_size=None)
    data = load_data(config, Path("data"), torch.device("cpu"))
    for numbers in torch.randperm(len(data.train)).split(8):
        assert gather(data.train.images, numbers).max() <= 1
    for batch in ordered_batches(data.test.images, 8):
        assert batch.max() <= 1

def allocated():
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if "VmData" in x)
    return int(line.split()[1]) * 1024

os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])  # each more is a thread with a stack
use(10)  # whatever is loaded at the first use
limit = allocated() + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
use(int(sys.argv[2]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc are those of Linux")
def test_memory_does_not_grow_with_the_set(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for count in (10, LARGE):
        (tmp_path / f"photos{count}").mkdir()
        for number in range(count):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"photos{count}" / f"{number}.png")
    command = [sys.executable, "-c", textwrap.dedent(USE), str(ALLOWED), str(LARGE)]
    subprocess.run(command, cwd=tmp_path, env=with_project(), check=True)
    (_, file) = sorted(tmp_path.glob("data/folder/*.images"), key=lambda path: path.stat().st_size)
    assert file.stat().st_size == LARGE * 3 * SIDE**2 > 1.5 * ALLOWED


TRAIN = ["train", "data=folder", "epochs=1", "batch_size=16", "latent=3", "device=cpu"]


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """Thirty coloured images of 20x24 in two classes, and a broken one."""
    rng = np.random.default_rng(0)
    for number in range(30):
        path = tmp_path / "photos" / f"class{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(path)
    (tmp_path / "photos" / "class0" / "empty.jpg").touch()
    return tmp_path / "photos"


@pytest.mark.parametrize("model", config_groups()["model"])
def test_every_model_trains_on_own_images(
    model: str, noise: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [*TRAIN, f"model={model}", "path=photos", "image_size=20", "hydra.run.dir=run"]
    assert aecli(*line) == 0
    output, errors = capsys.readouterr()
    assert "folder:photos, 3x20x20: 24 training, 3 validation, 3 test images" in output
    assert "1 of the 31 image files cannot be read" in errors.replace("\n", " ")
    summary = json.loads(Path("run/summary.json").read_text())
    assert summary["test"]["mse"] > 0
    assert set(summary["data"].pop("fingerprints")) == {"train", "validation", "test"}
    assert summary["data"] == {
        "name": "folder:photos",
        "requested": "folder",
        "source": "photos (1 of 31 files left out)",
        "image_shape": [3, 20, 20],
        "train": 24,
        "validation": 3,
        "test": 3,
        "test_copies": 0,
    }


@pytest.mark.undrawn("train", "compare")
def test_runs_on_one_folder_are_compared_and_on_two_separately(
    noise: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    noise.rename(noise.parent / "others")
    shutil.copytree(noise.parent / "others", noise)
    for file in noise.rglob("*.png"):
        with Image.open(file) as picture:
            ImageOps.invert(picture.convert("RGB")).save(file)
    for run, rest in (("runs/a", "path=photos seed=1"), ("runs/b", "path=photos model=fc"),
                      ("other", "path=others")):  # fmt: skip
        assert aecli(*TRAIN, "image_size=16", *rest.split(), f"hydra.run.dir={run}") == 0
    assert aecli("compare", "runs") == 0
    assert Path("runs/compare/report.html").is_file()
    capsys.readouterr()
    assert aecli("compare", "runs/a", "other", "output=both") == 0
    shown = capsys.readouterr().out
    assert "photos: folder:photos (3x16x16, 3 test images)" in shown
    assert "others: folder:others" in shown
    assert sorted(path.parent.name for path in Path("both").glob("*/report.html")) == [
        "others", "photos",
    ]  # fmt: skip


def test_a_sweep_with_several_workers_maps_the_same_file(noise: Path, aecli: Aecli) -> None:
    line = [*TRAIN, "-m", "path=photos", "image_size=16", "seed=0,1", "hydra/launcher=joblib"]
    assert aecli(*line, "hydra.launcher.n_jobs=2", "hydra.sweep.dir=sweep") == 0
    assert len(list(Path("sweep").glob("*/summary.json"))) == 2
    assert len(list(Path().rglob("*.images"))) + len(list(Path().rglob(".aecli-images/*"))) == 0


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("data=folder", 2, "data=folder needs path=..."),
        ("data=folder path=nowhere", 3, "path=nowhere is not a folder"),
        ("data=folder path=photos/a.png", 3, "path=photos/a.png is not a folder"),
        ("data=folder path=empty", 3, "path=empty contains no images"),
        ("data=folder path=photos image_size=0", 2, "image_size=0 is not valid"),
        ("data=folder path=photos image_size=big", 2, "image_size=big is not valid: give 3, or"),
        ("data=folder path=photos channels=2", 2, "channels=2 is not valid: give 1 (grey) or 3"),
        ("data=folder path=photos channels=rgb", 2, "channels=rgb is not valid"),
        ("data=folder path=photos scale=0", 2, "scale=0.0 is not valid: give the pixel value that"),
        ("data=folder path=photos scale=white", 2, "scale=white is not valid: give a number"),
        ("data=folder path=photos splits=no-way", 2, "splits=no-way is not valid: give true or"),
        ("data=synthetic splits=false", 2, "splits=False is for images of your own"),
        ("data=mnist scale=4095", 2, "scale=4095.0 is for images of your own: add data=folder"),
        ("data=folder path=photos data.val_size=500", 2, "data.val_size=500 is not valid: none of"),
        ("path=photos", 2, "path=photos is for images of your own: add data=folder"),
        ("data=synthetic image_size=64", 2, "leave it out with data=synthetic"),
        ("data=synthetic channels=3", 2, "channels=3 is for images of your own"),
        ("data=synthetic factor=4", 2, "factor=4 is for downsampling only"),
        ("data=synthetic channels=0", 2, "channels=0 is not valid"),
    ],
)
def test_a_mistake_gets_one_line(
    line: str, status: int, words: str, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    put_all(Path("photos"), *(f"{number}.png" for number in range(10)), "a.png")
    Path("empty").mkdir()
    assert aecli("train", *line.split()) == status
    errors = capsys.readouterr().err
    assert words in errors
    assert errors.startswith("aecli: ") and errors.count("\n") == 1
    assert not Path("outputs").exists()
