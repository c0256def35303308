"""Size and wrapping of text, before there is a figure to draw it in, and text taken literally."""

import re
from functools import cache
from itertools import chain

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text

from aecli.errors.text import printable

DPI = 100
LINE = 1.35  # height of a line of text, in font sizes
POINTS_PER_INCH = 72


def literal(text: str) -> str:
    """The characters that are drawn for `text`, with escapes for those that cannot be drawn."""
    return printable(text).encode(errors="backslashreplace").decode()


def take_literally(figure: Figure) -> None:
    """Draw every text of `figure` literally: a $ in a name does not begin a formula."""
    texts = figure.findobj(Text)  # which creates the ticks that are still missing
    powers = {
        id(label)
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        if axis.get_scale() == "log"
        for tick in (*axis.majorTicks, *axis.minorTicks)
        for label in (tick.label1, tick.label2)
    }
    for text in texts:
        if isinstance(text, Text) and id(text) not in powers:
            text.set_parse_math(False)
            text.set_text(literal(text.get_text()))


def width(text: str, size: float) -> float:
    """Width of `text` in inches, at `size` points."""
    return max(_line_width(line, size) for line in text.split("\n"))


@cache
def _line_width(line: str, size: float) -> float:
    renderer = FigureCanvasAgg(Figure((1, 1), DPI)).get_renderer()
    pixels, _, _ = renderer.get_text_width_height_descent(
        literal(line), FontProperties(size=size), False
    )
    return float(pixels) / DPI


def height(text: str, size: float) -> float:
    """Height of `text` in inches, at `size` points."""
    return len(text.split("\n")) * LINE * size / POINTS_PER_INCH if text else 0.0


def wrapped(text: str, inches: float, size: float) -> str:
    """Wrap `text` into lines of at most `inches`, after commas if that is enough.

    Only a single word may be longer.
    """
    return "\n".join(_wrapped_line(line, inches, size) for line in text.split("\n"))


def _wrapped_line(line: str, inches: float, size: float) -> str:
    first, *others = _pieces(line, inches, size)
    lines = [first]
    for piece in others:
        longer = f"{lines[-1]} {piece}"
        if width(longer, size) <= inches:
            lines[-1] = longer
        else:
            lines.append(piece)
    return "\n".join(lines)


def _pieces(line: str, inches: float, size: float) -> list[str]:
    """The parts between commas, split into words if they are too long for a line."""
    clauses = re.split("(?<=,) ", line)
    words = [[each] if width(each, size) <= inches else each.split(" ") for each in clauses]
    return list(chain.from_iterable(words))
