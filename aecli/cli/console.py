"""Terminal output: tables, notices and warnings."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from aecli.cli.tables import drop_columns, fitted
from aecli.cli.tables import new_table as new_table
from aecli.config.wording import LOSSES, PENALTIES
from aecli.errors import StorageError
from aecli.errors.text import counted, left_out_columns, shape_text
from aecli.runtime.terminal import err as err
from aecli.runtime.terminal import out as out

if TYPE_CHECKING:  # commands that print only numbers need not import torch
    from aecli.comparison.compare import Compared
    from aecli.config import TrainConfig
    from aecli.data import Data
    from aecli.evaluation.metrics import Score
    from aecli.models import Layer
    from aecli.runs.directory import RunDirectory

MIN_LAYER = 24  # characters in which a layer and its formula can still be read


def notice(text: str) -> None:
    """Print a notice that must not be missed, in a panel on stderr."""
    err.print(Panel(Text(text), title="NOTICE", border_style="bold yellow", title_align="left"))


def warn(text: str) -> None:
    """Print a one-line warning or status message to stderr."""
    err.print(text, markup=False, soft_wrap=True)


def table(content: Table) -> None:
    """Print a table after a blank line."""
    out.print()
    _print_table(content)


def _print_table(content: Table) -> None:
    for part in fitted(content, out.width):
        out.print(part)


def paragraph(sentences: str) -> None:
    """Print sentences, wrapped between words."""
    out.print(textwrap.fill(sentences, out.width), markup=False, soft_wrap=True)


def bullets(sentences: list[str]) -> None:
    """Print sentences as a bulleted list."""
    for sentence in sentences:
        lines = textwrap.fill(sentence, out.width, initial_indent="- ", subsequent_indent="  ")
        out.print(lines, markup=False, soft_wrap=True)


def facts(rows: dict[str, str]) -> None:
    """Print named facts; their lines are not wrapped, so that they can be copied."""
    width = max(map(len, rows))
    for name, value in rows.items():
        out.print(f"[bold]{name:{width}}[/bold]  ", end="")
        out.print(value.replace("\n", f"\n{'':{width}}  "), markup=False, soft_wrap=True)


def describe_data(data: Data) -> str:
    shape = shape_text(data.image_shape)
    validation = f"{len(data.validation):,}" if len(data.validation) else "no"
    return (
        f"{data.name}, {shape}: {len(data.train):,} training, {validation} validation, "
        f"{len(data.test):,} test images, from {data.source}"
    )


def describe_model(config: TrainConfig) -> str:
    method = f", upsample {config.upsample.name.name}" if config.model.kind == "conv" else ""
    return f"{config.model.name}, latent {config.latent}{method}"


def layer_table(layers: list[Layer]) -> None:
    """Print the encoder and decoder, layer by layer."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True)
    table.add_column("", footer="parameters")
    table.add_column("layer (k kernel, s stride, p padding)")
    table.add_column("output", justify="right", no_wrap=True)
    total = f"{sum(layer.parameters for layer in layers):,}"
    table.add_column("parameters", justify="right", no_wrap=True, footer=total)
    part = ""
    for layer in layers:
        table.add_row(
            "" if layer.part == part else layer.part,
            layer.operation,
            shape_text(layer.output_shape),
            f"{layer.parameters:,}" if layer.parameters else "",
        )
        part = layer.part
    _print_layers(table)


def _print_layers(table: Table) -> None:
    dropped = drop_columns(table, out.width, MIN_LAYER)
    out.print(table)
    if dropped:
        out.print(left_out_columns(dropped))


def describe_loss(config: TrainConfig) -> str:
    """As in: mean squared error between the output and the image."""
    name, _ = LOSSES[config.loss]
    penalty = PENALTIES[config.regularizer.name]
    return f"{name} between the output and the image{f', and {penalty}' if penalty else ''}"


def shape_table(
    layers: list[Layer], image: tuple[int, ...] | None = None, loss: str | None = None
) -> None:
    """Print the encoder and decoder, layer by layer, with the formula for each output size.

    Args:
        image: the shape of the image, to compare the code with; None if there is no code.
        loss: what is minimised; None if there is no output.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("")
    table.add_column("layer: k kernel, s stride, p padding,\n  op output padding, d dilation")
    for heading in ("output", "parameters", "multiply-\nadds"):
        table.add_column(heading, justify="right", no_wrap=True)
    part, code = "", image or ()
    for layer in layers:
        if image and layer.part == "decoder" != part:
            table.add_row("code", _bottleneck(code, image), style="bold")
        code = layer.output_shape
        formulas = (Text(f"\n  {formula}", "dim") for formula in layer.formulas)
        table.add_row(
            "" if layer.part == part else layer.part,
            Text.assemble(layer.operation, *formulas),
            shape_text(layer.output_shape),
            f"{layer.parameters:,}" if layer.parameters else "",
            f"{layer.multiply_adds:,}" if layer.multiply_adds else "",
        )
        part = layer.part
    if loss is not None:
        table.add_row("loss", loss, style="bold")
    totals = (
        sum(layer.parameters for layer in layers),
        sum(layer.multiply_adds for layer in layers),
    )
    table.add_row("total", "", "", *(f"{total:,}" for total in totals), style="bold")
    _print_layers(table)


def _bottleneck(code: tuple[int, ...], image: tuple[int, ...]) -> str:
    """As in: bottleneck: 25 numbers for the image's 784."""
    numbers = math.prod(code)
    return f"bottleneck: {counted(numbers, 'number')} for the image's {math.prod(image):,}"


def score_table(title: str, scores: dict[str, Score]) -> None:
    """Print scores, one per row; the first row is the model's."""
    table = new_table(title)
    table.add_column("")
    for column in ("mse", "sse", "psnr (dB)", "ssim", "checker-\nboard (ppm)"):
        table.add_column(column, justify="right")
    for row, (name, score) in enumerate(scores.items()):
        table.add_row(
            Text(name),
            f"{score.mse:.6f}",
            f"{score.sse:.3f}",
            f"{score.psnr:.2f}",
            "" if score.ssim is None else f"{score.ssim:.4f}",
            "" if score.checkerboard is None else f"{score.checkerboard * 1e6:,.2f}",
            style="" if row else "bold green",
        )
    _print_table(table)


def describe_angles(angles: list[float]) -> str:
    """How far the subspace of a linear network is from PCA's, by its angles in degrees."""
    if not angles:
        return "none: the decoder draws a single image"
    mean = sum(angles) / len(angles)
    largest = f"the largest of {len(angles)} angles to that of PCA is {max(angles):.1f}°"
    return f"{largest}, their mean {mean:.1f}°"


def comparison(compared: list[Compared]) -> None:
    """Print the table and the findings of each comparison, and the paths of the reports."""
    from aecli.comparison.terminal import terminal_table

    for each in compared:
        out.print()
        if len(compared) > 1:
            data = each.comparison.data
            name = "" if each.name == data.name else f"{each.name}: "
            out.print(Text(f"{name}{data}", "bold"))
        out.print(terminal_table(each.settings, out.width))
        bullets(each.findings)
    for skipped in dict.fromkeys(run for each in compared for run in each.comparison.skipped):
        warn(f"left out: {skipped.path}, {skipped.status}: {skipped.reason}")
    for each in compared:
        name = f"report on {each.name}" if len(compared) > 1 else "report"
        facts({name: str(each.report)})


def run_line(run: RunDirectory, before: str = "", after: str = "") -> None:
    """Print the outcome of one run of a sweep in one line, while other runs continue.

    `before` and `after` say how far the sweep has come.
    """
    from aecli.runs.directory import Status

    outcome = run.failure() if run.status is Status.failed else run.status.value
    if run.status is Status.finished:
        try:
            summary = _summary(run)
        except StorageError as error:
            outcome = str(error)
        else:
            mse, pca, seconds = (
                summary["test"]["mse"],
                summary["baselines"]["pca"]["mse"],
                summary["seconds"],
            )
            outcome = f"test mse {mse:.6f}, PCA {pca:.6f}, trained in {seconds:.1f} s"
            closed = _closed(summary)
            outcome += f", {closed}" if closed else ""
    warn(f"{before}{run.path.name}: {outcome}{after}")


def sweep_table(folder: str, runs: list[RunDirectory], distinctions: list[str]) -> None:
    """Print the status of every run of a sweep and, for finished ones, test mse and time.

    `distinctions` are the settings that tell runs apart if their folder names do not.
    """
    from aecli.runs.directory import Status

    table = new_table(folder)
    table.add_column("run", no_wrap=True)
    if any(distinctions):
        table.add_column("settings")
    table.add_column("status", no_wrap=True)
    table.add_column("test mse", justify="right")
    table.add_column("time", justify="right")
    for run, distinction in zip(runs, distinctions, strict=True):
        status, cells = run.status.value, ("", "")
        if run.status is Status.finished:
            try:
                summary = _summary(run)
            except StorageError:
                status = "damaged"
            else:
                cells = f"{summary['test']['mse']:.6f}", f"{summary['seconds']:.1f} s"
                status = _closed(summary) or status
        style = "" if all(cells) else "red"
        settings = [Text(distinction)] if any(distinctions) else []
        table.add_row(Text(run.path.name), *settings, status, *cells, style=style)
    _print_table(table)


def _summary(run: RunDirectory) -> dict[str, Any]:
    from aecli.runs.summary import check_summary

    return check_summary(run.load_summary(), str(run.summary_file))


def _closed(summary: dict[str, Any]) -> str:
    """The epoch at which a finished run was closed; empty if its training was over."""
    from aecli.runs.summary import closed_early

    return "" if closed_early(summary) is None else f"closed at epoch {summary['epochs']}"
