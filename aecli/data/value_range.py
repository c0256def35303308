"""Notice images that come out nearly black because they use little of the range of their type.

A microscope's 12-bit values in a 16-bit file are an example.
"""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from aecli.data.images import Broken, in_parallel, open_image
from aecli.data.pixels import MAX_8_BITS, largest_value, max_value

DARK = 64  # levels of 256: a quarter of the range


@dataclass(frozen=True)
class ValueRange:
    """How much of the range of its type an image uses."""

    largest: float
    limit: float
    """The largest value of the type."""


def is_dark(image: Tensor) -> bool:
    """Whether a decoded image, uint8 (C, H, W), uses less than a quarter of the range."""
    return int(image.max()) < DARK


def range_notices(
    dark: list[Path], total: int, scale: float | None, is_own: bool = False
) -> list[str]:
    """A message about the `dark` ones of `total` images that use little of their range, if any.

    Images of 8 bits may well be dark, unless all of a data set are.

    Args:
        is_own: they are for a trained model, whose images set the scale.
    """
    found = in_parallel(read_range, dark, "reading ranges")
    ranges = [each for each in found if not isinstance(each, Broken)]
    deep = [each for each in ranges if each.limit != MAX_8_BITS]
    ranges = ranges if len(dark) == total and not is_own else deep
    if not ranges:
        return []
    white = scale or max(each.limit for each in ranges)
    largest = max(each.largest for each in ranges)
    part = "all" if len(ranges) == total else f"{len(ranges):,} of"
    count = f"{part} {total:,} images"
    if largest == 0:
        return [f"{count} are black"]
    fact = (
        f"{count} use little of their range: their values reach {largest:,g}, while {white:,g} "
        f"counts as white"
    )
    if is_own:
        return [f"{fact}, as in training"]
    better = largest if largest <= 1 else 2 ** int(largest).bit_length() - 1
    return [f"{fact}; scale={better:g} makes {better:,g} white"]


def read_range(path: Path) -> ValueRange:
    """Read the largest pixel value of a file.

    Raises:
        BrokenImageError: it cannot be decoded.
    """
    with open_image(path) as image:
        return ValueRange(largest_value(image), max_value(image))
