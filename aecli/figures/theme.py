"""The colours of figures, on a light ground and on a dark one."""

from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb, to_rgba

RGB = tuple[float, float, float]
RGBA = tuple[float, float, float, float]

# Told apart with any colour vision, and seen on both grounds (Petroff, "Accessible color sequences
# for data visualization", 2021).
CATEGORIES = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip


@contextmanager
def theme(dark: bool) -> Iterator[None]:
    """Colours for the figures that are made and saved inside: light on dark, or dark on light."""
    ground, ink = ("#16181d", "#e4e6ea") if dark else ("#ffffff", "#1b1d21")
    lines = "#8b909a"  # seen on both
    with matplotlib.rc_context(
        {
            "figure.facecolor": ground,
            "axes.facecolor": ground,
            "legend.facecolor": ground,
            "savefig.facecolor": "auto",  # the figure's own
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
    """The ground that is drawn on."""
    return to_rgb(matplotlib.rcParams["figure.facecolor"])


def neutral() -> RGBA:
    """For what a reader compares with: the text's colour, weakened."""
    return to_rgba(matplotlib.rcParams["text.color"], 0.65)


def sequence(count: int) -> list[RGBA]:
    """Colours in an order that is seen with any colour vision, all of them far from the ground."""
    is_dark = np.mean(paper()) < 0.5
    first, last = (0.4, 0.98) if is_dark else (0.0, 0.72)
    scale = matplotlib.colormaps["plasma"]
    return [scale(position) for position in np.linspace(first, last, count)]


def categories(count: int) -> list[RGBA]:
    """Colours without an order, as unlike one another as they can be; of many, those of a scale."""
    few = [to_rgba(colour) for colour in CATEGORIES[:count]]
    return few if len(few) == count else sequence(count)
