"""A folder of the user's images as a data set: decoded once, then memory-mapped from a file."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL
from torch import Tensor, tensor

from aecli.config import DataConfig
from aecli.config.choices import TEST, TRAIN, VALIDATION
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
)
from aecli.data.split import LoadedData, Split
from aecli.data.value_range import is_dark, range_notices
from aecli.errors import DataError, UsageError
from aecli.errors.text import escaped, shape_text
from aecli.files.storage import file_version, writable_folder

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
    cached = _cached(cache, fingerprint, folder, members)
    if cached is None:
        writable_folder(cache.index_file.parent, "data_dir")
        _decode(cache, fingerprint, folder, members, config, size)
        cached = _cached(cache, fingerprint, folder, members)
    if cached is None:
        raise DataError(f"{cache.pixels_file} was changed while it was being written: run again")
    return _loaded(config, folder, cache, cached, found.notices)


@dataclass(frozen=True)
class _Cached:
    """The images in the cache, and what its index says about them."""

    classes: tuple[str, ...]
    kept: list[Member]
    """The file of each image."""
    images: Tensor
    digests: Tensor
    broken: list[Broken]
    """The files that cannot be read."""
    notices: list[str]


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
        version = file_version(member.path) if member.path.exists() else None
        relative = str(member.path.relative_to(folder))
        files.append((relative, member.part, member.name, member.label, version))
    return _digest([files, DECODER_VERSION, PIL.__version__])


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def _cached(
    cache: ImageCache, fingerprint: str, folder: Path, members: list[Member]
) -> _Cached | None:
    """The cached images; None if the files have changed since then, or the cache is damaged."""
    facts = cache.read_index()
    try:
        if facts is None or facts["fingerprint"] != fingerprint:
            return None
        channels, height, width = (int(number) for number in facts["image_shape"])
        reasons = {str(name): str(reason) for name, reason in facts["broken"].items()}
        notices, digest = [str(notice) for notice in facts["notices"]], str(facts["pixels"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    kept, broken = [], []
    for member in members:
        reason = reasons.get(_name_in(folder, member.path))
        if reason is None:
            kept.append(member)
        else:
            broken.append(Broken(member.path, reason))
    if channels not in (1, 3) or _lacks_images(kept, members):
        return None
    mapped = cache.map((len(kept), channels, height, width), digest)
    names = {member.label: member.name for member in members}
    classes = tuple(names[label] for label in range(len(names)))
    return _Cached(classes, kept, *mapped, broken, notices) if mapped else None


def _name_in(folder: Path, file: Path) -> str:
    """The name of an image in the index, wherever the folder is."""
    return file.relative_to(folder).as_posix()


def _lacks_images(kept: list[Member], members: list[Member]) -> bool:
    """Whether a split has too few images among those that can be read."""
    counts = Counter(member.part for member in kept)
    return counts[TRAIN] < 2 or not {TEST, *(member.part for member in members)} <= counts.keys()


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
    if _lacks_images(kept, members):
        raise DataError(
            f"{escaped(str(folder))} has too few readable images: {len(kept)} of {len(members)}, "
            f"and training, validation and test need one each{broken_suffix(broken)}"
        )
    cache.write_index(
        {
            "fingerprint": fingerprint,
            "pixels": pixels,
            "image_shape": [channels, *size],
            "broken": {_name_in(folder, each.path): each.reason for each in broken},
            "notices": [
                *notices,
                *range_notices(by_darkness[True], by_darkness[False], config.scale),
            ],
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
            f"{shape_text(size_1)} ({name_1}) and {shape_text(size_2)} ({name_2}): "
            f"image_size={shape_text(size_1)} crops and resizes all of them"
        )
    channels = channels or (1 if all_grey else 3)
    return channels, size or next(iter(sizes)), frame_notices(files_with_more)


def _loaded(
    config: DataConfig, folder: Path, cache: ImageCache, cached: _Cached, notices: list[str]
) -> LoadedData:
    kept, broken = cached.kept, cached.broken
    labels = tensor([member.label for member in kept])
    everything = Split(cached.images, labels, cached.classes, digests=cached.digests)
    counts = Counter(member.part for member in kept)
    training = counts[TRAIN] + counts[VALIDATION]
    source = escaped(str(folder))
    notices = [
        *notices,
        *(class_notices(cached.classes) if config.splits is None else []),
        *cached.notices,
        *missing_notices(cached.classes, ((member.label, member.part) for member in kept)),
    ]
    if broken:
        found = len(kept) + len(broken)
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
