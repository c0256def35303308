"""A layer at work, position by position: what it reads, what it multiplies, what it writes.

There are three views, after Dumoulin and Visin, "A guide to convolution arithmetic for deep
learning" (2016), and Odena et al., "Deconvolution and checkerboard artifacts" (2016). `direct`
gathers: each output pixel is the sum of what the kernel covers. `stamps` scatters: each input pixel
of a transposed convolution adds the kernel, scaled by its value, to the output, where overlaps are
summed.
`zero_inserted` gathers from the input with zeros between and around its pixels.

Everything is drawn in two dimensions: a layer with one axis is a single row.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np

from aecli.convolution.arithmetic import Sizes, sizes_text
from aecli.convolution.gather import (
    Gathering,
    Mask,
    by_zero_stuffing,
    directly,
    number,
    steps,
)
from aecli.convolution.layer import ConvLayer
from aecli.convolution.reference import Array, channels_last
from aecli.convolution.settings import ConvSettings
from aecli.errors import UsageError
from aecli.errors.text import shape_text

MAX_FRAMES = 200  # some twenty seconds of drawing
WIDEST = 3  # largest width over height, in cells, at which panels are still side by side
MAX_CELLS = 1200  # of all panels; more would not be visible


class View(Enum):
    """How a walk shows the layer."""

    direct = "direct"
    stamps = "stamps"
    zero_inserted = "zero_inserted"


@dataclass(frozen=True)
class Panel:
    """A grid of cells, the same in all frames."""

    heading: str
    column: int
    """0: what is read; 1: what it is multiplied by; 2: what is written."""
    filler: Mask
    """Cells with an inserted zero instead of an input pixel, (rows, columns)."""
    cut: Mask
    """Cells that are not part of the result, (rows, columns)."""


@dataclass(frozen=True)
class State:
    """What a panel holds in one frame."""

    numbers: Array
    """(rows, columns); NaN where nothing has been written yet."""
    marked: Mask
    """The cells that this frame reads or writes, (rows, columns)."""


@dataclass(frozen=True)
class Frame:
    """One step."""

    caption: str
    states: tuple[State, ...]
    """One for each panel."""


@dataclass(frozen=True)
class Walk:
    """All steps of a layer, for its first image."""

    panels: tuple[Panel, ...]
    frames: tuple[Frame, ...]

    @property
    def columns(self) -> list[list[Panel]]:
        """The panels by column: what is read, multiplied and written side by side or, if that would
        be wide and low, one below the other."""
        columns = [[each for each in self.panels if each.column == n] for n in range(3)]
        across = sum(max(panel.filler.shape[1] for panel in panels) for panels in columns)
        rows = max(sum(panel.filler.shape[0] for panel in panels) for panels in columns)
        return columns if across <= WIDEST * rows else [[*self.panels]]

    @property
    def file_names(self) -> list[str]:
        """A name for a picture of each frame, such as 01.svg, in the order of the steps."""
        digits = max(2, len(str(len(self.frames))))
        return [f"{n:0{digits}}.svg" for n in range(1, len(self.frames) + 1)]


def walk(layer: ConvLayer, view: View) -> Walk:
    """The steps of `layer`.

    Raises:
        UsageError: the view is not one of this layer, or it is too large to be watched.
    """
    settings = layer.settings
    if len(settings.kernel) > 2:
        raise UsageError("animate=true draws layers with one or two axes, and this one has 3")
    if not settings.transposed and view is not View.direct:
        raise UsageError(
            f"view={view.value} needs a transposed convolution: give transposed=true, or "
            "view=direct"
        )
    positions = layer.size if view is View.stamps else layer.output_size
    if np.prod(positions) > MAX_FRAMES:
        raise UsageError(
            f"this layer is too large to animate: {shape_text(positions)} positions are more than "
            f"{MAX_FRAMES}: give a smaller input"
        )
    return WALKS[view](_with_rows(layer))


def _with_rows(layer: ConvLayer) -> ConvLayer:
    """The same layer with rows and columns, if it has only one axis."""
    if len(layer.size) == 2:
        return layer
    settings = layer.settings
    added = ConvSettings(
        (1, *settings.kernel),
        (1, *settings.stride),
        (0, *settings.padding),
        (0, *settings.output_padding),
        (1, *settings.dilation),
        settings.transposed,
    )
    return layer._replace(
        settings=added, images=layer.images[:, :, None], weight=layer.weight[:, :, None]
    )


def _gathered(layer: ConvLayer, gathering: Gathering) -> Walk:
    """The steps of a layer that computes one output pixel after another."""
    weight, pixels = gathering.weight, gathering.pixels
    panels = (
        *_panels(gathering.surface, pixels, 0, gathering.filler),
        *_kernel_panels(gathering.kernel, weight),
        *_panels("output", np.zeros((len(weight), *layer.output_size)), 2),
    )
    _check_cells(panels)
    output = np.full((len(weight), *layer.output_size), np.nan)
    frames = []
    for step in steps(layer, gathering):
        channels_last(output)[step.position] = step.totals
        states = (
            *_states(pixels, _mask(gathering.filler.shape, step.read)),
            *_states(weight.reshape(-1, *weight.shape[2:]), _mask(weight.shape[2:], step.used)),
            *_states(output, _mask(layer.output_size, [step.position])),
        )
        frames.append(Frame(step.text, states))
    return Walk(panels, tuple(frames))


def _stamps(layer: ConvLayer) -> Walk:
    """Each input pixel adds the kernel, scaled by its value, to the output."""
    settings, image = layer.settings, layer.images[0]
    is_cut = cropped_mask(layer)
    output = np.full((len(layer.bias), *is_cut.shape), np.nan)
    panels = (
        *_panels("input", image, 0),
        *_panels("stamp: the kernel times the pixel", np.zeros_like(layer.weight[0]), 1),
        *_panels("output" + _cut_off(settings), output, 2, cut=is_cut),
    )
    _check_cells(panels)
    frames = []
    for position, place, stamp in stamps(layer):
        marked = np.zeros(is_cut.shape, bool)
        marked[place] = True
        output[:, marked] = np.nan_to_num(output[:, marked]) + stamp.reshape(len(stamp), -1)
        states = (
            *_states(image, _mask(layer.size, [position])),
            *_states(stamp, np.ones(settings.kernel, bool)),
            *_states(output, marked),
        )
        values = channels_last(image)[position]
        frames.append(Frame(_laid_down(values, place), states))
    frames.append(_last_of_stamps(layer, output, is_cut))
    return Walk(panels, tuple(frames))


def stamps(layer: ConvLayer) -> Iterator[tuple[Sizes, tuple[slice, ...], Array]]:
    """The scaled kernels that the pixels of a transposed convolution's first image add to the
    output.

    Each is the position of its pixel; its place in the output, before any padding is cropped, as
    one slice for each axis; and its numbers, (output channels, *kernel).
    """
    settings, image = layer.settings, layer.images[0]
    for position in np.ndindex(layer.size):
        place = tuple(
            slice(p * s, p * s + extent, d)
            for p, s, extent, d in zip(
                position, settings.stride, settings.extent, settings.dilation, strict=True
            )
        )
        yield position, place, np.tensordot(channels_last(image)[position], layer.weight, 1)


def _cut_off(settings: ConvSettings) -> str:
    if not any(settings.padding):
        return ""
    return f", with what padding {sizes_text(settings.padding)} cuts off (pale),"


def cropped_mask(layer: ConvLayer) -> Mask:
    """A mask of the uncropped output of a transposed convolution: True where the padding crops
    it."""
    is_cut = np.ones(layer.settings.uncut.output_size(layer.size), bool)
    is_cut[output_slices(layer)] = False
    return is_cut


def output_slices(layer: ConvLayer) -> tuple[slice, ...]:
    """The slices of the uncropped output that remain after cropping."""
    lengths = zip(layer.settings.padding, layer.output_size, strict=True)
    return tuple(slice(padding, padding + length) for padding, length in lengths)


def _last_of_stamps(layer: ConvLayer, output: Array, is_cut: Mask) -> Frame:
    """The result: without what the padding cuts off, and with the bias."""
    done = np.nan_to_num(output) + layer.bias[:, None, None]
    parts = [f"All {np.prod(layer.size)} kernels are added"]
    if any(layer.settings.padding):
        parts.append(f"padding {sizes_text(layer.settings.padding)} cuts off the border")
    if layer.bias.any():
        parts.append("the bias is added")
    nothing = np.zeros(layer.settings.kernel, bool)
    done[:, is_cut] = np.nan
    states = (
        *_states(layer.images[0], np.zeros(layer.size, bool)),
        *_states(np.full((len(done), *nothing.shape), np.nan), nothing),
        *_states(done, ~is_cut),
    )
    return Frame(f"{'; '.join(parts)}: {shape_text(layer.output_size)}", states)


WALKS: dict[View, Callable[[ConvLayer], Walk]] = {
    View.direct: lambda layer: _gathered(layer, directly(layer)),
    View.stamps: _stamps,
    View.zero_inserted: lambda layer: _gathered(layer, by_zero_stuffing(layer)),
}


def _panels(
    name: str, channels: Array, column: int, filler: Mask | None = None, cut: Mask | None = None
) -> list[Panel]:
    """A panel for each channel of (channels, rows, columns)."""
    size = channels.shape[1:]
    nothing = np.zeros(size, bool)
    return [
        Panel(
            f"{name} {shape_text(size)}" + (f", channel {n}" if len(channels) > 1 else ""),
            column,
            nothing if filler is None else filler,
            nothing if cut is None else cut,
        )
        for n in range(1, len(channels) + 1)
    ]


def _kernel_panels(name: str, weight: Array) -> list[Panel]:
    """A panel for each kernel of (output channels, channels, rows, columns)."""
    made, taken = weight.shape[:2]
    nothing = np.zeros(weight.shape[2:], bool)
    return [
        Panel(
            f"{name} {shape_text(weight.shape[2:])}"
            + (f", channel {source} to {target}" if made * taken > 1 else ""),
            1,
            nothing,
            nothing,
        )
        for target in range(1, made + 1)
        for source in range(1, taken + 1)
    ]


def _check_cells(panels: tuple[Panel, ...]) -> None:
    cells = sum(panel.filler.size for panel in panels)
    if cells > MAX_CELLS:
        raise UsageError(
            f"this layer is too large to animate: {cells:,} cells are more than {MAX_CELLS:,}: "
            "give a smaller input or fewer channels"
        )


def _states(channels: Array, marked: Mask) -> list[State]:
    return [State(channel.copy(), marked) for channel in channels]


def _mask(size: Sizes, cells: list[Sizes]) -> Mask:
    mask = np.zeros(size, bool)
    for cell in cells:
        mask[cell] = True
    return mask


def _laid_down(values: Array, place: tuple[slice, ...]) -> str:
    """As in: 4 times the kernel, at rows 2 to 4 and columns 0 to 2."""
    scale = number(values[0]) if len(values) == 1 else "Each channel's pixel"
    rows, columns = (
        f"{part.start} to {part.stop - 1}" + (f" in steps of {part.step}" if part.step > 1 else "")
        for part in place
    )
    where = f"rows {rows} and columns {columns}" if place[0].stop > 1 or place[0].start else columns
    return f"{scale} times the kernel is added at {where}, counted from 0"
