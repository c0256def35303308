"""Find the user's image files and decode each to uint8 pixels.

Each image is rotated according to its EXIF orientation, composited over white if transparent,
scaled to 8 bits (see `pixels`), resized if its size differs from the requested one, and converted
to greyscale or RGB, in this order. If a file holds several images, the first is used.
"""

import os
import sys
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from torch import Tensor

from aecli.data.pixels import BrokenImageError, is_grey, to_8_bits
from aecli.errors import DataError, StorageError
from aecli.errors.text import escaped, one_line
from aecli.files.storage import natural_key
from aecli.runtime.progress import Bar

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif",
    ".pbm", ".pgm", ".ppm", ".pnm",
)  # fmt: skip
# Accepted file formats, whatever the suffix. Pillow knows more, and starts other programs for some
# of them.
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF", "PPM")

TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the first bytes of a TIFF

RESAMPLING = Image.Resampling.BICUBIC  # Pillow widens the kernel when shrinking: no aliasing
# A JPEG is decoded at a reduced size, but at least this many times the requested one.
DRAFT_SCALE = 2
NO_FOLDER = "."  # the class of images outside of any class folder
NO_SUFFIX = "without a suffix"
MAX_LISTED = 3  # broken files listed in a message
# Images queued per worker ahead of the one being consumed.
QUEUED_PER_WORKER = 8


DECODER_VERSION = 2
"""Increased whenever images are decoded differently: caches of decoded images depend on it."""


@dataclass(frozen=True)
class Broken:
    """A file that cannot be used."""

    path: Path
    reason: str


def broken_suffix(broken: list[Broken]) -> str:
    """The end of a message that lists the first broken files and their reasons."""
    listed = "; ".join(f"{escaped(str(each.path))}: {each.reason}" for each in broken[:MAX_LISTED])
    more = f"; and {len(broken) - MAX_LISTED:,} more" if len(broken) > MAX_LISTED else ""
    return f" ({listed}{more})" if broken else ""


@dataclass(frozen=True)
class Header:
    """The facts in the header of an image file."""

    size: tuple[int, int]
    """Rows and columns, after EXIF rotation."""

    is_grey: bool
    """Whether it is stored as greyscale."""

    has_more: bool = False
    """Whether the file holds further images, such as frames or pages."""

    @property
    def channels(self) -> int:
        """1 for greyscale, 3 for colours."""
        return 1 if self.is_grey else 3


def frame_notices(count: int) -> list[str]:
    """A message about the files that hold several images, if any."""
    return [f"{count:,} files hold several images; the first of each is used"] if count else []


class FoundImages(NamedTuple):
    """The images and other files in some files and folders."""

    images: list[Path]
    """The image files."""

    ignored: Counter[str]
    """How many other files there are by suffix, such as `.heic`; `""` for those without."""

    @property
    def notices(self) -> list[str]:
        """A message about the files that are not read, if any."""
        if not self.ignored:
            return []
        kinds = (f"{count:,} {suffix or NO_SUFFIX}" for suffix, count in self.ignored.most_common())
        return [f"files that are not read: {escaped(', '.join(kinds))}"]


def find_images(paths: Iterable[Path]) -> FoundImages:
    """Find the image files in `paths`, files or folders at any depth, in natural order per folder.

    Hidden files and folders are skipped, and so are folders reached again through a link. A file
    given explicitly is taken whatever its name.

    Raises:
        DataError: there is no such file or folder.
        StorageError: a folder cannot be read.
    """
    found: dict[Path, None] = {}  # an ordered set
    ignored: Counter[str] = Counter()
    visited: set[tuple[int, int]] = set()
    for path in paths:
        if path.is_dir():
            for file in _files_below(path, visited):
                # A dangling link is kept, to be reported as broken; a pipe would block.
                is_file = file.is_file() or not file.exists()
                if is_file and file.suffix.lower() in SUFFIXES:
                    found[file] = None
                else:
                    ignored[file.suffix.lower()] += 1
        elif path.exists():
            found[path] = None
        else:
            raise DataError(f"there is no file or folder {escaped(str(path))}")
    return FoundImages(list(found), ignored)


def _files_below(folder: Path, visited: set[tuple[int, int]]) -> Iterator[Path]:
    for root, folders, names in os.walk(folder, onerror=_raise_storage_error, followlinks=True):
        status = os.stat(root)
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted((each for each in folders if each[0] != "."), key=natural_key)
        for name in sorted(names, key=natural_key):
            if name[0] != ".":
                yield Path(root, name)


def _raise_storage_error(error: OSError) -> None:
    raise StorageError(
        f"{escaped(str(error.filename))} cannot be read: {error.strerror}"
    ) from error


def read_header(path: Path) -> Header:
    """Read the size of an image and whether it is grey, without decoding it.

    Raises:
        BrokenImageError: the header cannot be read.
    """
    with open_image(path) as image:
        is_stored_grey = is_grey(image)  # other attributes may decode the image
        columns, rows = image.size
        is_rotated = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        # For a TIFF, Pillow reports the size after rotation.
        size = (columns, rows) if is_rotated and image.format != "TIFF" else (rows, columns)
        return Header(size, is_stored_grey, getattr(image, "n_frames", 1) > 1)


def decode_image(
    path: Path, channels: int, size: tuple[int, int], scale: float | None = None
) -> Tensor:
    """Decode one image to uint8 (C, H, W).

    If its size differs, it is centre-cropped to the requested aspect ratio and resized.
    `decode_images` also suppresses Pillow's warnings.

    Args:
        path: the file.
        channels: 1 for greyscale (ITU-R 601 luma), or 3 for RGB.
        size: rows and columns.
        scale: the pixel value that counts as white; None for the largest of the file's type.

    Raises:
        BrokenImageError: it cannot be decoded.
    """
    with open_image(path) as image:
        image.draft(None, (DRAFT_SCALE * max(size), DRAFT_SCALE * max(size)))
        opaque = to_8_bits(image, scale)
        return fit_pixels(opaque, channels, size)


def fit_pixels(image: Image.Image, channels: int, size: tuple[int, int]) -> Tensor:
    """The pixels of an image of 8 bits as uint8 (C, H, W), cropped and resized as `decode_image`
    says."""
    rows, columns = size
    if image.size != (columns, rows):
        image = ImageOps.fit(image, (columns, rows), RESAMPLING)
    pixels = np.array(image.convert("L" if channels == 1 else "RGB"))
    return torch.from_numpy(pixels).reshape(rows, columns, channels).permute(2, 0, 1).contiguous()


def decode_images(
    paths: list[Path], channels: int, size: tuple[int, int], scale: float | None = None
) -> Iterator[Tensor | Broken]:
    """Apply `decode_image` to all files in parallel, in order, with a progress bar."""
    decode = partial(decode_image, channels=channels, size=size, scale=scale)
    return in_parallel(decode, paths, "decoding")


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
def open_image(path: Path) -> Iterator[ImageFile]:
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
        if path.stat().st_size == 0:
            return "it is empty"
        with open(path, "rb") as file:
            if file.read(4) in TIFF_MARKS:
                return "it is a TIFF with a kind of pixels that is not read"
        return f"its format is not one of {', '.join(FORMATS)}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return one_line(error) or type(error).__name__
