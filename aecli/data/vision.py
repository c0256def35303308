"""torchvision's data sets, in the folders where torchvision puts them.

What torchvision has read and verified is cached in a file of our own for as long as its files do
not change: importing torchvision takes a second or two, as long as many epochs.
"""

import hashlib
import json
import math
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from aecli.data.download import MissingDataError, download, fetch_command
from aecli.data.fingerprint import image_digests
from aecli.data.split import LoadedData, Split
from aecli.data.tensor_cache import cache_dir, read_tensors, write_tensors
from aecli.errors import DataError, StorageError
from aecli.files.documents import parse_json
from aecli.files.storage import file_version, read_regular

# Seconds without new data, and in total, after which a download is aborted; an hour allows for slow
# connections.
STALL_TIMEOUT, TOTAL_TIMEOUT = 14.0, 3600.0

CACHE_VERSION = 2
"""Format version of `_TorchvisionCache` files."""


@dataclass(frozen=True)
class Source:
    """One torchvision data set."""

    class_name: str
    """Class in `torchvision.datasets`."""

    folder: str
    """Folder of its files, relative to data_dir."""

    archives: str
    """Pattern of the files that torchvision downloads, relative to data_dir."""

    size: int
    """Bytes of these files."""

    check: Callable[[Path], None] | None = None
    """Raises DataError, naming the file, if a file in the folder is damaged; None if torchvision
    itself checks each file that it reads."""


def load_torchvision(
    name: str,
    data_dir: Path,
    stall_timeout: float = STALL_TIMEOUT,
    total_timeout: float = TOTAL_TIMEOUT,
) -> LoadedData:
    """Load the data set `name` from `data_dir`, downloading it if it is not there.

    Args:
        stall_timeout: abort a download after this many seconds without new data.
        total_timeout: abort it after this many seconds in any case.

    Raises:
        MissingDataError: it is not there and cannot be downloaded.
        DataError: a file is damaged.
        StorageError: a file cannot be read, or `data_dir` cannot be written.
    """
    source = SOURCES[name]
    folder = data_dir / source.folder
    cache = _TorchvisionCache.for_dataset(name, folder)
    cached = cache.load()
    if cached is not None:
        return cached

    from torchvision import datasets

    dataset = getattr(datasets, source.class_name)
    loaded = _read(dataset, data_dir, folder, source)
    if loaded is None:
        command = fetch_command(source.class_name)
        failure = download(
            command, data_dir, source.archives, source.size, stall_timeout, total_timeout
        )
        if failure is not None:
            raise MissingDataError(name, folder, failure)
        loaded = _read(dataset, data_dir, folder, source)
    if loaded is None:
        raise DataError(f"{folder} is not what torchvision expects: delete it and run again")
    cache.save(loaded)
    return loaded


@dataclass(frozen=True)
class _TorchvisionCache:
    """A cache file with a data set that torchvision has read."""

    path: Path
    folder: Path
    """Holds the files that torchvision reads."""

    state: str
    """The names of these files, and what changes when one is written or replaced."""

    @classmethod
    def for_dataset(cls, name: str, folder: Path) -> "_TorchvisionCache":
        """The cache for the data set `name` in `folder` in its current state."""
        folder_hash = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:12]
        path = cache_dir() / f"{name}-{folder_hash}-v{CACHE_VERSION}.safetensors"
        return cls(path, folder, _folder_state(folder))

    def load(self) -> LoadedData | None:
        """Read what `save` wrote; None if it is missing or the files have changed since."""
        try:
            found = read_tensors(self.path)
            if found is None or found[1]["state"] != self.state:
                return None
            tensors, metadata = found
            classes = tuple(map(str, parse_json(metadata["classes"])))
            train, test = (
                Split(
                    tensors[f"{part}_images"],
                    tensors[f"{part}_labels"],
                    classes,
                    digests=tensors[f"{part}_digests"],
                )
                for part in ("train", "test")
            )
        except (OSError, ValueError, KeyError, TypeError):  # the cache is rebuilt
            return None
        return LoadedData(train, test, str(self.folder))

    def save(self, loaded: LoadedData) -> None:
        """Write the cache; if it cannot be written, the next load is slower."""
        tensors = {
            "train_images": loaded.train.images,
            "train_labels": loaded.train.labels,
            "train_digests": image_digests(loaded.train.images),
            "test_images": loaded.test.images,
            "test_labels": loaded.test.labels,
            "test_digests": image_digests(loaded.test.images),
        }
        metadata = {
            "state": _folder_state(self.folder),
            "classes": json.dumps(loaded.train.classes),
        }
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_tensors(self.path, tensors, metadata)


def _folder_state(folder: Path) -> str:
    """The names and versions of the files in `folder`, to detect changes."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return json.dumps([[file.name, file_version(file)] for file in files])


def _read(dataset: Any, data_dir: Path, folder: Path, source: Source) -> LoadedData | None:
    """Read the data set from its files; None if some are missing."""
    try:
        if source.check is not None:
            source.check(folder)
        parts = [dataset(data_dir, train=train) for train in (True, False)]
    except OSError as error:
        raise StorageError(f"{error.filename} cannot be read: {error.strerror}") from error
    except RuntimeError as error:
        if "not found" in str(error):  # torchvision has no exception class for this
            return None
        raise
    train, test = (
        Split(_images(part.data), torch.as_tensor(part.targets), _class_names(part))
        for part in parts
    )
    return LoadedData(train, test, str(folder))


def _class_names(dataset: Any) -> tuple[str, ...]:
    """torchvision's class names, with MNIST's `3 - three` shortened to `3`."""
    return tuple(name.partition(" - ")[0] for name in dataset.classes)


def _images(pixels: Any) -> torch.Tensor:
    """torchvision's pixels (N, H, W) or (N, H, W, C) as a tensor (N, C, H, W)."""
    images = torch.as_tensor(pixels)
    return images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()


def _check_idx_files(digests: dict[str, str], folder: Path) -> None:
    """Check every file of an MNIST-like folder against its header and the known digests."""
    for path in (folder / name for name in MNIST_DIGESTS):  # all such folders use these names
        if not path.is_file():
            continue
        content = read_regular(path)
        axes = 3 if "idx3" in path.name else 1
        sizes = _idx_sizes(content)
        expected = 4 + 4 * axes + math.prod(sizes)
        if len(sizes) != axes or 0 in sizes:
            problem = f"it does not begin with the header of an idx{axes} file"
        elif len(content) != expected:
            problem = f"it has {len(content):,} bytes, but its header says {expected:,}"
        elif path.name in digests and hashlib.sha256(content).hexdigest() != digests[path.name]:
            problem = "its content is not that of the published file"
        else:
            continue
        raise DataError(f"{path} is damaged: {problem}; delete it and run again to download it")


def _idx_sizes(content: bytes) -> tuple[int, ...]:
    """Axis sizes from the header of an idx file of unsigned bytes; () if the header is invalid.

    The format is described at http://yann.lecun.com/exdb/mnist/: two zero bytes, the type (8), the
    number of axes, then the size of each as a big-endian 32-bit integer.
    """
    axes = content[3] if len(content) > 3 and content[:3] == b"\0\0\x08" else 0
    if len(content) < 4 + 4 * axes:
        return ()
    return struct.unpack_from(f">{axes}I", content, 4)


# sha256 of the four published files, uncompressed.
MNIST_DIGESTS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}

SOURCES = {
    "mnist": Source(
        "MNIST", "MNIST/raw", "MNIST/raw/*.gz", 11_594_722, partial(_check_idx_files, MNIST_DIGESTS)
    ),
    "fashion_mnist": Source(
        "FashionMNIST",
        "FashionMNIST/raw",
        "FashionMNIST/raw/*.gz",
        30_878_645,
        partial(_check_idx_files, {}),
    ),
    "kmnist": Source(
        "KMNIST", "KMNIST/raw", "KMNIST/raw/*.gz", 21_240_888, partial(_check_idx_files, {})
    ),
    "cifar10": Source("CIFAR10", "cifar-10-batches-py", "cifar-10-*.tar.gz", 170_498_071),
}
