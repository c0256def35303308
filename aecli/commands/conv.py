"""Show the arithmetic of one convolution or transposed convolution.

usage: aecli conv input=... kernel=... [key=value ...]

Prints the arithmetic of one convolution or transposed convolution (deconvolution, fractionally
strided convolution), with all numbers: the output size; how the output is added up; the matrix that
multiplies the input; the zero-stuffed input, whose convolution equals the transposed convolution;
how many kernel positions overlap at each pixel, and which kernels would overlap evenly. Draws the
overlap as PNG and SVG; animate=true also draws the layer at work, position by position, as a GIF,
as SVG files for slides, and as an HTML page with buttons.

Sizes are 3 or, as rows x columns, 3x1; several, as in padding=0,1,2, give a table of sizes. Quote
lists, because shells interpret brackets and spaces.

examples:
  aecli conv input=2 kernel=3 stride=2 transposed=true
  aecli conv "input=[[1,2,3],[4,5,6],[7,8,9]]" "weight=[[0,1],[2,3]]"
  aecli conv input=image.csv weight=weights.npy bias=0.5 padding=1
  aecli conv input=2 kernel=3 stride=2 transposed=true animate=true view=zero_inserted
  aecli conv input=2x8x64x64 kernel=5 out_channels=8 seed=0
  aecli conv input=64 kernel=5 stride=2 round_trip=true
  aecli conv input=3,4,5 kernel=3 padding=0,1
"""

import shlex
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np

from aecli.cli.console import facts, out, paragraph
from aecli.cli.layer_grids import (
    print_matrix,
    print_numbers,
    print_stamps,
    print_sums,
    print_surface,
    weight_names,
)
from aecli.cli.layer_pictures import LayerPictures
from aecli.cli.layer_round_trip import print_round_trip
from aecli.cli.layer_sizes import has_several, print_sizes
from aecli.cli.layer_text import (
    describe,
    folder_name,
    overlap_heading,
    overlap_verdicts,
    size_facts,
    torch_class,
    torch_facts,
)
from aecli.cli.number_grids import NumberGrid, number_grids
from aecli.cli.options import REQUIRED, parse_options
from aecli.convolution.arrays import looks_like_sizes
from aecli.convolution.layer import ConvLayer, read_layer
from aecli.convolution.reference import Array, overlap
from aecli.convolution.round_trip import round_trip
from aecli.convolution.walk import View, walk
from aecli.errors import UsageError
from aecli.files.places import OUTPUTS


class Order(Enum):
    """The order in which pixels are taken out of an image."""

    rows = "rows"
    columns = "columns"


@dataclass
class Options:
    """One layer and its input."""

    input: str = REQUIRED
    """The image: a size such as 2x3 (rows x columns), which is filled with 1, 2, 3, ... row by row;
    2x8x64x64 is 2 images with 8 channels, and 2x3x4 depth x rows x columns; a list such as
    [[1,2,3],[4,5,6]], or [1,2,3] with one axis, or [[[1,2],[3,4]],[[5,6],[7,8]]] with channels; or
    a file: .json, .csv, .txt (one row per line) or .npy."""

    dims: int | None = None
    """Number of axes that the kernel moves along, 1, 2 or 3: 8x64x64 is three, or two with 8
    channels; null: inferred from the kernel, the weights or the input."""

    kernel: str | None = None
    """Height and width of the kernel, in pixels; it is filled with 1, 2, 3, ...; 3x1 is 3 rows of
    1. Not needed with weight."""

    out_channels: int | None = None
    """Channels of the output; null: 1, or those of weight."""

    stride: str = "1"
    """Step between kernel positions, in pixels; if transposed, in the output."""

    padding: str = "0"
    """Zeros on each side of the input; if transposed, pixels cut off each side of the output."""

    output_padding: str = "0"
    """Extra pixels at the bottom and right of a transposed convolution's output."""

    dilation: str = "1"
    """Spacing of the kernel's weights, in pixels."""

    transposed: bool = False
    """Compute a transposed convolution; false: a convolution."""

    weight: str | None = None
    """The kernel's weights, a list or a file as for input; with channels in torch's order: output,
    input, rows, columns, or input, output, rows, columns if transposed."""

    bias: str | None = None
    """A number that is added to the output, or a list with one per output channel."""

    seed: int | None = None
    """Seed from which torch draws the weights, the bias and, if input is a size, the input; null:
    they are 1, 2, 3, ..., and the bias is 0."""

    round_trip: bool = False
    """Also go back, by the transposed convolution with the same settings and weights."""

    order: Order = Order.rows
    """How W takes the pixels of an image: rows (row by row) or columns (column by column)."""

    letters: bool = False
    """Name the weights f1, f2, ... in the kernel, the stamps and W; false: show their numbers."""

    animate: bool = False
    """Draw the layer at work, position by position, as GIF, SVG and HTML."""

    view: View | None = None
    """What is drawn: direct (each output pixel and what it reads) or, for a transposed convolution,
    stamps (each input pixel adds the scaled kernel to the output) or zero_inserted (the equal
    convolution of the input with zeros); null: stamps if transposed, else direct."""

    torch: bool = True
    """Compare the output with torch's own layer; false: do not, and do not wait for torch."""

    output: str | None = None
    """Folder for the figure; null: one below outputs/conv, named after the layer."""


def main(arguments: list[str]) -> None:
    """Print the arithmetic of the layer that the command line describes, and draw its overlap.

    Raises:
        UsageError: the layer is invalid or too large.
        StorageError: a file cannot be read, or a figure cannot be written.
    """
    options = parse_options("conv", Options, arguments)
    if has_several(options):
        print_sizes(options)
        return
    layer = _read(options)
    trip = round_trip(layer) if options.round_trip else None
    folder = Path(options.output or Path(OUTPUTS, "conv", folder_name(layer)))
    view = options.view or (View.stamps if options.transposed else View.direct)
    steps = walk(layer, view) if options.animate else None
    pictures = LayerPictures(layer, folder, view, steps)
    pictures.check()

    by_matrix = layer.matrix()
    outputs = layer.outputs(by_matrix)
    facts({"layer": describe(layer), **size_facts(layer), **torch_facts(layer)})
    if trip is not None:
        print_round_trip(layer, trip)
    else:
        _print_layer(layer, options, by_matrix, next(iter(outputs.values())))
    drawn = pictures.draw(f"aecli conv {shlex.join(arguments)}")
    agreement = {"agreement": _agreement(outputs)}
    if options.torch:
        agreement["torch"] = _compare_to_torch(layer, next(iter(outputs.values())))
    facts({**agreement, **drawn})


def _read(options: Options) -> ConvLayer:
    """The layer, with the numbers that its seed draws."""
    layer = read_layer(options)
    _check_combination(options, len(layer.size))
    if options.seed is None:
        return layer
    if options.weight is not None:
        raise UsageError("seed draws the weights: leave weight out, or seed")
    from aecli.analysis.torch_layer import drawn

    return drawn(layer, options.seed, looks_like_sizes(options.input), options.bias is None)


def _check_combination(options: Options, axes: int) -> None:
    """Refuse combinations of options in which one would be ignored.

    Raises:
        UsageError: it names both.
    """
    if options.view is not None and not options.animate:
        raise UsageError(f"view={options.view.value} says what is drawn: give animate=true too")
    if options.order is Order.columns and axes != 2:
        raise UsageError(f"order=columns is for rows and columns, and this layer has {axes} axes")
    if not options.round_trip:
        return
    if options.transposed:
        raise UsageError("round_trip=true begins with a convolution: leave transposed=true out")
    given = {
        "bias": options.bias is not None,
        "letters": options.letters,
        "order": options.order is not Order.rows,
        "animate": options.animate,
    }
    for key in (key for key, is_given in given.items() if is_given):
        raise UsageError(f"round_trip=true shows nothing of {key}=...: leave one of them out")


def _print_layer(
    layer: ConvLayer, options: Options, by_matrix: Array | None, outputs: Array
) -> None:
    """Print all numbers of one layer."""
    by_columns = options.order is Order.columns
    names = weight_names(layer, by_columns) if options.letters else None
    print_numbers(layer, outputs, names)
    if layer.settings.transposed:
        print_stamps(layer, names)
    else:
        print_sums(layer)
    print_matrix(layer, by_matrix, by_columns, names)
    print_surface(layer, names)
    _print_overlap(layer)


def _print_overlap(layer: ConvLayer) -> None:
    """Print how many kernel positions overlap at each pixel, and whether they do so evenly."""
    counts = overlap(layer.settings, layer.size)
    if counts.ndim <= 2:
        rows = counts.reshape(-1, counts.shape[-1])
        number_grids([NumberGrid(overlap_heading(layer.settings), rows)])
    verdicts = overlap_verdicts(layer.settings, layer.size)
    axes = layer.settings.axes
    it = "it" if counts.ndim <= 2 else "the overlap of kernel positions"
    if not verdicts:
        paragraph("The kernel has a single position, so nothing overlaps.")
    elif len(verdicts) == len(axes) and len({*verdicts.values()}) == 1:
        paragraph(f"Away from the border {it} is {verdicts[axes[0]]}.")
    else:
        for name, verdict in verdicts.items():
            paragraph(f"Along the {name}, away from the border, {it} is {verdict}.")
    out.print()


def _agreement(outputs: dict[str, Array]) -> str:
    """The largest difference between the ways of computing the output."""
    first, *others = outputs.values()
    if not others:
        return "only computed directly, because W is too large"
    return f"{', '.join(outputs)}: {_difference(first, others)}"


def _difference(first: Array, others: list[Array]) -> str:
    """The largest difference of two or more outputs, absolute and relative to their numbers."""
    difference = max(float(np.abs(other - first).max()) for other in others)
    text = f"largest difference {difference:.2g}"
    if not difference:
        return text
    return f"{text}, {difference / float(np.abs(first).max()):.2g} of the largest number"


def _compare_to_torch(layer: ConvLayer, output: Array) -> str:
    """The largest difference from the output of torch's own layer."""
    from aecli.analysis.torch_layer import torch_output

    difference = _difference(output, [torch_output(layer)])
    return f"torch.nn.{torch_class(layer.settings)}: {difference}"
