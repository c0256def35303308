"""The steps of a layer as a series of pictures of the same size, for a GIF and for slides."""

import io
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image

from aecli.convolution.gather import number
from aecli.convolution.walk import Frame, Panel, State, Walk
from aecli.figures import text
from aecli.figures.cells import (
    GAP,
    HEADING,
    HEADING_GAP,
    MARGIN,
    MAX_CELL,
    MAX_NUMBER_SIZE,
    MIN_NUMBER_SIZE,
    MIN_PANEL_WIDTH,
    OUTLINE,
    PIXEL,
    TITLE,
    ink_on,
    pale,
)
from aecli.figures.output import as_gif, to_array
from aecli.figures.text import take_literally
from aecli.figures.theme import RGB, neutral, paper

WIDTH, HEIGHT = 8.0, 5.0  # inches for all cells, unless numbers would not fit into them
MAX_WIDTH = 18.0  # inches
MIN_CELL = 0.07  # inches
COLUMNS = (to_rgb(PIXEL), OUTLINE, to_rgb("#e76300"))
"""The colours of what is read, what it is multiplied by, and what is written."""
CUT = 0.35  # how much of the colour is left in a cell that is cut off
WASHED, STRONG = 0.3, 0.85  # how much of the colour is in a cell, and in one that is marked
LONGEST_SECONDS, SLOWEST_FRAME, FASTEST_FRAME, LAST_FRAME = 20, 0.7, 0.1, 2.0  # of a GIF
GIF_COLOURS = 256  # with fewer, those of a single cell are lost


class _Drawn(NamedTuple):
    """What changes in a panel from frame to frame."""

    panel: Panel
    mesh: QuadMesh
    numbers: NDArray[np.object_]  # a Text for each cell; empty if none fits
    window: Rectangle


class WalkFigure:
    """A figure that shows one frame after another."""

    def __init__(self, title: str, walk: Walk) -> None:
        self._walk = walk
        captions = [
            f"{n} of {len(walk.frames)}: {frame.caption}" for n, frame in enumerate(walk.frames, 1)
        ]
        self._layout = _Layout(title, walk, captions)
        self.figure, axes = self._layout.figure()
        self._caption: Text = self.figure.text(
            MARGIN / self._layout.width, MARGIN / self._layout.height, "",
            fontsize=HEADING, ha="left", va="bottom",
        )  # fmt: skip
        self._panels = [
            _draw_panel(panel, ax, self._layout.cell, _font_size(walk, panel, self._layout.cell))
            for panel, ax in zip(walk.panels, axes, strict=True)
        ]

    def show(self, number: int) -> Figure:
        """The figure with a frame, counted from 0."""
        frame: Frame = self._walk.frames[number]
        for drawn, state in zip(self._panels, frame.states, strict=True):
            _update(drawn, state)
        self._caption.set_text(self._layout.captions[number])
        return self.figure

    def svg(self, number: int) -> bytes:
        """A frame, counted from 0, as the content of an SVG file."""
        figure, content = self.show(number), io.BytesIO()
        take_literally(figure)
        figure.savefig(content, format="svg")
        return content.getvalue()

    def image(self, number: int) -> Image.Image:
        """A frame, counted from 0, as an image of few colours."""
        return Image.fromarray(to_array(self.show(number))).quantize(GIF_COLOURS)


def gif(frames: list[Image.Image]) -> bytes:
    """An endless GIF, which rests at its last frame."""
    each = min(SLOWEST_FRAME, max(FASTEST_FRAME, LONGEST_SECONDS / len(frames)))
    milliseconds = [*(round(1000 * each) for _ in frames[1:]), round(1000 * LAST_FRAME)]
    return as_gif(frames, milliseconds)


class _Layout:
    """Where everything stands, in inches."""

    def __init__(self, title: str, walk: Walk, captions: list[str]) -> None:
        self.columns = walk.columns
        rows = max(sum(panel.filler.shape[0] for panel in panels) for panels in self.columns)
        across = sum(max(panel.filler.shape[1] for panel in panels) for panels in self.columns)
        fitting = max(MIN_CELL, min(MAX_CELL, WIDTH / across, HEIGHT / rows))
        # A larger picture is worth it if numbers can be read.
        needed = max(_widest(walk, panel) for panel in walk.panels) * MIN_NUMBER_SIZE
        self.cell = max(fitting, min(needed / MAX_NUMBER_SIZE, MAX_WIDTH / across))
        self.headings = {
            id(panel): text.wrapped(
                panel.heading, max(self._across(panel), MIN_PANEL_WIDTH), HEADING
            )
            for panel in walk.panels
        }
        self.widths = [
            max(
                max(self._across(each), text.width(self.headings[id(each)], HEADING))
                for each in panels
            )
            for panels in self.columns
        ]
        room = sum(self.widths) + GAP * (len(self.columns) - 1)
        self.title = text.wrapped(title, room, TITLE)
        self.captions = [text.wrapped(caption, room, HEADING) for caption in captions]
        self.width = max(room, text.width(self.title, TITLE)) + 2 * MARGIN
        self.above = 2 * MARGIN + text.height(self.title, TITLE)
        below = 2 * MARGIN + max(text.height(caption, HEADING) for caption in self.captions)
        tallest = max(sum(map(self._height, panels)) for panels in self.columns)
        self.height = self.above + tallest + below

    def _across(self, panel: Panel) -> float:
        """The width of a panel's cells."""
        return float(panel.filler.shape[1] * self.cell)

    def _height(self, panel: Panel) -> float:
        """The height of a panel with its heading and the gap below it."""
        heading = text.height(self.headings[id(panel)], HEADING) + HEADING_GAP
        return float(heading + panel.filler.shape[0] * self.cell + GAP / 2)

    def figure(self) -> tuple[Figure, list[Axes]]:
        """An empty figure, and axes for each panel, in the order of the columns."""
        figure = Figure((self.width, self.height), dpi=100)
        figure.suptitle(
            self.title, fontsize=TITLE, x=MARGIN / self.width, ha="left",
            y=1 - MARGIN / self.height,
        )  # fmt: skip
        axes = []
        for column, panels in enumerate(self.columns):
            left = MARGIN + sum(self.widths[:column]) + GAP * column
            top = self.height - self.above
            for panel in panels:
                rows, columns = panel.filler.shape
                heading = text.height(self.headings[id(panel)], HEADING) + HEADING_GAP
                bottom = top - heading - rows * self.cell
                box = (
                    left / self.width, bottom / self.height,
                    columns * self.cell / self.width, rows * self.cell / self.height,
                )  # fmt: skip
                axes.append(figure.add_axes(box))
                axes[-1].set_title(
                    self.headings[id(panel)], fontsize=HEADING, loc="left",
                    pad=HEADING_GAP * text.POINTS_PER_INCH,
                )  # fmt: skip
                top -= self._height(panel)
        return figure, axes


def _widest(walk: Walk, panel: Panel) -> float:
    """Inches that the widest number of a panel takes, with a margin, at `MAX_NUMBER_SIZE`."""
    index = next(n for n, each in enumerate(walk.panels) if each is panel)
    numbers = [frame.states[index].numbers for frame in walk.frames]
    words = {shown(value) for each in numbers for value in np.unique(each)}
    return max((text.width(word, MAX_NUMBER_SIZE) for word in words), default=0.1) / 0.85


def _font_size(walk: Walk, panel: Panel, cell: float) -> float:
    """Points at which each number of a panel fits into its cell; 0 if that would be illegible."""
    fitting = min(1.0, cell / _widest(walk, panel), cell / text.height("0", MAX_NUMBER_SIZE))
    size = MAX_NUMBER_SIZE * fitting
    return size if size >= MIN_NUMBER_SIZE else 0.0


def shown(value: float) -> str:
    """A number as a cell shows it; empty where nothing has been written yet."""
    return "" if np.isnan(value) else number(value).strip("()")


def _draw_panel(panel: Panel, axes: Axes, cell: float, font_size: float) -> _Drawn:
    rows, columns = panel.filler.shape
    mesh = axes.pcolormesh(
        np.zeros((rows, columns, 3)), edgecolors=[paper()], linewidth=min(1.0, 4 * cell)
    )
    axes.set_xlim(0, columns)
    axes.set_ylim(rows, 0)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    numbers = np.empty((rows, columns) if font_size else (0, 0), object)
    for row, column in np.ndindex(*numbers.shape):
        numbers[row, column] = axes.text(
            column + 0.5, row + 0.5, "", fontsize=font_size, ha="center", va="center"
        )
    window = Rectangle(
        (0, 0), 0, 0, fill=False, edgecolor=OUTLINE, linewidth=2, clip_on=False, zorder=3
    )
    axes.add_patch(window)
    return _Drawn(panel, mesh, numbers, window)


def _update(drawn: _Drawn, state: State) -> None:
    """Show a state of a panel."""
    colours = _colours(drawn.panel, state)
    drawn.mesh.set_array(colours)
    for (row, column), written in np.ndenumerate(drawn.numbers):
        colour: RGB = tuple(colours[row, column])
        written.set_text(shown(float(state.numbers[row, column])))
        is_faint = drawn.panel.filler[row, column] or drawn.panel.cut[row, column]
        written.set_color(neutral() if is_faint else ink_on(colour))
    down, across = np.nonzero(state.marked)
    is_part = 0 < len(down) < state.marked.size and drawn.panel.column != 1
    drawn.window.set_visible(is_part)
    if is_part:
        drawn.window.set_xy((across.min(), down.min()))
        drawn.window.set_width(float(np.ptp(across)) + 1)
        drawn.window.set_height(float(np.ptp(down)) + 1)


def _colours(panel: Panel, state: State) -> NDArray[np.float64]:
    """The colour of each cell, (rows, columns, 3)."""
    share = np.where(state.marked, STRONG, WASHED)
    share = np.where(panel.cut, CUT * share, share)[..., None]
    background, full = np.array(paper()), np.array(COLUMNS[panel.column])
    coloured = share * full + (1 - share) * background
    marked_zero = 0.75 * np.array(pale()) + 0.25 * full
    zero = np.where(state.marked[..., None], marked_zero, np.array(pale()))
    is_empty = np.isnan(state.numbers)
    plain = np.where((is_empty & ~state.marked)[..., None], np.array(pale()), coloured)
    return np.asarray(np.where(panel.filler[..., None], zero, plain))
