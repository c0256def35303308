"""A line about what a command is doing, which the next output erases."""

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TextIO

ERASE = "\x1b[K"  # from the cursor to the end of the line


def show_status(text: str) -> None:
    """Show `text` if it can be erased later; the cursor stays at the beginning of the line."""
    _write(f"{ERASE}{text}\r")


def erase_status() -> None:
    """Erase the status, if one is shown; whatever prints to the terminal calls this first."""
    _write(ERASE)


def announce_imports() -> None:
    """Show a status when Hydra or torch is imported; torch takes seconds, Hydra a third of one."""
    if not any(isinstance(finder, _AnnouncingFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AnnouncingFinder())


def can_erase(stream: TextIO | None) -> bool:
    """Whether `stream` is a terminal on which what was written can be erased.

    A notebook gives `!command` a terminal, and keeps all that is written to it.
    """
    is_in_notebook = "JPY_PARENT_PID" in os.environ or os.environ.get("TERM") in ("dumb", "unknown")
    return stream is not None and stream.isatty() and not is_in_notebook


def _write(text: str) -> None:
    # Rich replaces stderr while it draws a bar, and prints what is written there.
    stream = getattr(sys.stderr, "rich_proxied_file", sys.stderr)
    is_main_process = os.environ.get("RANK", "0") == "0"
    if is_main_process and can_erase(stream):
        stream.write(text)
        stream.flush()


_ANNOUNCED = {"hydra": "reading the configuration ...", "torch": "loading PyTorch ..."}


class _AnnouncingFinder(MetaPathFinder):
    """Finds nothing, but is asked before a module is found."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in _ANNOUNCED:
            show_status(_ANNOUNCED[fullname])
        return None
