"""A lecture as one self-contained HTML page, which loads nothing from elsewhere."""

from datetime import datetime
from pathlib import Path

from aecli import __version__
from aecli.figures.web_page import render as render_page
from aecli.lectures.kit import Kit, SlideResult

TEMPLATE = Path(__file__).with_name("lecture.html.j2")
MIN_COLUMNS = 40
"""The text is sized for at least this many columns."""


def page(kit: Kit, quick: bool, command: str) -> str:
    """The page; with ?slides in its address it shows one slide a screen.

    Args:
        command: the command line that makes it again.
    """
    return render_page(
        TEMPLATE,
        kit=kit,
        quick=quick,
        command=command,
        made=datetime.now().astimezone(),
        version=__version__,
        mark=mark,
        state=state,
        columns=_columns,
    )


def state(shown: SlideResult) -> str:
    """The state of a slide: fails, holds, open (nothing was asserted this time) or plain."""
    if shown.failures:
        return "fails"
    if shown.is_asserted:
        return "holds"
    return "open" if shown.verdicts else "plain"


def mark(shown: SlideResult) -> str:
    """How the results compare with the numbers of the slide, in words."""
    if shown.error is not None:
        return f"failed: {shown.error}"
    if shown.failures:
        return f"differs: {'; '.join(shown.failures)}"
    if not shown.is_asserted:
        return "not asserted in a quick run" if shown.verdicts else ""
    differences = [each.difference for each in shown.verdicts if each.difference is not None]
    if any(differences):
        return f"largest difference {max(differences):.2g}"
    if not all(each.is_exact for each in shown.verdicts if each.holds):
        return "within the bounds of the slide"
    return "equal to the slide"


def _columns(text: str) -> int:
    """Characters of the longest line, by which its size is chosen."""
    return max(MIN_COLUMNS, *map(len, text.splitlines() or [""]))
