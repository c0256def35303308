"""The synthetic digits on disk: drawn once, read from then on, drawn anew where damaged."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from aecli.data import synthetic, synthetic_cache
from aecli.data.split import LoadedData
from aecli.data.synthetic import synthetic_digits
from aecli.data.synthetic_cache import load_synthetic
from aecli.errors import StorageError

TRAIN, TEST = 3, 2


@cache
def tiny_splits() -> tuple[tuple[Tensor, Tensor], ...]:
    """Images and labels of the tiny data set: to train on, to test on."""
    return synthetic_digits(TRAIN, 0), synthetic_digits(TEST, 1)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make the data set tiny; counts the drawings by noting the seed of each."""
    seeds: list[int] = []

    def draw(count: int, seed: int) -> tuple[Tensor, Tensor]:
        seeds.append(seed)
        images, labels = tiny_splits()[seed]
        assert len(images) == count
        return images.clone(), labels.clone()

    monkeypatch.setattr(synthetic_cache, "TRAIN_SIZE", TRAIN)
    monkeypatch.setattr(synthetic_cache, "TEST_SIZE", TEST)
    monkeypatch.setattr(synthetic, "synthetic_digits", draw)
    return seeds


def is_right(loaded: LoadedData) -> bool:
    """Whether these are the tiny data set's images and labels, to the byte."""
    return all(
        split.images.dtype == torch.uint8
        and torch.equal(split.images, images)
        and torch.equal(split.labels, labels)
        for split, (images, labels) in zip((loaded.train, loaded.test), tiny_splits(), strict=True)
    )


def only_file(data_dir: Path) -> Path:
    (path,) = (path for path in data_dir.rglob("*") if path.is_file())
    return path


def test_whole_data_set_is_as_large_as_mnist(data_dir: Path) -> None:
    loaded = load_synthetic(data_dir)
    assert loaded.train.images.shape == (60_000, 1, 28, 28)
    assert loaded.test.images.shape == (10_000, 1, 28, 28)
    assert loaded.train.labels.bincount().tolist() == [6000] * 10
    assert loaded.test.labels.bincount().tolist() == [1000] * 10
    # The test images are no copies of training images.
    seen = {image.numpy().tobytes() for image in loaded.train.images}
    assert not any(image.numpy().tobytes() in seen for image in loaded.test.images)


def test_digits_are_drawn_once_and_then_read(
    tmp_path: Path, drawn: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_synthetic(tmp_path / "not" / "there")
    assert drawn == [0, 1]
    path = only_file(tmp_path)
    monkeypatch.setattr(synthetic_cache, "write_tensors", None)  # nor is it written again
    second = load_synthetic(tmp_path / "not" / "there")
    assert drawn == [0, 1]
    assert is_right(first) and is_right(second)
    assert only_file(tmp_path) == path
    assert str(path) in first.source == second.source


def test_another_version_draws_again(
    tmp_path: Path, drawn: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    load_synthetic(tmp_path)
    monkeypatch.setattr(synthetic_cache, "VERSION", synthetic_cache.VERSION + 1)
    assert is_right(load_synthetic(tmp_path))
    assert drawn == [0, 1, 0, 1]
    assert len(list((tmp_path / "synthetic").iterdir())) == 2


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "length cut": lambda content: content[:7],
    "header cut": lambda content: content[:100],
    "images cut": lambda content: content[:-1],
    "longer": lambda content: content + b"\0",
    "zeros": lambda content: bytes(len(content)),
    "endless header": lambda content: b"\xff" * 8 + content[8:],
    "something else": lambda content: b"<!DOCTYPE html>",
    "no longer text": lambda content: content.replace(b"sha256", b"\xff\xfea256"),
    "without digest": lambda content: content.replace(b"sha256", b"sha265"),
    "other name": lambda content: content.replace(b"train_images", b"drain_images"),
    "other type": lambda content: content.replace(b'"U8"', b'"I8"'),
    "other shape": lambda content: content.replace(b"28,28]", b"14,56]"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_drawn_again(tmp_path: Path, drawn: list[int], damage: str) -> None:
    load_synthetic(tmp_path)
    path = only_file(tmp_path)
    whole = path.read_bytes()
    damaged = DAMAGES[damage](whole)
    assert damaged != whole
    path.write_bytes(damaged)
    assert is_right(load_synthetic(tmp_path))
    assert drawn == [0, 1, 0, 1]
    assert only_file(tmp_path).read_bytes() == whole


def test_no_flipped_byte_goes_unnoticed(
    tmp_path: Path, drawn: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    load_synthetic(tmp_path)
    path = only_file(tmp_path)
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    monkeypatch.setattr(synthetic_cache, "write_tensors", lambda *_: None)
    for place in [*range(header), *range(header, len(whole), 61), len(whole) - 1]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        drawn.clear()
        assert is_right(load_synthetic(tmp_path)), f"byte {place}"
        assert drawn or whole[place] in b" \t\n\r", f"byte {place}"


def test_folder_that_cannot_be_written_is_met_before_drawing(
    tmp_path: Path, drawn: list[int]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=f"{tmp_path / 'file'}.*data_dir="):
        load_synthetic(tmp_path / "file")
    assert not drawn
