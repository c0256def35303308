"""A folder of the user's images as a data set: decoded once, then memory-mapped from a file.

- The subfolders train, val and test are the splits, if they contain all images. Without a test
  folder, a tenth of the training images is held out, chosen by a hash of the file names: the same
  images for every seed. The training images are shuffled by the same hash, so that the last of
  them, which are used for validation, include all classes.
- The subfolders of a split, or of the folder itself if it has no splits, are the classes, numbered
  in natural order; images outside of any subfolder form a class of their own, the first.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL
from torch import Tensor, tensor

from aecli.config import DataConfig
from aecli.convolution.arrays import read_image_size
from aecli.data.image_cache import ImageCache
from aecli.data.images import (
    DECODER_VERSION,
    NO_FOLDER,
    SUFFIXES,
    Broken,
    Header,
    broken_suffix,
    decode_images,
    find_images,
    in_parallel,
    plain_name,
    read_header,
    size_text,
)
from aecli.data.split import LoadedData, Split
from aecli.errors import DataError, UsageError
from aecli.files import natural_key, writable_folder

TRAIN, VALIDATION, TEST = PARTS = ("train", "validation", "test")
# Folder name -> split.
PART_NAMES = {"train": TRAIN, "val": VALIDATION, "validation": VALIDATION, "test": TEST}
TEST_DIVISOR = 10  # without a test folder, one in this many training images is held out


@dataclass(frozen=True)
class Member:
    """One image file of the data set."""

    path: Path
    part: str
    name: str
    """Class name."""
    label: int


def load_folder(config: DataConfig, data_dir: Path) -> LoadedData:
    """Load the images in the folder `config.path`.

    Raises:
        UsageError: no folder is given, or the image size is invalid.
        DataError: too few images, or images of different sizes and no `image_size`.
        StorageError: `data_dir` cannot be written.
    """
    if config.path is None:
        raise UsageError("data=folder needs path=...: the folder with the images")
    size = None if config.image_size is None else read_image_size(config.image_size)
    folder = Path(config.path).expanduser()
    if not folder.is_dir():
        raise DataError(f"path={config.path} is not a folder: give the folder with the images")
    members = _assign_members(folder, find_images([folder]))
    if not members:
        raise DataError(
            f"path={config.path} contains no images: no file at any depth ends in "
            f"{', '.join(SUFFIXES)}"
        )
    name = plain_name(folder.resolve().name)
    requested = [str(folder.resolve()), size, config.channels]
    base = data_dir / "folder" / f"{name}-{_digest(requested)}"
    cache = ImageCache(Path(f"{base}.images"), Path(f"{base}.json"))
    fingerprint = _fingerprint(folder, members)
    facts, images = _cached(cache, fingerprint)
    if facts is None or images is None:
        writable_folder(base.parent, "data_dir")
        _decode(cache, fingerprint, folder, members, config.channels, size)
        facts, images = _cached(cache, fingerprint)
    if facts is None or images is None:
        raise DataError(f"{cache.pixels_file} was changed while it was being written: run again")
    return _loaded(f"folder:{name}", folder, cache, facts, images)


def _assign_members(folder: Path, files: list[Path]) -> list[Member]:
    """Assign each file to a split and a class; sorted by split, the order of the cache."""
    names = {file: file.relative_to(folder).parts for file in files}
    top_folders = {parts[0] if len(parts) > 1 else "" for parts in names.values()}
    has_splits = "train" in top_folders and len(top_folders) > 1 and top_folders <= set(PART_NAMES)
    within_split = {file: parts[has_splits:] for file, parts in names.items()}
    classes = {file: parts[0] if len(parts) > 1 else "" for file, parts in within_split.items()}
    labels = {
        name: label for label, name in enumerate(sorted({*classes.values()}, key=natural_key))
    }
    shuffled = sorted(
        files, key=lambda file: hashlib.sha256("/".join(names[file]).encode()).digest()
    )
    parts = {file: PART_NAMES[names[file][0]] if has_splits else TRAIN for file in shuffled}
    if TEST not in parts.values():
        training = [file for file in shuffled if parts[file] == TRAIN]
        for file in training[: max(1, round(len(training) / TEST_DIVISOR))]:
            parts[file] = TEST
    shuffled.sort(key=lambda file: PARTS.index(parts[file]))
    return [Member(file, parts[file], classes[file], labels[classes[file]]) for file in shuffled]


def _class_names(members: list[Member]) -> list[str]:
    """The class names in the order of their labels."""
    names = {member.label: member.name or NO_FOLDER for member in members}
    return [plain_name(names[label]) for label in range(len(names))]


def _fingerprint(folder: Path, members: list[Member]) -> str:
    """A digest that changes with the files and with how they are decoded."""
    files = []
    for member in members:
        status = os.stat(member.path) if member.path.exists() else None
        version = (status.st_size, status.st_mtime_ns) if status else None
        relative = str(member.path.relative_to(folder))
        files.append((relative, member.part, member.name, member.label, version))
    return _digest([files, DECODER_VERSION, PIL.__version__])


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def _cached(cache: ImageCache, fingerprint: str) -> tuple[dict[str, Any] | None, Tensor | None]:
    """The cached index and images, or (None, None) if the files have changed since."""
    facts = cache.read_index()
    if facts is None or facts["fingerprint"] != fingerprint:
        return None, None
    return facts, cache.map((len(facts["labels"]), *facts["image_shape"]), facts["pixels"])


def _decode(
    cache: ImageCache,
    fingerprint: str,
    folder: Path,
    members: list[Member],
    channels: int | None,
    size: tuple[int, int] | None,
) -> None:
    """Decode the images one by one into the cache."""
    if size is None or channels is None:
        size, channels = _common_shape(folder, members, size, channels)
    kept: list[Member] = []
    broken: list[Broken] = []

    def readable_images(channels: int, size: tuple[int, int]) -> Iterator[Tensor]:
        decoded = decode_images([member.path for member in members], channels, size)
        for member, image in zip(members, decoded, strict=True):
            if isinstance(image, Broken):
                broken.append(image)
            else:
                kept.append(member)
                yield image

    pixels = cache.write(readable_images(channels, size))
    counts = Counter(member.part for member in kept)
    if counts[TRAIN] < 2 or counts[TEST] < 1:
        raise DataError(
            f"{folder} has too few readable images: {len(kept)} of {len(members)}, and "
            f"training, validation and test need one each{broken_suffix(broken)}"
        )
    cache.write_index(
        {
            "fingerprint": fingerprint,
            "pixels": pixels,
            "image_shape": [channels, *size],
            "counts": {part: counts[part] for part in PARTS},
            "broken": {str(each.path): each.reason for each in broken},
            "labels": [member.label for member in kept],
            "classes": _class_names(members),
        }
    )


def _common_shape(
    folder: Path, members: list[Member], size: tuple[int, int] | None, channels: int | None
) -> tuple[tuple[int, int], int]:
    """Size and channels of all images, where they are not given.

    Raises:
        DataError: there are no readable images, or they differ in size and no size is given.
    """
    sizes: dict[tuple[int, int], Path] = {}
    all_grey = True
    broken = []
    paths = [member.path for member in members]
    for path, header in zip(paths, in_parallel(read_header, paths, "reading headers"), strict=True):
        if isinstance(header, Header):
            sizes.setdefault(header.size, path)
            all_grey &= header.is_grey
        else:
            broken.append(header)
    if not sizes:
        raise DataError(f"{folder} has no readable images{broken_suffix(broken)}")
    if size is None and len(sizes) > 1:
        (size_1, path_1), (size_2, path_2) = list(sizes.items())[:2]
        raise DataError(
            f"{folder} has images of {len(sizes)} sizes, such as {size_text(size_1)} "
            f"({path_1.relative_to(folder)}) and {size_text(size_2)} "
            f"({path_2.relative_to(folder)}): image_size={size_text(size_1)} crops and "
            f"resizes all of them"
        )
    return size or next(iter(sizes)), channels or (1 if all_grey else 3)


def _loaded(
    name: str, folder: Path, cache: ImageCache, facts: dict[str, Any], images: Tensor
) -> LoadedData:
    labels, counts = tensor(facts["labels"]), facts["counts"]
    everything = Split(images, labels, tuple(facts["classes"]))
    training = counts[TRAIN] + counts[VALIDATION]
    broken = [Broken(Path(path), reason) for path, reason in facts["broken"].items()]
    notice, source = None, str(folder)
    if broken:
        found = len(labels) + len(broken)
        source = f"{folder} ({len(broken):,} of {found:,} files left out)"
        notice = (
            f"{len(broken):,} of the {found:,} image files cannot be read and are left out"
            f"{broken_suffix(broken)}. {cache.index_file} lists them."
        )
    return LoadedData(
        train=everything[:training],
        test=everything[training:],
        source=source,
        name=name,
        notice=notice,
        validation=counts[VALIDATION] or None,
        is_mapped=True,
    )
