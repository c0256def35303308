"""`aecli export`: files that compute what the model computes, and errors where they do not."""

import json
import logging
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

import aecli as package
from aecli import __version__
from aecli.analysis import export as module
from aecli.analysis.export import ExportedFile, check_difference, export_part, network_parts
from aecli.cli import main as cli
from aecli.commands import export as command
from aecli.config import ConvConfig, LayerConfig, UpsampleConfig, Upsampling
from aecli.data import Split
from aecli.data.own_images import OwnImages
from aecli.errors import UsageError
from aecli.models import build_model
from aecli.runs.directory import RunDirectory
from aecli.runs.trained import Trained, open_run
from tests.conftest import train_once

Aecli = Callable[..., int]
Pixels = NDArray[np.float32]
About = dict[str, str]

PARTS = ["encoder", "decoder", "autoencoder"]
MEAN, STD = 0.1307, 0.3081


@pytest.fixture(scope="module")
def both(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run with a normalisation, whose outputs leave [0, 1], with files of both formats."""
    folder = tmp_path_factory.mktemp("both") / "run"
    units = [f"data.mean={MEAN}", f"data.std={STD}", "model=fc", "model.output_activation=tanh"]
    train_once(folder, data_dir, *units, "latent=4")
    assert cli.run(["export", str(folder), "format=both"]) == 0
    return RunDirectory(folder)


@pytest.fixture
def trained(both: RunDirectory) -> Trained:
    return open_run(both.path, device="cpu")


@torch.inference_mode()
def by_the_model(trained: Trained, part: str, inputs: Pixels) -> Pixels:
    """What a file must compute, written out."""
    batch: Tensor = torch.from_numpy(inputs)
    if part != "decoder":
        batch = trained.model.encode((batch - MEAN) / STD)
    if part != "encoder":
        batch = (trained.model.decode(batch) * STD + MEAN).clamp(0, 1)
    return batch.numpy()


def pixels_of(trained: Trained, count: int) -> Pixels:
    return (trained.data().test.images[:count].numpy() / 255).astype(np.float32)


def inputs_of(trained: Trained, part: str, count: int) -> Pixels:
    pixels = pixels_of(trained, count)
    return by_the_model(trained, "encoder", pixels) if part == "decoder" else pixels


def by_onnxruntime(file: Path, inputs: Pixels) -> Pixels:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {session.get_inputs()[0].name: inputs})
    return np.asarray(output)


def by_torch_export(file: Path, inputs: Pixels) -> Pixels:
    with torch.inference_mode():
        outputs: Tensor = torch.export.load(file).module()(torch.from_numpy(inputs))
    return outputs.numpy()


@pytest.mark.parametrize("part", PARTS)
def test_files_compute_what_the_model_computes_for_batches_of_any_size(
    part: str, both: RunDirectory, trained: Trained
) -> None:
    for count in (1, 3, 7):
        inputs = inputs_of(trained, part, count)
        expected = by_the_model(trained, part, inputs)
        assert len(expected) == count
        for found in (
            by_onnxruntime(both.path / f"export/{part}.onnx", inputs),
            by_torch_export(both.path / f"export/{part}.pt2", inputs),
        ):
            assert found.shape == expected.shape
            assert np.abs(found - expected).max() < 1e-5
        if part != "encoder":
            assert expected.min() == 0 and found.min() == 0  # clipped
            assert expected.max() > 0.2


def test_encoder_and_decoder_make_up_the_autoencoder(both: RunDirectory, trained: Trained) -> None:
    pixels = pixels_of(trained, 5)
    for run, suffix in ((by_onnxruntime, "onnx"), (by_torch_export, "pt2")):
        encoder, decoder, whole = (both.path / f"export/{part}.{suffix}" for part in PARTS)
        found = run(decoder, run(encoder, pixels))
        assert np.abs(found - run(whole, pixels)).max() < 1e-5


@pytest.mark.parametrize(
    ("part", "taken", "given"),
    [
        ("encoder", ("pixels", ["batch", 1, 28, 28]), ("codes", ["batch", 4])),
        ("decoder", ("codes", ["batch", 4]), ("pixels", ["batch", 1, 28, 28])),
        (
            "autoencoder",
            ("pixels", ["batch", 1, 28, 28]),
            ("reconstruction", ["batch", 1, 28, 28]),
        ),
    ],
)
def test_a_file_describes_its_inputs_and_its_run(
    part: str, taken: tuple[str, list[object]], given: tuple[str, list[object]], both: RunDirectory
) -> None:
    file = both.path / f"export/{part}.onnx"
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (source,), (target,) = session.get_inputs(), session.get_outputs()
    assert ((source.name, source.shape), (target.name, target.shape)) == (taken, given)
    model = onnx.load(file)
    about = {each.key: each.value for each in model.metadata_props}
    assert about == {
        "run": "fc-z4-synthetic",
        "data": "synthetic",
        "image_shape": "1x28x28",
        "latent": "4",
        "pixels": "in [0, 1]",
        "aecli": __version__,
    }
    assert model.doc_string == f"{part} of fc-z4-synthetic: {taken[0]} to {given[0]}"
    extra = {"aecli.json": ""}
    torch.export.load(file.with_suffix(".pt2"), extra_files=extra)
    assert json.loads(extra["aecli.json"]) == about


def test_a_part_has_only_its_own_weights_and_no_file_has_source_paths(
    both: RunDirectory,
) -> None:
    files = {path.name: path.read_bytes() for path in (both.path / "export").glob("*coder.*")}
    assert set(files) == {f"{part}.{suffix}" for part in PARTS for suffix in ("onnx", "pt2")}
    for content in files.values():
        assert str(Path(package.__file__).parent).encode() not in content
    for suffix in ("onnx", "pt2"):
        encoder, decoder, whole = (len(files[f"{part}.{suffix}"]) for part in PARTS)
        weights = 28 * 28 * 4 * 4  # bytes, in each half
        assert whole > encoder + weights / 2 and whole > decoder + weights / 2


def test_numbers_and_a_figure_are_saved_with_the_files(both: RunDirectory) -> None:
    folder = both.path / "export"
    numbers = json.loads((folder / "numbers.json").read_text())
    names = [f"{part}.{suffix}" for suffix in ("onnx", "pt2") for part in PARTS]
    assert list(numbers["files"]) == names
    for name in names:
        assert 0 <= numbers[f"difference_{name}"] < 1e-5
        assert numbers["files"][name]["bytes"] == (folder / name).stat().st_size
    assert numbers["files"]["decoder.onnx"]["input"] == {"codes": ["batch", 4]}
    assert numbers["files"]["decoder.onnx"]["output"] == {"pixels": ["batch", 1, 28, 28]}
    opset = onnx.load(folder / "decoder.onnx").opset_import[0].version
    assert numbers["files"]["decoder.onnx"]["opset"] == opset
    assert "opset" not in numbers["files"]["decoder.pt2"]
    assert {path.suffix for path in folder.glob("reconstructions.*")} == {".png", ".svg"}
    tags = EventAccumulator(str(folder.parent)).Reload().Tags()
    assert "results/export/reconstructions" in tags["images"]
    assert {f"results/export/difference_{name}" for name in names} <= set(tags["scalars"])


@pytest.mark.parametrize(
    ("line", "files"),
    [
        (["part=encoder"], {"encoder.onnx"}),
        (["format=torch_export", "part=decoder"], {"decoder.pt2"}),
    ],
)
def test_only_the_chosen_format_and_part_are_written(
    line: list[str],
    files: set[str],
    run: RunDirectory,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert aecli("export", str(run.path), *line) == 0
    output, errors = capsys.readouterr()
    folder = run.path / "export"
    left = {path.name for path in folder.iterdir() if not path.name.startswith("events.")}
    assert left == files | {"manifest.json", "numbers.json"}
    assert errors == ""
    assert "conv-z3-synthetic as exported, checked on 20 test images" in output
    (name,) = files
    for words in (name, "codes 3", "pixels 1x28x28", f"{(folder / name).stat().st_size:,}"):
        assert words in output
    assert output.endswith(f"results  {folder}\n")


def test_a_file_is_checked_on_own_images(
    run: RunDirectory, aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("L", (28, 28), 200).save(tmp_path / "photos/one.png")
    line = [f"images={tmp_path / 'photos'}", f"data_dir={tmp_path / 'nowhere'}"]
    assert aecli("export", str(run.path), "format=torch_export", *line) == 0
    assert "checked on 1 images in photos" in capsys.readouterr().out
    assert (run.path / "export/autoencoder.pt2").is_file()


@pytest.mark.parametrize("format", ["onnx", "torch_export"])
def test_a_file_that_computes_something_else_is_not_written(
    format: str,
    run: RunDirectory,
    aecli: Aecli,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    right = module.FORMATS[format]

    def off(content: bytes) -> Callable[[Tensor], Tensor]:
        program = right.load(content)

        def run(batch: Tensor) -> Tensor:
            outputs = program(batch).clone()
            outputs[len(batch) // 2, 0, 14, 14] += 2e-4  # a single pixel
            return outputs

        return run

    monkeypatch.setitem(module.FORMATS, format, replace(right, load=off))
    assert aecli("export", str(run.path), f"format={format}", "part=decoder") == 2
    output, errors = capsys.readouterr()
    assert f"decoder{right.suffix} differs by 0.0002 from the model in PyTorch" in errors
    assert errors.count("\n") == 1 and output == ""
    assert not [path for path in run.path.iterdir() if "export" in path.name]


def test_a_file_with_other_weights_is_rejected(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = open_run(finished, device="cpu")
    _, decoder, _ = network_parts(trained, "torch_export")
    codes = [torch.randn(count, 3) for count in (2, 1)]
    trace = module.trace

    def broken(part: module.Part, shape: torch.Size) -> torch.export.ExportedProgram:
        program = trace(part, shape)
        name, weight = next(iter(program.state_dict.items()))
        program.state_dict[name] = nn.Parameter(weight.detach() * 2)
        return program

    export_part(decoder, "torch_export", codes, {})
    monkeypatch.setattr(module, "trace", broken)
    with pytest.raises(UsageError, match="decoder.pt2 differs"):
        export_part(decoder, "torch_export", codes, {})


def test_the_tolerance_is_absolute_for_pixels_and_relative_for_large_codes() -> None:
    pixels, codes = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, -50.0]])
    assert check_difference("file", pixels, pixels + 9e-5) == pytest.approx(9e-5, rel=1e-2)
    assert check_difference("file", codes, codes + 4e-3) == pytest.approx(4e-3, rel=1e-2)
    for expected, found in (
        (pixels, pixels + 2e-4),
        (codes, codes + 6e-3),
        (pixels, torch.tensor([[0.0, torch.nan]])),
        (codes, torch.tensor([[0.0, torch.inf]])),
    ):
        with pytest.raises(UsageError, match="^file differs by .*: nothing is exported"):
            check_difference("file", expected, found)


def conv_run(finished: Path, upsampling: Upsampling) -> Trained:
    """A run with an untrained network for colour images of odd sizes."""
    torch.manual_seed(0)
    layers = [LayerConfig(6, 3, 2, 1), LayerConfig(8, 3, 2, 1)]
    model = ConvConfig(name="conv", latent=3, layers=layers, batch_norm=True)
    upsample = UpsampleConfig(upsampling)
    trained = open_run(finished, device="cpu")
    network = build_model(model, upsample, (3, 15, 18)).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=0.3)
    return replace(
        trained, model=network, config=replace(trained.config, model=model, upsample=upsample)
    )


def colour_images(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, 15, 18), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("upsampling", Upsampling)
def test_every_upsampling_can_be_exported_without_warnings(
    upsampling: Upsampling,
    finished: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    trained = conv_run(finished, upsampling)
    images = colour_images(20)
    inputs = module.check_inputs(trained, Split(images, torch.zeros(20, dtype=torch.long)))
    for format in ("onnx", "torch_export"):
        part = network_parts(trained, format)[-1]
        file = export_part(part, format, inputs[part.input], module.run_metadata(trained))
        assert file.output_shape == [3, 15, 18]
        assert file.difference < 1e-5
    with torch.inference_mode():
        outputs = part.function(inputs[part.input][-1])
    assert outputs.std(0).mean() > 0.02  # constant outputs would hide errors
    assert capfd.readouterr() == ("", "")
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


def test_warnings_of_the_exporters_are_suppressed(
    run: RunDirectory,
    aecli: Aecli,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    log, right = logging.getLogger("onnx_ir"), module.FORMATS["torch_export"]

    def loud(program: torch.export.ExportedProgram, part: module.Part, about: About) -> bytes:
        warnings.warn("a spec is deprecated", FutureWarning, stacklevel=1)
        log.warning("an attribute is ambiguous")
        return right.write(program, part, about)

    monkeypatch.setitem(module.FORMATS, "torch_export", replace(right, write=loud))
    assert aecli("export", str(run.path), "format=torch_export", "part=encoder") == 0
    assert "ambiguous" not in caplog.text
    log.warning("unrelated")
    assert "unrelated" in caplog.text


def test_a_network_that_unpools_is_exported_whole_only_by_torch_export(
    run: RunDirectory,
    aecli: Aecli,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trained = replace(conv_run(run.path, Upsampling.max_unpool), run=run)
    images = Split(colour_images(5), torch.zeros(5, dtype=torch.long))
    trained = replace(trained, own=OwnImages(images, "images of your own", [], []))
    monkeypatch.setattr(command, "open_chosen", lambda *_: trained)
    assert aecli("export", str(run.path), "format=both") == 0
    names = {path.name for path in (run.path / "export").glob("*coder.*")}
    assert names == {
        "encoder.onnx",
        "decoder.onnx",
        "encoder.pt2",
        "decoder.pt2",
        "autoencoder.pt2",
    }
    assert capsys.readouterr().err == f"{command.NO_POSITIONS}\n{command.NOT_IN_ONNX}\n"
    assert aecli("export", str(run.path), "format=torch_export", "part=decoder") == 0
    assert capsys.readouterr().err == f"{command.NO_POSITIONS}\n"
    assert aecli("export", str(run.path), "format=torch_export", "part=encoder") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("library", ["onnx", "onnxruntime", "onnxscript"])
def test_without_its_libraries_only_onnx_is_refused(
    library: str,
    run: RunDirectory,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    for line in ([], ["format=both"]):
        assert aecli("export", str(run.path), *line) == 2
        assert capsys.readouterr().err == (
            "aecli: format=onnx is an extra: pip install 'aecli[export]'; "
            "format=torch_export needs none\n"
        )
    assert aecli("export", str(run.path), "format=torch_export", "part=encoder") == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("format=foo", "format=foo is not valid: give one of onnx, torch_export, both"),
        ("part=decodr", "part=decodr is not valid: did you mean decoder?"),
    ],
)
def test_a_mistake_gives_one_line_and_writes_nothing(
    line: str, words: str, run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("export", str(run.path), line) == 2
    errors = capsys.readouterr().err
    assert words in errors and errors.count("\n") == 1
    assert not [path for path in run.path.iterdir() if "export" in path.name]


def test_help_lists_the_formats_and_the_parts(
    aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("export", "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "One of onnx, torch_export, both." in text
    assert "One of encoder, decoder, both." in text


def test_the_figure_shows_what_the_file_and_torch_differ_by(trained: Trained) -> None:
    (whole,) = [each for each in network_parts(trained, "onnx") if each.name == "autoencoder"]

    def brighter(batch: Tensor) -> Tensor:
        return whole.function(batch) + 0.2

    file = ExportedFile(whole, "onnx", b"", brighter, [1, 28, 28], [1, 28, 28], 0.2)
    drawn = module.figure("title", trained, [file])
    assert drawn is not None
    (axes,) = drawn.axes
    rows = [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()]
    difference = "absolute difference, autoencoder.onnx - torch"
    assert rows == ["original", "torch", "autoencoder.onnx", difference, "scale of differences"]
    assert [text.get_text() for text in axes.texts] == ["0", "0.05", "0.1", "0.15", "0.2"]
    shown = np.asarray(axes.images[0].get_array())
    row = int(axes.get_yticks()[3])
    brightest = matplotlib.colormaps["magma"](1.0)[:3]
    assert np.allclose(shown[row, 10], brightest, atol=0.02)  # the same everywhere: the largest
