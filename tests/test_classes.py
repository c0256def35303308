"""`data.classes` and `data.exclude_classes`: part of a data set by what its images show."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from aecli.cli.compose import compose
from aecli.config import DataConfig
from aecli.data import DATASETS, Data, Split, load_data
from aecli.data.classes import class_mask, class_suffix, select_classes
from aecli.data.loaded import resolve_config
from aecli.data.split import LoadedData
from aecli.errors import DataError, UsageError
from aecli.runs.directory import RunDirectory
from aecli.runs.trained import open_run
from tests.conftest import TINY

Aecli = Callable[..., int]
CPU = torch.device("cpu")
ANIMALS = ("cat", "dog", "eel")


def numbered(count: int, first: int) -> Split:
    """Animals in turn, each on an image of its own number."""
    numbers = torch.arange(first, first + count)
    return Split(numbers.to(torch.uint8).reshape(-1, 1, 1, 1), numbers % 3, ANIMALS)


@pytest.fixture(autouse=True)
def animals(monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set of 30 images to train on, of which 9 are for validation, and 12 to test on."""
    loaded = LoadedData(numbered(30, 0), numbered(12, 100), "the zoo")
    monkeypatch.setitem(DATASETS, "animals", lambda _, __: loaded)


def load(**options: Any) -> Data:
    return load_data(DataConfig(**{"name": "animals", "val_size": 9, **options}), Path(), CPU)


def numbers(split: Split) -> list[int]:
    return split.images.flatten().tolist()


def test_without_limits_all_images_are_there() -> None:
    data = load()
    assert data.name == "animals"
    assert [len(split) for split in (data.train, data.validation, data.test)] == [21, 9, 12]


def test_images_of_some_classes_are_those_of_every_split() -> None:
    data = load(classes=["dog"])
    assert numbers(data.train) == [1, 4, 7, 10, 13, 16, 19]
    assert numbers(data.validation) == [22, 25, 28]
    assert numbers(data.test) == [100, 103, 106, 109]
    assert data.train.classes == ANIMALS and set(data.train.labels.tolist()) == {1}  # as before
    both = load(classes=["eel", "cat"])  # in whichever order
    assert sorted(set(both.test.labels.tolist())) == [0, 2]


def test_images_without_some_classes_are_all_others() -> None:
    for kept, left_out in ((["dog"], ["cat", "eel"]), (["cat", "dog"], ["eel"])):
        only, without = load(classes=kept), load(exclude_classes=left_out)
        for name in ("train", "validation", "test"):
            assert numbers(getattr(only, name)) == numbers(getattr(without, name))


def test_the_same_images_are_for_validation_whichever_classes_are_trained_on() -> None:
    apart = [load(classes=[name]) for name in ANIMALS]
    together = sorted(number for data in apart for number in numbers(data.validation))
    assert together == numbers(load().validation)
    assert not set(numbers(apart[1].validation)) & set(numbers(load().train))


def test_sizes_count_images_of_the_classes() -> None:
    data = load(classes=["cat"], train_size=4, test_size=2)
    assert (numbers(data.train), numbers(data.test)) == ([0, 3, 6, 9], [102, 105])
    with pytest.raises(UsageError, match=r"data.train_size=8 .* the data set has only 7 images"):
        load(classes=["cat"], train_size=8)


def test_titles_say_which_classes_these_are() -> None:
    assert load(classes=["cat", "eel"]).name == "animals (only cat, eel)"
    assert load(exclude_classes=["dog"]).name == "animals (without dog)"
    assert class_suffix(DataConfig("animals")) == ""
    assert load(classes=["cat"]).key == "animals"


def test_an_unknown_class_is_named_with_the_valid_ones() -> None:
    for key in ("classes", "exclude_classes"):
        with pytest.raises(UsageError) as caught:
            load(**{key: ["cat", "dgo"]})
        assert str(caught.value) == (
            f"data.{key}=[cat,dgo] is not valid: there is no class 'dgo': did you mean dog? "
            f"(valid: cat, dog, eel)"
        )


def test_classes_without_an_image_are_refused() -> None:
    with pytest.raises(DataError, match=r"animals \(without cat, dog, eel\) has no images left"):
        load(exclude_classes=[*ANIMALS])
    few = Split(torch.zeros(2, 1, 1, 1, dtype=torch.uint8), torch.tensor([0, 2]), ANIMALS)
    with pytest.raises(DataError, match=r"animals \(only dog\) has no images left in the val"):
        select_classes(DataConfig("animals", classes=["dog"]), few, "validation")


def test_which_images_are_of_the_classes() -> None:
    split = numbered(4, 0)
    for options, expected in (
        ({}, [True, True, True, True]),
        ({"classes": ["cat"]}, [True, False, False, True]),
        ({"exclude_classes": ["cat"]}, [False, True, True, False]),
    ):
        config = DataConfig("animals", **options)  # type: ignore[arg-type]
        assert class_mask(config, split).tolist() == expected


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["data.classes=[]"], "data.classes=[] is not valid: give classes, as in [3,5], or null"),
        (["data.exclude_classes=[]"], "data.exclude_classes=[] is not valid: "),
        (["data.classes=3"], "data.classes is not valid: give a list in brackets, as in [3,5]"),
        (
            ["data.classes=[3]", "data.exclude_classes=[4,5]"],
            "data.exclude_classes=[4,5] is not valid: "
            "give either data.classes or data.exclude_classes",
        ),
    ],
)
def test_invalid_lists_are_refused(line: list[str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        compose(["data=synthetic", *line])
    assert words in str(caught.value)


def test_digits_are_named_as_they_are_typed() -> None:
    config = compose(["data=synthetic", "data.classes=[3,07]"])
    assert config.data.classes == ["3", "07"]


def test_the_saved_configuration_keeps_the_limits() -> None:
    config = compose(["data=synthetic", "data.exclude_classes=[3]"])
    saved = resolve_config(config, load(exclude_classes=["cat"])).data
    assert (saved.name, saved.exclude_classes, saved.image_shape) == ("animals", ["3"], [1, 1, 1])


def test_folders_are_classes_by_name(tmp_path: Path) -> None:
    for number in range(60):
        path = tmp_path / "photos" / ("cats", "hens", "1st")[number % 3] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 6), number, np.uint8)).save(path)

    def photos(**options: Any) -> Data:
        config = DataConfig("folder", str(tmp_path / "photos"), val_size=None, **options)
        return load_data(config, tmp_path / "data", CPU)

    data, hens = photos(), photos(classes=["hens"])
    assert hens.name == "folder:photos (only hens)"
    for name in ("train", "validation", "test"):
        mine, of_all = getattr(hens, name), getattr(data, name)
        which = [of_all.class_name(label) == "hens" for label in of_all.labels.tolist()]
        assert torch.equal(mine.images, of_all.images[torch.tensor(which)])
    others = photos(exclude_classes=["hens"])
    assert len(others.test) + len(hens.test) == len(data.test)


def test_a_run_on_some_classes_knows_them_and_the_others(
    aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [*TINY, "model=fc", "latent=2", "data.classes=[2,8]", "hydra.run.dir=run"]
    assert aecli("train", *line) == 0
    assert "synthetic (only 2, 8), 1x28x28: 256 training" in capsys.readouterr().out
    trained = open_run(RunDirectory(Path("run")).path, device="cpu")
    assert trained.config.data.classes == ["2", "8"]
    data, others = trained.data(), trained.test_of_other_classes()
    for split in (data.train, data.validation, data.test):
        assert set(split.labels.tolist()) == {2, 8}
    assert len(data.test) == 100
    assert set(others.labels.tolist()) == {0, 1, 3, 4, 5, 6, 7, 9}
    assert len(others) == 100  # test_size counts images of the other classes alone
    assert aecli("evaluate", "run") == 0
    assert "test images of synthetic (only 2, 8)" in capsys.readouterr().out


def test_a_run_on_all_classes_has_no_other_classes(finished: Path) -> None:
    assert len(open_run(finished, device="cpu").test_of_other_classes()) == 0
