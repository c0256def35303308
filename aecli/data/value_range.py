"""Detect images that would be nearly black because they use little of the range of their type.

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

    @property
    def is_deep(self) -> bool:
        """Whether the type has more than 8 bits."""
        return self.limit != MAX_8_BITS


def is_dark(image: Tensor) -> bool:
    """Whether a decoded image, uint8 (C, H, W), uses less than a quarter of the range."""
    return int(image.max()) < DARK


def range_notices(
    dark: list[Path], bright: list[Path], scale: float | None, is_own: bool = False
) -> list[str]:
    """A message about images that use little of their range, if any.

    A single image may well be dark. But if all images of 8 bits are, or all with more, the scale is
    wrong.

    Args:
        dark: the images that are dark when decoded.
        bright: all the others.
        scale: the value that counted as white.
        is_own: they are for a trained model, whose images set the scale; of 8 bits, they may be
            dark.
    """
    found = in_parallel(read_range, dark, "reading ranges")
    ranges = [each for each in found if not isinstance(each, Broken)]
    usual = _kinds(bright, {each.is_deep for each in ranges}) | ({False} if is_own else set())
    ranges = [each for each in ranges if each.is_deep not in usual]
    if not ranges:
        return []
    white = scale or max(each.limit for each in ranges)
    largest = max(each.largest for each in ranges)
    total = len(dark) + len(bright)
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


def _kinds(paths: list[Path], wanted: set[bool]) -> set[bool]:
    """Which of the `wanted` answers `is_deep` gives for at least one image."""
    kinds: set[bool] = set()
    for kind in in_parallel(is_deep, paths if wanted else [], "reading types"):
        if not isinstance(kind, Broken):
            kinds.add(kind)
        if kinds >= wanted:
            break
    return kinds


def is_deep(path: Path) -> bool:
    """Whether an image has more than 8 bits.

    Raises:
        BrokenImageError: its header cannot be read.
    """
    with open_image(path) as image:
        return max_value(image) != MAX_8_BITS


def read_range(path: Path) -> ValueRange:
    """Read the largest pixel value of a file.

    Raises:
        BrokenImageError: it cannot be decoded.
    """
    with open_image(path) as image:
        limit = max_value(image)  # before it is decoded
        return ValueRange(largest_value(image), limit)
