"""A person's own image files: finding them, and decoding each to uint8 pixels.

What becomes of an image, in this order: it is turned as its EXIF orientation says, laid over white
where it is transparent, brought to 8 bits by the range of its own type, resized if it has another
size than is wanted, and made grey or coloured. Of a file with several images, the first counts.
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
from tqdm import tqdm

from aecli.errors import DataError, StorageError, one_line
from aecli.files import natural_key

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
# What a file may be, whatever its suffix says. Pillow knows more kinds, for some of which it would
# start other programs.
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF")

# Largest value of the modes with more than 8 bits. Pillow has no mode for every type: a 32-bit
# integer holds the 16 bits of older files, and floats are taken to be pixels in [0, 1].
DEEP = {"I;16": 65535, "I;16L": 65535, "I;16B": 65535, "I;16N": 65535, "I": 65535, "F": 1}
GREY = {"1", "L", "LA", "La", *DEEP}
BACKGROUND = "white"  # of transparent images

RESIZING = Image.Resampling.BICUBIC  # Pillow widens it where it shrinks, so it does not alias
# A JPEG is decoded at a fraction of its size while that leaves so many times the wanted one.
SPARE = 2
NO_FOLDER = "."  # the class of images that lie beside the folders of the others
NAMED = 3  # broken files that a line names
# Images that each worker may be ahead of the one that is waited for.
AHEAD = 8


class BrokenImageError(Exception):
    """Why a file cannot be used, in one line without its name."""


@dataclass(frozen=True)
class Broken:
    """A file that cannot be used."""

    path: Path
    reason: str


def named(broken: list[Broken]) -> str:
    """The end of a line: the first broken files, with what is wrong with each."""
    some = "; ".join(f"{each.path}: {each.reason}" for each in broken[:NAMED])
    others = f"; and {len(broken) - NAMED:,} more" if len(broken) > NAMED else ""
    return f" ({some}{others})" if broken else ""


@dataclass(frozen=True)
class Header:
    """What a file says of its image."""

    size: tuple[int, int]
    """Rows and columns, once it is turned."""

    is_grey: bool
    """Whether it is stored without colours."""


def plain_name(folder: str) -> str:
    """The name of a folder for titles and tables, which take some signs for markup, and files."""
    return re.sub(r"[^\w .-]", "_", folder)


def size_text(size: tuple[int, int]) -> str:
    """Rows x columns, as a person would type them."""
    return "x".join(map(str, size))


def find_images(paths: Iterable[Path]) -> list[Path]:
    """The images among files and in folders, at any depth, each folder in natural order.

    Hidden files and folders are left out, and a folder that is met again by a link. A file that is
    given by name is taken whatever its name.

    Raises:
        DataError: there is no such file or folder.
        StorageError: a folder cannot be read.
    """
    found: dict[Path, None] = {}  # a set that keeps its order
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
    for place, folders, names in os.walk(folder, onerror=_unreadable, followlinks=True):
        facts = os.stat(place)
        if (facts.st_dev, facts.st_ino) in visited:
            folders.clear()
            continue
        visited.add((facts.st_dev, facts.st_ino))
        folders[:] = _in_order(each for each in folders if each[0] != ".")
        for name in _in_order(names):
            path = Path(place, name)
            # A link to nothing is kept, to be named among the broken ones; a pipe would block.
            is_file = path.is_file() or not path.exists()
            if name[0] != "." and path.suffix.lower() in SUFFIXES and is_file:
                yield path


def _in_order(names: Iterable[str]) -> list[str]:
    """01 and 1 are the same number, so the text decides between them."""
    return sorted(names, key=lambda name: (natural_key(name), name))


def _unreadable(error: OSError) -> None:
    raise StorageError(f"{error.filename} cannot be read: {error.strerror}") from error


def read_header(path: Path) -> Header:
    """Size and kind of an image, without decoding it.

    Raises:
        BrokenImageError: it has none.
    """
    with _opened(path) as image:
        columns, rows = image.size
        lies = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        # Of a TIFF, Pillow tells the size that it has once it is turned.
        size = (columns, rows) if lies and image.format != "TIFF" else (rows, columns)
        return Header(size, image.mode in GREY or _has_grey_palette(image))


def decode_image(path: Path, channels: int, size: tuple[int, int]) -> Tensor:
    """One image as uint8 (C, H, W).

    Where it has another size, its larger sides are cut equally at both ends to the wanted shape,
    and the rest is resized. `decode_images` also keeps Pillow's warnings off the screen.

    Args:
        path: the file.
        channels: 1 for the luma of ITU-R 601, or 3 for RGB.
        size: rows and columns.

    Raises:
        BrokenImageError: it cannot be decoded.
    """
    rows, columns = size
    with _opened(path) as image:
        image.draft(None, (SPARE * max(size), SPARE * max(size)))
        flat = _flat(ImageOps.exif_transpose(image))
        if flat.size != (columns, rows):
            flat = ImageOps.fit(flat, (columns, rows), RESIZING)
        pixels = np.array(flat.convert("L" if channels == 1 else "RGB"))
    return torch.from_numpy(pixels).reshape(rows, columns, channels).permute(2, 0, 1).contiguous()


def decode_images(
    paths: list[Path], channels: int, size: tuple[int, int]
) -> Iterator[Tensor | Broken]:
    """`decode_image` of every file in parallel, in their order, with a progress bar."""
    return in_parallel(partial(decode_image, channels=channels, size=size), paths, "decoding")


Result = TypeVar("Result")


def in_parallel(
    function: Callable[[Path], Result], paths: list[Path], title: str
) -> Iterator[Result | Broken]:
    """What `function` makes of each file, in their order, or why it can make nothing of it.

    In threads, because Pillow lets go of the interpreter while it decodes; only a few results wait
    to be taken, so that memory does not grow with the files.
    """
    Image.init()  # Pillow fills its table of formats at the first use, which several may be at once
    workers = _usable_cores()
    waiting: deque[Future[Result | Broken]] = deque()
    bar = tqdm(total=len(paths), desc=title, unit="image", leave=False, disable=None)
    with bar, _pillow_kept_quiet(), ThreadPoolExecutor(workers) as pool:
        try:
            for path in paths:
                waiting.append(pool.submit(_attempt, function, path))
                if len(waiting) > AHEAD * workers:
                    yield waiting.popleft().result()
                    bar.update()
            while waiting:
                yield waiting.popleft().result()
                bar.update()
        finally:
            pool.shutdown(cancel_futures=True)


def _usable_cores() -> int:
    """How many this process may use: a scheduler may have given it some of the machine's."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _attempt(function: Callable[[Path], Result], path: Path) -> Result | Broken:
    try:
        return function(path)
    except BrokenImageError as error:
        return Broken(path, str(error))


@contextmanager
def _pillow_kept_quiet() -> Iterator[None]:
    """Without Pillow's warnings; that of a huge image refuses it instead."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The first image of a file; whatever is wrong with it ends as a BrokenImageError."""
    try:
        # A file given by name is mapped by Pillow, which gets the pixels wrong of a TIFF that lies
        # on its side.
        with open(path, "rb") as file, Image.open(file, formats=FORMATS) as image:
            yield image
    except BrokenImageError:
        raise
    except Exception as error:  # of as many kinds as there are decoders and kinds of damage
        raise BrokenImageError(_reason(path, error)) from error


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"it has more than {Image.MAX_IMAGE_PIXELS:,} pixels"
    if isinstance(error, UnidentifiedImageError):
        is_empty = path.stat().st_size == 0
        return "it is empty" if is_empty else f"it is none of {', '.join(FORMATS)}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return one_line(error) or type(error).__name__


def _flat(image: Image.Image) -> Image.Image:
    """`image` in a mode of 8 bits without transparency."""
    if image.mode in DEEP:
        return _in_8_bits(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, BACKGROUND), layer)
    if image.mode in ("1", "P"):  # whose pixels cannot be mixed
        return image.convert("RGB")
    return image


def _in_8_bits(image: Image.Image) -> Image.Image:
    values, largest = np.asarray(image, np.float64), DEEP[image.mode]
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= largest):  # nor is NaN
        raise BrokenImageError(
            f"its values reach from {low:g} to {high:g}, where {image.mode} is read as 0 to "
            f"{largest}"
        )
    return Image.fromarray(np.rint(values * (255 / largest)).astype(np.uint8))


def _has_grey_palette(image: Image.Image) -> bool:
    colours = image.getpalette("RGB") if image.mode == "P" else None
    return colours is not None and colours[0::3] == colours[1::3] == colours[2::3]
