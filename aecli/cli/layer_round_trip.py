"""A convolution and the transposed convolution back, in numbers and sentences."""

import numpy as np

from aecli.cli.console import bullets, facts, out
from aecli.cli.layer_grids import maps
from aecli.cli.number_grids import is_printable, number_grids
from aecli.convolution.arithmetic import sizes_text
from aecli.convolution.layer import ConvLayer
from aecli.convolution.reference import Array
from aecli.convolution.round_trip import RoundTrip
from aecli.errors.text import shape_text

MAX_PRINTED = 64  # numbers of the first row
EQUAL = 1e-9  # the relative mse at which numbers have come back


def print_round_trip(layer: ConvLayer, trip: RoundTrip) -> None:
    """Print how much of the shape and of the numbers is recovered."""
    if len(layer.images) > 1:
        out.print()
        out.print(f"The first of {len(layer.images)} images:")
    x, y, z = layer.images[:1], trip.forth[None], trip.back[None]
    grids = maps("x, the input", x)
    number_grids(grids, maps("y, there", y), maps("z, and back", z))
    out.print()
    if not is_printable(grids[0]):
        facts({"first row of x": _row(x), "first row of z": _row(z)})
        out.print()
    bullets([_about_shape(layer, trip), *_about_numbers(layer.images[0], trip)])
    out.print()


def _row(images: Array) -> str:
    row = images.reshape(-1, images.shape[-1])[0, :MAX_PRINTED]
    return np.array2string(row, precision=4, suppress_small=True, max_line_width=76)


def _about_shape(layer: ConvLayer, trip: RoundTrip) -> str:
    sizes = " to ".join(map(shape_text, (layer.size, layer.output_size, trip.plain_size)))
    if min(trip.plain_size) < 1:
        return (
            f"Without output padding nothing would come back; with output padding "
            f"{sizes_text(trip.output_padding)}, as here, {shape_text(layer.size)} do."
        )
    if trip.plain_size == layer.size:
        return f"The shape comes back: {sizes}."
    return (
        f"The shape almost comes back: {sizes}, because several sizes become "
        f"{shape_text(layer.output_size)}. Output padding {sizes_text(trip.output_padding)} tells "
        f"them apart and gives {shape_text(layer.size)}, as here."
    )


def _about_numbers(x: Array, trip: RoundTrip) -> list[str]:
    error = float(np.square(trip.back - x).mean())
    if error <= EQUAL * float(np.square(x).mean()):
        return ["The numbers come back too: for these, W transposed undoes W."]
    sentences = [
        "The numbers do not: the way back multiplies by W transposed, which is not the inverse of "
        f"W. The mse between x and z is {error:.4g}{_correlation(x, trip.back)}."
    ]
    if trip.rank is not None and trip.least_squares is not None:
        rest = float(np.square(trip.least_squares - x).mean())
        lost = x.size - trip.rank
        what = (
            f"W has rank {trip.rank} and x has {x.size:,} numbers, so {lost:,} are lost for good"
            if lost
            else f"W has rank {trip.rank}, as many as x has numbers, so nothing is lost"
        )
        sentences.append(
            f"{what}: the pseudo-inverse of W, the best that any way back can do from y alone, "
            f"leaves an mse of {rest:.4g}."
        )
    return sentences


def _correlation(x: Array, z: Array) -> str:
    if x.std() == 0 or z.std() == 0:
        return ""
    return f", their correlation {np.corrcoef(x.ravel(), z.ravel())[0, 1]:.3f}"
