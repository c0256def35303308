"""Export of a trained network to files that need no aecli: ONNX, and torch.export programs.

The files take and return pixels in [0, 1] or codes: the run's normalisation and the clipping are
part of them. Every file is loaded again and checked against the model before it is returned.
"""

import importlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.export import ExportedProgram

from aecli import __version__
from aecli.config import Upsampling
from aecli.data import Split
from aecli.data.batches import to_pixels
from aecli.errors import UsageError, missing_extra
from aecli.errors.text import shape_text
from aecli.evaluation.examples import example_images
from aecli.figures import Row, error_scale, image_grid
from aecli.runs.trained import Trained

PIXELS, CODES, RECONSTRUCTION = "pixels", "codes", "reconstruction"
BATCH = "batch"
"""Name of the dynamic dimension."""
BATCH_SIZES = (1, 3, 96, 400)  # with which a file is checked, because its batch size is dynamic
CHECK_IMAGES = sum(BATCH_SIZES)
TOLERANCE = 1e-4
OPSET = 18  # torch writes it without a conversion, and onnxruntime has read it since 1.14
CPU = torch.device("cpu")

Function = Callable[[Tensor], Tensor]
"""A batch of inputs -> the batch of outputs."""


@dataclass(frozen=True)
class Part:
    """A part of the network that goes into a file of its own."""

    name: str
    input: str
    """What it takes: PIXELS or CODES."""
    output: str
    """What it returns: PIXELS, CODES or RECONSTRUCTION."""
    function: Function
    """In torch, on the CPU."""
    layers: nn.Module
    """The layers whose weights it uses."""


@dataclass(frozen=True)
class ExportedFile:
    """An exported and checked part, ready to be written."""

    part: Part
    format: str
    content: bytes
    function: Function
    """The part as loaded from `content`."""
    input_shape: list[int]
    """Without the batch dimension."""
    output_shape: list[int]
    """Without the batch dimension."""
    difference: float
    """The largest absolute difference between its outputs and the model's."""

    @property
    def name(self) -> str:
        return file_name(self.part, self.format)


def export(trained: Trained, formats: Sequence[str], part: str | None = None) -> list[ExportedFile]:
    """Export the network in each of `formats`, and check the files on examples.

    Args:
        trained: the run.
        formats: keys of `FORMATS`.
        part: the name of the only part to export; None for all.

    Raises:
        UsageError: a library is not installed, or a file computes something else.
    """
    if "onnx" in formats:
        _require_onnx()
    # Files are independent of the device. The CPU, where they are made, is on every machine.
    trained = replace(trained, model=deepcopy(trained.model).cpu(), device=CPU)
    inputs = check_inputs(trained, trained.examples.to(CPU))
    metadata = run_metadata(trained)
    return [
        export_part(each, format, inputs[each.input], metadata)
        for format in formats
        for each in network_parts(trained, format)
        if part in (None, each.name)
    ]


def _require_onnx() -> None:
    """Raise a UsageError unless all libraries for ONNX are installed."""
    try:
        for library in ("onnx", "onnxscript", "onnxruntime"):
            importlib.import_module(library)
    except ImportError as error:
        advice = "; format=torch_export needs none"
        raise missing_extra("format=onnx", "export", advice) from error


def network_parts(trained: Trained, format: str) -> list[Part]:
    """Encoder, decoder and, unless `format` cannot represent it, the whole autoencoder."""
    model = trained.model
    halves = [
        Part("encoder", PIXELS, CODES, trained.encode, model.encoder),
        Part("decoder", CODES, PIXELS, trained.decode, model.decoder),
    ]
    if format == "onnx" and unpools(trained):
        return halves
    return [*halves, Part("autoencoder", PIXELS, RECONSTRUCTION, trained.reconstruct, model)]


def unpools(trained: Trained) -> bool:
    """Whether the decoder uses the positions of the encoder's maxima, which bypass the code."""
    return trained.config.upsample.name is Upsampling.max_unpool


@torch.inference_mode()
def check_inputs(trained: Trained, images: Split) -> dict[str, list[Tensor]]:
    """The inputs that files are checked on: the first of `images` and their codes.

    They come in batches of `BATCH_SIZES`. If there are too few images for that, they are repeated.
    """
    order = torch.arange(CHECK_IMAGES) % len(images)
    pixels = [to_pixels(each).contiguous() for each in images.images[order].split(BATCH_SIZES)]
    return {PIXELS: pixels, CODES: [trained.encode(each) for each in pixels]}


def run_metadata(trained: Trained) -> dict[str, str]:
    """What a file records about its run."""
    config = trained.config
    return {
        "run": config.name,
        "data": config.data.name,
        "image_shape": shape_text(trained.model.image_shape),
        "latent": str(config.latent),
        "pixels": "in [0, 1]",
        "aecli": __version__,
    }


def export_part(
    part: Part, format: str, batches: list[Tensor], metadata: dict[str, str]
) -> ExportedFile:
    """Export `part`, and check that it computes on `batches` what the model does.

    Raises:
        UsageError: it computes something else.
    """
    writer = FORMATS[format]
    with _silence_exporters():
        content = writer.write(trace(part, batches[0].shape[1:]), part, metadata)
        function = writer.load(content)
    with torch.inference_mode():
        expected = torch.cat([part.function(each) for each in batches])
        actual = torch.cat([function(each) for each in batches])
    difference = check_difference(file_name(part, format), expected, actual)
    input_shape, output_shape = ([*each.shape[1:]] for each in (batches[0], expected))
    return ExportedFile(part, format, content, function, input_shape, output_shape, difference)


class _Traceable(nn.Module):
    """A part as a module, as torch.export requires, with only the weights that it uses."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.layers, self.function = part.layers, part.function

    def forward(self, batch: Tensor) -> Tensor:
        return self.function(batch)


def trace(part: Part, shape: torch.Size) -> ExportedProgram:
    """Trace `part` for batches of any size of inputs of `shape`."""
    example = torch.zeros(2, *shape)  # a batch of 1 would make the batch size a constant
    dynamic = ({0: torch.export.Dim(BATCH)},)
    program = torch.export.export(_Traceable(part).eval(), (example,), dynamic_shapes=dynamic)
    for node in program.graph.nodes:  # remove the paths of source files on this machine
        node.meta.pop("stack_trace", None)
    return program


def to_onnx(program: ExportedProgram, part: Part, metadata: dict[str, str]) -> bytes:
    """Convert a program to an ONNX model with `metadata` as its properties."""
    import onnx

    onnx_program = torch.onnx.export(
        program,
        dynamo=True,
        opset_version=OPSET,
        input_names=[part.input],
        output_names=[part.output],
        dynamic_shapes=({0: BATCH},),
        external_data=False,
        verbose=False,
    )
    assert onnx_program is not None, "dynamo=True returns the model"
    model = onnx_program.model_proto
    model.graph.name = part.name
    model.doc_string = f"{part.name} of {metadata['run']}: {part.input} to {part.output}"
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def load_onnx(content: bytes) -> Function:
    """Load an ONNX model into onnxruntime, with as many threads as torch uses."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: torch.from_numpy(session.run(None, {name: batch.numpy()})[0])


def to_torch_export(program: ExportedProgram, _: Part, metadata: dict[str, str]) -> bytes:
    """Save a program as a `.pt2` archive that contains `metadata` as the file aecli.json."""
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={"aecli.json": json.dumps(metadata)})
    return buffer.getvalue()


def load_torch_export(content: bytes) -> Function:
    """Load the program in a `.pt2` archive. Only for trusted ones: torch may unpickle parts."""
    program: Function = torch.export.load(io.BytesIO(content)).module()
    return program


@dataclass(frozen=True)
class Format:
    """A file format."""

    suffix: str
    write: Callable[[ExportedProgram, Part, dict[str, str]], bytes]
    load: Callable[[bytes], Function]


FORMATS = {
    "onnx": Format(".onnx", to_onnx, load_onnx),
    "torch_export": Format(".pt2", to_torch_export, load_torch_export),
}


def file_name(part: Part, format: str) -> str:
    return f"{part.name}{FORMATS[format].suffix}"


@contextmanager
def _silence_exporters() -> Iterator[None]:
    """Suppress the exporters' warnings, which address their developers: files are checked."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(logging.NOTSET)


def check_difference(name: str, expected: Tensor, actual: Tensor) -> float:
    """The largest absolute difference between a file's outputs and the model's.

    Pixels may differ by `TOLERANCE`. Codes may have any magnitude, to which rounding errors are
    proportional: if the largest is above 1, they may differ by `TOLERANCE` times the largest.

    Raises:
        UsageError: they differ by more, or one is not a number.
    """
    difference = (actual - expected).abs().max().item()
    allowed = TOLERANCE * max(1.0, expected.abs().max().item())
    if not difference <= allowed:
        raise UsageError(
            f"{name} differs by {difference:.2g} from the model in PyTorch, and rounding explains "
            f"at most {allowed:.2g}: nothing is exported, give another format=... or part=..."
        )
    return difference


@torch.inference_mode()
def figure(title: str, trained: Trained, files: list[ExportedFile]) -> Figure | None:
    """Reconstructions by torch and by the files that hold the whole autoencoder, and their
    differences; None if there are no such files."""
    whole = [file for file in files if file.part.output == RECONSTRUCTION]
    if not whole:
        return None
    examples = example_images(trained.config, trained.examples.to(CPU))
    inputs = examples.inputs.contiguous()
    expected = whole[0].part.function(inputs)
    found = {file.name: file.function(inputs) for file in whole}
    differences = {name: abs(images - expected) for name, images in found.items()}
    largest = max(difference.max().item() for difference in differences.values())
    rows = [Row("original", examples.pixels), Row("torch", expected)]
    for name, images in found.items():
        difference = differences[name] / (largest or 1.0)  # they may agree to the last bit
        rows.append(Row(name, images))
        rows.append(Row(f"absolute difference, {name} - torch", difference, is_error=True))
    scale = error_scale("scale of differences", expected, largest)
    return image_grid(title, [*rows, scale])


def files_as_json(files: list[ExportedFile], metadata: dict[str, str]) -> dict[str, Any]:
    """The differences first, then the details of each file."""
    return {
        **{f"difference_{file.name}": file.difference for file in files},
        "checked_on_batches_of": list(BATCH_SIZES),
        "metadata": metadata,
        "files": {
            file.name: {
                "input": {file.part.input: [BATCH, *file.input_shape]},
                "output": {file.part.output: [BATCH, *file.output_shape]},
                "bytes": len(file.content),
                **({"opset": OPSET} if file.format == "onnx" else {}),
            }
            for file in files
        },
    }
