"""Images that a person hands to a trained model: of one shape, labelled by their folders."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

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
from aecli.data.split import Split
from aecli.errors import DataError
from aecli.files import natural_key


@dataclass(frozen=True)
class OwnImages:
    """Images from files."""

    split: Split
    """Labelled by the folders right below the one that was given; all alike without such."""

    name: str
    """What titles call them."""

    files: list[Path]
    """Where each lies."""

    notices: list[str]
    """What a person must know: files that were left out, and what was done to others."""

    def to(self, device: torch.device) -> "OwnImages":
        return replace(self, split=self.split.to(device))


def load_own_images(
    places: Sequence[str], image_shape: tuple[int, int, int], resize: bool
) -> OwnImages:
    """The images in `places`, which are folders and files.

    Args:
        places: where they lie.
        image_shape: channels, height and width that they must have. Colours become grey, and grey
            becomes colours; other sizes are cropped and resized where that is asked for.
        resize: asks for it.

    Raises:
        DataError: there is no such place, no image in it that can be read, or one of another size.
        StorageError: a folder cannot be read.
    """
    classes: dict[Path, str] = {}
    for place in places:
        root = Path(place).expanduser()
        classes |= {file: _class_of(file, root) for file in find_images([root])}
    if not classes:
        raise DataError(
            f"images={','.join(places)} holds no images: files are looked for that end in "
            f"{', '.join(SUFFIXES)}, in folders at any depth"
        )
    channels, *size = image_shape
    headers = _headers(list(classes), (size[0], size[1]), resize)
    notices = _conversions(headers, channels, (size[0], size[1]))
    files, pixels, broken = [], [], []
    for file, image in zip(
        classes, decode_images([*classes], channels, (size[0], size[1])), strict=True
    ):
        if isinstance(image, Broken):
            broken.append(image)
        else:
            files.append(file)
            pixels.append(image)
    if not files:
        raise DataError(f"none of the {len(broken):,} images can be read{named(broken)}")
    if broken:
        notices.append(
            f"{len(broken):,} of the {len(classes):,} image files cannot be read and are left out"
            f"{named(broken)}"
        )
    split = _labelled(pixels, [classes[file] for file in files])
    return OwnImages(split, _title(places), files, notices)


def _title(places: Sequence[str]) -> str:
    """The folder that was given; or nothing but that they are a person's own."""
    folders = [Path(place).expanduser() for place in places]
    is_one = len(folders) == 1 and folders[0].is_dir()
    return f"images in {plain_name(folders[0].resolve().name)}" if is_one else "images of your own"


def _class_of(file: Path, root: Path) -> str:
    """The folder right below `root` in which the file lies, if it does."""
    parts = file.relative_to(root).parts
    return plain_name(parts[0]) if len(parts) > 1 else NO_FOLDER


def _headers(files: list[Path], size: tuple[int, int], resize: bool) -> list[Header]:
    """Those that can be read; the decoding tells of the others.

    Raises:
        DataError: one is of another size than `size`, and nobody asked to resize it.
    """
    headers = []
    for file, header in zip(files, in_parallel(read_header, files, "looking"), strict=True):
        if isinstance(header, Broken):
            continue
        if header.size != size and not resize:
            raise DataError(
                f"{file} has {size_text(header.size)} pixels, and the run takes images of "
                f"{size_text(size)}: resize=true crops and resizes what has another size"
            )
        headers.append(header)
    return headers


def _conversions(headers: list[Header], channels: int, size: tuple[int, int]) -> list[str]:
    """What is done to images that are not as the model takes them."""
    resized = sum(header.size != size for header in headers)
    coloured = sum(not header.is_grey for header in headers)
    words = []
    if resized:
        words.append(f"cropped and resized to {size_text(size)}: {resized:,} of the images")
    if channels == 1 and coloured:
        words.append(f"made grey, as the run takes images: {coloured:,} of them")
    return words


def _labelled(pixels: list[Tensor], names: list[str]) -> Split:
    classes = tuple(sorted(set(names), key=natural_key))
    labels = torch.tensor([classes.index(name) for name in names])
    return Split(torch.stack(pixels), labels, classes)
