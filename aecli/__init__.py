"""aecli: an experiment runner for autoencoders on small images.

What is in `__all__` is the public API; docs/python.md describes it. PyTorch is imported when one of
the names is used for the first time.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aecli.api.comparison import Comparison, compare
    from aecli.api.loading import load
    from aecli.api.model import Model
    from aecli.api.training import train
    from aecli.errors import AecliError

__version__ = "0.1.0"

__all__ = ["AecliError", "Comparison", "Model", "__version__", "compare", "load", "train"]

_HOMES = {
    "AecliError": "aecli.errors",
    "Comparison": "aecli.api.comparison",
    "Model": "aecli.api.model",
    "compare": "aecli.api.comparison",
    "load": "aecli.api.loading",
    "train": "aecli.api.training",
}

if not TYPE_CHECKING:  # a type checker sees only the names above

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(_HOMES[name]), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
