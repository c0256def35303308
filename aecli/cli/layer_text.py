"""One convolution in words: its settings, its sizes, and how it is written with torch."""

from collections.abc import Iterable

from aecli.convolution.arithmetic import (
    CONV_FORMULA,
    EXTENT_FORMULA,
    TRANSPOSED_FORMULA,
    Sizes,
    even_kernels,
    overlaps_evenly,
    sizes_text,
)
from aecli.convolution.layer import ConvLayer
from aecli.convolution.settings import ConvSettings
from aecli.errors.text import shape_text

SYNONYMS = (
    "A transposed convolution is also called a deconvolution, although it does not undo a "
    "convolution, and a fractionally strided convolution, although no kernel moves by a fraction "
    "of a pixel: it is the zeros between the pixels that make each step shorter."
)


def describe(layer: ConvLayer) -> str:
    """For example `transposed convolution, 2x2 to 5x5: kernel 3, stride 2, padding 0`."""
    kind = "transposed convolution" if layer.settings.transposed else "convolution"
    settings = ", ".join(
        f"{name} {sizes_text(sizes)}" for name, sizes in _shown_settings(layer).items()
    )
    return f"{kind}, {shape_text(layer.size)} to {shape_text(layer.output_size)}: {settings}"


def folder_name(layer: ConvLayer) -> str:
    """For example `transposed-2x2-k3-s2-p0`."""
    kind = "transposed" if layer.settings.transposed else "conv"
    initials = {"output padding": "op"}
    settings = (
        f"{initials.get(name, name[0])}{sizes_text(sizes)}"
        for name, sizes in _shown_settings(layer).items()
    )
    return "-".join([kind, shape_text(layer.size), *settings])


def _shown_settings(layer: ConvLayer) -> dict[str, Sizes]:
    """The settings in a layer's description; rarer ones only if they differ from the default."""
    settings = layer.settings
    shown = {"kernel": settings.kernel, "stride": settings.stride, "padding": settings.padding}
    if any(settings.output_padding):
        shown["output padding"] = settings.output_padding
    if settings.has_dilation:
        shown["dilation"] = settings.dilation
    return shown


def size_facts(layer: ConvLayer) -> dict[str, str]:
    """The formula of the output size, in words and with the numbers of each axis filled in."""
    settings = layer.settings
    formula = TRANSPOSED_FORMULA if settings.transposed else CONV_FORMULA
    formulas = {"output size": formula}
    if settings.has_dilation:
        formulas = {"output size": formula.replace("kernel", "extent"), "extent": EXTENT_FORMULA}
    filled_in = [settings.formula(layer.size, axis) for axis in range(len(layer.size))]
    if len({*filled_in}) == 1:
        return formulas | {"": filled_in[0]}
    return formulas | dict(zip(settings.axes, filled_in, strict=True))


def torch_class(settings: ConvSettings) -> str:
    """The name of the layer in `torch.nn`."""
    kind = "ConvTranspose" if settings.transposed else "Conv"
    return f"{kind}{len(settings.kernel)}d"


def torch_arguments(layer: ConvLayer) -> str:
    """What the layer is made with in torch, as in `1, 1, 3, stride=2`."""
    settings = layer.settings
    taken, made = layer.images.shape[1], len(layer.bias)
    defaults = ConvSettings(settings.kernel, transposed=settings.transposed)
    named = (
        f"{name}={_argument(getattr(settings, name))}"
        for name in ("stride", "padding", "output_padding", "dilation")
        if getattr(settings, name) != getattr(defaults, name)
    )
    return ", ".join([str(taken), str(made), _argument(settings.kernel), *named])


def _argument(sizes: Sizes) -> str:
    """As in `3` or, if the axes differ, `(3, 1)`."""
    return str(sizes[0]) if len({*sizes}) == 1 else str(sizes)


def torch_facts(layer: ConvLayer) -> dict[str, str]:
    """The layer and the shapes of its tensors, as torch prints them."""
    shapes = {
        "input": layer.images.shape,
        "weight": layer.weight.shape,
        "bias": layer.bias.shape,
        "output": layer.output_shape,
    }
    return {
        "in torch": f"torch.nn.{torch_class(layer.settings)}({torch_arguments(layer)})",
        "shapes": "\n".join(f"{name:6} {torch_size(shape)}" for name, shape in shapes.items()),
    }


def torch_size(shape: Iterable[int]) -> str:
    """As in `torch.Size([2, 8, 64, 64])`."""
    return f"torch.Size({list(shape)})"


def overlap_verdicts(settings: ConvSettings, size: Sizes) -> dict[str, str]:
    """Name of an axis -> whether kernels overlap evenly along it; only where several positions do.

    `size`: of the layer's input.
    """
    positions, _ = settings.positions_and_pixels(size)
    return {
        name: _verdict(settings, axis)
        for axis, name in enumerate(settings.axes)
        if positions[axis] > 1  # a single one overlaps with nothing
    }


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


def overlap_heading(settings: ConvSettings) -> str:
    accesses = "write each output pixel" if settings.transposed else "read each input pixel"
    return f"overlap: how many kernel positions {accesses}"


def zero_steps(layer: ConvLayer) -> list[str]:
    """The five steps from a transposed convolution to an equal convolution with stride 1.

    In the letters that lectures use: input I, kernel F, padding P, stride S, output padding V,
    zeros between Z' and around P', output O; and D for the dilation.
    """
    settings = layer.settings
    between, around = settings.zeros_between, settings.zeros_around
    dilated = settings.has_dilation
    extent = f"D (F - 1) - P{_filled(settings, '{d}*({f} - 1) - {p}')}"
    plain = f"F - P - 1{_filled(settings, '{f} - {p} - 1')}"
    spread = tuple(
        (n - 1) * stride + 1 for n, stride in zip(layer.size, settings.stride, strict=True)
    )
    surface = settings.padded_input_size(layer.size)
    cropped = ", where a negative number means cut off" if min(around) < 0 else ""
    steps = [
        f"Z' = S - 1 = {sizes_text(between)} between the pixels, "
        f"P' = {extent if dilated else plain} = {sizes_text(around)} around them{cropped}.",
        f"Zeros between the pixels: {shape_text(layer.size)} becomes {shape_text(spread)}.",
        f"Zeros around: {shape_text(spread)} becomes {shape_text(_without_extra(layer, surface))}.",
        f"Convolution with stride 1, always, and the kernel {_flipped_text(settings)}"
        + (f", dilation {sizes_text(settings.dilation)}" if dilated else "")
        + f": {shape_text(_without_extra(layer, layer.output_size))}.",
    ]
    if any(settings.output_padding):
        steps.append(
            f"Output padding V = {sizes_text(settings.output_padding)}: as many more lines at the "
            f"end of each axis, {shape_text(layer.output_size)}. They are computed, from "
            f"{shape_text(surface)}, and only zero where no kernel reaches; a slide that appends "
            "zeros there does not describe torch."
        )
    else:
        steps.append("Output padding V = 0: nothing is added.")
    return steps


def _flipped_text(settings: ConvSettings) -> str:
    """How `reference.flipped` changes a kernel, in words."""
    if len(settings.kernel) == 2:
        return "rotated by 180 degrees"
    return "reversed" if len(settings.kernel) == 1 else "reversed along all axes"


def _filled(settings: ConvSettings, template: str) -> str:
    """A formula with its numbers filled in, if they are the same along all axes."""
    values = {
        "f": sizes_text(settings.kernel),
        "p": sizes_text(settings.padding),
        "d": sizes_text(settings.dilation),
    }
    return f" = {template.format(**values)}" if "x" not in "".join(values.values()) else ""


def _without_extra(layer: ConvLayer, size: Sizes) -> Sizes:
    """A size without the output padding."""
    return tuple(n - extra for n, extra in zip(size, layer.settings.output_padding, strict=True))
