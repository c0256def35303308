"""The user's images: all of one shape for a trained model, or each of its own size."""

from collections.abc import Iterator, Sequence
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
    decode_image,
    decode_images,
    find_images,
    frame_notices,
    in_parallel,
    read_header,
)
from aecli.data.split import Split
from aecli.data.value_range import is_dark, range_notices
from aecli.errors import DataError
from aecli.errors.text import escaped, shape_text
from aecli.files.storage import natural_key


@dataclass(frozen=True)
class OwnImages:
    """Images decoded from files."""

    split: Split
    """The images, labelled by the top-level subfolders of the given folder; one class if there are
    none."""

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
        raise _no_images(paths, notices)
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
        raise none_readable(broken)
    if broken:
        notices.append(left_out_notice(broken, len(classes)))
    darkness = dict(zip(files, map(is_dark, pixels), strict=True))
    dark = [file for file in files if darkness[file]]
    bright = [file for file in files if not darkness[file]]
    notices += range_notices(dark, bright, scale, is_own=True)
    split = _labelled(pixels, [classes[file] for file in files])
    return OwnImages(split, _title(paths), files, notices)


@dataclass
class OwnPictures:
    """Image files as they are, each in its own size, and grey or coloured as it is stored."""

    headers: dict[Path, Header]
    """The headers of the files that can be read."""

    broken: dict[Path, Broken]
    """The other files; those that turn out to be broken when they are decoded are added."""

    found: list[str]
    """Messages about files that are not read or hold several images."""

    @property
    def notices(self) -> list[str]:
        """Messages about files that were left out, or of which only one of several images is
        used."""
        broken = [*self.broken.values()]
        return self.found + ([left_out_notice(broken, len(self))] if broken else [])

    def __len__(self) -> int:
        """How many files there are, broken ones too."""
        return len(self.headers.keys() | self.broken.keys())

    def decoded(self) -> Iterator[tuple[Path, Tensor]]:
        """Decode one file after the other to uint8 (C, H, W).

        Raises:
            DataError: none can be decoded.
        """
        files = [*self.headers]
        for file, image in zip(files, in_parallel(self._decode, files, "decoding"), strict=True):
            if isinstance(image, Broken):
                self.broken[file] = image
            else:
                yield file, image
        if self.broken.keys() >= self.headers.keys():
            raise none_readable([*self.broken.values()])

    def _decode(self, file: Path) -> Tensor:
        header = self.headers[file]
        return decode_image(file, header.channels, header.size)


def open_own_pictures(paths: Sequence[str]) -> OwnPictures:
    """Find the pictures in files and folders, and read their headers.

    Raises:
        DataError: a path does not exist, or no picture can be read.
        StorageError: a folder cannot be read.
    """
    found = find_images(map(Path, paths))
    files = found.images
    if not files:
        raise _no_images(paths, found.notices)
    pairs = [*zip(files, in_parallel(read_header, files, "reading headers"), strict=True)]
    headers = {file: each for file, each in pairs if not isinstance(each, Broken)}
    broken = {file: each for file, each in pairs if isinstance(each, Broken)}
    if not headers:
        raise none_readable([*broken.values()])
    several = frame_notices(sum(header.has_more for header in headers.values()))
    return OwnPictures(headers, broken, found.notices + several)


def none_readable(broken: list[Broken]) -> DataError:
    """The error for images of which none can be read."""
    return DataError(f"none of the {len(broken):,} images can be read{broken_suffix(broken)}")


def left_out_notice(broken: list[Broken], count: int) -> str:
    """A message about those of `count` files that cannot be read."""
    return (
        f"{len(broken):,} of the {count:,} image files cannot be read and are left out"
        f"{broken_suffix(broken)}"
    )


def _no_images(paths: Sequence[str], notices: list[str]) -> DataError:
    ignored = "".join(f"; {notice}" for notice in notices)
    return DataError(
        f"images={escaped(','.join(paths))} contains no images: no file at any depth ends in "
        f"{', '.join(SUFFIXES)}{ignored}"
    )


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
                f"{escaped(str(file))} has {shape_text(header.size)} pixels, but the run takes "
                f"images of {shape_text(size)}: resize=true crops and resizes images of other sizes"
            )
        headers.append(header)
    return headers


def _conversion_notices(headers: list[Header], channels: int, size: tuple[int, int]) -> list[str]:
    """Messages about images that are resized or made grey to fit the model."""
    resized = sum(header.size != size for header in headers)
    coloured = sum(not header.is_grey for header in headers)
    notices = []
    if resized:
        notices.append(f"cropped and resized to {shape_text(size)}: {resized:,} of the images")
    if channels == 1 and coloured:
        notices.append(f"converted to greyscale, which the run takes: {coloured:,} of the images")
    return notices + frame_notices(sum(header.has_more for header in headers))


def _labelled(pixels: list[Tensor], names: list[str]) -> Split:
    classes = tuple(sorted(set(names), key=natural_key))
    labels = torch.tensor([classes.index(name) for name in names])
    return Split(torch.stack(pixels), labels, classes)
