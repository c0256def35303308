"""Export a trained network as ONNX, or as a torch.export program.

usage: aecli export RUN [key=value ...]

Writes the network to files that need no aecli, for batches of any size. They include the run's
normalisation: they take and return pixels in [0, 1]. Each file is loaded again, ONNX files by
onnxruntime, and must compute what the model computes for the test images that are kept in
the run, or for images of your own, and for their codes: pixels must agree within 1e-4. The data set
is not needed.

examples:
  aecli export outputs/conv-z25/2026-11-21_10-15-00-123456
  aecli export outputs/conv-z25/2026-11-21_10-15-00-123456 format=torch_export
  aecli export outputs/conv-z25/2026-11-21_10-15-00-123456 part=encoder format=both
"""

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from rich.table import Table

from aecli.cli import console
from aecli.cli.options import RunOptions, one_run, open_chosen, parse_options
from aecli.errors.text import shape_text

if TYPE_CHECKING:
    from aecli.analysis.export import ExportedFile

NO_POSITIONS = (
    "the decoder unpools, and a code does not contain the positions of the maxima: the exported "
    "decoder puts each value in the upper left corner of its cell"
)
NOT_IN_ONNX = (
    "the whole autoencoder is not exported as ONNX: if two values in a pooling window differ only "
    "by rounding, onnxruntime may unpool to another position than torch; format=torch_export "
    "exports it"
)


class ExportFormat(Enum):
    """A file format for a network."""

    onnx = "onnx"
    torch_export = "torch_export"
    both = "both"


class ExportPart(Enum):
    """A part of a network that can be exported."""

    encoder = "encoder"
    decoder = "decoder"
    both = "both"


@dataclass
class Options(RunOptions):
    """Which files to write."""

    format: ExportFormat = ExportFormat.onnx
    """onnx needs pip install 'aecli[export]'; torch_export writes .pt2 files."""

    part: ExportPart = ExportPart.both
    """both: one file for each, and a third for the whole autoencoder."""


def main(arguments: list[str]) -> None:
    """Export the network of a run, and check the files.

    Raises:
        UsageError: the run is not finished, a library is not installed, or a file does not compute
            what the model computes.
        DataError, StorageError: the run's images or files cannot be used.
    """
    options = parse_options("export", Options, arguments)
    path = one_run("export", options)

    from aecli.analysis.export import (
        CHECK_IMAGES,
        FORMATS,
        export,
        figure,
        files_as_json,
        run_metadata,
        unpools,
    )
    from aecli.runs.results import Results

    trained = open_chosen(path, options)
    with Results.for_run(trained.run, "export", options.output) as results:
        formats = list(FORMATS) if options.format is ExportFormat.both else [options.format.value]
        part = None if options.part is ExportPart.both else options.part.value
        files = export(trained, formats, part)
        title = f"{trained.config.name} as exported"
        for file in files:
            results.file(file.name, file.content)
        reconstructions = figure(title, trained, files)
        if reconstructions is not None:
            results.figure("reconstructions", reconstructions)
        results.numbers(files_as_json(files, run_metadata(trained)))
    checked_on = f"{min(len(trained.examples), CHECK_IMAGES):,} {trained.images_kind}"
    console.table(_table(f"{title}, checked on {checked_on}", files))
    for warning in _unpooling_warnings(options) if unpools(trained) else []:
        console.warn(warning)
    console.facts({"batches": "of any size, in float32", "results": str(results.folder)})


def _unpooling_warnings(options: Options) -> list[str]:
    """What the exported files of a network that unpools lack."""
    if options.part is ExportPart.encoder:
        return []
    is_complete = options.part is ExportPart.decoder or options.format is ExportFormat.torch_export
    return [NO_POSITIONS] if is_complete else [NO_POSITIONS, NOT_IN_ONNX]


def _table(title: str, files: "list[ExportedFile]") -> Table:
    """A row for each file."""
    table = console.new_table(title)
    table.add_column("file", no_wrap=True)
    for heading in ("input", "output"):
        table.add_column(heading)
    for heading in ("bytes", "largest\ndifference\nfrom torch"):
        table.add_column(heading, justify="right")
    for file in files:
        source = f"{file.part.input} {shape_text(file.input_shape)}"
        target = f"{file.part.output} {shape_text(file.output_shape)}"
        numbers = f"{len(file.content):,}", f"{file.difference:.2g}"
        table.add_row(file.name, source, target, *numbers)
    return table
