"""A network drawn to scale: the feature maps and vectors from the image through the code to the
output."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from aecli.errors.text import shape_text
from aecli.figures import text
from aecli.figures.theme import RGB, inked, neutral, paper

TITLE, LABEL, OPERATION, PART = 11, 9, 7.5, 9  # font sizes, in points

# All in inches.
TALLEST, THICKEST = 1.9, 0.55  # the largest map or vector, and the most channels
THINNEST, LOWEST = 0.035, 0.035  # so that what is there can be seen
SLANT = 0.28  # how far the back of a map is shifted, as a share of its width
GAP, MARGIN, HEADINGS, LOSS = 0.28, 0.2, 0.35, 0.55
VECTOR = 0.22  # the width of a vector
FEW = 16  # channels; a map of fewer is thin, also where there is no thicker one

PARTS = {
    "input": "#717581",
    "encoder": "#3f90da",
    "code": "#e76300",
    "decoder": "#00a878",
    "output": "#717581",
}
"""Part -> the colour of its outputs."""


@dataclass(frozen=True)
class Stage:
    """The output of one or several layers."""

    part: str
    """A key of `PARTS`."""
    shape: tuple[int, ...]
    """(channels, height, width), or (units,)."""
    operations: Sequence[str]
    """The layers that compute it, as in `Conv2d 1 -> 16, k3 s2 p1`."""


@dataclass(frozen=True)
class _Scale:
    """Inches for each pixel, channel and unit."""

    pixel: float
    channel: float
    unit: float


@dataclass(frozen=True)
class _Block:
    """A stage as it is drawn: the sizes of its box, in inches."""

    stage: Stage
    thickness: float  # across: the channels
    height: float
    depth: float  # length of the slanted side: the width of the map
    label: str

    @property
    def width(self) -> float:
        """The width with its slanted side and its label."""
        words = [text.width(self.label, LABEL), *(text.width(o, OPERATION) for o in self.lines)]
        return max(self.thickness + self.depth, *words)

    @property
    def lines(self) -> list[str]:
        """The operations, in short lines."""
        return [part for each in self.stage.operations for part in each.split(", ")]


def network_figure(title: str, stages: Sequence[Stage], loss: str) -> Figure:
    """The stages side by side, each labelled with its shape and the layers that compute it.

    Maps are boxes: their height and their slanted side are their pixels, their thickness their
    channels. Where there are only vectors, the height is the number of units.

    Args:
        loss: the label of the arrow from the output to the input.
    """
    scale = _scale(stages)
    blocks = [_block(stage, scale) for stage in stages]
    widths = [block.width for block in blocks]
    above = max(block.height + block.depth for block in blocks)
    lines = max(len(block.lines) for block in blocks)
    below = text.height("0", LABEL) * 1.4 + lines * text.height("0", OPERATION)
    room = max(sum(widths) + GAP * (len(blocks) - 1), text.width(title, TITLE))
    width = room + 2 * MARGIN
    top = 2 * MARGIN + text.height(title, TITLE)
    height = top + HEADINGS + above + below + LOSS + 2 * MARGIN
    figure = Figure((width, height), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    axes.text(MARGIN, MARGIN, title, fontsize=TITLE, va="top")
    ground = top + HEADINGS + above
    lefts = [MARGIN + sum(widths[:n]) + GAP * n for n in range(len(blocks))]
    for block, left in zip(blocks, lefts, strict=True):
        _draw(axes, block, left, ground)
    _head(axes, blocks, lefts, top + HEADINGS / 2)
    _close(axes, loss, blocks, lefts, ground + below + MARGIN)
    return figure


def _scale(stages: Sequence[Stage]) -> _Scale:
    maps = [stage.shape for stage in stages if len(stage.shape) == 3]
    units = max(prod(stage.shape) for stage in stages)
    side = max(max(shape[1:]) for shape in maps)
    channels = max(FEW, *(shape[0] for shape in maps))
    return _Scale(TALLEST / (side * (1 + SLANT)), THICKEST / channels, TALLEST / units)


def _block(stage: Stage, scale: _Scale) -> _Block:
    label = shape_text(stage.shape)
    if len(stage.shape) == 1:
        return _Block(stage, VECTOR, max(LOWEST, stage.shape[0] * scale.unit), 0, label)
    channels, height, width = stage.shape
    return _Block(
        stage,
        max(THINNEST, channels * scale.channel),
        max(LOWEST, height * scale.pixel),
        max(LOWEST, width * scale.pixel) * SLANT,
        label,
    )


def _draw(axes: Axes, block: _Block, left: float, ground: float) -> None:
    """A box on the base line, and its label."""
    x = left + (block.width - block.thickness - block.depth) / 2
    low, high = ground, ground - block.height
    depth, thick = block.depth, block.thickness
    colour = to_rgb(PARTS[block.stage.part])
    front = [(x, low), (x + thick, low), (x + thick, high), (x, high)]
    side = [(x + thick, low), (x + thick + depth, low - depth),
            (x + thick + depth, high - depth), (x + thick, high)]  # fmt: skip
    roof = [
        (x, high),
        (x + thick, high),
        (x + thick + depth, high - depth),
        (x + depth, high - depth),
    ]
    for corners, shade in ((front, 0.0), (side, 0.25), (roof, -0.35)):
        face = _shaded(colour, shade)
        axes.add_patch(Polygon(corners, facecolor=face, edgecolor=paper(), linewidth=0.6))
    centre = left + block.width / 2
    y = ground + text.height("0", LABEL) * 0.9
    axes.text(centre, y, block.label, fontsize=LABEL, ha="center", va="center", weight="bold")
    for line in block.lines:
        y += text.height("0", OPERATION)
        axes.text(centre, y, line, fontsize=OPERATION, ha="center", va="center", color=neutral())


def _shaded(colour: RGB, share: float) -> tuple[float, ...]:
    """A darker colour, or a lighter one if the share is negative: mixed with the text's colour, or
    with the background."""
    if share >= 0:
        return inked((*colour, 1.0), share)
    return tuple((1 + share) * c - share * p for c, p in zip(colour, paper(), strict=True))


def _head(axes: Axes, blocks: Sequence[_Block], lefts: Sequence[float], y: float) -> None:
    """The name of each part over its stages, with a line below it."""
    for part, colour in PARTS.items():
        mine = [n for n, block in enumerate(blocks) if block.stage.part == part]
        if not mine:
            continue
        first, last = lefts[mine[0]], lefts[mine[-1]] + blocks[mine[-1]].width
        name = "bottleneck" if part == "code" else part
        axes.text(
            (first + last) / 2, y, name, fontsize=PART, ha="center", va="bottom", color=colour
        )
        axes.plot([first, last], [y + 0.05] * 2, color=colour, linewidth=1.5)


def _close(
    axes: Axes, loss: str, blocks: Sequence[_Block], lefts: Sequence[float], y: float
) -> None:
    """The loss: an arrow from the last stage below all of them to the first."""
    first, last = (lefts[n] + blocks[n].width / 2 for n in (0, -1))
    colour = neutral()
    axes.plot([last, last, first], [y, y + 0.18, y + 0.18], color=colour, linewidth=1)
    axes.annotate(
        "", (first, y), (first, y + 0.185),
        arrowprops={
            "arrowstyle": "->", "color": colour, "linewidth": 1, "shrinkA": 0, "shrinkB": 0,
        },
    )  # fmt: skip
    axes.text((first + last) / 2, y + 0.24, loss, fontsize=LABEL, ha="center", va="top")
