"""The settings of one convolution or transposed convolution, along any number of axes."""

from dataclasses import dataclass, replace

from aecli.convolution.arithmetic import (
    Sizes,
    conv_formula,
    conv_output_size,
    kernel_extent,
    sizes_text,
    transposed_conv_formula,
    transposed_conv_output_size,
)
from aecli.errors import UsageError

AXES = {1: ("length",), 2: ("rows", "columns"), 3: ("depth", "rows", "columns")}
"""Number of axes -> their names, in torch's order."""
MIN_VALUES = {"kernel": 1, "stride": 1, "padding": 0, "output_padding": 0, "dilation": 1}
"""The smallest valid value of each setting."""


class EmptyOutputError(UsageError):
    """A layer has no output for its input."""


@dataclass(frozen=True)
class ConvSettings:
    """The settings of a layer, without its weights: a number for each axis, or one for all.

    The kernel has a number for each axis.
    """

    kernel: Sizes
    stride: Sizes = (1,)
    padding: Sizes = (0,)
    output_padding: Sizes = (0,)
    dilation: Sizes = (1,)
    transposed: bool = False

    def __post_init__(self) -> None:
        for key, least in MIN_VALUES.items():
            sizes: Sizes = getattr(self, key)
            if min(sizes) < least:
                raise UsageError(
                    f"{key}={sizes_text(sizes)} is not valid: give whole numbers of at least "
                    f"{least}"
                )
            if len(sizes) == 1:
                object.__setattr__(self, key, sizes * len(self.kernel))
        if any(self.output_padding) and not self.transposed:
            raise UsageError(
                f"output_padding={sizes_text(self.output_padding)} applies to transposed "
                "convolutions only: leave it out, or give transposed=true"
            )
        limits = map(max, self.stride, self.dilation)
        for axis, extra, limit in zip(self.axes, self.output_padding, limits, strict=True):
            if extra >= limit:
                raise UsageError(
                    f"output_padding={sizes_text(self.output_padding)} is not valid: along the "
                    f"{axis} give less than the stride or the dilation, so at most {limit - 1}"
                )

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes."""
        return AXES[len(self.kernel)]

    @property
    def extent(self) -> Sizes:
        """Pixels that the kernel spans, with its dilation."""
        return tuple(map(kernel_extent, self.kernel, self.dilation))

    @property
    def has_dilation(self) -> bool:
        return max(self.dilation) > 1

    def output_size(self, size: Sizes) -> Sizes:
        """The size of the layer's output for an image of `size`.

        Raises:
            EmptyOutputError: there is none.
        """
        lengths = self.formula_size(size)
        for number, length in enumerate(lengths):
            if length < 1:
                remedy = (
                    "less padding or a larger input or kernel"
                    if self.transposed
                    else "a smaller kernel or dilation, or more padding or a larger input"
                )
                raise EmptyOutputError(
                    f"nothing is left along the {self.axes[number]}: "
                    f"{self.formula(size, number)}; give {remedy}"
                )
        return lengths

    def formula_size(self, size: Sizes) -> Sizes:
        """The result of the formula for the output size; less than 1 where there is no output."""
        compute = transposed_conv_output_size if self.transposed else conv_output_size
        return tuple(compute(size[n], **self._along(n)) for n in range(len(size)))

    def formula(self, size: Sizes, axis: int) -> str:
        """The output size along an axis, counted from 0, with numbers filled in."""
        formula = transposed_conv_formula if self.transposed else conv_formula
        return formula(size[axis], **self._along(axis))

    def _along(self, axis: int) -> dict[str, int]:
        """The settings of one axis as keyword arguments for the functions of `arithmetic`."""
        names = set(MIN_VALUES) if self.transposed else set(MIN_VALUES) - {"output_padding"}
        return {name: getattr(self, name)[axis] for name in names}

    def positions_and_pixels(self, size: Sizes) -> tuple[Sizes, Sizes]:
        """For an input of `size`: the numbers of kernel positions and of pixels that they cover.

        A convolution has one position per output pixel and reads its input there; a transposed one
        has one position per input pixel and writes its output there.
        """
        output = self.output_size(size)
        return (size, output) if self.transposed else (output, size)

    def padded_input_size(self, size: Sizes) -> Sizes:
        """The size of the image that the kernel slides over, for an input of `size`.

        For a convolution this is the padded input, for a transposed convolution the zero-stuffed
        input, sized so that a kernel with stride 1 gives the output.
        """
        if self.transposed:
            unstrided = ConvSettings(self.kernel, dilation=self.dilation, transposed=True)
            return unstrided.output_size(self.output_size(size))
        return ConvSettings((1,) * len(size), padding=self.padding).output_size(size)

    @property
    def uncut(self) -> "ConvSettings":
        """A transposed convolution's settings without its padding, so that nothing is cropped.

        Output padding remains as far as it exceeds the padding.
        """
        extra = map(int.__sub__, self.output_padding, self.padding)
        beyond = tuple(max(0, each) for each in extra)
        return replace(self, padding=(0,), output_padding=beyond)

    @property
    def zeros_between(self) -> Sizes:
        """Zeros between neighbouring pixels of the zero-stuffed input; see `zero_inserted`."""
        return tuple(stride - 1 for stride in self.stride)

    @property
    def zeros_around(self) -> Sizes:
        """Zeros on each side of the zero-stuffed input; if negative, as many lines are cropped."""
        return tuple(
            extent - 1 - padding for extent, padding in zip(self.extent, self.padding, strict=True)
        )
