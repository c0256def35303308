"""A layer as cells: the input under its kernel, and how often the kernel covers each pixel."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from aecli.figures import text
from aecli.figures.theme import RGB, neutral, paper, sequence

TITLE, HEADING, LABEL = 10, 9, 8  # font sizes, in points
MIN_NUMBER_SIZE, MAX_NUMBER_SIZE = 5.0, 11.0  # font sizes of numbers in cells, in points
MAX_LABELS = 8  # counts in a legend

# All in inches.
WIDTH, HEIGHT = 9.0, 6.0  # of the cells, unless they would become too small to see
MIN_CELL, MAX_CELL = 0.04, 0.4
MIN_LINED_CELL = 0.1  # the smallest cell with lines around it
MIN_PANEL_WIDTH = 2.4  # so that a heading above few cells is not one word per line
MARGIN, GAP, HEADING_GAP = 0.15, 0.4, 0.06
LEGEND_LINE = 1.5  # height of a legend line, in lines of its text
HANDLE = 0.45  # in a legend: the patch before a label and the gap after it

EQUAL_CONTRAST = 0.18  # background luminance at which black and white are equally legible

# Neither colour is used for counts, and both are visible on any background.
PIXEL = to_rgb("#4c86c6")
OUTLINE = to_rgb("#00a878")


class _Panel(NamedTuple):
    """A grid of cells under a heading."""

    heading: str
    colours: NDArray[np.float64]  # (rows, columns, 3)
    width: float  # inches
    height: float


def overlap_figure(
    title: str,
    surface: tuple[str, NDArray[np.bool_]],
    kernel: NDArray[np.bool_],
    overlap: tuple[str, NDArray[np.int64]],
) -> Figure:
    """The input with its zeros and the first position of the kernel, next to the overlap.

    Args:
        title: over both panels.
        surface: a heading, and for each cell whether it is an input pixel or an inserted zero.
        kernel: for each cell of the kernel's extent whether it has a weight there.
        overlap: a heading, and for each pixel how many kernel positions cover it.
    """
    (surface_heading, is_pixel), (overlap_heading, counts) = surface, overlap
    colours = _count_colours(counts)
    cell = _cell_inches(is_pixel.shape, counts.shape)
    font_size = _number_size(cell, counts)
    panels = [
        _make_panel(surface_heading, np.where(is_pixel[..., None], PIXEL, pale()), cell),
        _make_panel(
            overlap_heading, np.array([[colours[n] for n in row] for row in counts.tolist()]), cell
        ),
    ]
    legend = _legend(is_pixel, {} if font_size else colours)
    figure, (left, right) = _sheet(title, panels, legend)
    if cell >= MIN_LINED_CELL:
        for axes in (left, right):
            _draw_lines(axes, cell)
    _outline_kernel(left, kernel, cell)
    if font_size:
        _write_counts(right, counts, colours, font_size)
    return figure


def _count_colours(counts: NDArray[np.int64]) -> dict[int, RGB]:
    """A colour for each count: darker for more, on a light background; pale for 0."""
    positive = [int(count) for count in np.unique(counts) if count]
    colours = {
        count: to_rgb(c)
        for count, c in zip(positive, _sequential_colours(len(positive)), strict=True)
    }
    return {0: pale(), **colours} if 0 in counts else colours


def _sequential_colours(count: int) -> list[RGB]:
    return [to_rgb(colour) for colour in reversed(sequence(count))]


def pale() -> RGB:
    """A colour close to the background."""
    red, green, blue = 0.9 * np.array(paper()) + 0.1 * np.array(to_rgb(neutral()))
    return float(red), float(green), float(blue)


def _cell_inches(*sizes: tuple[int, ...]) -> float:
    """The largest size at which all cells fit, within the limits for a cell."""
    rows, columns = max(rows for rows, _ in sizes), sum(columns for _, columns in sizes)
    return max(MIN_CELL, min(MAX_CELL, WIDTH / columns, HEIGHT / rows))


def _number_size(cell: float, counts: NDArray[np.int64]) -> float:
    """Points at which each count fits into its cell; 0 if that would be illegible."""
    widest = text.width(str(counts.max()), MAX_NUMBER_SIZE) / 0.8
    size = MAX_NUMBER_SIZE * min(1.0, cell / widest, cell / text.height("0", MAX_NUMBER_SIZE))
    return size if size >= MIN_NUMBER_SIZE else 0.0


def _legend(is_pixel: NDArray[np.bool_], colours: Mapping[int, RGB]) -> list[Patch]:
    """Entries for the colours, except for counts that are written into the cells."""
    labelled = np.linspace(0, len(colours) - 1, min(len(colours), MAX_LABELS)).round().astype(int)
    shown = [list(colours)[index] for index in labelled]
    zero = [] if is_pixel.all() else [Patch(color=pale(), label="zero")]
    return [
        Patch(color=PIXEL, label="input pixel"),
        *zero,
        Patch(facecolor="none", edgecolor=OUTLINE, linewidth=1.5, label="kernel, first position"),
        *(Patch(color=colours[count], label=f"overlap {count}") for count in shown),
    ]


def _make_panel(heading: str, colours: NDArray[np.float64], cell: float) -> _Panel:
    rows, columns, _ = colours.shape
    heading = text.wrapped(heading, max(columns * cell, MIN_PANEL_WIDTH), HEADING)
    return _Panel(heading, colours, columns * cell, rows * cell)


def _sheet(title: str, panels: list[_Panel], legend: list[Patch]) -> tuple[Figure, list[Axes]]:
    """A figure with its title, the panels side by side, and the legend below."""
    widths = [max(panel.width, text.width(panel.heading, HEADING)) for panel in panels]
    room = sum(widths) + GAP * (len(panels) - 1)
    title = text.wrapped(title, max(room, WIDTH / 2), TITLE)
    entry = max(text.width(str(patch.get_label()), LABEL) for patch in legend) + HANDLE
    room = max(room, text.width(title, TITLE), entry)
    columns = min(len(legend), int(room / entry))
    legend_height = math.ceil(len(legend) / columns) * text.height("0", LABEL) * LEGEND_LINE
    headings = max(text.height(panel.heading, HEADING) for panel in panels) + HEADING_GAP
    above = 2 * MARGIN + text.height(title, TITLE) + headings
    below = 2 * MARGIN + legend_height
    width = room + 2 * MARGIN
    height = above + max(panel.height for panel in panels) + below

    figure = Figure((width, height), dpi=100)
    corner = MARGIN / width
    figure.suptitle(title, fontsize=TITLE, x=corner, ha="left", y=1 - MARGIN / height)
    figure.legend(
        handles=legend,
        loc="lower left",
        bbox_to_anchor=(corner, MARGIN / height),
        ncols=columns,
        fontsize=LABEL,
        frameon=False,
        borderaxespad=0,
        borderpad=0,
    )
    lefts = [MARGIN + sum(widths[:index]) + GAP * index for index in range(len(panels))]
    return figure, [
        _add_panel(figure, panel, left, height - above)
        for panel, left in zip(panels, lefts, strict=True)
    ]


def _add_panel(figure: Figure, panel: _Panel, left: float, top: float) -> Axes:
    """Draw the cells and heading of a panel; `left` and `top` in inches."""
    width, height = figure.get_size_inches()
    box = left / width, (top - panel.height) / height, panel.width / width, panel.height / height
    axes = figure.add_axes(box)
    axes.imshow(panel.colours, interpolation="nearest", aspect="auto")
    gap = HEADING_GAP * text.POINTS_PER_INCH
    axes.set_title(panel.heading, fontsize=HEADING, loc="left", pad=gap)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return axes


def _draw_lines(axes: Axes, cell: float) -> None:
    """Lines in the background colour between the cells."""
    right, (bottom, _) = axes.get_xlim()[1], axes.get_ylim()
    width = min(1.0, 4 * cell)
    axes.vlines(np.arange(0.5, right), -0.5, bottom, color=paper(), linewidth=width)
    axes.hlines(np.arange(0.5, bottom), -0.5, right, color=paper(), linewidth=width)


def _outline_kernel(axes: Axes, kernel: NDArray[np.bool_], cell: float) -> None:
    """A frame around the kernel in the upper left corner, with dots on dilated weights."""
    rows, columns = kernel.shape
    width = max(1.0, min(2.0, 8 * cell))
    axes.add_patch(
        Rectangle(
            (-0.5, -0.5),
            columns,
            rows,
            fill=False,
            edgecolor=OUTLINE,
            linewidth=width,
            clip_on=False,
            zorder=3,  # over the lines between the cells
        )
    )
    if not kernel.all():
        down, across = np.nonzero(kernel)
        size = cell * text.POINTS_PER_INCH / 4
        axes.plot(across, down, "o", color=OUTLINE, markersize=size, linestyle="none")


def _write_counts(
    axes: Axes, counts: NDArray[np.int64], colours: Mapping[int, RGB], font_size: float
) -> None:
    """Write each count in its cell, in black or white, whichever is more legible."""
    for (row, column), count in np.ndenumerate(counts):
        ink = ink_on(colours[int(count)])
        axes.text(column, row, str(count), fontsize=font_size, color=ink, ha="center", va="center")


def ink_on(colour: RGB) -> str:
    """Black or white, whichever is more legible on a colour."""
    luminance = np.dot((0.2126, 0.7152, 0.0722), np.power(colour, 2.2))
    return "black" if luminance > EQUAL_CONTRAST else "white"
