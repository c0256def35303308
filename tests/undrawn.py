"""Figures that no test looks at: drawing them takes longer than everything else in a run of one
epoch."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

HEAD = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 500 300"><desc>'
PLACEHOLDER = HEAD + b"in place of a figure\n" * 50 + b"</desc></svg>\n"


@contextmanager
def undrawn() -> Iterator[None]:
    """Make figures and save them without drawing: the files contain something else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", _save)
        patch.setattr(FigureCanvasAgg, "draw", FigureCanvasAgg.get_renderer)
        yield


def _save(_: Figure, target: Any, **options: Any) -> None:
    if isinstance(target, str | os.PathLike):
        Path(target).write_bytes(PLACEHOLDER)
    else:
        target.write(PLACEHOLDER)
