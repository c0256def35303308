"""Figures and images as files and as arrays."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from aecli.figures.text import take_literally

if TYPE_CHECKING:  # a chart of numbers need not wait for torch
    from torch import Tensor


PNG_SCALE = 2
"""Pixels of a PNG file for each of the figure's own."""


def save(figure: Figure, path: Path) -> NDArray[np.uint8]:
    """Write `figure` as PNG and SVG; `path` has no suffix.

    Returns:
        Its pixels (height, width, 3): the PNG made smaller, which spares drawing it once more, and
        so a pixel more than those of `to_array` where their number is odd in the PNG.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    take_literally(figure)
    image = Image.fromarray(_drawn(figure, PNG_SCALE))
    # With the highest compression a PNG is a sixth smaller and takes twice as long.
    dpi = PNG_SCALE * figure.dpi
    image.save(path.with_suffix(".png"), compress_level=1, dpi=(dpi, dpi))
    figure.set_layout_engine("none")  # the layout is done, and takes as long as drawing
    figure.savefig(path.with_suffix(".svg"), dpi=figure.dpi)
    return np.asarray(image.reduce(PNG_SCALE))


def as_image(pixels: Tensor) -> Image.Image:
    """(C, H, W) in [0, 1] as an image: the first three channels, or the first one as grey."""
    channels = pixels[:3] if len(pixels) >= 3 else pixels[:1]
    levels = (channels * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(levels.squeeze(2) if levels.shape[2] == 1 else levels)


def as_png(pixels: Tensor) -> bytes:
    """(C, H, W) in [0, 1] as the bytes of a PNG file."""
    content = io.BytesIO()
    as_image(pixels).save(content, "PNG")
    return content.getvalue()


def as_gif(frames: list[Image.Image], milliseconds: int | list[int]) -> bytes:
    """Images as the bytes of an endless GIF file.

    Args:
        milliseconds: how long each frame stays, or one number for all of them.
    """
    content = io.BytesIO()
    frames[0].save(
        content, "GIF", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0
    )
    return content.getvalue()


def to_array(figure: Figure) -> NDArray[np.uint8]:
    """`figure` as pixels (height, width, 3)."""
    take_literally(figure)
    return _drawn(figure, 1)


def _drawn(figure: Figure, scale: int) -> NDArray[np.uint8]:
    usual = figure.dpi
    try:
        figure.set_dpi(scale * usual)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()
    finally:
        figure.set_dpi(usual)
