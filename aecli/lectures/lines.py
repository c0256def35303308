"""Run one command line in this process, and keep what it prints."""

import io
import re
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, fields
from pathlib import Path

from aecli.cli.lookup import module
from aecli.cli.main import dispatch
from aecli.errors import AecliError, storage_error
from aecli.runtime.terminal import err, out

WIDTH = 80
ELSEWHERE = "…"
"""Placeholder in the printed text for the temporary folder of the results."""
_STYLE = re.compile(r"\x1b\[[0-9;]*[mK]")


@dataclass(frozen=True)
class LineResult:
    """The outcome of a command line."""

    printed: str
    folder: Path
    """Its results."""
    error: AecliError | None = None


def run_line(arguments: Sequence[str], folder: Path) -> LineResult:
    """Run a command line, its results in `folder` if the command takes `output`.

    What it prints on stdout and stderr is kept in the order in which a terminal would show it.
    """
    words = [*arguments]
    if takes_output(words):
        words.append(f"output={folder}")
    elif words[0] == "train":
        words.append(f"output_dir={folder}")
    text, error = io.StringIO(), None
    with redirect_stdout(text), redirect_stderr(text), out.of_width(WIDTH), err.of_width(WIDTH):
        try:
            dispatch(words)
        except AecliError as failure:
            error = failure
        except OSError as failure:
            error = storage_error(failure)
    printed = _STYLE.sub("", text.getvalue()).replace(str(folder), ELSEWHERE)
    return LineResult(printed.strip("\n"), folder, error)


def takes_output(arguments: Sequence[str]) -> bool:
    """Whether the command writes its results to a folder that `output` names."""
    command, *rest = arguments
    if any(each.startswith("output=") for each in rest):
        return False
    if command == "shapes":
        return "figure=true" in rest
    options = getattr(module(command), "Options", None)
    return command == "data" or (
        options is not None and "output" in {each.name for each in fields(options)}
    )
