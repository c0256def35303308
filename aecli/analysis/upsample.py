"""Pictures enlarged by methods without training, and the error when they were shrunk before."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from aecli.analysis.pictures import Picture, Pixels
from aecli.comparison.significance import bootstrap_over_images
from aecli.convolution.interpolation import Kernel, interpolate
from aecli.convolution.upsampling import area_mean, bed_of_nails, max_pool, max_unpool
from aecli.errors import UsageError
from aecli.errors.text import shape_text
from aecli.evaluation.metrics import psnr
from aecli.figures.enlargements import CaptionedImage, enlargements

Enlarge = Callable[[Pixels, int], Pixels]
"""A picture and a factor -> the picture, higher and wider by this factor."""

MIN_IMAGES = 20  # for an interval over images
DETAIL = 64  # pixels along a side of what a figure shows of a larger picture

UNPOOLED = "max_unpool"
"""The only method that needs the original picture: it puts the maxima back where they were in
it."""


@dataclass(frozen=True)
class Restored:
    """How well pictures were restored that had been made smaller by a factor."""

    factor: int
    method: str
    mse: float
    """The mean over all pictures."""

    n: int
    """How many there are."""

    interval: tuple[float, float] | None
    """The confidence interval of the mean; None for fewer than `MIN_IMAGES`."""

    @property
    def psnr(self) -> float:
        return psnr(self.mse)


def enlargers(methods: Sequence[str], kernels: Mapping[str, Kernel]) -> dict[str, Enlarge]:
    """The methods that enlarge any picture, in the order of `methods`; outputs are clipped.

    Raises:
        UsageError: a method does not apply to pictures.
    """
    if "pixel_shuffle" in methods:
        raise UsageError(
            "method=pixel_shuffle is not for pictures: a convolution computes the channels that it "
            "interleaves; input=2 shows it on numbers"
        )
    found: dict[str, Enlarge] = {}
    for method in methods:
        if method == "bed_of_nails":
            found[method] = bed_of_nails
        elif method in kernels:
            found[method] = _clipped(kernels[method])
    return found


def _clipped(kernel: Kernel) -> Enlarge:
    return lambda pixels, factor: interpolate(pixels, factor, kernel).clip(0, 1)


def restore(pixels: Pixels, method: str, enlarge: Enlarge | None, factor: int) -> Pixels:
    """Make (..., height, width) smaller and enlarge it again; a factor divides height and width.

    Each cell becomes its mean; for max-unpooling, its maximum.
    """
    if enlarge is not None:
        return enlarge(area_mean(pixels, factor), factor)
    pooled = max_pool(pixels, factor)
    return max_unpool(pooled.maxima, pooled.indices, factor)


def cropped(pixels: Pixels, factor: int) -> Pixels:
    """The upper left part whose height and width are multiples of `factor`."""
    height, width = (side - side % factor for side in pixels.shape[-2:])
    return pixels[..., :height, :width]


def measure(
    batches: Iterable[Pixels],
    methods: Sequence[str],
    enlarge: Mapping[str, Enlarge],
    factors: Sequence[int],
) -> list[Restored]:
    """The error of each method and factor over all pictures, (B, C, H, W) each."""
    errors: dict[tuple[int, str], list[NDArray[np.float64]]] = defaultdict(list)
    for pixels in batches:
        for factor in factors:
            original = cropped(pixels, factor)
            for method in methods:
                restored = restore(original, method, enlarge.get(method), factor)
                squares = (restored - original) ** 2
                errors[factor, method].append(squares.mean((1, 2, 3), dtype=np.float64))
    of_each = torch.tensor(np.stack([np.concatenate(each) for each in errors.values()]))
    n = of_each.shape[1]
    intervals: list[tuple[float, float] | None] = [None] * len(errors)
    if n >= MIN_IMAGES:
        intervals = [(each.low, each.high) for each in bootstrap_over_images(of_each)]
    return [
        Restored(factor, method, mse, n, interval)
        for (factor, method), mse, interval in zip(
            errors, of_each.mean(1).tolist(), intervals, strict=True
        )
    ]


def detail(pixels: Pixels) -> tuple[slice, slice]:
    """What to show of a picture (C, H, W): all of it or, of a large one, the square in which
    neighbouring pixels differ most."""
    height, width = pixels.shape[1:]
    steps = np.abs(np.diff(pixels[:, :-1], axis=2)) + np.abs(np.diff(pixels[:, :, :-1], axis=1))
    corners = itertools.product(_starts(height), _starts(width))
    squares = [(slice(top, top + DETAIL), slice(left, left + DETAIL)) for top, left in corners]
    return max(squares, key=lambda square: float(steps[:, square[0], square[1]].sum()))


def _starts(side: int) -> range:
    """Where squares begin along a side; there is one at least."""
    return range(0, max(1, side - DETAIL + 1), DETAIL)


def enlarged_figure(
    title: str,
    picture: Picture,
    enlarge: Mapping[str, Enlarge],
    factors: Sequence[int],
    keep: Callable[[str, Pixels], None],
) -> Figure:
    """A picture, or a detail of it, next to its enlargements, to scale.

    Args:
        title, picture, enlarge, factors: what to show.
        keep: called with a name and the pixels of each enlargement.
    """
    rows, columns = detail(picture.pixels)
    original = picture.pixels[:, rows, columns]
    lines = [[CaptionedImage(f"original\n{shape_text(original.shape[-2:])}", original)]]
    for factor in factors:
        line = []
        for method, function in enlarge.items():
            large = function(picture.pixels, factor)
            keep(f"{method}-x{factor}", large)
            part = large[:, _scaled(rows, factor), _scaled(columns, factor)].copy()
            line.append(CaptionedImage(f"{method}\n{shape_text(part.shape[-2:])}", part))
        lines.append(line)
    return enlargements(f"{title}{_detail_text(picture)}", lines)


def restored_figure(
    title: str,
    picture: Picture,
    methods: Sequence[str],
    enlarge: Mapping[str, Enlarge],
    factors: Sequence[int],
) -> Figure:
    """A picture, the same with fewer pixels, and its enlargement by each method, with the psnr."""
    shown = detail(picture.pixels)
    # What is left of them in all lines.
    sides = [min(side - side % factor for factor in factors) for side in picture.pixels.shape[1:]]
    rows, columns = (
        slice(part.start, min(part.stop, side)) for part, side in zip(shown, sides, strict=True)
    )
    lines = []
    for factor in factors:
        original = cropped(picture.pixels, factor)
        small = area_mean(original, factor)
        squares = small.repeat(factor, 1).repeat(factor, 2)
        line = [
            CaptionedImage("original", original[:, rows, columns]),
            CaptionedImage(f"at {shape_text(small.shape[-2:])}", squares[:, rows, columns]),
        ]
        for method in methods:
            restored = restore(original, method, enlarge.get(method), factor)
            mse = float(((restored - original) ** 2).mean(dtype=np.float64))
            line.append(CaptionedImage(f"{method}\n{psnr(mse):.1f} dB", restored[:, rows, columns]))
        lines.append(line)
    return enlargements(f"{title}{_detail_text(picture)}", lines)


def _scaled(part: slice, factor: int) -> slice:
    return slice(part.start * factor, part.stop * factor)


def _detail_text(picture: Picture) -> str:
    """Which part of a large picture a figure shows."""
    rows, columns = detail(picture.pixels)
    whole, part = picture.pixels.shape[-2:], picture.pixels[:, rows, columns].shape[-2:]
    if whole == part:
        return ""
    return f": a detail of {shape_text(part)} of its {shape_text(whole)} pixels"
