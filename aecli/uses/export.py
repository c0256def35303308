"""A trained network in files that need no aecli: ONNX, and torch's own exported programs.

What a file takes and gives are pixels in [0, 1] and codes: the run's normalisation and the clipping
are part of it. Before a file is left anywhere it is read back and held against the model.
"""

import importlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor, nn
from torch.export import ExportedProgram

from aecli import __version__
from aecli.cli import console
from aecli.cli.options import ExportFormat, ExportPart
from aecli.config import TrainConfig, Upsampling
from aecli.data import Split
from aecli.data.batches import to_pixels
from aecli.errors import UsageError
from aecli.evaluation.examination import example_images, reconstruction_figure
from aecli.runs.results import Results
from aecli.runs.trained import Trained

COMMAND = "export"
PIXELS, CODES, RECONSTRUCTION = "pixels", "codes", "reconstruction"
BATCH = "batch"
"""What the free dimension is called."""
BATCHES = (1, 3, 96, 400)  # images each that a file is checked on: its batch size is free
TOLERANCE = 1e-4
OPSET = 18  # that torch writes without converting it, and that onnxruntime has read since 1.14
WITHOUT_PLACES = (
    "the decoder unpools, and a code brings no places of maxima: the file of the decoder puts each "
    "pixel into the corner of its cell"
)
NOT_IN_ONNX = (
    "the whole autoencoder is not in ONNX: where two pixels that are pooled differ by rounding "
    "alone, onnxruntime may unpool to another one than torch; format=torch_export has it"
)

Run = Callable[[Tensor], Tensor]
"""A batch to what becomes of it."""


@dataclass(frozen=True)
class Part:
    """What of the network goes into a file."""

    name: str
    takes: str
    gives: str
    run: Run
    """In torch, on the CPU."""
    layers: nn.Module
    """Those whose weights that needs."""


@dataclass(frozen=True)
class File:
    """A part in a file, ready to be written."""

    part: Part
    format: ExportFormat
    content: bytes
    run: Run
    """As whoever reads the file has it."""
    takes: list[int]
    """The shape of what goes in, behind the batch."""
    gives: list[int]
    """That of what comes out."""
    difference: float
    """The largest from torch, in the units of what comes out."""

    @property
    def name(self) -> str:
        return file_name(self.part, self.format)


def export(trained: Trained, format: ExportFormat, part: ExportPart) -> None:
    """Write the network into files that do what it does.

    Raises:
        UsageError: a library is not installed, or a file does something else.
    """
    formats = [each for each in FORMATS if format in (each, ExportFormat.both)]
    if ExportFormat.onnx in formats:
        _require_onnx()
    # A file knows no device, and is made and checked where every machine can run it.
    trained = replace(trained, model=deepcopy(trained.model).cpu(), device=torch.device("cpu"))
    images = trained.images.to(trained.device)
    inputs = check_inputs(trained, images)
    about = about_run(trained)
    files = [
        exported(each, kind, inputs[each.takes], about)
        for kind in formats
        for each in parts_of(trained, kind)
        if part is ExportPart.both or part.value == each.name
    ]
    whole = [file for file in files if file.part.gives == RECONSTRUCTION]
    title = f"{trained.config.name} in files"
    checked_on = f"checked on {min(len(images), sum(BATCHES)):,} {trained.images_kind}"
    with Results(trained.run, COMMAND) as results:
        for file in files:
            results.file(file.name, file.content)
        if whole:
            results.figure("reconstructions", _picture(title, trained.config, images, whole))
        results.numbers(_numbers(files, about))
    console.table(_table(f"{title}, {checked_on}", files))
    for word in _words(trained, formats, part):
        console.warn(word)
    console.facts({"batches": "of any size, in float32", "results": str(results.folder)})


def _require_onnx() -> None:
    """Raise a UsageError unless everything that ONNX takes is there."""
    try:
        for library in ("onnx", "onnxscript", "onnxruntime"):
            importlib.import_module(library)
    except ImportError as error:
        raise UsageError(
            "format=onnx is an extra: pip install 'aecli[export]'; format=torch_export needs none"
        ) from error


def parts_of(trained: Trained, format: ExportFormat) -> list[Part]:
    """Encoder, decoder and, where `format` can hold it, one behind the other."""
    model = trained.model
    halves = [
        Part("encoder", PIXELS, CODES, trained.encode, model.encoder),
        Part("decoder", CODES, PIXELS, trained.decode, model.decoder),
    ]
    if format is ExportFormat.onnx and _unpools(trained):
        return halves
    return [*halves, Part("autoencoder", PIXELS, RECONSTRUCTION, trained.reconstruct, model)]


def _unpools(trained: Trained) -> bool:
    return trained.config.upsample.name is Upsampling.max_unpool


def _words(trained: Trained, formats: list[ExportFormat], part: ExportPart) -> list[str]:
    """What must be known of the files, or of one that is not there."""
    if not _unpools(trained) or part is ExportPart.encoder:
        return []
    is_left_out = part is ExportPart.both and ExportFormat.onnx in formats
    return [WITHOUT_PLACES, *([NOT_IN_ONNX] if is_left_out else [])]


@torch.inference_mode()
def check_inputs(trained: Trained, images: Split) -> dict[str, list[Tensor]]:
    """What files are checked on: the first of `images`, and their codes, in batches of many sizes.

    Where there are too few images for these, the same ones come again.
    """
    order = torch.arange(sum(BATCHES)) % len(images)
    pixels = [to_pixels(each).contiguous() for each in images.images[order].split(BATCHES)]
    return {PIXELS: pixels, CODES: [trained.encode(each) for each in pixels]}


def about_run(trained: Trained) -> dict[str, str]:
    """What a file says of where it comes from."""
    config = trained.config
    return {
        "run": config.name,
        "data": config.data.name,
        "image_shape": "x".join(map(str, trained.model.image_shape)),
        "latent": str(config.latent),
        "pixels": "in [0, 1]",
        "aecli": __version__,
    }


def exported(
    part: Part, format: ExportFormat, batches: list[Tensor], about: dict[str, str]
) -> File:
    """`part` in a file of `format`, which gives what the model does on `batches`.

    Raises:
        UsageError: it gives something else.
    """
    writer = FORMATS[format]
    with _quiet():
        content = writer.write(traced(part, batches[0].shape[1:]), part, about)
        run = writer.read(content)
    with torch.inference_mode():
        expected = torch.cat([part.run(each) for each in batches])
        found = torch.cat([run(each) for each in batches])
    difference = checked(file_name(part, format), expected, found)
    takes, gives = ([*each.shape[1:]] for each in (batches[0], expected))
    return File(part, format, content, run, takes, gives, difference)


class _Traceable(nn.Module):
    """A part as torch.export wants it: a module, with no weights but those that it needs."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.layers, self.run = part.layers, part.run

    def forward(self, batch: Tensor) -> Tensor:
        return self.run(batch)


def traced(part: Part, shape: torch.Size) -> ExportedProgram:
    """The operations of `part` on a batch of any size of inputs of `shape`."""
    example = torch.zeros(2, *shape)  # 2: a batch of 1 would be taken for one that is always 1
    free = ({0: torch.export.Dim(BATCH)},)
    program = torch.export.export(_Traceable(part).eval(), (example,), dynamic_shapes=free)
    for node in program.graph.nodes:  # with where the code lies on this machine
        node.meta.pop("stack_trace", None)
    return program


def as_onnx(program: ExportedProgram, part: Part, about: dict[str, str]) -> bytes:
    """An ONNX model."""
    import onnx

    made = torch.onnx.export(
        program,
        dynamo=True,
        opset_version=OPSET,
        input_names=[part.takes],
        output_names=[part.gives],
        dynamic_shapes=({0: BATCH},),
        external_data=False,
        verbose=False,
    )
    assert made is not None, "dynamo=True returns the model"
    model = made.model_proto
    model.graph.name = part.name
    model.doc_string = f"{part.name} of {about['run']}: {part.takes} to {part.gives}"
    onnx.helper.set_model_props(model, about)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def read_onnx(content: bytes) -> Run:
    """An ONNX model at work in onnxruntime, which has as many threads as torch."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: torch.from_numpy(session.run(None, {name: batch.numpy()})[0])


def as_torch_export(program: ExportedProgram, _: Part, about: dict[str, str]) -> bytes:
    """A `.pt2` archive, with `about` as the file aecli.json in it."""
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={"aecli.json": json.dumps(about)})
    return buffer.getvalue()


def read_torch_export(content: bytes) -> Run:
    """The program of a `.pt2` archive. Only for one of our own: torch may unpickle parts of it."""
    program: Run = torch.export.load(io.BytesIO(content)).module()
    return program


@dataclass(frozen=True)
class Format:
    """How a part is written to a file, and how that is read."""

    suffix: str
    write: Callable[[ExportedProgram, Part, dict[str, str]], bytes]
    read: Callable[[bytes], Run]


FORMATS = {
    ExportFormat.onnx: Format(".onnx", as_onnx, read_onnx),
    ExportFormat.torch_export: Format(".pt2", as_torch_export, read_torch_export),
}


def file_name(part: Part, format: ExportFormat) -> str:
    return f"{part.name}{FORMATS[format].suffix}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporters tell their own developers: files are checked, not believed."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(logging.NOTSET)


def checked(name: str, expected: Tensor, found: Tensor) -> float:
    """The largest difference of what a file gives from what torch does.

    Pixels may differ by `TOLERANCE`. Codes may be of any size, and rounding is of theirs: where
    the largest is above 1, by as much of that.

    Raises:
        UsageError: they differ by more, or one is no number.
    """
    difference = (found - expected).abs().max().item()
    allowed = TOLERANCE * max(1.0, expected.abs().max().item())
    if not difference <= allowed:
        raise UsageError(
            f"{name} would be off by {difference:.2g} from what the model gives in torch, where "
            f"{allowed:.2g} is rounding: nothing is exported, give another format=... or part=..."
        )
    return difference


@torch.inference_mode()
def _picture(title: str, config: TrainConfig, images: Split, whole: list[File]) -> Figure:
    """What the files of the whole network make of a few images."""
    shown = example_images(config, images)
    return reconstruction_figure(
        title, shown, {each.name: each.run(shown.inputs.contiguous()) for each in whole}
    )


def _numbers(files: list[File], about: dict[str, str]) -> dict[str, Any]:
    """The differences at the top, then what each file is."""
    return {
        **{f"difference_{file.name}": file.difference for file in files},
        "checked_on_batches_of": list(BATCHES),
        "metadata": about,
        "files": {
            file.name: {
                "input": {file.part.takes: [BATCH, *file.takes]},
                "output": {file.part.gives: [BATCH, *file.gives]},
                "bytes": len(file.content),
                **({"opset": OPSET} if file.format is ExportFormat.onnx else {}),
            }
            for file in files
        },
    }


def _table(title: str, files: list[File]) -> Table:
    """A row for each file."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    table.add_column("file", no_wrap=True)
    for heading in ("takes", "gives"):
        table.add_column(heading)
    for heading in ("bytes", "largest\ndifference\nfrom torch"):
        table.add_column(heading, justify="right")
    for file in files:
        takes = f"{file.part.takes} {'x'.join(map(str, file.takes))}"
        gives = f"{file.part.gives} {'x'.join(map(str, file.gives))}"
        numbers = f"{len(file.content):,}", f"{file.difference:.2g}"
        table.add_row(file.name, takes, gives, *numbers)
    return table
