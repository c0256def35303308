"""Write the files of a comparison: tables, figures, the report, and TensorBoard events."""

import io
from collections import defaultdict
from datetime import datetime
from typing import Any

from matplotlib.figure import Figure

from aecli.comparison.pictures import Picture, pictures
from aecli.comparison.report import Origin, ReportFigure, render
from aecli.comparison.results import Comparison, MeanStd, RunGroup
from aecli.comparison.table import to_csv, to_markdown
from aecli.figures import HoverPoint, hover_points, take_literally, theme
from aecli.runs.directory import FIGURES
from aecli.runs.results import Results
from aecli.runs.tracker import STUDY_LAYOUT, drawable

FOLDER = "compare"
"""Where a comparison is written within the folder that it compares."""

REPORT = "report.html"
CSV = "table.csv"
MARKDOWN = "table.md"


def write(
    comparison: Comparison,
    findings: list[str],
    table: list[RunGroup],
    results: Results,
    command: str,
) -> None:
    """Write all files of a comparison.

    Args:
        comparison: what the figures show, in its own order.
        findings: the results in sentences.
        table: its settings in the order of the table.
        results: where the files go.
        command: the command line that does it.
    """
    layout = drawable(STUDY_LAYOUT, (setting.first.config for setting in comparison.settings))
    results.layout({**layout, **_log_bands(comparison, results)})
    results.file(CSV, to_csv(table).encode())
    results.file(MARKDOWN, to_markdown(table).encode())
    figures = [_add_figure(picture, results) for picture in pictures(comparison)]
    origin = Origin(datetime.now().astimezone(), command, results.folder)
    report = render(comparison, findings, table, figures, origin)
    results.file(REPORT, report.encode())


def _log_bands(comparison: Comparison, results: Results) -> dict[str, Any]:
    """Log the validation curves of settings with several seeds; their charts by category."""
    charts = {}
    for setting in comparison.settings:
        by_epoch: dict[int, list[float]] = defaultdict(list)
        for result in setting.results:
            for record in result.records:
                if record.val_mse is not None:
                    by_epoch[record.epoch].append(record.val_mse)
        if len(setting.results) > 1 and by_epoch:
            spreads = {epoch: MeanStd.from_values(by_epoch[epoch]) for epoch in sorted(by_epoch)}
            means = {epoch: (each.mean, each.std or 0.0) for epoch, each in spreads.items()}
            tags = results.band(f"seeds/{setting.label}", means)
            charts[setting.label] = ["Margin", tags]
    return {"validation mse over seeds, mean and one standard deviation": charts} if charts else {}


def _add_figure(picture: Picture, results: Results) -> ReportFigure:
    """Save a figure, and return it as the report shows it, on light and on dark backgrounds."""
    with theme(dark=False):
        path = results.figure(picture.name, picture.draw(), FIGURES)
    with theme(dark=True):
        dark, points = _svg(picture.draw())
    light = path.with_suffix(".svg").read_bytes()
    return ReportFigure(picture.title, picture.caption, light, dark, "image/svg+xml", points)


def _svg(figure: Figure) -> tuple[bytes, list[HoverPoint]]:
    """A figure as the content of a file, and the points in it."""
    content = io.BytesIO()
    take_literally(figure)
    figure.savefig(content, format="svg", dpi=100)
    return content.getvalue(), hover_points(figure)
