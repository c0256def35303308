"""`aecli train` from the command line to the files: what a run leaves behind."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.util.tensor_util import make_ndarray

from aecli.data.batches import to_pixels
from aecli.data.loaded import load_cached_data
from aecli.evaluation.checkerboard import checkerboard
from aecli.evaluation.scores import make_reconstruct_fn
from aecli.models import build_model
from aecli.runs.directory import RunDirectory, Status
from aecli.runs.records import EpochRecord
from aecli.training.outcome import losses_figure
from tests.conftest import TINY
from tests.scores import score

Aecli = Callable[..., int]


def runs(folder: Path) -> list[Path]:
    """The run directories below a folder."""
    return sorted(path.parent for path in (folder / "outputs").rglob("config.yaml")
                  if path.parent.name != ".hydra")  # fmt: skip


@pytest.fixture
def run(train_for_all: Callable[..., Path], tmp_path: Path) -> RunDirectory:
    """A finished run of two epochs of the denoising model."""
    trained = train_for_all("denoising", "model=denoising", "latent=3", "epochs=2")
    return RunDirectory(Path(shutil.copytree(trained, tmp_path / "outputs" / "run")))


def test_a_run_directory_is_complete(run: RunDirectory) -> None:
    names = {path.relative_to(run.path).as_posix() for path in run.path.rglob("*")}
    assert {re.sub(r"tfevents\..*", "tfevents", name) for name in names} == {
        ".hydra", ".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml",
        "config.yaml", "events.out.tfevents", "metrics.jsonl", "best.safetensors",
        "manifest.json", "checkpoints", "checkpoints/0000000006.json", "checkpoints/0000000006.pt",
        "images.safetensors", "seen.safetensors", "errors.safetensors",
        "figures", "figures/epochs.png", "figures/epochs.svg",
        "figures/loss.png", "figures/loss.svg",
        "figures/reconstructions.png", "figures/reconstructions.svg",
        "summary.json",
    }  # fmt: skip
    files = (path for path in run.path.rglob("*") if path.is_file())
    newest = max(files, key=lambda path: path.stat().st_mtime_ns)
    assert newest == run.manifest_file  # with which the results come into force


@pytest.mark.undrawn
def test_run_folders_need_no_quoting(aecli: Aecli, tmp_path: Path) -> None:
    assert aecli("train", "model=denoising", "latent=3", *TINY) == 0
    (path,) = runs(tmp_path)
    name, time = path.parts[-2:]
    assert name == "denoising-z3-synthetic"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-\d{6}", time)


def test_the_saved_configuration_rebuilds_the_model_and_its_score(run: RunDirectory) -> None:
    config, summary = run.load_config(), run.load_summary()
    assert config.data.image_shape is not None
    channels, height, width = config.data.image_shape
    model = build_model(config.model, config.upsample, (channels, height, width)).eval()
    run.load_weights(model)
    assert sum(p.numel() for p in model.parameters()) == summary["parameters"]
    again = score(config, make_reconstruct_fn(model, config), load_cached_data(config).test)
    assert again.mse == pytest.approx(summary["test"]["mse"], rel=1e-6)
    pixels = to_pixels(load_cached_data(config).test.images)
    assert summary["checkerboard_of_originals"] == pytest.approx(checkerboard(pixels, period=2))


def test_the_summary_has_the_results_and_what_they_depend_on(run: RunDirectory) -> None:
    summary = run.load_summary()
    assert summary["test"]["sse"] == pytest.approx(summary["test"]["mse"] * 28 * 28)
    assert set(summary["baselines"]) == {"pca", "mean_image", "corrupted_input"}
    assert summary["data"]["name"] == "synthetic"
    assert summary["data"]["requested"] == "synthetic"
    assert summary["data"]["image_shape"] == [1, 28, 28]
    assert [summary["data"][part] for part in ("train", "validation", "test")] == [256, 100, 100]
    assert (summary["model"], summary["latent"], summary["seed"]) == ("denoising", 3, 0)
    assert summary["epochs"] == 2
    assert summary["versions"]["torch"] == torch.__version__


def test_metrics_have_one_object_an_epoch(run: RunDirectory) -> None:
    lines = [json.loads(line) for line in run.metrics_file.read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    for line in lines:
        assert line["val_psnr"] > 0
        assert line["images_per_second"] == pytest.approx(256 / line["seconds"])
        assert line["lr"] == 1e-3


def test_tensorboard_finds_every_tag(run: RunDirectory) -> None:
    events = EventAccumulator(str(run.path), size_guidance={"images": 0, "scalars": 0}).Reload()
    per_epoch = {
        "loss/train", "loss/validation", "mse/validation", "mse/pca", "psnr/validation",
        "upsampling/checkerboard", "upsampling/checkerboard_of_originals", "training/learning_rate",
        "training/images_per_second", "training/epochs_per_second", "units/live",
        "units/constant_pixels",
    }  # fmt: skip
    final = {
        "test/mse", "test/sse", "test/psnr", "test/ssim", "test/checkerboard", "test/mse_pca"
    }  # fmt: skip
    assert set(events.Tags()["scalars"]) == per_epoch | final
    for tag in per_epoch:
        assert [event.step for event in events.Scalars(tag)] == [1, 2]
    summary = run.load_summary()
    assert events.Scalars("test/mse")[0].value == pytest.approx(summary["test"]["mse"])
    pca = [event.value for event in events.Scalars("mse/pca")]
    assert pca[0] == pca[1] > 0  # a line
    found = [event.value for event in events.Scalars("upsampling/checkerboard")]
    assert found == pytest.approx([line["val_checkerboard"] for line in run.load_metrics()])


def test_tensorboard_keeps_the_pictures_of_the_first_and_the_last_epoch(run: RunDirectory) -> None:
    events = EventAccumulator(str(run.path), size_guidance={"images": 0}).Reload()
    assert [picture.step for picture in events.Images("reconstructions")] == [1, 2]


def test_tensorboard_has_both_losses_in_two_colours_at_the_end(run: RunDirectory) -> None:
    events = EventAccumulator(str(run.path), size_guidance={"images": 0}).Reload()
    assert [picture.step for picture in events.Images("training/losses")] == [2]
    records = [EpochRecord(**line) for line in run.load_metrics()]
    (axes,) = losses_figure(run.load_config(), records).axes
    train, validation = axes.lines
    assert train.get_color() != validation.get_color()
    for line, key in ((train, "train_loss"), (validation, "val_loss")):
        assert np.array_equal(line.get_ydata(), [record[key] for record in run.load_metrics()])


def test_tensorboard_draws_train_and_validation_in_one_chart(run: RunDirectory) -> None:
    events = EventAccumulator(str(run.path)).Reload()
    (layout,) = events.Tensors("custom_scalars__config__")
    text = str(make_ndarray(layout.tensor_proto).item())
    assert "loss/train" in text and "loss/validation" in text
    assert "mse/validation" in text and "mse/pca" in text


def test_tensorboard_shows_the_graph_layer_by_layer(run: RunDirectory) -> None:
    graph = EventAccumulator(str(run.path)).Reload().Graph()
    names = [node.name for node in graph.node]
    assert names[0] == "image" and names[-1] == "output"
    assert names[1] == "encoder/01_Conv2d"
    assert names[-2].startswith("decoder/")
    for before, node in zip(names, list(graph.node)[1:], strict=False):
        assert list(node.input) == [before]


def test_hparams_have_one_row_and_create_no_further_run(run: RunDirectory) -> None:
    events = EventAccumulator(str(run.path)).Reload()
    content = events.PluginTagToContent("hparams")
    started = HParamsPluginData.FromString(content["_hparams_/session_start_info"])
    values = started.session_start_info.hparams
    assert values["latent"].number_value == 3
    assert values["model"].string_value == "denoising"
    assert values["data"].string_value == "synthetic"
    assert values["corruption"].string_value == "gaussian"
    assert values["noise_std"].number_value == 0.1  # what a sweep may vary has a column
    assert values["batch_norm"].string_value == "true"
    assert "example_noise_std" not in values and "model.latent" not in values
    assert len(list(run.path.rglob("events.out.tfevents.*"))) == 1


def test_the_terminal_shows_what_is_trained_and_the_results(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("train", "model=conv", "latent=5", *TINY) == 0
    text, errors = capsys.readouterr()
    (path,) = runs(tmp_path)
    summary = RunDirectory(path).load_summary()
    for words in (
        "synthetic, 1x28x28: 256 training, 100 validation, 100 test images, from ",
        "conv, latent 5, upsample transposed",
        "cpu, ",
        "Conv2d 1 -> 16, k3 s2 p1",
        "25,286",  # parameters
        f"{summary['test']['mse']:.6f}",
        f"{summary['test']['sse']:.3f}",
        f"{summary['baselines']['pca']['mse']:.6f}",
        f"{summary['baselines']['mean_image']['mse']:.6f}",
        str(path.relative_to(tmp_path)),
        "tensorboard --logdir outputs",
    ):
        assert words in text
    # No progress bar where there is no terminal, and what a run of two steps leaves to be desired.
    assert errors == (
        f"its test mse ({summary['test']['mse']:.4f}) is no better than the mean image's: "
        "try another lr, or epochs=1000\n"
    )


def test_the_best_epochs_weights_are_measured_and_not_the_last(
    aecli: Aecli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # From the second epoch on the learning rate wrecks the model.
    monkeypatch.setattr(
        "aecli.training.loop.learning_rate", lambda config, done: 1e-2 if done < 1 else 10.0
    )
    for epochs in (2, 1):
        assert aecli("train", "model=fc", *TINY, "batch_size=16", f"epochs={epochs}") == 0
    wrecked, short = (RunDirectory(path).load_summary() for path in runs(tmp_path))
    assert wrecked["best_epoch"] == 1
    assert wrecked["test"] == short["test"]


def test_the_configuration_can_be_shown_without_a_run(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("train", "--cfg", "job", "latent=7") == 0
    assert "latent: 7" in capsys.readouterr().out
    assert not runs(tmp_path)


def test_runs_on_the_real_mnist_say_so(aecli: Aecli, mnist_dir: Path, tmp_path: Path) -> None:
    slim = [item for item in TINY if item != "data=synthetic"]
    assert aecli("train", "model=fc", f"data_dir={mnist_dir}", *slim) == 0
    (path,) = runs(tmp_path)
    run = RunDirectory(path)
    data = run.load_summary()["data"]
    assert set(data.pop("fingerprints")) == {"train", "validation", "test"}
    assert data | {"source": ""} == {
        "name": "mnist", "requested": "auto", "source": "", "image_shape": [1, 28, 28],
        "train": 256, "validation": 100, "test": 100, "test_copies": 0,
    }  # fmt: skip
    assert run.load_config().data.name == "mnist"


def test_a_folder_that_holds_a_run_is_not_used_again(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["train", "model=fc", *TINY, "hydra.run.dir=mine"]
    assert aecli(*line) == 0
    before = {path: path.read_bytes() for path in tmp_path.glob("mine/*.*") if path.is_file()}
    capsys.readouterr()
    assert aecli(*line) == 2
    assert capsys.readouterr().err.startswith(
        "aecli: mine already holds a run: resume it with resume=mine"
    )
    after = {path: path.read_bytes() for path in tmp_path.glob("mine/*.*") if path.is_file()}
    assert before == after


def test_a_failed_run_records_the_reason(aecli: Aecli, tmp_path: Path) -> None:
    assert aecli("train", *TINY, "model=fc", "model.output_activation=identity", "lr=1e38") == 4
    (path,) = runs(tmp_path)
    assert RunDirectory(path).status is Status.failed
    assert RunDirectory(path).failure().startswith("the training loss became ")


def test_the_images_that_a_comparison_shows_are_kept(run: RunDirectory) -> None:
    images = run.load_images()
    assert {name: tuple(each.shape) for name, each in images.items()} == {
        **dict.fromkeys(
            ["original", "corrupted", "output", "pca", "epoch/1", "epoch/2"], (10, 1, 28, 28)
        ),
        **dict.fromkeys(["mean/original", "mean/output"], (1, 1, 28, 28)),
        **dict.fromkeys(
            ["best/original", "best/output", "worst/original", "worst/output"], (5, 1, 28, 28)
        ),
    }
    best, worst = (
        (images[f"{end}/output"] - images[f"{end}/original"]).square().mean((1, 2, 3))
        for end in ("best", "worst")
    )
    assert best.max() < run.load_summary()["test"]["mse"] < worst.min()
    summary = run.load_summary()
    if summary["best_epoch"] == 2:
        assert torch.equal(images["output"], images["epoch/2"])


def test_means_are_kept_as_they_are(run: RunDirectory) -> None:
    # A hundred images of whole grey levels: their mean has hundredths of them.
    levels = run.load_images()["mean/original"] * 255 * 100
    assert torch.allclose(levels, levels.round(), atol=0.05)
    assert not torch.allclose(levels / 100, (levels / 100).round(), atol=0.005)


def test_pictures_show_the_test_images(run: RunDirectory) -> None:
    with Image.open(run.figures / "reconstructions.png") as picture:
        assert picture.width > picture.height > 400


def test_files_in_a_given_folder_stay_there(aecli: Aecli, tmp_path: Path) -> None:
    for name in ("figures/mine.png", "checkpoints/mine.pt", "metrics.txt"):
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text("precious")
    assert aecli("train", "model=fc", "latent=2", *TINY, "hydra.run.dir=mine") == 0
    for name in ("figures/mine.png", "checkpoints/mine.pt", "metrics.txt"):
        assert (tmp_path / "mine" / name).read_text() == "precious"
