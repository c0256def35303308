"""The steps of a layer as one self-contained HTML page, which loads nothing from elsewhere."""

from pathlib import Path
from typing import Any

from aecli.convolution.walk import State, Walk
from aecli.figures.walk import shown
from aecli.figures.web_page import as_json
from aecli.figures.web_page import render as render_page

TEMPLATE = Path(__file__).with_name("walk.html.j2")


def walk_page(title: str, walk: Walk, command: str) -> str:
    """The page, with buttons to play, to step and to go back.

    Args:
        title: its heading.
        command: the command line that makes it again.
    """
    return render_page(
        TEMPLATE,
        title=title,
        columns=walk.columns,
        count=len(walk.frames),
        command=command,
        data=as_json(_content(walk)),
        zip=zip,
    )


def _content(walk: Walk) -> dict[str, Any]:
    """Captions and cells of all frames."""
    return {
        "frames": [
            {"caption": frame.caption, "panels": [_cells(state) for state in frame.states]}
            for frame in walk.frames
        ]
    }


def _cells(state: State) -> dict[str, list[str] | list[int]]:
    """The numbers of a panel as text, and which of them are marked, row by row."""
    return {
        "text": [shown(value) for value in state.numbers.flat],
        "marked": state.marked.ravel().nonzero()[0].tolist(),
    }
