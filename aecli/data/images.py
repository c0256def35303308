"""Find the user's image files and decode each to uint8 pixels.

Each image is rotated according to its EXIF orientation, composited over white if transparent,
scaled to 8 bits by the range of its own type, resized if its size differs from the requested one,
and converted to greyscale or RGB, in this order. If a file holds several images, the first is used.
"""

import os
import re
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from aecli.errors import DataError, StorageError, one_line
from aecli.files import natural_key
from aecli.runtime.progress import Bar

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
# Accepted file formats, whatever the suffix. Pillow knows more, and starts other programs for some
# of them.
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF")

# Largest value of the modes with more than 8 bits. Pillow does not have a mode for every type: it
# reads some 16-bit files as 32-bit integers; floats are assumed to be pixels in [0, 1].
MAX_VALUES = {"I;16": 65535, "I;16L": 65535, "I;16B": 65535, "I;16N": 65535, "I": 65535, "F": 1}
GREY_MODES = {"1", "L", "LA", "La", *MAX_VALUES}
BACKGROUND = "white"  # for transparent images

RESAMPLING = Image.Resampling.BICUBIC  # Pillow widens the kernel when shrinking: no aliasing
# A JPEG is decoded at a reduced size, but at least this many times the requested one.
DRAFT_SCALE = 2
NO_FOLDER = "."  # the class of images outside of any class folder
MAX_LISTED = 3  # broken files listed in a message
# Images queued per worker ahead of the one being consumed.
QUEUED_PER_WORKER = 8


DECODER_VERSION = 1
"""To be raised whenever images are decoded differently: caches of decoded images depend on it."""


class BrokenImageError(Exception):
    """An unusable file; the message is one line without the file name."""


@dataclass(frozen=True)
class Broken:
    """A file that cannot be used."""

    path: Path
    reason: str


def broken_suffix(broken: list[Broken]) -> str:
    """The end of a message that lists the first broken files and their reasons."""
    listed = "; ".join(f"{each.path}: {each.reason}" for each in broken[:MAX_LISTED])
    more = f"; and {len(broken) - MAX_LISTED:,} more" if len(broken) > MAX_LISTED else ""
    return f" ({listed}{more})" if broken else ""


@dataclass(frozen=True)
class Header:
    """What the header of an image file says."""

    size: tuple[int, int]
    """Rows and columns, after EXIF rotation."""

    is_grey: bool
    """Whether it is stored as greyscale."""


def plain_name(folder: str) -> str:
    """A folder's name, safe for file names and for titles and tables that interpret markup."""
    return re.sub(r"[^\w .-]", "_", folder)


def size_text(size: tuple[int, int]) -> str:
    """Rows x columns, as in `48x64`."""
    return "x".join(map(str, size))


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Find the image files in `paths`, files or folders at any depth, in natural order per folder.

    Hidden files and folders are skipped, and so are folders reached again through a link. A file
    given explicitly is taken whatever its name.

    Raises:
        DataError: there is no such file or folder.
        StorageError: a folder cannot be read.
    """
    found: dict[Path, None] = {}  # an ordered set
    visited: set[tuple[int, int]] = set()
    for path in paths:
        if path.is_dir():
            found |= dict.fromkeys(_images_below(path, visited))
        elif path.exists():
            found[path] = None
        else:
            raise DataError(f"there is no file or folder {path}")
    return list(found)


def _images_below(folder: Path, visited: set[tuple[int, int]]) -> Iterator[Path]:
    for root, folders, names in os.walk(folder, onerror=_raise_storage_error, followlinks=True):
        status = os.stat(root)
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = _naturally_sorted(each for each in folders if each[0] != ".")
        for name in _naturally_sorted(names):
            path = Path(root, name)
            # A dangling link is kept, to be reported as broken; a pipe would block.
            is_file = path.is_file() or not path.exists()
            if name[0] != "." and path.suffix.lower() in SUFFIXES and is_file:
                yield path


def _naturally_sorted(names: Iterable[str]) -> list[str]:
    """Natural order; ties such as 01 and 1 are broken by the text."""
    return sorted(names, key=lambda name: (natural_key(name), name))


def _raise_storage_error(error: OSError) -> None:
    raise StorageError(f"{error.filename} cannot be read: {error.strerror}") from error


def read_header(path: Path) -> Header:
    """Read the size of an image and whether it is grey, without decoding it.

    Raises:
        BrokenImageError: the header cannot be read.
    """
    with _open_image(path) as image:
        columns, rows = image.size
        is_rotated = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        # For a TIFF, Pillow reports the size after rotation.
        size = (columns, rows) if is_rotated and image.format != "TIFF" else (rows, columns)
        return Header(size, image.mode in GREY_MODES or _has_grey_palette(image))


def decode_image(path: Path, channels: int, size: tuple[int, int]) -> Tensor:
    """Decode one image to uint8 (C, H, W).

    If its size differs, it is centre-cropped to the requested aspect ratio and resized.
    `decode_images` also suppresses Pillow's warnings.

    Args:
        path: the file.
        channels: 1 for greyscale (ITU-R 601 luma), or 3 for RGB.
        size: rows and columns.

    Raises:
        BrokenImageError: it cannot be decoded.
    """
    rows, columns = size
    with _open_image(path) as image:
        image.draft(None, (DRAFT_SCALE * max(size), DRAFT_SCALE * max(size)))
        opaque = _to_8_bit_opaque(ImageOps.exif_transpose(image))
        if opaque.size != (columns, rows):
            opaque = ImageOps.fit(opaque, (columns, rows), RESAMPLING)
        pixels = np.array(opaque.convert("L" if channels == 1 else "RGB"))
    return torch.from_numpy(pixels).reshape(rows, columns, channels).permute(2, 0, 1).contiguous()


def decode_images(
    paths: list[Path], channels: int, size: tuple[int, int]
) -> Iterator[Tensor | Broken]:
    """Apply `decode_image` to all files in parallel, in order, with a progress bar."""
    return in_parallel(partial(decode_image, channels=channels, size=size), paths, "decoding")


Result = TypeVar("Result")


def in_parallel(
    function: Callable[[Path], Result], paths: list[Path], title: str
) -> Iterator[Result | Broken]:
    """Yield `function(path)` for each file, in order, or a `Broken` with the reason it failed.

    Uses threads, because Pillow releases the GIL while decoding. Only a few results are queued, so
    memory does not grow with the number of files.
    """
    Image.init()  # Pillow fills its format table on first use, which is not thread-safe
    workers = _usable_cores()
    waiting: deque[Future[Result | Broken]] = deque()
    bar = Bar(title, len(paths), "images")
    with bar, _pillow_warnings_suppressed(), ThreadPoolExecutor(workers) as pool:
        try:
            for path in paths:
                waiting.append(pool.submit(_try, function, path))
                if len(waiting) > QUEUED_PER_WORKER * workers:
                    yield waiting.popleft().result()
                    bar.advance()
            while waiting:
                yield waiting.popleft().result()
                bar.advance()
        finally:
            pool.shutdown(cancel_futures=True)


def _usable_cores() -> int:
    """Cores available to this process; a scheduler may have assigned it only some of them."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _try(function: Callable[[Path], Result], path: Path) -> Result | Broken:
    try:
        return function(path)
    except BrokenImageError as error:
        return Broken(path, str(error))


@contextmanager
def _pillow_warnings_suppressed() -> Iterator[None]:
    """Suppress Pillow's warnings; turn the one about huge images into an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


@contextmanager
def _open_image(path: Path) -> Iterator[Image.Image]:
    """Open the first image of a file; any failure is raised as a BrokenImageError."""
    try:
        if path.exists() and not path.is_file():
            raise BrokenImageError("it is not a regular file")  # reading a pipe could block
        # Given a name, Pillow memory-maps the file, and then gets the pixels of a rotated TIFF
        # wrong.
        with open(path, "rb") as file, Image.open(file, formats=FORMATS) as image:
            yield image
    except BrokenImageError:
        raise
    except Exception as error:  # each decoder raises its own kinds
        raise BrokenImageError(_reason(path, error)) from error


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"it has more than {Image.MAX_IMAGE_PIXELS:,} pixels"
    if isinstance(error, UnidentifiedImageError):
        is_empty = path.stat().st_size == 0
        return "it is empty" if is_empty else f"its format is not one of {', '.join(FORMATS)}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return one_line(error) or type(error).__name__


def _to_8_bit_opaque(image: Image.Image) -> Image.Image:
    """Convert `image` to an 8-bit mode without transparency."""
    if image.mode in MAX_VALUES:
        return _to_8_bits(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, BACKGROUND), layer)
    if image.mode in ("1", "P"):  # their pixels cannot be interpolated
        return image.convert("RGB")
    return image


def _to_8_bits(image: Image.Image) -> Image.Image:
    values, largest = np.asarray(image, np.float64), MAX_VALUES[image.mode]
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= largest):  # also catches NaN
        raise BrokenImageError(
            f"its values range from {low:g} to {high:g}, but mode {image.mode} is read as 0 to "
            f"{largest}"
        )
    return Image.fromarray(np.rint(values * (255 / largest)).astype(np.uint8))


def _has_grey_palette(image: Image.Image) -> bool:
    colours = image.getpalette("RGB") if image.mode == "P" else None
    return colours is not None and colours[0::3] == colours[1::3] == colours[2::3]
