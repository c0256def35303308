"""Figures as files and as arrays."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray


def save(figure: Figure, path: Path) -> None:
    """Write `figure` as PNG and as SVG: `path` without a suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for suffix, dpi in ((".png", 200), (".svg", 100)):
        figure.savefig(path.with_suffix(suffix), dpi=dpi)


def to_array(figure: Figure) -> NDArray[np.uint8]:
    """`figure` as pixels (height, width, 3)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
