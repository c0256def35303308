"""Data sets: read from disk without a network, checked, split; MNIST never replaced unasked."""

import hashlib
import os
import pickle
import re
import shutil
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision import datasets

from aecli.cli.compose import compose
from aecli.config import DataConfig, config_groups
from aecli.data import DATASETS, Data, download, load_data, synthetic_cache, vision
from aecli.data.download import MissingDataError
from aecli.errors import DataError, StorageError, UsageError
from tests.apart import program

pytestmark = pytest.mark.undrawn

CPU = torch.device("cpu")
TRAIN, TEST, HEIGHT, WIDTH = 9, 4, 6, 5  # of the tiny data sets written here
IDX_CLASSES = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}
IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx(values: Tensor) -> bytes:
    """Unsigned bytes in the format of MNIST's files."""
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.numpy().tobytes()


def idx_tensors() -> dict[str, Tensor]:
    """What the four files of a tiny data set in MNIST's format hold."""
    generator = torch.Generator().manual_seed(7)

    def draw(high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=generator, dtype=torch.uint8)

    shapes = ((TRAIN, HEIGHT, WIDTH), (TRAIN,), (TEST, HEIGHT, WIDTH), (TEST,))
    return {
        name: draw(256 if len(shape) == 3 else 10, *shape)
        for name, shape in zip(IDX_NAMES, shapes, strict=True)
    }


def idx_files() -> dict[str, bytes]:
    return {name: idx(values) for name, values in idx_tensors().items()}


def cifar_files(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A tiny CIFAR-10 whose checksums torchvision now expects: 5 x 3 + 2 images of 32x32."""

    def batch(start: int, count: int) -> bytes:
        pixels = torch.arange(start, start + count * 3072) % 251
        data = pixels.to(torch.uint8).reshape(count, 3072).numpy()
        return pickle.dumps({"data": data, "labels": [(start + i) % 10 for i in range(count)]})

    files = {f"data_batch_{i}": batch(3 * i, 3) for i in range(1, 6)}
    files |= {"test_batch": batch(100, 2)}
    files |= {"batches.meta": pickle.dumps({"label_names": list("abcdefghij")})}
    sums = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    batches = [[name, sums[name]] for name in files if name.startswith("data_batch")]
    meta = {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]}
    monkeypatch.setattr(datasets.CIFAR10, "train_list", batches)
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    return files


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def publish_tiny_mnist(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The tiny data set's files, which now pass for the published MNIST."""
    files = idx_files()
    for name, content in files.items():
        monkeypatch.setitem(vision.MNIST_DIGESTS, name, hashlib.sha256(content).hexdigest())
    return files


def use_mirror(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Make torchvision download from there, and no proxy stand between.

    The download's process, which would import torchvision for seconds, has it imported.
    """
    monkeypatch.setattr(download, "_process", program)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for name in IDX_CLASSES.values():
        monkeypatch.setattr(getattr(datasets, name), "mirrors", list(addresses))
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{addresses[0]}cifar-10-python.tar.gz")
    monkeypatch.setattr(vision, "fetch_command", fetch_command_here)


def fetch_command_here(class_name: str) -> list[str]:
    """The download's own process, in which torchvision's class is as it is in this one."""
    attributes = {
        name: value
        for name, value in vars(getattr(datasets, class_name)).items()
        if isinstance(value, str | list | dict) and not name.startswith("__")
    }
    code = (
        "from torchvision import datasets\nfrom aecli.data.fetch import main\n"
        f"for name, value in {attributes!r}.items():\n"
        f"    setattr(datasets.{class_name}, name, value)\nmain()"
    )
    return ["-c", code, class_name]


def load(data_dir: Path, name: str, val_size: int = 3, **options: object) -> Data:
    config = DataConfig(name=name, val_size=val_size, **options)  # type: ignore[arg-type]
    return load_data(config, data_dir, CPU)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A port that refuses every connection stands for the network."""
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        use_mirror(monkeypatch, f"http://127.0.0.1:{refusing.getsockname()[1]}/")
        yield


@pytest.fixture(autouse=True)
def few_synthetic_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic_cache, "TRAIN_SIZE", 20)
    monkeypatch.setattr(synthetic_cache, "TEST_SIZE", 10)


@pytest.fixture
def tiny_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder whose tiny MNIST passes for the published one."""
    data_dir = tmp_path / "data"
    write(data_dir / "MNIST" / "raw", publish_tiny_mnist(monkeypatch))
    return data_dir


def test_every_data_set_can_be_chosen_on_the_command_line() -> None:
    names = {"mnist", "fashion_mnist", "kmnist", "cifar10", "curve", "synthetic", "folder"}
    assert set(DATASETS) == names
    assert set(config_groups()["data"]) == names | {"auto"}


@pytest.mark.parametrize("name", ["fashion_mnist", "kmnist"])
def test_files_on_disk_are_used_without_a_network(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / IDX_CLASSES[name] / "raw", idx_files())
    data = load(tmp_path, name)
    expected = idx_tensors()
    images = torch.cat([data.train.images, data.validation.images])
    labels = torch.cat([data.train.labels, data.validation.labels])
    assert torch.equal(images[:, 0], expected["train-images-idx3-ubyte"])
    assert torch.equal(labels, expected["train-labels-idx1-ubyte"].long())
    assert torch.equal(data.test.images[:, 0], expected["t10k-images-idx3-ubyte"])
    assert torch.equal(data.test.labels, expected["t10k-labels-idx1-ubyte"].long())
    assert data.image_shape == (1, HEIGHT, WIDTH)
    assert images.dtype == torch.uint8 and labels.dtype == torch.int64
    assert (data.name, data.source, data.notice) == (name, str(folder), None)


def test_files_replaced_by_others_of_the_same_size_and_time_are_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "KMNIST" / "raw", idx_files())
    before = load(tmp_path, "kmnist").test
    file = folder / IDX_NAMES[2]
    status, content = file.stat(), file.read_bytes()
    for last in (content[-1] ^ 1, content[-1]):
        file.write_bytes(content[:-1] + bytes([last]))
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        is_same = load(tmp_path, "kmnist").test.fingerprint == before.fingerprint
        assert is_same is (last == content[-1])


def test_cifar10_on_disk_has_its_channels_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "cifar-10-batches-py", cifar_files(monkeypatch))
    data = load(tmp_path, "cifar10")
    assert (len(data.train), len(data.validation), len(data.test)) == (12, 3, 2)
    assert data.image_shape == (3, 32, 32)
    assert data.train.images.is_contiguous() and data.train.images.dtype == torch.uint8
    # A row of CIFAR's files is the red plane, then green, then blue, each row by row.
    row = (torch.arange(3, 3 + 3072) % 251).to(torch.uint8)
    assert torch.equal(data.train.images[0], row.reshape(3, 32, 32))
    assert data.train.labels[:4].tolist() == [3, 4, 5, 6]
    assert data.test.labels.tolist() == [0, 1]


def test_damaged_cifar10_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "cifar-10-batches-py", cifar_files(monkeypatch))
    content = (folder / "data_batch_3").read_bytes()
    (folder / "data_batch_3").write_bytes(content[:-1] + b"\0")
    with pytest.raises(DataError, match=str(folder)):
        load(tmp_path, "cifar10")


def test_real_mnist_has_its_published_images(mnist_dir: Path) -> None:
    data = load_data(DataConfig(name="mnist"), mnist_dir, CPU)
    labels = (mnist_dir / "MNIST" / "raw" / "train-labels-idx1-ubyte").read_bytes()[8:]
    splits = (data.train, data.validation, data.test)
    assert [len(split) for split in splits] == [55_000, 5_000, 10_000]
    assert data.image_shape == (1, 28, 28)
    assert all(split.images.dtype == torch.uint8 for split in splits)
    assert data.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert data.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert bytes(data.train.labels.tolist()) == labels[:55_000]
    assert bytes(data.validation.labels.tolist()) == labels[55_000:]
    # The mean and deviation that every MNIST tutorial normalises with.
    pixels = torch.cat([data.train.images, data.validation.images]).double() / 255
    assert pixels.mean().item() == pytest.approx(0.1307, abs=5e-5)
    assert pixels.std().item() == pytest.approx(0.3081, abs=5e-5)


def test_one_flipped_byte_of_the_real_mnist_is_noticed(mnist_dir: Path, tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in IDX_NAMES:
        (raw / name).symlink_to(mnist_dir / "MNIST" / "raw" / name)
    damaged = raw / "t10k-images-idx3-ubyte"
    damaged.unlink()
    shutil.copyfile(mnist_dir / "MNIST" / "raw" / damaged.name, damaged)
    with open(damaged, "r+b") as file:
        file.seek(5_000_000)
        flipped = file.read(1)[0] ^ 1
        file.seek(5_000_000)
        file.write(bytes([flipped]))
    with pytest.raises(DataError, match=str(damaged)):
        load_data(DataConfig(name="mnist"), tmp_path, CPU)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "header cut": lambda content: content[:7],
    "no header": lambda content: b"<!DOCTYPE html>" + content,
    "other type": lambda content: content[:2] + b"\x0d" + content[3:],
    "more axes": lambda content: content[:3] + b"\x04" + content[4:],
    "no axis": lambda content: content[:3] + b"\0" + content[4:],
    "no image": lambda content: content[:4] + bytes(4) + content[8 : 4 + 4 * content[3]],
    "one image more": lambda content: content[:7] + bytes([content[7] + 1]) + content[8:],
    "truncated": lambda content: content[:-1],
    "longer": lambda content: content + b"\0",
}


@pytest.mark.parametrize("file", IDX_NAMES)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["mnist", "kmnist"])
def test_damaged_file_is_named(
    name: str, damage: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / IDX_CLASSES[name] / "raw"
    write(folder, publish_tiny_mnist(monkeypatch))
    (folder / file).write_bytes(DAMAGES[damage](idx_files()[file]))
    with pytest.raises(DataError) as caught:
        load(tmp_path, name)
    assert type(caught.value) is DataError  # not MissingDataError: it was not thought missing
    named, problem = str(caught.value).split(" is damaged: ")
    assert named == str(folder / file)
    assert re.match("it (has|does not begin with) ", problem) and "-" not in problem
    assert caught.value.status == 3


@pytest.mark.parametrize("file", IDX_NAMES)
@pytest.mark.parametrize("position", [-4, -2, -1])
def test_flipped_byte_of_mnist_is_named(tiny_mnist: Path, file: str, position: int) -> None:
    path = tiny_mnist / "MNIST" / "raw" / file
    content = bytearray(path.read_bytes())
    content[position] ^= 0x80
    path.write_bytes(content)
    with pytest.raises(DataError, match=str(path)):
        load(tiny_mnist, "mnist")


def test_labels_in_place_of_images_are_detected(tmp_path: Path) -> None:
    files = idx_files()
    folder = write(tmp_path / "KMNIST" / "raw", files)
    (folder / IDX_NAMES[0]).write_bytes(files[IDX_NAMES[1]])
    with pytest.raises(DataError, match=f"{folder / IDX_NAMES[0]} .*header of an idx3 file"):
        load(tmp_path, "kmnist")


def test_a_foreign_file_next_to_the_images_is_not_damage(tiny_mnist: Path) -> None:
    # The Finder leaves such files on a drive without forks.
    (tiny_mnist / "MNIST" / "raw" / "._train-images-idx3-ubyte").write_bytes(b"Mac OS X")
    assert len(load(tiny_mnist, "mnist").test) == TEST


@pytest.mark.parametrize("name", ["mnist", "auto"])
def test_mnist_on_disk_is_used(tiny_mnist: Path, name: str) -> None:
    data = load(tiny_mnist, name)
    assert (data.name, data.requested, data.notice) == ("mnist", name, None)
    assert torch.equal(data.test.images[:, 0], idx_tensors()["t10k-images-idx3-ubyte"])


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "kmnist", "cifar10"])
def test_a_data_set_requested_by_name_is_never_replaced(name: str, tmp_path: Path) -> None:
    data_dir = tmp_path / "not" / "there"
    with pytest.raises(MissingDataError) as caught:
        load(data_dir, name)
    assert caught.value.status == 3
    message = str(caught.value)
    assert f"data={name} " in message and "data=synthetic" in message and "data_dir=" in message
    assert str(data_dir / vision.SOURCES[name].folder) in message
    assert "Connection refused" in message
    assert "\n" not in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("file", IDX_NAMES)
def test_mnist_lacking_a_file_is_missing_and_otherwise_left_alone(
    tiny_mnist: Path, file: str
) -> None:
    folder = tiny_mnist / "MNIST" / "raw"
    (folder / file).unlink()
    with pytest.raises(MissingDataError, match=str(folder)):
        load(tiny_mnist, "mnist")
    assert {path.name for path in folder.iterdir()} == set(IDX_NAMES) - {file}
    assert [path.name for path in tiny_mnist.iterdir()] == ["MNIST"]


def test_auto_without_mnist_says_that_it_uses_synthetic_digits(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data = load(data_dir, "auto")
    assert (data.name, data.requested) == ("synthetic", "auto")
    assert data.notice is not None
    assert "synthetic" in data.notice and "not MNIST" in data.notice
    assert "Connection refused" in data.notice
    assert str(data_dir / "MNIST" / "raw") in data.notice
    assert torch.equal(data.train.images, load(data_dir, "synthetic").train.images)
    assert [path.name for path in data_dir.iterdir()] == ["synthetic"]


def test_auto_does_not_ignore_a_damaged_mnist(tiny_mnist: Path) -> None:
    path = tiny_mnist / "MNIST" / "raw" / IDX_NAMES[2]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=str(path)):
        load(tiny_mnist, "auto")


def test_synthetic_asked_for_by_name_needs_no_notice(tmp_path: Path) -> None:
    data = load(tmp_path, "synthetic")
    assert (data.name, data.requested, data.notice) == ("synthetic", "synthetic", None)
    assert data.image_shape == (1, 28, 28)


def test_unknown_data_set_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data\.name=mnits .*did you mean mnist\?.*synthetic"):
        load(tmp_path, "mnits")


@pytest.mark.parametrize("name", ["mnist", "cifar10", "auto", "synthetic"])
def test_data_folder_that_cannot_be_written_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    data_dir = tmp_path / "file" / "data"
    with pytest.raises(StorageError, match=f"{data_dir}.*data_dir=") as caught:
        load(data_dir, name)
    assert caught.value.status == 5
    assert (tmp_path / "file").read_text() == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_unreadable_file_is_named(tiny_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny_mnist / "MNIST" / "raw" / IDX_NAMES[1]

    def read_bytes(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with pytest.raises(StorageError, match=f"{path} cannot be read: Permission denied"):
        load(tiny_mnist, "mnist")


def test_tilde_in_the_data_folder_is_the_home_folder(
    tiny_mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tiny_mnist.parent))
    config = compose(["data=mnist", "data_dir='~/data'"])
    assert load(Path(config.data_dir), "mnist").source == str(tiny_mnist / "MNIST" / "raw")


def test_last_training_images_are_the_validation_split(tiny_mnist: Path) -> None:
    assert DataConfig(name="mnist").val_size == 5000
    data = load(tiny_mnist, "mnist", val_size=2)
    images = idx_tensors()["train-images-idx3-ubyte"]
    labels = idx_tensors()["train-labels-idx1-ubyte"]
    assert torch.equal(data.train.images[:, 0], images[:7])
    assert torch.equal(data.train.labels, labels[:7].long())
    assert torch.equal(data.validation.images[:, 0], images[7:])
    assert torch.equal(data.validation.labels, labels[7:].long())


def test_smaller_splits_are_the_first_images_and_leave_validation_as_it_is(
    tiny_mnist: Path,
) -> None:
    data = load(tiny_mnist, "mnist", val_size=2, train_size=3, test_size=1)
    tensors = idx_tensors()
    assert torch.equal(data.train.images[:, 0], tensors["train-images-idx3-ubyte"][:3])
    assert torch.equal(data.validation.images[:, 0], tensors["train-images-idx3-ubyte"][7:])
    assert torch.equal(data.test.images[:, 0], tensors["t10k-images-idx3-ubyte"][:1])
    assert (len(data.train.labels), len(data.test.labels)) == (3, 1)


def test_splits_may_be_as_large_as_the_data_set(tiny_mnist: Path) -> None:
    data = load(tiny_mnist, "mnist", val_size=8, train_size=1, test_size=4)
    assert (len(data.train), len(data.validation), len(data.test)) == (1, 8, 4)


@pytest.mark.parametrize(
    ("key", "size", "available"),
    [("train_size", 7, 6), ("test_size", 5, 4), ("val_size", 9, 9), ("val_size", 5000, 9)],
)
def test_split_larger_than_the_data_set_is_refused(
    tiny_mnist: Path, key: str, size: int, available: int
) -> None:
    with pytest.raises(UsageError, match=rf"data\.{key}={size} .*\b{available}\b") as caught:
        load(tiny_mnist, "mnist", **{key: size})
    assert caught.value.status == 2


def test_image_shape_that_the_data_set_does_not_have_is_refused(tiny_mnist: Path) -> None:
    with pytest.raises(DataError, match="data=mnist .*1x6x5.*data.image_shape.*3x32x32") as caught:
        load(tiny_mnist, "mnist", image_shape=[3, 32, 32])
    assert caught.value.status == 3


def test_image_shape_that_the_data_set_has_is_accepted(tiny_mnist: Path) -> None:
    assert load(tiny_mnist, "mnist", image_shape=[1, 6, 5]).image_shape == (1, 6, 5)


def test_every_split_goes_to_the_device(tiny_mnist: Path) -> None:
    data = load_data(DataConfig(name="mnist", val_size=3), tiny_mnist, torch.device("meta"))
    for split in (data.train, data.validation, data.test):
        assert split.images.device.type == split.labels.device.type == "meta"


def torchvision_must_not_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the files were read again")

    monkeypatch.setattr(vision, "_read", refuse)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_data_read_by_torchvision_are_cached(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "mnist":
        write(tmp_path / "MNIST" / "raw", publish_tiny_mnist(monkeypatch))
    else:
        write(tmp_path / "cifar-10-batches-py", cifar_files(monkeypatch))
    first = load(tmp_path, name)
    torchvision_must_not_be_asked(monkeypatch)
    second = load(tmp_path, name)
    for part in ("train", "validation", "test"):
        one, other = getattr(first, part), getattr(second, part)
        assert torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)
        assert one.classes == other.classes
    assert (first.name, first.source) == (second.name, second.source)


def test_files_that_change_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = write(tmp_path / "MNIST" / "raw", publish_tiny_mnist(monkeypatch))
    load(tmp_path, "mnist")
    damaged = bytearray((raw / IDX_NAMES[2]).read_bytes())
    damaged[-1] ^= 1
    (raw / IDX_NAMES[2]).write_bytes(damaged)
    with pytest.raises(DataError, match="not that of the published file"):
        load(tmp_path, "mnist")
    (raw / IDX_NAMES[2]).unlink()
    with pytest.raises(MissingDataError):
        load(tmp_path, "mnist")


def test_a_damaged_cache_is_rebuilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write(tmp_path / "MNIST" / "raw", publish_tiny_mnist(monkeypatch))
    first = load(tmp_path, "mnist")
    (cache,) = (tmp_path / "cache" / "aecli").iterdir()
    whole = cache.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    for place in (*range(8, header, 7), len(whole) - 1):
        cache.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        again = load(tmp_path, "mnist")
        assert torch.equal(again.train.images, first.train.images), place
        assert torch.equal(again.test.labels, first.test.labels), place


def test_without_a_cache_folder_the_files_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    write(tmp_path / "MNIST" / "raw", publish_tiny_mnist(monkeypatch))
    for _ in range(2):
        assert len(load(tmp_path, "mnist").train) == TRAIN - 3
