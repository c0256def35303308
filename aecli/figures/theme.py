"""The colours of figures, on a light and on a dark background."""

from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb, to_rgba

RGB = tuple[float, float, float]
RGBA = tuple[float, float, float, float]

# Distinguishable with any colour vision, and visible on both (Petroff, "Accessible color sequences
# for data visualization", 2021). The last three are pale on white, and so come last.
CATEGORIES = (
    "#3f90da", "#e76300", "#832db6", "#bd1f01", "#94a4a2",
    "#a96b59", "#717581", "#ffa90e", "#b9ac70", "#92dadd",
)  # fmt: skip
ERROR_COLOURS = "magma"
"""The matplotlib colour map for errors."""


@contextmanager
def theme(dark: bool) -> Iterator[None]:
    """Colours for figures made and saved inside: light on dark, or dark on light."""
    background, ink = ("#16181d", "#e4e6ea") if dark else ("#ffffff", "#1b1d21")
    lines = "#8b909a"  # visible on both
    with matplotlib.rc_context(
        {
            "figure.facecolor": background,
            "axes.facecolor": background,
            "legend.facecolor": background,
            "savefig.facecolor": "auto",  # the figure's own background
            "text.color": ink,
            "axes.labelcolor": ink,
            "axes.titlecolor": ink,
            "xtick.labelcolor": ink,
            "ytick.labelcolor": ink,
            "legend.labelcolor": ink,
            "axes.edgecolor": lines,
            "xtick.color": lines,
            "ytick.color": lines,
            "grid.color": lines,
        }
    ):
        yield


def paper() -> RGB:
    """The background colour."""
    return to_rgb(matplotlib.rcParams["figure.facecolor"])


def ink() -> RGB:
    """The text colour."""
    return to_rgb(matplotlib.rcParams["text.color"])


def neutral() -> RGBA:
    """For reference values: the text colour, made translucent."""
    return to_rgba(ink(), 0.65)


def sequence(count: int) -> list[RGBA]:
    """Ordered colours, distinguishable with any colour vision and far from the background."""
    is_dark = np.mean(paper()) < 0.5
    first, last = (0.4, 0.98) if is_dark else (0.0, 0.72)
    colormap = matplotlib.colormaps["plasma"]
    return [colormap(position) for position in np.linspace(first, last, count)]


def categories(count: int) -> list[RGBA]:
    """Unordered colours, as distinct as possible; for many, those of `sequence`."""
    few = [to_rgba(colour) for colour in CATEGORIES[:count]]
    return few if len(few) == count else sequence(count)


def inked(colour: RGBA, share: float) -> RGBA:
    """A colour mixed with a share of the text's colour, and so at least as far from the
    background."""
    red, green, blue = (1 - share) * np.array(colour[:3]) + share * np.array(ink())
    return float(red), float(green), float(blue), 1.0
