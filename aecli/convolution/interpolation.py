"""Interpolation of small images by a whole factor: nearest, bilinear, and the bicubic family.

All three are separable: the same weights along the rows and along the columns. Output pixel i of an
axis lies at (i + 1/2) / factor - 1/2 in the input, and input pixel n has the weight that a kernel
has at their distance. Beyond the border, the edge pixel is repeated. These are the conventions of
torch's `interpolate` with align_corners=False.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

TORCH_A = -0.75
"""The parameter of torch's bicubic interpolation."""

NAME_TOLERANCE = 1e-3  # 0.333 is a third
NEGLIGIBLE = 1e-12  # weights that are 0 but for rounding


class Kernel(NamedTuple):
    """The weight of a pixel by its distance, in pixels of the input."""

    name: str
    radius: float
    """Beyond it the weight is 0."""

    weight: Callable[[float], float]
    """The same for positive and negative distances."""


Phase = dict[int, float]
"""Weights of the input pixels by their offset from the one whose cell contains the output pixel."""


def _box(distance: float) -> float:
    return 1.0 if abs(distance) < 0.5 else 0.0  # an output pixel never lies between two


def _tent(distance: float) -> float:
    return max(0.0, 1.0 - abs(distance))


NEAREST = Kernel("nearest", 0.5, _box)
BILINEAR = Kernel("bilinear", 1.0, _tent)


def bicubic(b: float, c: float) -> Kernel:
    """The cubic kernel with the parameters B and C.

    Mitchell and Netravali, "Reconstruction filters in computer graphics", 1988, equation 8.
    """

    def weight(distance: float) -> float:
        x = abs(distance)
        if x < 1:
            cubed, squared = 12 - 9 * b - 6 * c, -18 + 12 * b + 6 * c
            linear, constant = 0.0, 6 - 2 * b
        elif x < 2:
            cubed, squared = -b - 6 * c, 6 * b + 30 * c
            linear, constant = -12 * b - 48 * c, 8 * b + 24 * c
        else:
            return 0.0
        return (((cubed * x + squared) * x + linear) * x + constant) / 6

    return Kernel(_bicubic_name(b, c), 2.0, weight)


def keys_bicubic(a: float) -> Kernel:
    """The cubic kernel with the parameter a: its slope at distance 1.

    Keys, "Cubic convolution interpolation for digital image processing", 1981: with a = -1/2 it
    reproduces parabolas. It is `bicubic` with B = 0 and C = -a.
    """
    return bicubic(0.0, -a)


def is_cubic(kernel: Kernel) -> bool:
    """Whether a kernel is one of the bicubic family."""
    return kernel.radius == 2


def _bicubic_name(b: float, c: float) -> str:
    """For example `bicubic, a = -0.75 (torch's)`, or with B and C where no a gives the same."""
    known = {
        (0.0, -TORCH_A): "torch's",
        (0.0, 0.5): "Keys, Catmull-Rom",
        (1 / 3, 1 / 3): "Mitchell and Netravali",
        (1.0, 0.0): "B-spline",
    }
    near = (name for at, name in known.items() if math.dist(at, (b, c)) < NAME_TOLERANCE)
    name = next((f" ({name})" for name in near), "")
    return f"bicubic, a = {0 - c:g}{name}" if b == 0 else f"bicubic, B = {b:g}, C = {c:g}{name}"


def phases(kernel: Kernel, factor: int) -> list[Phase]:
    """The weights of each phase p: of the output pixels factor n + p, whatever n.

    They sum to 1 in each phase. Pixels without a weight are left out.
    """
    reach = math.ceil(kernel.radius)
    found = []
    for p in range(factor):
        # (p + 1/2) / factor - 1/2 - offset, rounded once
        distances = {
            offset: (2 * p + 1 - factor * (1 + 2 * offset)) / (2 * factor)
            for offset in range(-reach, reach + 1)
        }
        weights = {offset: kernel.weight(distance) for offset, distance in distances.items()}
        found.append({n: weight for n, weight in weights.items() if abs(weight) > NEGLIGIBLE})
    return found


def interpolate(image: Floats, factor: int, kernel: Kernel) -> Floats:
    """Enlarge (..., height, width) by `factor` along both axes, in the precision of `image`."""
    rows = _along_rows(image, factor, kernel)
    return _along_rows(rows.swapaxes(-1, -2), factor, kernel).swapaxes(-1, -2)


def weight_matrix(size: int, factor: int, kernel: Kernel) -> Floats:
    """The matrix (size * factor, size) that multiplies an axis of `size` pixels."""
    return _along_rows(np.eye(size), factor, kernel)


def _along_rows(image: Floats, factor: int, kernel: Kernel) -> Floats:
    """(..., height, width) -> (..., height * factor, width)."""
    *others, height, width = image.shape
    output = np.zeros((*others, height * factor, width), image.dtype)
    pixels = np.arange(height)
    for phase, weights in enumerate(phases(kernel, factor)):
        for offset, weight in weights.items():
            source = np.clip(pixels + offset, 0, height - 1)
            output[..., phase::factor, :] += weight * image[..., source, :]
    return output
