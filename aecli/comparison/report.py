"""A comparison as one self-contained HTML file, which loads nothing from elsewhere.

Its one script sorts the table; without scripts the table stays as it is.
"""

import base64
import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

from aecli.comparison.results import Comparison, Result, RunGroup
from aecli.comparison.table import PLUS_MINUS, columns, format_mse, notes, rows
from aecli.errors.text import counted, listed
from aecli.figures import HoverPoint
from aecli.figures.web_page import render as render_page
from aecli.runs.directory import RunDirectory

PIXELS_PER_POINT = 96 / 72  # in CSS
TEMPLATE = Path(__file__).with_name("report.html.j2")


@dataclass(frozen=True)
class ReportFigure:
    """A picture, drawn for light and for dark pages."""

    title: str
    caption: str
    light: bytes
    """The content of an SVG or PNG file."""
    dark: bytes
    media_type: str
    """image/svg+xml or image/png."""
    hover_points: Sequence[HoverPoint] = ()
    """The points whose values are shown under the pointer."""

    @property
    def light_uri(self) -> str:
        return self._uri(self.light)

    @property
    def dark_uri(self) -> str:
        return self._uri(self.dark)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height; their ratio lets a browser lay out the page before decoding."""
        return _png_size(self.light) if self.media_type == "image/png" else _svg_size(self.light)

    def _uri(self, content: bytes) -> str:
        return f"data:{self.media_type};base64,{base64.b64encode(content).decode()}"


@dataclass(frozen=True)
class Origin:
    """Where a report comes from."""

    made: datetime
    command: str
    """The command line that makes it again."""
    folder: Path
    """The folder that it will be in; links to runs are relative to it."""

    def link(self, path: Path) -> str:
        """A relative address of a file or folder, which begins with a dot and so has no scheme."""
        relative = os.path.relpath(path, self.folder)
        return "./" + quote(os.fsencode(relative.replace(os.sep, "/")))

    def config_link(self, run: RunDirectory) -> str:
        return self.link(run.config_file)


def render(
    comparison: Comparison,
    findings: list[str],
    table: list[RunGroup],
    figures: list[ReportFigure],
    origin: Origin,
) -> str:
    """The report as HTML.

    Args:
        findings: the sentences to read first.
        table: the settings in the order of the table.
        figures: in the order in which they are shown.
        origin: the command and the time, shown at its end.
    """
    shown = columns(table)
    return render_page(
        TEMPLATE,
        title=title(comparison),
        comparison=comparison,
        findings=findings,
        columns=shown,
        rows=rows(table, shown),
        notes=notes(table),
        figures=figures,
        versions=listed(sorted({_versions(result) for result in comparison.results})),
        origin=origin,
        format_mse=format_mse,
        plus_minus=PLUS_MINUS,
        counted=counted,
    )


def title(comparison: Comparison) -> str:
    """What is compared, as in: conv and fc at latent 5 and 25 on mnist."""
    models = dict.fromkeys(setting.model for setting in comparison.settings)
    latents = sorted({setting.latent for setting in comparison.settings})
    return f"{listed(models)} at latent {listed(latents)} on {comparison.data.name}"


def _versions(result: Result) -> str:
    """The versions that made a run; read here because nothing else needs them."""
    versions = result.run.load_summary()["versions"]
    return f"aecli {versions['aecli']} with torch {versions['torch']}"


def _png_size(content: bytes) -> tuple[int, int]:
    """In pixels: the first two header fields (PNG specification, 11.2.1)."""
    return int.from_bytes(content[16:20]), int.from_bytes(content[20:24])


def _svg_size(content: bytes) -> tuple[int, int]:
    """In pixels: matplotlib's view box is in points."""
    _, root = next(ElementTree.iterparse(io.BytesIO(content), events=["start"]))
    *_, width, height = re.split(r"[\s,]+", root.attrib["viewBox"].strip())
    return round(float(width) * PIXELS_PER_POINT), round(float(height) * PIXELS_PER_POINT)
