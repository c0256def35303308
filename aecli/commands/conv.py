"""`aecli conv`: the arithmetic of one layer, as numbers and as a figure."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aecli.cli.console import facts, out, paragraph
from aecli.cli.number_grids import NumberGrid, is_printable, number_grids
from aecli.cli.options import ConvOptions, parse_options
from aecli.convolution.arithmetic import (
    CONV_FORMULA,
    EXTENT_FORMULA,
    TRANSPOSED_FORMULA,
    Pair,
    even_kernels,
    kernel_extent,
    overlaps_evenly,
    short,
)
from aecli.convolution.layer import ConvLayer, read_layer
from aecli.convolution.reference import (
    AXES,
    Array,
    ConvSettings,
    by,
    flipped,
    matrix,
    overlap,
    padded,
    zero_inserted,
)
from aecli.files import writable_folder

FIGURE = "overlap"  # its files, without their suffix
MAX_CELLS = 128  # along a side of the figure; more could not be seen


def main(arguments: list[str]) -> None:
    """Print the arithmetic of the layer that the command line describes, and draw its overlap.

    Raises:
        UsageError: there is no such layer, or it is too large.
        StorageError: a file cannot be read, or the figure cannot be written.
    """
    options = parse_options("conv", ConvOptions, arguments)
    layer = read_layer(options)
    folder = Path(options.output or Path("outputs", "conv", _folder_name(layer)))
    sides = layer.size + layer.output_size + layer.settings.surface_size(layer.size)
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
    figure = f"left out: more than {MAX_CELLS} cells along a side cannot be seen"
    if is_drawn:
        figure = _draw(layer, folder)
    facts({"agreement": _agreement(outputs), "figure": figure})


def _print_size(layer: ConvLayer) -> None:
    """What the layer is, and how large its output becomes."""
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
    """As in `transposed convolution, 2x2 to 5x5: kernel 3, stride 2, padding 0`."""
    kind = "transposed convolution" if layer.settings.transposed else "convolution"
    settings = ", ".join(f"{name} {short(pair)}" for name, pair in _told(layer).items())
    return f"{kind}, {by(layer.size)} to {by(layer.output_size)}: {settings}"


def _folder_name(layer: ConvLayer) -> str:
    """As in `transposed-2x2-k3-s2-p0`."""
    kind = "transposed" if layer.settings.transposed else "conv"
    initials = {"output padding": "op"}
    settings = (
        f"{initials.get(name, name[0])}{short(pair)}" for name, pair in _told(layer).items()
    )
    return "-".join([kind, by(layer.size), *settings])


def _told(layer: ConvLayer) -> dict[str, Pair]:
    """The settings that a layer is told by: those that most layers leave alone if they differ."""
    settings = layer.settings
    told = {"kernel": settings.kernel, "stride": settings.stride, "padding": settings.padding}
    if settings.output_padding != (0, 0):
        told["output padding"] = settings.output_padding
    if settings.dilation != (1, 1):
        told["dilation"] = settings.dilation
    return told


def _print_numbers(layer: ConvLayer, output: Array) -> None:
    kernels = layer.weight.swapaxes(0, 1) if layer.settings.transposed else layer.weight
    bias = [NumberGrid("bias", layer.bias[:, None])] if layer.bias.any() else []
    number_grids(
        _maps("input", layer.image), _kernels("kernel", kernels), bias, _maps("output", output)
    )


def _maps(name: str, channels: Array, real: NDArray[np.bool_] | None = None) -> list[NumberGrid]:
    """A grid for each channel of (channels, rows, columns)."""
    title = f"{name} {by(channels.shape[1:])}"
    if len(channels) == 1:
        return [NumberGrid(title, channels[0], real)]
    return [NumberGrid(f"{title}, channel {n}", each, real) for n, each in enumerate(channels, 1)]


def _kernels(name: str, weight: Array) -> list[NumberGrid]:
    """A grid for each kernel of (output channels, input channels, rows, columns)."""
    title = f"{name} {by(weight.shape[2:])}"
    if weight.shape[:2] == (1, 1):
        return [NumberGrid(title, weight[0, 0])]
    return [
        NumberGrid(f"{title}, channel {source + 1} to {target + 1}", weight[target, source])
        for target, source in np.ndindex(weight.shape[:2])
    ]


def _print_matrix(layer: ConvLayer, by_matrix: Array | None) -> None:
    """W, or its transpose where only that fits, and what is multiplied by which."""
    shape = layer.matrix_shape
    entries = np.broadcast_to(0.0, shape) if by_matrix is None else by_matrix
    upright = NumberGrid(f"W {by(shape)}", entries)
    across = NumberGrid(f"W transposed {by(shape[::-1])}", entries.T)
    if is_printable(upright) or is_printable(across):
        weighted = matrix(np.ones_like(layer.weight), layer.settings, layer.size) > 0
        upright, across = upright._replace(real=weighted), across._replace(real=weighted.T)
    number_grids([across if is_printable(across) and not is_printable(upright) else upright])
    order = "row by row" if len(layer.image) == 1 else "channel by channel and row by row"
    if layer.settings.transposed:
        paragraph(
            "W is the matrix of the convolution with the same settings. The transposed convolution "
            f"multiplies its input, {order} as a vector, by W transposed."
        )
    else:
        paragraph(f"The convolution multiplies its input, {order} as a vector, by W.")


def _print_surface(layer: ConvLayer) -> None:
    """The input with its zeros, and what they are for."""
    settings = layer.settings
    if settings.transposed:
        grids = _maps("zero-stuffed input", zero_inserted(layer.image, settings), _is_pixel(layer))
        number_grids(grids, _kernels("flipped kernel", flipped(layer.weight)))
        paragraph(_stuffing(settings))
    elif settings.padding != (0, 0):
        number_grids(_maps("padded input", padded(layer.image, settings), _is_pixel(layer)))


def _is_pixel(layer: ConvLayer) -> NDArray[np.bool_]:
    """Which cells of the input with its zeros are pixels of the input."""
    put_zeros = zero_inserted if layer.settings.transposed else padded
    (ones,) = put_zeros(np.ones((1, *layer.size)), layer.settings)
    return np.asarray(ones > 0)


def _stuffing(settings: ConvSettings) -> str:
    """How the zero-stuffed input comes about, and what it is for."""
    around = f"{short(settings.zeros_around)} around them (dilation*(kernel - 1) - padding)"
    if min(settings.zeros_around) < 0:
        around += ", where less than 0 means cut off"
    if settings.output_padding != (0, 0):
        around += f", {short(settings.output_padding)} more below and to the right"
    return (
        f"Zeros: {short(settings.zeros_between)} between the pixels (stride - 1), {around}. The "
        "convolution of that with stride 1 and the kernel flipped by 180 degrees gives the output."
    )


def _print_overlap(layer: ConvLayer) -> None:
    """How many kernel positions meet each pixel, and whether they do so evenly."""
    number_grids([NumberGrid(_overlap_heading(layer), overlap(layer.settings, layer.size))])
    verdicts = [_verdict(layer.settings, axis) for axis in (0, 1)]
    if verdicts[0] == verdicts[1]:
        paragraph(f"Away from the border it is {verdicts[0]}.")
    else:
        for axis, verdict in zip(AXES, verdicts, strict=True):
            paragraph(f"Along the {axis}, away from the border, it is {verdict}.")
    out.print()


def _overlap_heading(layer: ConvLayer) -> str:
    meets = "write each output pixel" if layer.settings.transposed else "read each input pixel"
    return f"overlap: how many kernel positions {meets}"


def _verdict(settings: ConvSettings, axis: int) -> str:
    """Whether the overlap is even along an axis, and with which kernels it would be."""
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
            "share a factor, so some pixels are never met"
        )
    return (
        f"uneven ({checkerboard}): stride {stride} does not divide kernel {kernel}; it would be "
        f"even with kernel {some} and so on"
    )


def _agreement(outputs: dict[str, Array]) -> str:
    """How far the ways of computing the output are apart."""
    first, *others = outputs.values()
    if not others:
        return "computed directly alone, because W is too large"
    difference = max(float(np.abs(each - first).max()) for each in others)
    return f"{', '.join(outputs)}: largest difference {difference:.2g}"


def _draw(layer: ConvLayer, folder: Path) -> str:
    """Draw what the kernel moves over, and the overlap; returns the path of the picture."""
    # The numbers do not wait for matplotlib.
    from aecli.figures import overlap_figure, save

    settings = layer.settings
    has_padding = settings.padding != (0, 0)
    surface = "zero-stuffed" if settings.transposed else "padded" if has_padding else ""
    is_pixel = _is_pixel(layer)
    kernel = np.zeros(tuple(map(kernel_extent, settings.kernel, settings.dilation)), bool)
    kernel[:: settings.dilation[0], :: settings.dilation[1]] = True
    figure = overlap_figure(
        _describe(layer),
        (f"{surface} input {by(is_pixel.shape)}".strip(), is_pixel),
        kernel,
        (_overlap_heading(layer), overlap(settings, layer.size)),
    )
    save(figure, folder / FIGURE)
    return str(folder / f"{FIGURE}.png")
