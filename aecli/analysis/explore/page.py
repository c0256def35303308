"""Finished runs as one self-contained HTML file, which computes their networks itself."""

from pathlib import Path
from typing import Any

from aecli.analysis.explore.content import Content
from aecli.config import CorruptionKind
from aecli.errors.text import counted, listed
from aecli.figures.web_page import as_json, render

TEMPLATE = Path(__file__).with_name("explore.html.j2")
LIBRARIES = (
    "engine.js",
    "pictures.js",
    "runs.js",
    "codes_view.js",
    "between_view.js",
    "draw_view.js",
)


def explore_page(title: str, content: Content, command: str) -> str:
    """The page.

    Args:
        title: its heading.
        content: the runs and the images, as from `content.describe`.
        command: the command line that makes it again.
    """
    runs, images = content.values["runs"], content.values["images"]
    count = len(images["names"])
    corruptions: list[dict[str, Any]] = [run["corruption"] for run in runs if run["corruption"]]
    first = corruptions[0] if corruptions else {}
    return render(
        TEMPLATE,
        LIBRARIES,
        title=title,
        runs=[run["name"] for run in runs],
        images=counted(count, images["kind"]),
        noise=first if "strength" in first else None,
        factor=first.get("factor"),
        is_binarized=first.get("kind") == CorruptionKind.binarize.name,
        is_test=images["kind"] == "test image",
        precisions=listed(sorted({run["network"]["precision"] for run in runs})),
        content=as_json(content.values),
        block=content.block,
        command=command,
    )
