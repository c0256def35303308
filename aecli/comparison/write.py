"""Write the files of a comparison: tables, figures, the report, and TensorBoard events."""

import io
from datetime import datetime
from pathlib import Path

from matplotlib.figure import Figure

from aecli.comparison.pictures import pictures
from aecli.comparison.report import ReportFigure, render
from aecli.comparison.results import Comparison, RunGroup
from aecli.comparison.table import to_csv, to_markdown
from aecli.errors import UsageError
from aecli.figures import save, theme, to_array
from aecli.files import write_atomically
from aecli.runs.directory import EVENTS
from aecli.runs.tensorboard import EventsFile
from aecli.runs.tracker import STUDY_LAYOUT

FOLDER = "compare"
"""Where a comparison is written within the folder that it compares."""

REPORT = "report.html"
CSV = "table.csv"
MARKDOWN = "table.md"
FIGURES = "figures"


def check_output_folder(folder: Path) -> None:
    """Check that a comparison in `folder` would replace an earlier one, and nothing else.

    Raises:
        UsageError: `folder` holds something that no comparison has written.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file: give a folder as output=...")
    ours = {REPORT, CSV, MARKDOWN, FIGURES, *(path.name for path in folder.glob(EVENTS))}
    foreign = sorted(path.name for path in folder.iterdir() if path.name not in ours)
    if foreign:
        raise UsageError(
            f"{folder} holds {foreign[0]}, which is not part of a comparison: "
            f"give a new or empty folder as output=..."
        )


def write(comparison: Comparison, table: list[RunGroup], folder: Path) -> None:
    """Write all files of a comparison, the report last.

    Args:
        comparison: what the figures show, in its own order.
        table: its settings in the order of the table.
        folder: where the files go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for outdated in [*folder.glob(EVENTS), *(folder / FIGURES).glob("*")]:
        outdated.unlink()
    write_atomically(folder / CSV, to_csv(table).encode())
    write_atomically(folder / MARKDOWN, to_markdown(table).encode())
    figures = []
    with EventsFile(folder) as tensorboard:
        tensorboard.layout(STUDY_LAYOUT)
        for picture in pictures(comparison):
            with theme(dark=False):
                figure = picture.draw()
                save(figure, folder / FIGURES / picture.name)
                tensorboard.image(f"{FOLDER}/{picture.name}", to_array(figure))
            with theme(dark=True):
                dark = _svg(picture.draw())
            light = (folder / FIGURES / f"{picture.name}.svg").read_bytes()
            figures.append(
                ReportFigure(picture.title, picture.caption, light, dark, "image/svg+xml")
            )
    report = render(comparison, table, figures, datetime.now().astimezone())
    write_atomically(folder / REPORT, report.encode())


def _svg(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="svg", dpi=100)
    return content.getvalue()
