"""Which split and which class each image of a folder belongs to.

- Folders named train, val and test, or a variant of these, are the splits. Images and folders of
  images next to them are an error. Where the names leave open whether folders are splits, they are
  neither taken as splits nor as classes: an error asks.
- Without a test folder, a tenth of the training images is held out: of each class in proportion,
  chosen by a hash of the file names, and so the same for every seed. The training images are in the
  same order, so that the last of them, which are used for validation, hold the classes in
  proportion as well.
- The subfolders of a split, or of the folder itself if it has no splits, are the classes, numbered
  in natural order; images outside of any subfolder form a class of their own, the first.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from aecli.config.choices import SPLITS, TEST, TRAIN, VALIDATION
from aecli.data.images import NO_FOLDER
from aecli.errors import DataError
from aecli.errors.text import escaped
from aecli.files.storage import natural_key

# Word -> split.
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation"), VALIDATION),
    **dict.fromkeys(("test", "testing"), TEST),
}
# What else the name of a split may contain besides numbers: train_images, testset, val2017.
_EXTRA = "(?:data|set|split|images?|imgs?|photos?|pictures?)*"
_SPLIT_NAME = re.compile(f"{_EXTRA}({'|'.join(SPLIT_WORDS)}){_EXTRA}")
_NO_LETTERS = re.compile(r"[\W\d_]+")
_NEW_WORD = re.compile("(?<=[a-z])(?=[A-Z])")  # as in trainA
TEST_DIVISOR = 10  # without a test folder, one in this many training images is held out
MAX_NAMED = 5  # names listed in a message
AS_CLASSES = "give splits=false to take every folder as a class"


def named_split(name: str) -> str | None:
    """The split that a folder called `name` certainly contains: train, val2017, Test_images."""
    found = _SPLIT_NAME.fullmatch(_NO_LETTERS.sub("", name.lower()))
    return SPLIT_WORDS[found[1]] if found else None


def possible_split(name: str) -> str | None:
    """The split that a folder called `name` may contain: also trainA, train_station, my-test."""
    words = _NO_LETTERS.split(_NEW_WORD.sub(" ", name).lower())
    return named_split(name) or next(filter(None, map(SPLIT_WORDS.get, words)), None)


@dataclass(frozen=True)
class Member:
    """One image file of the data set."""

    path: Path
    part: str
    name: str
    """Class name: that of its folder, or NO_FOLDER."""
    label: int


def assign_members(folder: Path, files: list[Path], has_splits: bool | None) -> list[Member]:
    """Assign each file to a split and a class; sorted by split, the order of the cache.

    Args:
        folder: the folder with all files.
        files: the images.
        has_splits: whether the folders at the top are splits; false: they are classes; None:
            decided by their names.

    Raises:
        DataError: only some of the folders are splits, or which is not clear.
    """
    names = {file: file.relative_to(folder).parts for file in files}
    splits = _split_folders(folder, names.values(), has_splits)
    within_split = {file: parts[bool(splits) :] for file, parts in names.items()}
    if has_splits is None:
        _check_no_splits_below(folder, names.values(), splits)
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
    """The files of `groups` in an order whose beginning and end contain each group in
    proportion."""
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


def _split_folders(
    folder: Path, names: Collection[tuple[str, ...]], has_splits: bool | None
) -> dict[str, str]:
    """The folders of `folder` that are splits, each with its split; empty if there are none.

    Raises:
        DataError: some are and others are not, two are the same split, one holds no images, there
            is no training set, or which are splits is not clear.
    """
    if has_splits is False:
        return {}
    split_of = possible_split if has_splits else named_split
    tops = {parts[0] for parts in names if len(parts) > 1}
    # Also those without images, whose split would be taken from the training images.
    splits = {top: part for top in tops | _subfolders(folder) if (part := split_of(top))}
    place = f"path={escaped(str(folder))}"
    if not splits:
        _check_no_splits_meant(place, tops, has_splits)
        return {}
    others = {parts[0] for parts in names} - splits.keys()
    if others:
        raise DataError(
            f"{place} has folders that are splits ({_listed(splits)}) next to images or folders "
            f"that are not ({_listed(others)}): move these into the splits or elsewhere, or "
            f"{AS_CLASSES}"
        )
    for part in SPLITS:
        same = [top for top in splits if splits[top] == part]
        if len(same) > 1:
            raise DataError(
                f"{place} has {len(same)} folders for the {part} split ({_listed(same)}): put "
                f"their images into one of them, or {AS_CLASSES}"
            )
    if splits.keys() - tops:
        raise DataError(
            f"{place} has folders that are splits and hold no images of their own that can be read "
            f"({_listed(splits.keys() - tops)}): put images into them, remove them, or {AS_CLASSES}"
        )
    if TRAIN not in splits.values():
        raise DataError(
            f"{place} has images to test or validate with ({_listed(splits)}), but no folder "
            f"train: name the folder of the training images train, or {AS_CLASSES}"
        )
    return splits


def _subfolders(folder: Path) -> set[str]:
    """The names of the folders in `folder` that are not hidden, and of links that lead nowhere."""
    visible = [each for each in folder.iterdir() if each.name[0] != "."]
    return {each.name for each in visible if each.is_dir() or not os.path.exists(each)}


def _check_no_splits_meant(place: str, tops: set[str], has_splits: bool | None) -> None:
    """Refuse folders whose names make them classes but look like those of splits."""
    if has_splits:
        raise DataError(
            f"{place} has no folder that is named like a split, but splits=true is given: name the "
            f"folder of the training images train, or leave splits=true out"
        )
    possible = {top: part for top in tops if (part := possible_split(top))}
    if TRAIN in possible.values() and len({*possible.values()}) > 1:
        raise DataError(
            f"{place} has folders that may be splits or classes ({_listed(possible)}): give "
            f"splits=true if they are splits, or splits=false to take every folder as a class"
        )


def _check_no_splits_below(
    folder: Path, names: Iterable[tuple[str, ...]], splits: dict[str, str]
) -> None:
    """Refuse splits that are not at the top: their test images would be trained on."""
    below = {parts[:-1] for parts in names}
    classes = {parts[:2] for parts in below}
    for parts in sorted(below):
        for depth, name in enumerate(parts[1:], 1):
            # A class may be called like a split if it is in every split.
            is_class = depth == 1 and splits and all((top, name) in classes for top in splits)
            if named_split(name) not in (None, splits.get(parts[0])) and not is_class:
                raise DataError(_below_message(folder, parts[: depth + 1], bool(splits)))


def _below_message(folder: Path, parts: tuple[str, ...], has_splits: bool) -> str:
    found = escaped(str(Path(*parts)))
    if has_splits:
        way = f"move it there, or give splits=true if it belongs to {escaped(parts[0])}"
        return f"path={escaped(str(folder))} has a folder {found}, named like another split: {way}"
    holder = escaped(str(folder.joinpath(*parts[:-1])))
    return (
        f"path={escaped(str(folder))} has a folder {found}, which is named like a split but is not "
        f"at the top: give the folder with the splits, as in path={holder}, or {AS_CLASSES}"
    )


def _listed(names: Iterable[str]) -> str:
    """The first names in natural order, and how many more there are."""
    ordered = sorted(names, key=natural_key)
    more = f" and {len(ordered) - MAX_NAMED:,} more" if len(ordered) > MAX_NAMED else ""
    return escaped(", ".join(ordered[:MAX_NAMED])) + more


def class_notices(classes: Iterable[str]) -> list[str]:
    """A message about classes whose names may mean splits, if any."""
    unclear = [name for name in classes if possible_split(name)]
    return [
        f"taken as classes, though named like splits: {_listed(unclear)} (splits=false confirms it)"
    ] * bool(unclear)


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
