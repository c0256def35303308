"""Show the arithmetic of one (transposed) convolution.

usage: aecli conv input=... kernel=... [key=value ...]

Prints the arithmetic of one convolution or transposed convolution, with all numbers: the output
size; the matrix that multiplies the input; the zero-stuffed input, whose convolution equals the
transposed convolution; how many kernel positions overlap at each pixel, and which kernels would
overlap evenly. Draws the overlap as PNG and SVG.

Sizes are 3 or, as rows x columns, 3x1. Quote lists, because shells interpret brackets and spaces.

examples:
  aecli conv input=2 kernel=3 stride=2 transposed=true
  aecli conv "input=[[1,2,3],[4,5,6],[7,8,9]]" "weight=[[0,1],[2,3]]"
  aecli conv input=image.csv weight=weights.npy bias=0.5 padding=1
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aecli.cli.console import facts, out, paragraph
from aecli.cli.number_grids import NumberGrid, is_printable, number_grids
from aecli.cli.options import REQUIRED, parse_options
from aecli.convolution.arithmetic import (
    CONV_FORMULA,
    EXTENT_FORMULA,
    TRANSPOSED_FORMULA,
    Pair,
    even_kernels,
    kernel_extent,
    overlaps_evenly,
    pair_text,
)
from aecli.convolution.layer import ConvLayer, read_layer
from aecli.convolution.reference import (
    AXES,
    Array,
    ConvSettings,
    flipped,
    matrix,
    overlap,
    padded,
    shape_text,
    zero_inserted,
)
from aecli.files import writable_folder
from aecli.places import OUTPUTS


@dataclass
class Options:
    """One layer and its input."""

    input: str = REQUIRED
    """The image: a size such as 2x3 (rows x columns), which is filled with 1, 2, 3, ... row by row;
    a list such as [[1,2,3],[4,5,6]], or [[[1,2],[3,4]],[[5,6],[7,8]]] with channels; or a file:
    .json, .csv, .txt (one row per line) or .npy."""

    kernel: str | None = None
    """Height and width of the kernel, in pixels; it is filled with 1, 2, 3, ...; 3x1 is 3 rows of
    1. Not needed with weight."""

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

    output: str | None = None
    """Folder for the figure; null: one below outputs/conv, named after the layer."""


FIGURE = "overlap"  # file name, without suffix
MAX_CELLS = 128  # along a side of the figure; more would not be visible


def main(arguments: list[str]) -> None:
    """Print the arithmetic of the layer that the command line describes, and draw its overlap.

    Raises:
        UsageError: the layer is invalid or too large.
        StorageError: a file cannot be read, or the figure cannot be written.
    """
    options = parse_options("conv", Options, arguments)
    layer = read_layer(options)
    folder = Path(options.output or Path(OUTPUTS, "conv", _folder_name(layer)))
    sides = layer.size + layer.output_size + layer.settings.padded_input_size(layer.size)
    is_drawn = max(sides) <= MAX_CELLS
    if is_drawn:
        writable_folder(folder, "output")

    by_matrix = layer.matrix()
    outputs = layer.outputs(by_matrix)
    _print_size(layer)
    _print_numbers(layer, next(iter(outputs.values())))
    _print_matrix(layer, by_matrix)
    _print_surface(layer)
    _print_overlap(layer)
    figure = f"none: more than {MAX_CELLS} cells along a side would not be visible"
    if is_drawn:
        figure = _draw(layer, folder)
    facts({"agreement": _agreement(outputs), "figure": figure})


def _print_size(layer: ConvLayer) -> None:
    """Print the settings of the layer and the size of its output."""
    formula = TRANSPOSED_FORMULA if layer.settings.transposed else CONV_FORMULA
    formulas = {"output size": formula}
    if layer.settings.dilation != (1, 1):
        formulas = {
            "output size": formula.replace("kernel", "extent"),
            "extent": EXTENT_FORMULA,
        }
    rows, columns = (layer.settings.formula(layer.size, axis) for axis in (0, 1))
    filled_in = {"": rows} if rows == columns else dict(zip(AXES, (rows, columns), strict=True))
    facts({"layer": _describe(layer), **formulas, **filled_in})


def _describe(layer: ConvLayer) -> str:
    """For example `transposed convolution, 2x2 to 5x5: kernel 3, stride 2, padding 0`."""
    kind = "transposed convolution" if layer.settings.transposed else "convolution"
    settings = ", ".join(
        f"{name} {pair_text(pair)}" for name, pair in _shown_settings(layer).items()
    )
    return f"{kind}, {shape_text(layer.size)} to {shape_text(layer.output_size)}: {settings}"


def _folder_name(layer: ConvLayer) -> str:
    """For example `transposed-2x2-k3-s2-p0`."""
    kind = "transposed" if layer.settings.transposed else "conv"
    initials = {"output padding": "op"}
    settings = (
        f"{initials.get(name, name[0])}{pair_text(pair)}"
        for name, pair in _shown_settings(layer).items()
    )
    return "-".join([kind, shape_text(layer.size), *settings])


def _shown_settings(layer: ConvLayer) -> dict[str, Pair]:
    """The settings in a layer's description; rarer ones only if they differ from the default."""
    settings = layer.settings
    shown = {"kernel": settings.kernel, "stride": settings.stride, "padding": settings.padding}
    if settings.output_padding != (0, 0):
        shown["output padding"] = settings.output_padding
    if settings.dilation != (1, 1):
        shown["dilation"] = settings.dilation
    return shown


def _print_numbers(layer: ConvLayer, output: Array) -> None:
    kernels = layer.weight.swapaxes(0, 1) if layer.settings.transposed else layer.weight
    bias = [NumberGrid("bias", layer.bias[:, None])] if layer.bias.any() else []
    number_grids(
        _maps("input", layer.image), _kernels("kernel", kernels), bias, _maps("output", output)
    )


def _maps(name: str, channels: Array, real: NDArray[np.bool_] | None = None) -> list[NumberGrid]:
    """One grid per channel of `channels`, (channels, rows, columns)."""
    title = f"{name} {shape_text(channels.shape[1:])}"
    if len(channels) == 1:
        return [NumberGrid(title, channels[0], real)]
    return [
        NumberGrid(f"{title}, channel {n}", channel, real) for n, channel in enumerate(channels, 1)
    ]


def _kernels(name: str, weight: Array) -> list[NumberGrid]:
    """One grid per kernel of `weight`, (output channels, input channels, rows, columns)."""
    title = f"{name} {shape_text(weight.shape[2:])}"
    if weight.shape[:2] == (1, 1):
        return [NumberGrid(title, weight[0, 0])]
    return [
        NumberGrid(f"{title}, channel {source + 1} to {target + 1}", weight[target, source])
        for target, source in np.ndindex(weight.shape[:2])
    ]


def _print_matrix(layer: ConvLayer, by_matrix: Array | None) -> None:
    """Print W, or its transpose if only that fits, and how the layer multiplies by it."""
    shape = layer.matrix_shape
    entries = np.broadcast_to(0.0, shape) if by_matrix is None else by_matrix
    upright = NumberGrid(f"W {shape_text(shape)}", entries)
    across = NumberGrid(f"W transposed {shape_text(shape[::-1])}", entries.T)
    if is_printable(upright) or is_printable(across):
        has_weight = matrix(np.ones_like(layer.weight), layer.settings, layer.size) > 0
        upright, across = upright._replace(real=has_weight), across._replace(real=has_weight.T)
    number_grids([across if is_printable(across) and not is_printable(upright) else upright])
    order = "row by row" if len(layer.image) == 1 else "channel by channel and row by row"
    if layer.settings.transposed:
        paragraph(
            "W is the matrix of the convolution with the same settings. The transposed convolution "
            f"multiplies its input, flattened {order}, by W transposed."
        )
    else:
        paragraph(f"The convolution multiplies its input, flattened {order}, by W.")


def _print_surface(layer: ConvLayer) -> None:
    """Print the padded or zero-stuffed input, and explain its zeros."""
    settings = layer.settings
    if settings.transposed:
        grids = _maps("zero-stuffed input", zero_inserted(layer.image, settings), _is_pixel(layer))
        number_grids(grids, _kernels("flipped kernel", flipped(layer.weight)))
        paragraph(_explain_zeros(settings))
    elif settings.padding != (0, 0):
        number_grids(_maps("padded input", padded(layer.image, settings), _is_pixel(layer)))


def _is_pixel(layer: ConvLayer) -> NDArray[np.bool_]:
    """A mask of the padded or zero-stuffed input: True at pixels of the input."""
    add_zeros = zero_inserted if layer.settings.transposed else padded
    (ones,) = add_zeros(np.ones((1, *layer.size)), layer.settings)
    return np.asarray(ones > 0)


def _explain_zeros(settings: ConvSettings) -> str:
    """How the zero-stuffed input is made, and what it is for."""
    around = f"{pair_text(settings.zeros_around)} around them (dilation*(kernel - 1) - padding)"
    if min(settings.zeros_around) < 0:
        around += ", where a negative number means cut off"
    if settings.output_padding != (0, 0):
        around += f", {pair_text(settings.output_padding)} more below and to the right"
    dilation = ""
    if settings.dilation != (1, 1):
        dilation = f", dilation {pair_text(settings.dilation)}"
    return (
        f"Zeros: {pair_text(settings.zeros_between)} between the pixels (stride - 1), {around}. "
        f"Convolving this with stride 1{dilation} and the kernel rotated by 180 degrees gives the "
        "output."
    )


def _print_overlap(layer: ConvLayer) -> None:
    """Print how many kernel positions overlap at each pixel, and whether they do so evenly."""
    number_grids([NumberGrid(_overlap_heading(layer), overlap(layer.settings, layer.size))])
    positions, _ = layer.settings.positions_and_pixels(layer.size)
    verdicts = {
        name: _verdict(layer.settings, axis)
        for axis, name in enumerate(AXES)
        if positions[axis] > 1  # a single one overlaps with nothing
    }
    if not verdicts:
        paragraph("The kernel has a single position, so nothing overlaps.")
    elif len(verdicts) == len(AXES) and len({*verdicts.values()}) == 1:
        paragraph(f"Away from the border it is {verdicts[AXES[0]]}.")
    else:
        for name, verdict in verdicts.items():
            paragraph(f"Along the {name}, away from the border, it is {verdict}.")
    out.print()


def _overlap_heading(layer: ConvLayer) -> str:
    accesses = "write each output pixel" if layer.settings.transposed else "read each input pixel"
    return f"overlap: how many kernel positions {accesses}"


def _verdict(settings: ConvSettings, axis: int) -> str:
    """Whether the overlap is even along `axis`, and which kernels would make it even."""
    kernel, stride = settings.kernel[axis], settings.stride[axis]
    dilation = settings.dilation[axis]
    if stride == 1:
        return "even (no checkerboard), as with every kernel at stride 1"
    kernels = even_kernels(stride, dilation)
    some = ", ".join(map(str, kernels))
    if overlaps_evenly(kernel, stride, dilation):
        return (
            f"even (no checkerboard): stride {stride} divides kernel {kernel}, as it does {some} "
            "and so on"
        )
    checkerboard = "a checkerboard" if settings.transposed else "a checkerboard in the gradient"
    if not kernels:
        return (
            f"uneven ({checkerboard}) whatever the kernel: dilation {dilation} and stride {stride} "
            "share a factor, so some pixels are never reached"
        )
    return (
        f"uneven ({checkerboard}): stride {stride} does not divide kernel {kernel}; it would be "
        f"even with kernel {some} and so on"
    )


def _agreement(outputs: dict[str, Array]) -> str:
    """The largest difference between the ways of computing the output."""
    first, *others = outputs.values()
    if not others:
        return "only computed directly, because W is too large"
    difference = max(float(np.abs(other - first).max()) for other in others)
    return f"{', '.join(outputs)}: largest difference {difference:.2g}"


def _draw(layer: ConvLayer, folder: Path) -> str:
    """Draw what the kernel moves over, and the overlap; return the path of the picture."""
    # Imported here, so that the numbers need not wait for matplotlib.
    from aecli.figures import overlap_figure, save

    settings = layer.settings
    has_padding = settings.padding != (0, 0)
    surface = "zero-stuffed" if settings.transposed else "padded" if has_padding else ""
    is_pixel = _is_pixel(layer)
    kernel = np.zeros(tuple(map(kernel_extent, settings.kernel, settings.dilation)), bool)
    kernel[:: settings.dilation[0], :: settings.dilation[1]] = True
    figure = overlap_figure(
        _describe(layer),
        (f"{surface} input {shape_text(is_pixel.shape)}".strip(), is_pixel),
        kernel,
        (_overlap_heading(layer), overlap(settings, layer.size)),
    )
    save(figure, folder / FIGURE)
    return str(folder / f"{FIGURE}.png")
