"""The steps of a layer as one self-contained HTML page, which asks for nothing from outside."""

import base64
import hashlib
import json
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from aecli.convolution.walk import State, Walk
from aecli.figures.walk import shown

SCRIPT = Path(__file__).with_name("walk.js").read_text(encoding="utf-8")
SCRIPT_DIGEST = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()

ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def walk_page(title: str, walk: Walk, command: str) -> str:
    """The page, with buttons to play, to step and to go back.

    Args:
        title: its heading.
        command: the command line that makes it again.
    """
    return ENVIRONMENT.get_template("walk.html.j2").render(
        title=title,
        columns=[
            [(n, each) for n, each in enumerate(walk.panels) if each.column == column]
            for column in range(3)
        ],
        count=len(walk.frames),
        command=command,
        data=_as_json(walk),
        script=Markup(SCRIPT),
        script_digest=SCRIPT_DIGEST,
        zip=zip,
    )


def _as_json(walk: Walk) -> Markup:
    """Captions and cells of all frames, as text that cannot end the element that it stands in."""
    content = {
        "frames": [
            {"caption": frame.caption, "panels": [_cells(state) for state in frame.states]}
            for frame in walk.frames
        ]
    }
    return Markup(json.dumps(content, separators=(",", ":")).replace("<", "\\u003c"))


def _cells(state: State) -> dict[str, list[str] | list[int]]:
    """The numbers of a panel as text, and which of them are marked, row by row."""
    return {
        "text": [shown(value) for value in state.numbers.flat],
        "marked": state.marked.ravel().nonzero()[0].tolist(),
    }
