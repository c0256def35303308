"""Interpolation written out: each output pixel as a sum of weights and input pixels."""

from collections.abc import Iterable

from aecli.convolution.arrays import Array
from aecli.convolution.interpolation import NEGLIGIBLE, Kernel, phases, weight_matrix

DIGITS = 4  # significant ones
FARTHEST = 4  # pixels: no kernel reaches that far


def phase_formulas(kernel: Kernel, factor: int) -> dict[str, str]:
    """For each phase of an axis, as in `y[2n + 1]`: `0.75*x[n] + 0.25*x[n + 1]`."""
    formulas = {}
    for phase, weights in enumerate(phases(kernel, factor)):
        target = "n" if factor == 1 else f"{factor}n + {phase}" if phase else f"{factor}n"
        terms = ((weight, f"x[{_shifted(offset)}]") for offset, weight in weights.items())
        formulas[f"y[{target}]"] = _sum(terms)
    return formulas


def axis_sums(pixels: Array, factor: int, kernel: Kernel, limit: int) -> list[str]:
    """The first `limit` output pixels of one row of `pixels`, as in `0.75*1 + 0.25*2 = 1.25`.

    At the border, the weights of the repeated pixel are added up.
    """
    near = pixels[: limit + FARTHEST]
    weights = weight_matrix(len(near), factor, kernel)
    return [
        f"{_sum(_terms(row, near))} = {_number(total)}"
        for row, total in zip(weights[:limit], weights @ near, strict=False)
    ]


def pixel_sum(image: Array, factor: int, kernel: Kernel, row: int, column: int) -> str:
    """The output pixel in this row and column, as the sum of all pixels that have a weight."""
    near = image[: row + FARTHEST, : column + FARTHEST]
    down, across = (weight_matrix(side, factor, kernel) for side in near.shape)
    weights = down[row][:, None] * across[column]
    terms = _terms(weights.ravel(), near.ravel())
    return f"{_sum(terms)} = {_number((weights * near).sum())}"


def _terms(weights: Array, pixels: Array) -> list[tuple[float, str]]:
    pairs = zip(weights.tolist(), pixels.tolist(), strict=True)
    return [(weight, _factor(pixel)) for weight, pixel in pairs if abs(weight) > NEGLIGIBLE]


def _shifted(offset: int) -> str:
    sign = "+" if offset > 0 else "-"
    return f"n {sign} {abs(offset)}" if offset else "n"


def _factor(pixel: float) -> str:
    return f"({_number(pixel)})" if pixel < 0 else _number(pixel)


def _number(value: float) -> str:
    return f"{round(value, 12) + 0.0:.{DIGITS}g}"  # -0 is 0


def _sum(terms: Iterable[tuple[float, str]]) -> str:
    (first, name), *others = terms
    rest = (
        f" {'-' if weight < 0 else '+'} {_number(abs(weight))}*{name}" for weight, name in others
    )
    return f"{_number(first)}*{name}" + "".join(rest)
