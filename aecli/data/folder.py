"""A folder of the user's images as a data set: decoded once, then memory-mapped from a file."""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import PIL
from torch import Tensor, tensor

from aecli.config import DataConfig
from aecli.convolution.arrays import read_image_size
from aecli.data.folder_splits import (
    Member,
    assign_members,
    class_notices,
    missing_notices,
)
from aecli.data.image_cache import ImageCache
from aecli.data.images import (
    DECODER_VERSION,
    SUFFIXES,
    Broken,
    Header,
    broken_suffix,
    decode_images,
    find_images,
    frame_notices,
    in_parallel,
    read_header,
    size_text,
)
from aecli.data.split import SPLITS, TEST, TRAIN, VALIDATION, LoadedData, Split
from aecli.data.value_range import is_dark, range_notices
from aecli.errors import DataError, UsageError
from aecli.files import writable_folder
from aecli.text import escaped

MAX_NAME = 40  # characters of the folder's name in the name of its cache


def load_folder(config: DataConfig, data_dir: Path) -> LoadedData:
    """Load the images in the folder `config.path`.

    Raises:
        UsageError: no folder is given, or the image size is invalid.
        DataError: too few images, unclear splits, or images of different sizes and no `image_size`.
        StorageError: `data_dir` cannot be written.
    """
    if config.path is None:
        raise UsageError("data=folder needs path=...: the folder with the images")
    size = None if config.image_size is None else read_image_size(config.image_size)
    folder = Path(config.path)
    if not folder.is_dir():
        raise DataError(
            f"path={escaped(config.path)} is not a folder: give the folder with the images"
        )
    found = find_images([folder])
    if not found.images:
        ignored = "".join(f"; {notice}" for notice in found.notices)
        raise DataError(
            f"path={escaped(config.path)} contains no images: no file at any depth ends in "
            f"{', '.join(SUFFIXES)}{ignored}"
        )
    members = assign_members(folder, found.images, config.splits)
    cache = _cache(config, folder, size, data_dir)
    fingerprint = _fingerprint(folder, members)
    facts, images = _cached(cache, fingerprint)
    if facts is None or images is None:
        writable_folder(cache.index_file.parent, "data_dir")
        _decode(cache, fingerprint, folder, members, config, size)
        facts, images = _cached(cache, fingerprint)
    if facts is None or images is None:
        raise DataError(f"{cache.pixels_file} was changed while it was being written: run again")
    notices = found.notices
    if config.splits is None:
        notices += class_notices(facts["classes"])
    return _loaded(folder, cache, facts, images, notices)


def _cache(
    config: DataConfig, folder: Path, size: tuple[int, int] | None, data_dir: Path
) -> ImageCache:
    """The cache of the images of `folder`, decoded as `config` says."""
    resolved = folder.resolve()
    name = re.sub(r"[^\w.-]", "_", resolved.name)[:MAX_NAME]
    requested = [str(resolved), size, config.channels, config.splits, config.scale]
    base = data_dir / "folder" / f"{name}-{_digest(requested)}"
    return ImageCache(Path(f"{base}.images"), Path(f"{base}.json"))


def _fingerprint(folder: Path, members: list[Member]) -> str:
    """A digest that changes with the files and with how they are decoded."""
    files = []
    for member in members:
        # Of what a link leads to: another file has another number, even of the same size and time.
        status = os.stat(member.path) if member.path.exists() else None
        version = (
            (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if status
            else None
        )
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
    config: DataConfig,
    size: tuple[int, int] | None,
) -> None:
    """Decode the images one by one into the cache."""
    channels, size, notices = _common_shape(folder, members, size, config.channels)
    kept: list[Member] = []
    broken: list[Broken] = []
    by_darkness: dict[bool, list[Path]] = {True: [], False: []}

    def readable_images() -> Iterator[Tensor]:
        paths = [member.path for member in members]
        decoded = decode_images(paths, channels, size, config.scale)
        for member, image in zip(members, decoded, strict=True):
            if isinstance(image, Broken):
                broken.append(image)
                continue
            kept.append(member)
            by_darkness[is_dark(image)].append(member.path)
            yield image

    pixels = cache.write(readable_images())
    counts = Counter(member.part for member in kept)
    needed = {TRAIN, TEST, *(member.part for member in members)}
    if counts[TRAIN] < 2 or any(counts[part] < 1 for part in needed):
        raise DataError(
            f"{escaped(str(folder))} has too few readable images: {len(kept)} of {len(members)}, "
            f"and training, validation and test need one each{broken_suffix(broken)}"
        )
    names = {member.label: member.name for member in members}
    cache.write_index(
        {
            "fingerprint": fingerprint,
            "pixels": pixels,
            "image_shape": [channels, *size],
            "counts": {part: counts[part] for part in SPLITS},
            "broken": {str(each.path): each.reason for each in broken},
            "notices": [
                *notices,
                *range_notices(by_darkness[True], by_darkness[False], config.scale),
            ],
            "labels": [member.label for member in kept],
            "classes": [names[label] for label in range(len(names))],
        }
    )


def _common_shape(
    folder: Path, members: list[Member], size: tuple[int, int] | None, channels: int | None
) -> tuple[int, tuple[int, int], list[str]]:
    """Channels and size of all images, and notices about what else their files hold.

    Raises:
        DataError: there are no readable images, or they differ in size and no size is given.
    """
    sizes: dict[tuple[int, int], Path] = {}
    all_grey = True
    broken, files_with_more = [], 0
    paths = [member.path for member in members]
    for path, header in zip(paths, in_parallel(read_header, paths, "reading headers"), strict=True):
        if isinstance(header, Header):
            sizes.setdefault(header.size, path)
            all_grey &= header.is_grey
            files_with_more += header.has_more
        else:
            broken.append(header)
    if not sizes:
        raise DataError(f"{escaped(str(folder))} has no readable images{broken_suffix(broken)}")
    if size is None and len(sizes) > 1:
        (size_1, path_1), (size_2, path_2) = list(sizes.items())[:2]
        name_1, name_2 = (escaped(str(path.relative_to(folder))) for path in (path_1, path_2))
        raise DataError(
            f"{escaped(str(folder))} has images of {len(sizes)} sizes, such as "
            f"{size_text(size_1)} ({name_1}) and {size_text(size_2)} ({name_2}): "
            f"image_size={size_text(size_1)} crops and resizes all of them"
        )
    channels = channels or (1 if all_grey else 3)
    return channels, size or next(iter(sizes)), frame_notices(files_with_more)


def _loaded(
    folder: Path, cache: ImageCache, facts: dict[str, Any], images: Tensor, notices: list[str]
) -> LoadedData:
    labels, counts = tensor(facts["labels"]), facts["counts"]
    everything = Split(images, labels, tuple(facts["classes"]))
    training = counts[TRAIN] + counts[VALIDATION]
    broken = [Broken(Path(path), reason) for path, reason in facts["broken"].items()]
    source = escaped(str(folder))
    parts = (part for part in SPLITS for _ in range(counts[part]))
    notices = [
        *notices,
        *facts["notices"],
        *missing_notices(everything.classes, zip(facts["labels"], parts, strict=True)),
    ]
    if broken:
        found = len(labels) + len(broken)
        source = f"{source} ({len(broken):,} of {found:,} files left out)"
        notices.insert(
            0,
            f"{len(broken):,} of the {found:,} image files cannot be read and are left out"
            f"{broken_suffix(broken)}. {cache.index_file} lists them.",
        )
    return LoadedData(
        train=everything[:training],
        test=everything[training:],
        source=source,
        name=f"folder:{escaped(folder.resolve().name)}",
        notice="\n".join(notices) or None,
        validation=counts[VALIDATION] or None,
        is_mapped=True,
    )
