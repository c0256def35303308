"""The user's images for a trained model, all of one shape and labelled by their folders."""

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
    broken_suffix,
    decode_images,
    find_images,
    frame_notices,
    in_parallel,
    read_header,
    size_text,
)
from aecli.data.split import Split
from aecli.data.value_range import is_dark, range_notices
from aecli.errors import DataError
from aecli.files import natural_key
from aecli.text import escaped


@dataclass(frozen=True)
class OwnImages:
    """Images decoded from files."""

    split: Split
    """Labelled by the top-level subfolders of the given folder; one class without any."""

    name: str
    """Name for titles."""

    files: list[Path]
    """File of each image."""

    notices: list[str]
    """Messages about files that were left out or converted."""

    def to(self, device: torch.device) -> "OwnImages":
        return replace(self, split=self.split.to(device))


def load_own_images(
    paths: Sequence[str],
    image_shape: tuple[int, int, int],
    resize: bool,
    scale: float | None = None,
) -> OwnImages:
    """Load the images in `paths`.

    Args:
        paths: files and folders.
        image_shape: required channels, height and width. Channels are converted between greyscale
            and RGB; other sizes are cropped and resized only with `resize`.
        resize: crop and resize images of other sizes.
        scale: the pixel value that counts as white, as in training; None for the largest of each
            file's type.

    Raises:
        DataError: a path does not exist, no image can be read, or one has another size.
        StorageError: a folder cannot be read.
    """
    classes: dict[Path, str] = {}
    notices: list[str] = []
    for path in paths:
        root = Path(path)
        found = find_images([root])
        notices += found.notices
        classes |= {file: _class_of(file, root) for file in found.images}
    if not classes:
        ignored = "".join(f"; {notice}" for notice in notices)
        raise DataError(
            f"images={escaped(','.join(paths))} contains no images: no file at any depth ends in "
            f"{', '.join(SUFFIXES)}{ignored}"
        )
    channels, *size = image_shape
    headers = _read_headers(list(classes), (size[0], size[1]), resize)
    notices += _conversion_notices(headers, channels, (size[0], size[1]))
    files, pixels, broken = [], [], []
    decoded = decode_images([*classes], channels, (size[0], size[1]), scale)
    for file, image in zip(classes, decoded, strict=True):
        if isinstance(image, Broken):
            broken.append(image)
        else:
            files.append(file)
            pixels.append(image)
    if not files:
        raise DataError(f"none of the {len(broken):,} images can be read{broken_suffix(broken)}")
    if broken:
        notices.append(
            f"{len(broken):,} of the {len(classes):,} image files cannot be read and are left out"
            f"{broken_suffix(broken)}"
        )
    darkness = dict(zip(files, map(is_dark, pixels), strict=True))
    dark = [file for file in files if darkness[file]]
    bright = [file for file in files if not darkness[file]]
    notices += range_notices(dark, bright, scale, is_own=True)
    split = _labelled(pixels, [classes[file] for file in files])
    return OwnImages(split, _title(paths), files, notices)


def _title(paths: Sequence[str]) -> str:
    """Name the folder if a single one is given."""
    folders = [*map(Path, paths)]
    is_one = len(folders) == 1 and folders[0].is_dir()
    return f"images in {escaped(folders[0].resolve().name)}" if is_one else "images of your own"


def _class_of(file: Path, root: Path) -> str:
    """The top-level subfolder of `root` that contains the file, or NO_FOLDER."""
    parts = file.relative_to(root).parts
    return parts[0] if len(parts) > 1 else NO_FOLDER


def _read_headers(files: list[Path], size: tuple[int, int], resize: bool) -> list[Header]:
    """Read the headers; files that cannot be read are skipped here and reported by the decoder.

    Raises:
        DataError: an image is not of `size`, and `resize` is false.
    """
    headers = []
    for file, header in zip(files, in_parallel(read_header, files, "reading headers"), strict=True):
        if isinstance(header, Broken):
            continue
        if header.size != size and not resize:
            raise DataError(
                f"{escaped(str(file))} has {size_text(header.size)} pixels, but the run takes "
                f"images of {size_text(size)}: resize=true crops and resizes images of other sizes"
            )
        headers.append(header)
    return headers


def _conversion_notices(headers: list[Header], channels: int, size: tuple[int, int]) -> list[str]:
    """Messages about images that are resized or made grey to fit the model."""
    resized = sum(header.size != size for header in headers)
    coloured = sum(not header.is_grey for header in headers)
    notices = []
    if resized:
        notices.append(f"cropped and resized to {size_text(size)}: {resized:,} of the images")
    if channels == 1 and coloured:
        notices.append(f"converted to greyscale, which the run takes: {coloured:,} of the images")
    return notices + frame_notices(sum(header.has_more for header in headers))


def _labelled(pixels: list[Tensor], names: list[str]) -> Split:
    classes = tuple(sorted(set(names), key=natural_key))
    labels = torch.tensor([classes.index(name) for name in names])
    return Split(torch.stack(pixels), labels, classes)
