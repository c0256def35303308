"""Small grids of numbers as coloured cells, panel after panel."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from aecli.convolution.gather import looks_like_zero
from aecli.figures import text
from aecli.figures.cells import ink_on
from aecli.figures.theme import categories, paper

TITLE, HEADING = 10, 9  # font sizes, in points
MIN_NUMBER, MAX_NUMBER = 4.5, 9.0  # font sizes of numbers in cells, in points
DIGITS = 3  # significant digits of a panel's largest number, which set the decimals of all
MAX_DECIMALS = 300  # powers of ten overflow a little above it

# All in inches.
WIDTH = 9.0
MIN_CELL, MAX_CELL = 0.04, 0.42
MIN_LINED_CELL = 0.1  # the smallest cell with lines around it
MIN_HEADING = 1.2  # so that a heading over few cells is not one word per line
MARGIN, GAP, LINE_GAP, HEADING_GAP = 0.15, 0.35, 0.2, 0.05
SHADES = "Blues", (0.06, 0.85)  # by number, the smallest first


class NumberPanel(NamedTuple):
    """A grid of numbers under a heading."""

    heading: str
    numbers: NDArray[np.float64]  # (rows, columns)
    sources: NDArray[np.int64] | None = None
    """Which of several sources each number comes from, counted from 1, to be coloured by it; 0 has
    no colour. None: coloured by number."""


class _Placed(NamedTuple):
    """A panel with the lines of its heading, and its place in inches from the upper left corner."""

    panel: NumberPanel
    heading: str
    left: float
    top: float
    width: float
    height: float


def number_panels(title: str, groups: Sequence[Sequence[NumberPanel]]) -> Figure:
    """Grids of numbers side by side, in as many lines as the width requires.

    A group of panels that does not fit on the rest of a line begins a new one. All cells are of one
    size, and equal numbers have the same colour in all panels that are coloured by number.
    """
    panels = [panel for group in groups for panel in group]
    cell = max(MIN_CELL, min(MAX_CELL, WIDTH / max(max(each.numbers.shape) for each in panels)))
    title = text.wrapped(title, WIDTH, TITLE)
    placed = [*_place(groups, cell, 2 * MARGIN + text.height(title, TITLE))]
    right = max(each.left + each.width for each in placed)
    width = max(right, MARGIN + text.width(title, TITLE)) + MARGIN
    height = max(each.top + each.height for each in placed) + MARGIN
    figure = Figure((width, height), dpi=100)
    figure.suptitle(title, fontsize=TITLE, x=MARGIN / width, ha="left", y=1 - MARGIN / height)
    numbers = [each.numbers.ravel() for each in panels if each.sources is None]
    limits = np.concatenate(numbers or [np.zeros(1)])
    for each in placed:
        _draw(figure, each, cell, (float(limits.min()), float(limits.max())))
    return figure


def _place(groups: Sequence[Sequence[NumberPanel]], cell: float, top: float) -> Iterator[_Placed]:
    """All panels, in lines below `top`; all headings are as high as the highest."""
    panels = [panel for group in groups for panel in group]
    headings = [
        text.wrapped(each.heading, max(each.numbers.shape[1] * cell, MIN_HEADING), HEADING)
        for each in panels
    ]
    above = max(text.height(heading, HEADING) for heading in headings) + HEADING_GAP
    widths = [
        max(panel.numbers.shape[1] * cell, text.width(heading, HEADING))
        for panel, heading in zip(panels, headings, strict=True)
    ]
    left, bottom, number = MARGIN, top, 0
    for group in groups:
        wanted = sum(widths[number : number + len(group)]) + GAP * (len(group) - 1)
        for panel in group:
            is_first, width = panel is group[0], widths[number]
            if left + (wanted if is_first else width) > MARGIN + WIDTH and left > MARGIN:
                left, top = MARGIN, bottom + LINE_GAP
            height = above + panel.numbers.shape[0] * cell
            yield _Placed(panel, headings[number], left, top, width, height)
            bottom = max(bottom, top + height)
            left += width + GAP
            number += 1


def _draw(figure: Figure, placed: _Placed, cell: float, limits: tuple[float, float]) -> None:
    """Draw the cells, the heading and, where they can be read, the numbers of a panel."""
    _, numbers, sources = placed.panel
    size = figure.get_size_inches()
    rows, columns = numbers.shape
    corner = (placed.left, size[1] - placed.top - placed.height) / size
    axes = figure.add_axes((*corner, *((columns * cell, rows * cell) / size)))
    colours = _by_number(numbers, limits) if sources is None else _by_source(sources)
    axes.imshow(colours, interpolation="nearest", aspect="auto")
    gap = HEADING_GAP * text.POINTS_PER_INCH
    axes.set_title(placed.heading, fontsize=HEADING, loc="left", pad=gap)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    if cell >= MIN_LINED_CELL:
        axes.vlines(np.arange(0.5, columns - 1), -0.5, rows - 0.5, color=paper(), linewidth=1)
        axes.hlines(np.arange(0.5, rows - 1), -0.5, columns - 0.5, color=paper(), linewidth=1)
    _write(axes, numbers, colours, cell)


def _by_number(numbers: NDArray[np.float64], limits: tuple[float, float]) -> NDArray[np.float64]:
    """Colours (rows, columns, 3) from pale for the smallest number to strong for the largest."""
    (low, high), (name, (first, last)) = limits, SHADES
    share = (numbers / 2 - low / 2) / ((high / 2 - low / 2) or 1.0)  # halves do not overflow
    return np.asarray(matplotlib.colormaps[name](first + (last - first) * share))[..., :3]


def _by_source(sources: NDArray[np.int64]) -> NDArray[np.float64]:
    """Colours (rows, columns, 3), one for each source."""
    return np.array([paper(), *map(to_rgb, categories(int(sources.max())))])[sources]


def _write(
    axes: Axes, numbers: NDArray[np.float64], colours: NDArray[np.float64], cell: float
) -> None:
    words = _words(numbers)
    widest = max(text.width(word, MAX_NUMBER) for word in words) / 0.85
    size = MAX_NUMBER * min(1.0, cell / widest, cell / text.height("0", MAX_NUMBER))
    if size < MIN_NUMBER:
        return
    for (row, column), word in zip(np.ndindex(numbers.shape), words, strict=True):
        red, green, blue = colours[row, column]
        ink = ink_on((float(red), float(green), float(blue)))
        axes.text(column, row, word, fontsize=size, color=ink, ha="center", va="center")


def _words(numbers: NDArray[np.float64]) -> list[str]:
    """The numbers of a panel as text: whole numbers in full, and one digit of those that would
    round to 0."""
    largest = float(abs(numbers).max()) or 1.0
    decimals = min(max(0, DIGITS - 1 - math.floor(math.log10(largest))), MAX_DECIMALS)
    rounded = np.round(numbers, decimals) + 0.0  # -0 is 0
    shown = np.where(looks_like_zero(numbers, rounded), numbers, rounded)
    return [
        f"{number:.1g}" if rest == 0 else f"{number:g}"
        for number, rest in zip(shown.flat, rounded.flat, strict=True)
    ]
