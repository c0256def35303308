"""Which split and which class each image of a folder belongs to.

- Folders named train, val and test, or a variant of these, are the splits if nothing else is beside
  them. Without a test folder, a tenth of the training images is held out: of each class in
  proportion, chosen by a hash of the file names, and so the same for every seed. The training
  images are in the same order, so that the last of them, which are used for validation, hold the
  classes in proportion as well.
- The subfolders of a split, or of the folder itself if it has no splits, are the classes, numbered
  in natural order; images outside of any subfolder form a class of their own, the first.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from aecli.data.images import NO_FOLDER
from aecli.data.split import SPLITS, TEST, TRAIN, VALIDATION
from aecli.errors import DataError
from aecli.files import natural_key
from aecli.text import escaped

# Folder name in lower case -> split.
PART_NAMES = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation"), VALIDATION),
    **dict.fromkeys(("test", "testing"), TEST),
}
TEST_DIVISOR = 10  # without a test folder, one in this many training images is held out
MAX_NAMED = 5  # names listed in a message
AS_CLASSES = "give splits=false to take every folder as a class"


@dataclass(frozen=True)
class Member:
    """One image file of the data set."""

    path: Path
    part: str
    name: str
    """Class name: that of its folder, or NO_FOLDER."""
    label: int


def assign_members(folder: Path, files: list[Path], has_splits: bool) -> list[Member]:
    """Assign each file to a split and a class; sorted by split, the order of the cache.

    Args:
        folder: the folder with all files.
        files: the images.
        has_splits: whether folders named like splits are splits; false: they are classes.

    Raises:
        DataError: only some of the folders are splits, or which is not clear.
    """
    names = {file: file.relative_to(folder).parts for file in files}
    splits = _split_folders(folder, names.values()) if has_splits else {}
    within_split = {file: parts[bool(splits) :] for file, parts in names.items()}
    classes = {f: parts[0] if len(parts) > 1 else NO_FOLDER for f, parts in within_split.items()}
    sorted_names = sorted({*classes.values()} - {NO_FOLDER}, key=natural_key)
    if NO_FOLDER in classes.values():
        sorted_names.insert(0, NO_FOLDER)
    labels = {name: label for label, name in enumerate(sorted_names)}
    parts = {file: splits.get(names[file][0], TRAIN) for file in files}
    ordered = _stratified({file: (parts[file], classes[file]) for file in files}, names)
    if TEST not in parts.values():
        training = [file for file in ordered if parts[file] == TRAIN]
        parts |= dict.fromkeys(_held_out(training, classes), TEST)
    ordered.sort(key=lambda file: SPLITS.index(parts[file]))
    return [Member(file, parts[file], classes[file], labels[classes[file]]) for file in ordered]


def _held_out(training: list[Path], classes: dict[Path, str]) -> set[Path]:
    """A tenth of the `training` images, and at least one of each class that is not too small."""
    sizes = Counter(classes[file] for file in training)
    first = {classes[file]: file for file in reversed(training)}
    of_each = {file for name, file in first.items() if sizes[name] >= TEST_DIVISOR / 2}
    return of_each.union(training[: max(1, round(len(training) / TEST_DIVISOR))])


def _stratified(
    groups: dict[Path, tuple[str, str]], names: dict[Path, tuple[str, ...]]
) -> list[Path]:
    """The files of `groups` in an order whose beginning and end hold each group in proportion."""
    shuffled = sorted(
        groups, key=lambda file: hashlib.sha256(os.fsencode("/".join(names[file]))).digest()
    )
    sizes, seen = Counter(groups.values()), Counter[tuple[str, str]]()
    positions: dict[Path, float] = {}
    for file in shuffled:  # spread each group evenly from 0 to 1
        group = groups[file]
        positions[file] = (seen[group] + 0.5) / sizes[group]
        seen[group] += 1
    return sorted(shuffled, key=positions.__getitem__)


def _split_folders(folder: Path, names: Collection[tuple[str, ...]]) -> dict[str, str]:
    """The folders of `folder` that are splits, each with its split; empty if there are none.

    Raises:
        DataError: some are and others are not, two are the same split, or there is no training set.
    """
    tops = {parts[0] for parts in names if len(parts) > 1}
    splits = {top: PART_NAMES[top.lower()] for top in tops if top.lower() in PART_NAMES}
    if not splits:
        _check_no_splits_below(folder, names)
        return {}
    others = {parts[0] for parts in names} - splits.keys()
    if others:
        raise DataError(
            f"path={escaped(str(folder))} has folders that are splits ({_listed(splits)}) beside "
            f"others that are not ({_listed(others)}): move these into the splits or elsewhere, or "
            f"{AS_CLASSES}"
        )
    for part in SPLITS:
        same = [top for top in splits if splits[top] == part]
        if len(same) > 1:
            raise DataError(
                f"path={escaped(str(folder))} has {len(same)} folders for the {part} split "
                f"({_listed(same)}): put their images into one of them, or {AS_CLASSES}"
            )
    if TRAIN not in splits.values():
        raise DataError(
            f"path={escaped(str(folder))} has images to test or validate with "
            f"({_listed(splits)}), but no folder train: name the folder of the training images "
            f"train, or {AS_CLASSES}"
        )
    return splits


def _check_no_splits_below(folder: Path, names: Iterable[tuple[str, ...]]) -> None:
    """Refuse splits that are not at the top: their test images would be trained on."""
    for parts in names:
        for depth, name in enumerate(parts[1:-1], 1):
            if name.lower() in PART_NAMES:
                found, holder = Path(*parts[: depth + 1]), folder.joinpath(*parts[:depth])
                raise DataError(
                    f"path={escaped(str(folder))} has a folder {escaped(str(found))}, which is "
                    f"named like a split but is not at the top: give the folder with the splits, "
                    f"as in path={escaped(str(holder))}, or {AS_CLASSES}"
                )


def _listed(names: Iterable[str]) -> str:
    """The first names in natural order, and how many more there are."""
    ordered = sorted(names, key=natural_key)
    more = f" and {len(ordered) - MAX_NAMED:,} more" if len(ordered) > MAX_NAMED else ""
    return escaped(", ".join(ordered[:MAX_NAMED])) + more


def missing_notices(classes: tuple[str, ...], members: Iterable[tuple[int, str]]) -> list[str]:
    """Messages about classes without images to train or to test on.

    Args:
        classes: the class of each label.
        members: label and split of each image.
    """
    counts = Counter(members)
    notices = []
    for parts, what in (((TRAIN, VALIDATION), "training"), ((TEST,), "test")):
        missing = [
            name
            for label, name in enumerate(classes)
            if not any(counts[label, part] for part in parts)
        ]
        if missing:
            notices.append(
                f"no {what} images in {len(missing):,} of {len(classes):,} classes: "
                f"{_listed(missing)}"
            )
    return notices
