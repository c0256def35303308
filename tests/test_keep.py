"""Runs that keep their last weights, and runs without validation images."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from aecli.config import TrainConfig
from aecli.data import Data
from aecli.data.loaded import load_cached_data
from aecli.models import Autoencoder
from aecli.runs.directory import EVENTS, RunDirectory, Status
from aecli.runs.summary import kept_epoch
from aecli.training import loop
from aecli.training.state import TrainingState
from tests.conftest import planted
from tests.same_run import assert_same_run, curves
from tests.test_closing import train_until

Aecli = Callable[..., int]
IMAGES = ["data=synthetic", "data.train_size=256", "data.test_size=100", "device=cpu"]
LAST = ["train", "model=fc", "latent=3", *IMAGES, "data.val_size=100", "keep=last"]
UNVALIDATED = [*LAST[:-2], "data.val_size=0", "keep=last"]
LOOKS = 3  # in an epoch: after each of its two steps, and at its end


def wreck_later_epochs(patch: pytest.MonkeyPatch) -> None:
    """From the second epoch on the learning rate is far too large."""
    patch.setattr(loop, "learning_rate", lambda config, done: 1e-2 if done < 1 else 10.0)


def run_in(folder: str, aecli: Aecli, *line: str) -> RunDirectory:
    assert aecli(*line, f"hydra.run.dir={folder}") == 0
    return RunDirectory(Path(folder))


@pytest.fixture
def unvalidated(aecli: Aecli) -> RunDirectory:
    """A finished run of three epochs without validation images."""
    return run_in("run", aecli, *UNVALIDATED, "epochs=3")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train data.val_size=0", "data.val_size=0 is not valid: give keep=last as well"),
        ("train data.val_size=0 keep=last patience=3", "patience=3 is not valid: give a data.val_"),
        (
            "train -m sweep=search data.val_size=0 keep=last",
            "hydra/sweeper=optuna cannot be used with data.val_size=0: a search chooses by",
        ),
        ("train keep=first", "keep=first is not valid: give one of best, last"),
        ("train corruption.target=input", "corruption.target=input is for corrupted images"),
    ],
)
def test_options_that_need_validation_are_refused_without_it(
    line: str, message: str, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli(*line.split(), *IMAGES) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"aecli: {message}") and error.count("\n") == 1
    assert not list(Path("outputs").glob("**/config.yaml"))


@pytest.mark.undrawn
def test_keep_last_keeps_the_last_weights_even_if_worse(
    aecli: Aecli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wreck_later_epochs(monkeypatch)
    best = run_in("best", aecli, *LAST, "keep=best", "epochs=2")
    capsys.readouterr()
    last = run_in("last", aecli, *LAST, "epochs=2")
    shown = capsys.readouterr().out
    assert "last weights kept, epoch 1 the best by validation loss" in shown
    assert ", kept" not in shown and "is better" not in shown
    summary, other = last.load_summary(), best.load_summary()
    assert (summary["best_epoch"], summary["kept_epoch"]) == (1, 2)
    assert (other["best_epoch"], other["kept_epoch"]) == (1, 1)
    assert summary["validation"]["mse"] == last.load_metrics()[-1]["val_mse"]
    assert summary["test"]["mse"] > 1.1 * other["test"]["mse"]


@pytest.mark.undrawn
def test_the_epoch_in_which_the_time_is_up_is_validated(
    aecli: Aecli, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10**6, 7))  # every look at it takes seven seconds
    monkeypatch.setattr("aecli.training.loop.time.perf_counter", lambda: float(next(clock)))
    run = run_in("run", aecli, *LAST, "epochs=90", "minutes=1.5", "val_every=50")
    validated = [line["epoch"] for line in run.load_metrics() if line["val_mse"] is not None]
    assert validated == [1, run.load_summary()["kept_epoch"]] and 1 < validated[1] < 50


def test_without_validation_every_training_image_is_trained_on(
    aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    unvalidated = run_in("run", aecli, *UNVALIDATED, "epochs=3")
    shown = capsys.readouterr().out
    assert "256 training, no validation, 100 test images" in shown
    assert "last weights kept, no validation images" in shown
    assert "epoch 3/3: train 0." in shown and "validation 0." not in shown
    summary = unvalidated.load_summary()
    assert (summary["best_epoch"], summary["kept_epoch"]) == (None, 3)
    assert {*summary["validation"].values()} == {None}
    assert all(line["val_mse"] is None for line in unvalidated.load_metrics())
    assert set(curves(unvalidated.path)["scalars"]).isdisjoint({"loss/validation", "mse/pca"})


def test_no_image_of_a_folder_is_held_out(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    (tmp_path / "photos").mkdir()
    for number in range(30):
        Image.new("L", (16, 16), 8 * number).save(tmp_path / f"photos/{number}.png")
    line = ["train", "data=folder", "path=photos", "model=fc", "latent=2", "epochs=1", "keep=last"]
    assert aecli(*line, "data.val_size=0") == 0
    assert "27 training, no validation, 3 test images" in capsys.readouterr().out


@pytest.mark.undrawn("train", "compare")
def test_units_and_pixels_that_never_vary_are_found_without_validation(
    aecli: Aecli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    new_model = loop.new_model

    def dead(config: TrainConfig, data: Data) -> Autoencoder:
        model = new_model(config, data)
        with torch.no_grad():
            dict(model.encoder[1].named_parameters())["bias"][0] = -100.0
        return model

    monkeypatch.setattr("aecli.training.experiment.new_model", dead)
    line = [*UNVALIDATED, "model.code_activation=relu", "epochs=1", "weight_decay=0"]
    run = run_in("run", aecli, *line)
    assert run.load_summary()["live_units"] <= 2
    assert "units of the code never var" in " ".join(capsys.readouterr().err.split())
    assert aecli("compare", "run") == 0
    assert "units of the code never var" in " ".join(capsys.readouterr().out.split())


@pytest.mark.undrawn
@pytest.mark.parametrize("line", [LAST, UNVALIDATED], ids=["keep=last", "val_size=0"])
def test_a_resumed_run_ends_like_an_uninterrupted_one(
    line: list[str], aecli: Aecli, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = [*line, "epochs=4"]
    assert train_until(2 * LOOKS + 1, monkeypatch, aecli, *line, "hydra.run.dir=run") == 130
    assert aecli("train", "resume=run") == 0
    assert_same_run(Path("run"), run_in("whole", aecli, *line).path)


@pytest.mark.undrawn("train", "compare")
@pytest.mark.parametrize("line", [LAST, UNVALIDATED], ids=["keep=last", "val_size=0"])
def test_an_interrupted_run_is_closed_with_its_last_whole_epoch(
    line: list[str],
    aecli: Aecli,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    long = [*line, "epochs=9", "val_every=9"]
    assert train_until(2 * LOOKS + 1, monkeypatch, aecli, *long, "hydra.run.dir=run") == 130
    assert aecli("train", "resume=run", "finish=true") == 0
    closed = RunDirectory(Path("run"))
    short = run_in("short", aecli, *line, "epochs=2", "val_every=9")
    for key in ("test", "validation", "kept_epoch", "live_units"):
        assert closed.load_summary()[key] == short.load_summary()[key], key
    assert aecli("compare", "run") == 0
    assert "closed at epoch 2 of 9" in " ".join(capsys.readouterr().out.split())
    assert aecli("train", "resume=run") == 0
    assert_same_run(Path("run"), run_in("whole", aecli, *long).path)


@pytest.mark.undrawn
def test_a_run_that_diverges_keeps_the_last_epoch_before(
    aecli: Aecli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = run_in("short", aecli, *UNVALIDATED, "epochs=2")
    monkeypatch.setattr(
        loop, "learning_rate", lambda config, done: config.lr if done < 2 else float("nan")
    )
    assert aecli(*UNVALIDATED, "epochs=5", "hydra.run.dir=run") == 4
    assert "in epoch 3; the weights of epoch 2 are kept in" in capsys.readouterr().err
    run = RunDirectory(Path("run"))
    assert run.status is Status.failed
    assert run.weights_file.read_bytes() == short.weights_file.read_bytes()


def test_a_dry_run_leaves_validation_out(aecli: Aecli, capsys: pytest.CaptureFixture[str]) -> None:
    assert aecli(*UNVALIDATED, "epochs=2", "--dry-run") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "no validation" in shown and "2 epochs, 4 steps" in shown
    assert "training steps on cpu" in shown and "from validations" not in shown


def test_every_command_works_without_validation(
    unvalidated: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("runs") == 0
    assert aecli("evaluate", "run") == 0
    capsys.readouterr()
    assert aecli("denoise", "run", "n=5", "noise=masking", "strengths=0.5") == 0
    assert "settings of the filters are chosen on training images" in (
        " ".join(capsys.readouterr().err.split())
    )
    assert aecli("anomaly", "run") == 2
    assert capsys.readouterr().err == (
        "aecli: run was trained with data.val_size=0, and the threshold is set on validation "
        "images: train a run with a data.val_size above 0\n"
    )


@pytest.mark.undrawn("train", "compare")
def test_a_comparison_names_no_best_without_validation(
    unvalidated: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert aecli("compare", "run") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "The runs of fc, latent 3 were trained without validation images." in shown
    assert "validation mse" not in shown
    (row,) = csv.DictReader(Path("run/compare/table.csv").read_text().splitlines())
    assert "validation_mse" not in row

    sweep = [*UNVALIDATED, "-m", "latent=2,3", "seed=0,1", "epochs=2", "hydra.sweep.dir=sweep"]
    assert aecli(*sweep) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "All runs were trained without validation images, so none is called the best" in shown
    assert "lowest validation mse" not in shown and "Bold" not in shown
    report = Path("sweep/compare/report.html").read_text()
    assert "There are no validation images" in report and "is-best" not in report
    charts = str(curves(Path("sweep/compare"))["scalars"])
    assert "seeds" not in charts and list(Path("sweep/compare").glob(EVENTS))


@pytest.mark.undrawn("train", "compare")
def test_runs_with_and_without_validation_are_compared_but_not_ranked(
    unvalidated: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    run_in("other", aecli, *LAST, "epochs=3")
    capsys.readouterr()
    assert aecli("compare", "run", "other", "output=both", "sort=mse") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "No row is bold: settings are chosen by their validation mse" in shown
    assert "so none is called the best" in shown
    rows = [*csv.DictReader(Path("both/table.csv").read_text().splitlines())]
    assert [row["validation_mse"] == "" for row in rows] == [False, True]
    assert [row["val_size"] for row in rows] == ["100", "0"]


@pytest.mark.undrawn
def test_the_loss_may_compare_with_the_corrupted_input(aecli: Aecli) -> None:
    black = ["corruption=masking", "corruption.rate=1", "epochs=300", "lr=0.02"]
    black += ["val_every=300", "checkpoint.epochs=300"]
    clean = run_in("clean", aecli, *LAST, *black)
    noisy = run_in("noisy", aecli, *LAST, *black, "corruption.target=input")
    mean_image = clean.load_summary()["baselines"]["mean_image"]["mse"]
    # Every input is black: the best that can be made of it is the mean image, its copy is black.
    assert clean.load_summary()["validation"]["loss"] == pytest.approx(mean_image, rel=0.1)
    summary = noisy.load_summary()
    assert summary["validation"]["loss"] < 1e-3
    black_mse = summary["baselines"]["corrupted_input"]["mse"]
    assert summary["test"]["mse"] == pytest.approx(black_mse, rel=0.1)
    assert summary["validation"]["mse"] > 10 * summary["validation"]["loss"]


@pytest.mark.undrawn("train", "denoise")
def test_the_target_is_in_the_name_and_in_denoise(
    aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["train", "model=fc", "latent=3", *IMAGES, "data.val_size=100", "epochs=1"]
    assert aecli(*line, "corruption=gaussian", "corruption.target=input") == 0
    (path,) = [config.parent for config in Path("outputs").glob("*/*/config.yaml")]
    assert path.parent.name == "fc-z3-synthetic-gaussian-target_input"
    capsys.readouterr()
    assert aecli("denoise", str(path), "n=5", "noise=masking", "strengths=0.5") == 0
    numbers = json.loads((path / "denoise/numbers.json").read_text())
    assert any("gaussian 0.1, noisy target" in name for name in numbers["settings"][0]["psnr"])


@pytest.mark.undrawn("compare")
def test_runs_of_earlier_versions_kept_the_weights_of_their_best_epoch(
    aecli: Aecli, run: RunDirectory
) -> None:
    summary = run.load_summary()
    del summary["kept_epoch"]
    assert kept_epoch(summary) == summary["best_epoch"]
    planted(run, "summary.json", json.dumps(summary))
    assert aecli("compare", str(run.path), "output=out") == 0
    saved, _ = run.newest_checkpoint()
    assert saved is not None
    config = run.load_config()
    data = load_cached_data(config)
    state = TrainingState(config, loop.new_model(config, data), data.fingerprints)
    assert saved.pop("kept_epoch") == saved["best"]["epoch"]
    state.load_state_dict(saved)
    assert state.kept_epoch == state.best.epoch > 0
