"""A folder of a person's own images as a data set: decoded once, then mapped from a file.

- The folders train, val and test are the splits, if they alone hold the images. Without a folder
  test, a tenth of the training images is set apart, drawn by the files' names: the same images for
  runs of every seed. The training images are shuffled in the same way, so that the last of them,
  which are for validation, are of all classes.
- The folders below, or right in the folder where there are no splits, are the classes, numbered in
  natural order; images beside them are a class of their own, the first.
"""

import hashlib
import inspect
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
from aecli.data import images as images_module
from aecli.data.image_cache import ImageCache
from aecli.data.images import (
    NO_FOLDER,
    SUFFIXES,
    Broken,
    Header,
    decode_images,
    find_images,
    in_parallel,
    named,
    plain_name,
    read_header,
    size_text,
)
from aecli.data.split import LoadedData, Split
from aecli.errors import DataError, UsageError
from aecli.files import natural_key, writable_folder

TRAIN, VALIDATION, TEST = PARTS = ("train", "validation", "test")
# What the folders of splits are called.
PART_NAMES = {"train": TRAIN, "val": VALIDATION, "validation": VALIDATION, "test": TEST}
TEST_SHARE = 10  # one training image in so many is for testing where no folder is


@dataclass(frozen=True)
class Member:
    """One image file of the set."""

    path: Path
    part: str
    name: str
    """Of its class."""
    label: int


def load_folder(config: DataConfig, data_dir: Path) -> LoadedData:
    """The images in the folder `config.path`.

    Raises:
        UsageError: no folder is given, or a size that is none.
        DataError: it has too few images, or images of several sizes where none is asked for.
        StorageError: `data_dir` cannot be written.
    """
    if config.path is None:
        raise UsageError("data=folder needs path=...: the folder with the images")
    size = None if config.image_size is None else read_image_size(config.image_size)
    folder = Path(config.path).expanduser()
    if not folder.is_dir():
        raise DataError(f"path={config.path} is no folder: give the one with the images")
    members = _members(folder, find_images([folder]))
    if not members:
        raise DataError(
            f"path={config.path} holds no images: files are looked for that end in "
            f"{', '.join(SUFFIXES)}, in folders at any depth"
        )
    name = plain_name(folder.resolve().name)
    asked = [str(folder.resolve()), size, config.channels]
    place = data_dir / "folder" / f"{name}-{_digest(asked)}"
    cache = ImageCache(Path(f"{place}.images"), Path(f"{place}.json"))
    fingerprint = _fingerprint(folder, members)
    facts, images = _cached(cache, fingerprint)
    if facts is None or images is None:
        writable_folder(place.parent, "data_dir")
        _decode(cache, fingerprint, folder, members, config.channels, size)
        facts, images = _cached(cache, fingerprint)
    if facts is None or images is None:
        raise DataError(f"{cache.pixels_file} was changed while it was written: run again")
    return _loaded(f"folder:{name}", folder, cache, facts, images)


def _members(folder: Path, files: list[Path]) -> list[Member]:
    """What each file is for, in the order in which the images are to lie: part after part."""
    names = {file: file.relative_to(folder).parts for file in files}
    tops = {parts[0] if len(parts) > 1 else "" for parts in names.values()}
    has_splits = "train" in tops and len(tops) > 1 and tops <= set(PART_NAMES)
    inside = {file: parts[has_splits:] for file, parts in names.items()}
    classes = {file: parts[0] if len(parts) > 1 else "" for file, parts in inside.items()}
    numbers = {
        each: number for number, each in enumerate(sorted({*classes.values()}, key=natural_key))
    }
    drawn = sorted(files, key=lambda file: hashlib.sha256("/".join(names[file]).encode()).digest())
    parts = {file: PART_NAMES[names[file][0]] if has_splits else TRAIN for file in drawn}
    if TEST not in parts.values():
        to_train_on = [file for file in drawn if parts[file] == TRAIN]
        for file in to_train_on[: max(1, round(len(to_train_on) / TEST_SHARE))]:
            parts[file] = TEST
    drawn.sort(key=lambda file: PARTS.index(parts[file]))
    return [Member(file, parts[file], classes[file], numbers[classes[file]]) for file in drawn]


def _class_names(members: list[Member]) -> list[str]:
    """By their numbers."""
    names = {member.label: member.name or NO_FOLDER for member in members}
    return [plain_name(names[label]) for label in range(len(names))]


def _fingerprint(folder: Path, members: list[Member]) -> str:
    """Changes with the files, and with the code that decodes them."""
    files = []
    for member in members:
        facts = os.stat(member.path) if member.path.exists() else None
        version = (facts.st_size, facts.st_mtime_ns) if facts else None
        place = str(member.path.relative_to(folder))
        files.append((place, member.part, member.name, member.label, version))
    return _digest([files, inspect.getsource(images_module), PIL.__version__])


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def _cached(cache: ImageCache, fingerprint: str) -> tuple[dict[str, Any] | None, Tensor | None]:
    """The index and the images, where they are those of the files as they are now."""
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
    """Write the cache, one image after the other."""
    if size is None or channels is None:
        size, channels = _common_shape(folder, members, size, channels)
    kept: list[Member] = []
    broken: list[Broken] = []

    def whole_images(channels: int, size: tuple[int, int]) -> Iterator[Tensor]:
        decoded = decode_images([member.path for member in members], channels, size)
        for member, image in zip(members, decoded, strict=True):
            if isinstance(image, Broken):
                broken.append(image)
            else:
                kept.append(member)
                yield image

    pixels = cache.write(whole_images(channels, size))
    counts = Counter(member.part for member in kept)
    if counts[TRAIN] < 2 or counts[TEST] < 1:
        raise DataError(
            f"{folder} has too few images that can be read: {len(kept)} of {len(members)}, and "
            f"training, validation and test need one each{named(broken)}"
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
    """Size and channels of all images, as far as they are not given.

    Raises:
        DataError: there is no image, or there are several sizes and none is asked for.
    """
    sizes: dict[tuple[int, int], Path] = {}
    are_grey = True
    broken = []
    paths = [member.path for member in members]
    for path, header in zip(paths, in_parallel(read_header, paths, "looking"), strict=True):
        if isinstance(header, Header):
            sizes.setdefault(header.size, path)
            are_grey &= header.is_grey
        else:
            broken.append(header)
    if not sizes:
        raise DataError(f"{folder} has no image that can be read{named(broken)}")
    if size is None and len(sizes) > 1:
        (one, first), (other, second) = list(sizes.items())[:2]
        raise DataError(
            f"{folder} has images of {len(sizes)} sizes, such as {size_text(one)} "
            f"({first.relative_to(folder)}) and {size_text(other)} ({second.relative_to(folder)}): "
            f"image_size={size_text(one)} crops and resizes all of them to that"
        )
    return size or next(iter(sizes)), channels or (1 if are_grey else 3)


def _loaded(
    name: str, folder: Path, cache: ImageCache, facts: dict[str, Any], images: Tensor
) -> LoadedData:
    labels, counts = tensor(facts["labels"]), facts["counts"]
    everything = Split(images, labels, tuple(facts["classes"]))
    to_train_on = counts[TRAIN] + counts[VALIDATION]
    broken = [Broken(Path(path), reason) for path, reason in facts["broken"].items()]
    notice, source = None, str(folder)
    if broken:
        found = len(labels) + len(broken)
        source = f"{folder} ({len(broken):,} of {found:,} files left out)"
        notice = (
            f"{len(broken):,} of the {found:,} image files cannot be read and are left out"
            f"{named(broken)}. {cache.index_file} lists them."
        )
    return LoadedData(
        train=everything[:to_train_on],
        test=everything[to_train_on:],
        source=source,
        name=name,
        notice=notice,
        validation=counts[VALIDATION] or None,
        is_mapped=True,
    )
