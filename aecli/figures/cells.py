"""One layer as cells: the input that its kernel moves over, and how often that meets each pixel."""

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
MIN_NUMBER_SIZE, MAX_NUMBER_SIZE = 5.0, 11.0  # likewise, of numbers in cells
MAX_LABELS = 8  # of counts, in a legend

# All in inches.
WIDTH, HEIGHT = 9.0, 6.0  # of the cells, unless they would become too small to see
MIN_CELL, MAX_CELL = 0.04, 0.4
LINED_CELL = 0.1  # the smallest with lines around it
MIN_PANEL_WIDTH = 2.4  # so that a heading over few cells is not a column of words
MARGIN, GAP, HEADING_GAP = 0.15, 0.4, 0.06
LEGEND_LINE = 1.5  # height of a line of a legend, in lines of its text
HANDLE = 0.45  # of a legend, for the patch before a label and the gap behind it

EQUAL_CONTRAST = 0.18  # the luminance of a ground on which black and white are read equally well

# None of them is a colour of counts, and both are seen on any ground.
PIXEL = to_rgb("#4c86c6")
OUTLINE = to_rgb("#00a878")


class _Panel(NamedTuple):
    """Cells in rows and columns under a heading."""

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
    """The input with its zeros and the first position of the kernel, beside the overlap.

    Args:
        title: over both.
        surface: a heading, and for each cell whether it is a pixel of the input or a zero beside.
        kernel: for each cell of the kernel's extent whether it has a weight there.
        overlap: a heading, and for each pixel how many positions of the kernel meet it.
    """
    (surface_heading, is_pixel), (overlap_heading, counts) = surface, overlap
    colours = _count_colours(counts)
    cell = _cell_size(is_pixel.shape, counts.shape)
    number = _number_size(cell, counts)
    panels = [
        _panel(surface_heading, np.where(is_pixel[..., None], PIXEL, _pale()), cell),
        _panel(
            overlap_heading, np.array([[colours[n] for n in row] for row in counts.tolist()]), cell
        ),
    ]
    legend = _legend(is_pixel, {} if number else colours)
    figure, (left, right) = _sheet(title, panels, legend)
    if cell >= LINED_CELL:
        for axes in (left, right):
            _line(axes, cell)
    _outline(left, kernel, cell)
    if number:
        _write(right, counts, colours, number)
    return figure


def _count_colours(counts: NDArray[np.int64]) -> dict[int, RGB]:
    """A colour for each count, the darker the more on a light ground; pale for none."""
    positive = [int(count) for count in np.unique(counts) if count]
    colours = {count: to_rgb(c) for count, c in zip(positive, _rising(len(positive)), strict=True)}
    return {0: _pale(), **colours} if 0 in counts else colours


def _rising(count: int) -> list[RGB]:
    return [to_rgb(colour) for colour in reversed(sequence(count))]


def _pale() -> RGB:
    """Hardly more than the ground."""
    red, green, blue = 0.9 * np.array(paper()) + 0.1 * np.array(to_rgb(neutral()))
    return float(red), float(green), float(blue)


def _cell_size(*sizes: tuple[int, ...]) -> float:
    """Inches: so large that all cells fit, within the limits for a cell."""
    rows, columns = max(rows for rows, _ in sizes), sum(columns for _, columns in sizes)
    return max(MIN_CELL, min(MAX_CELL, WIDTH / columns, HEIGHT / rows))


def _number_size(cell: float, counts: NDArray[np.int64]) -> float:
    """Points, so that each count fits into its cell; 0 where it could not be read."""
    widest = text.width(str(counts.max()), MAX_NUMBER_SIZE) / 0.8
    size = MAX_NUMBER_SIZE * min(1.0, cell / widest, cell / text.height("0", MAX_NUMBER_SIZE))
    return size if size >= MIN_NUMBER_SIZE else 0.0


def _legend(is_pixel: NDArray[np.bool_], colours: Mapping[int, RGB]) -> list[Patch]:
    """What the colours mean, as far as it is not written into the cells."""
    labelled = np.linspace(0, len(colours) - 1, min(len(colours), MAX_LABELS)).round().astype(int)
    shown = [list(colours)[index] for index in labelled]
    zero = [] if is_pixel.all() else [Patch(color=_pale(), label="zero")]
    return [
        Patch(color=PIXEL, label="pixel of the input"),
        *zero,
        Patch(facecolor="none", edgecolor=OUTLINE, linewidth=1.5, label="kernel, first position"),
        *(Patch(color=colours[count], label=f"overlap {count}") for count in shown),
    ]


def _panel(heading: str, colours: NDArray[np.float64], cell: float) -> _Panel:
    rows, columns, _ = colours.shape
    heading = text.wrapped(heading, max(columns * cell, MIN_PANEL_WIDTH), HEADING)
    return _Panel(heading, colours, columns * cell, rows * cell)


def _sheet(title: str, panels: list[_Panel], legend: list[Patch]) -> tuple[Figure, list[Axes]]:
    """A figure with its title, the panels beside each other, and the legend below."""
    shares = [max(panel.width, text.width(panel.heading, HEADING)) for panel in panels]
    room = sum(shares) + GAP * (len(panels) - 1)
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
    lefts = [MARGIN + sum(shares[:number]) + GAP * number for number in range(len(panels))]
    return figure, [
        _add_panel(figure, panel, left, height - above)
        for panel, left in zip(panels, lefts, strict=True)
    ]


def _add_panel(figure: Figure, panel: _Panel, left: float, top: float) -> Axes:
    """The cells of a panel and its heading; `left` and `top` in inches."""
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


def _line(axes: Axes, cell: float) -> None:
    """Lines of paper between the cells."""
    right, (bottom, _) = axes.get_xlim()[1], axes.get_ylim()
    width = min(1.0, 4 * cell)
    axes.vlines(np.arange(0.5, right), -0.5, bottom, color=paper(), linewidth=width)
    axes.hlines(np.arange(0.5, bottom), -0.5, right, color=paper(), linewidth=width)


def _outline(axes: Axes, kernel: NDArray[np.bool_], cell: float) -> None:
    """A frame around the kernel in the upper left corner, with dots where weights lie apart."""
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


def _write(
    axes: Axes, counts: NDArray[np.int64], colours: Mapping[int, RGB], points: float
) -> None:
    """Each count in its cell, in black or white, whichever is read better."""
    for (row, column), count in np.ndenumerate(counts):
        luminance = np.dot((0.2126, 0.7152, 0.0722), np.power(colours[int(count)], 2.2))
        ink = "black" if luminance > EQUAL_CONTRAST else "white"
        axes.text(column, row, str(count), fontsize=points, color=ink, ha="center", va="center")
