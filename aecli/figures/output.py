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


def save(figure: Figure, path: Path) -> None:
    """Write `figure` as PNG and SVG; `path` has no suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    take_literally(figure)
    # With the highest compression a PNG is a sixth smaller and takes twice as long.
    figure.savefig(path.with_suffix(".png"), dpi=200, pil_kwargs={"compress_level": 1})
    figure.set_layout_engine("none")  # the layout is done, and takes as long as drawing
    figure.savefig(path.with_suffix(".svg"), dpi=100)


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
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
