"""A progress bar in a notebook, drawn by tqdm."""

import sys
from importlib.util import find_spec
from typing import Any


def has_bars() -> bool:
    """Whether this process is the kernel of a notebook, and tqdm is installed."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel") and find_spec("tqdm") is not None


def bar(title: str, total: int, unit: str, done: int, *, is_bytes: bool, is_kept: bool) -> Any:
    """Draw a bar: tqdm's widget, or its text where ipywidgets is missing.

    Args:
        title: what is in progress.
        total: the count at which it is complete.
        unit: what is counted, in the plural.
        done: the count to begin with.
        is_bytes: whether they are shown as kB, MB and GB.
        is_kept: whether it stays in the notebook at the end.
    """
    from tqdm.auto import tqdm

    return tqdm(
        desc=title,
        total=total,
        initial=done,
        unit="B" if is_bytes else f" {unit}",
        unit_scale=is_bytes,
        leave=is_kept,
    )
