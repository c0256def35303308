"""Figures that no test looks at: making and drawing them takes longer than everything else in a run
of one epoch."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import aecli.comparison.pictures  # noqa: F401  a sweep imports it, while figures are replaced
from aecli.figures import output

HEAD = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 500 300"><desc>'
PLACEHOLDER = HEAD + b"in place of a figure\n" * 50 + b"</desc></svg>\n"

# Those of a training, which imports them where it makes them.
OF_A_TRAINING = ("image_grid", "loss_figure", "plane_figure", "small_loss_figure")


@contextmanager
def undrawn() -> Iterator[None]:
    """Draw no figures: the files contain something else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "PNG_SCALE", 1)
        patch.setattr(Figure, "savefig", _save)
        patch.setattr(FigureCanvasAgg, "draw", FigureCanvasAgg.get_renderer)
        yield


@contextmanager
def undrawn_training() -> Iterator[None]:
    """Draw no figures, and make none of those of a training."""
    with undrawn(), pytest.MonkeyPatch.context() as patch:
        for name in OF_A_TRAINING:
            patch.setattr(f"aecli.figures.{name}", _empty)
        yield
    for name, module in list(sys.modules.items()):
        if name.startswith("aecli.") and name != "aecli.figures":
            kept = any(value is _empty for value in vars(module).values())
            assert not kept, f"{name} keeps a figure that was replaced"


def _empty(*_: object, **__: object) -> Figure:
    return Figure(figsize=(1, 1), dpi=10)


def _save(_: Figure, target: Any, **options: Any) -> None:
    if isinstance(target, str | os.PathLike):
        Path(target).write_bytes(PLACEHOLDER)
    else:
        target.write(PLACEHOLDER)
