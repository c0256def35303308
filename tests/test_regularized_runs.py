"""Every loss and regulariser with everything else: resumed, in two processes, used afterwards."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from aecli import load
from aecli.data.batches import to_pixels
from aecli.errors import Interrupted
from aecli.runs.directory import RunDirectory
from aecli.training.callback import Callback
from aecli.training.loop import new_model
from tests.same_run import assert_same_run
from tests.test_conf import some_data
from tests.test_distributed import side_by_side

Aecli = Callable[..., int]

TINY = [
    "data=synthetic", "data.train_size=70", "data.val_size=20", "data.test_size=20",
    "batch_size=32", "epochs=2", "device=cpu", "latent=3",
]  # fmt: skip

# Each regulariser with each model, and each upsampling with one of them.
LINES = [
    "fc regularizer=vae loss=bce corruption=binarize corruption.target=input",
    "conv regularizer=vae upsample=nearest",
    "denoising regularizer=vae upsample=max_unpool regularizer.warmup=1.5",
    "deep regularizer=vae loss=bce model.output_activation=sigmoid",
    "fc regularizer=l2 tied=true model.widths=[8]",
    "conv regularizer=l2 upsample=bilinear loss=l1",
    "denoising regularizer=l2",
    "fc regularizer=sparse regularizer.activity=0.1 model.code_activation=sigmoid",
    "conv regularizer=sparse upsample=pixel_shuffle",
    "denoising regularizer=sparse upsample=bicubic loss=bce",
    "fc regularizer=contractive loss=bce",
    "conv regularizer=contractive upsample=max_unpool",
    "denoising regularizer=contractive upsample=bed_of_nails",
    "fc regularizer=vae tied=true loss=l1",
]
# Tried without --soak: each regulariser with the cheapest model, and with unpooling.
QUICK_LINES = [line for line in LINES if line.startswith("fc") or "max_unpool" in line]


@pytest.mark.undrawn
@pytest.mark.parametrize(
    "line",
    [pytest.param(each, marks=() if each in QUICK_LINES else pytest.mark.soak) for each in LINES],
)
def test_a_resumed_run_equals_an_uninterrupted_one(
    line: str, aecli: Aecli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", f"model={line.split()[0]}", *line.split()[1:], *TINY]
    assert aecli(*words, "hydra.run.dir=whole") == 0
    calls = []

    def stop(*_: object) -> None:
        calls.append(1)
        if len(calls) == 5:  # in the middle of the second epoch of three steps
            raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(Callback, "on_step_end", stop)
        patch.setattr("aecli.training.recorder.Recorder.on_step_end", stop)
        status = aecli(*words, "checkpoint.minutes=0", "hydra.run.dir=cut")
    assert status == 130 and not RunDirectory(tmp_path / "cut").summary_file.exists()
    assert aecli("train", "resume=cut") == 0
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.undrawn
@pytest.mark.parametrize(
    "line",
    [LINES[0], LINES[4], *(pytest.param(LINES[i], marks=pytest.mark.soak) for i in (2, 9))],
)
def test_follow_up_commands_take_every_code(line: str, aecli: Aecli, tmp_path: Path) -> None:
    words = ["train", f"model={line.split()[0]}", *line.split()[1:], *TINY, "epochs=1"]
    assert aecli(*words, "hydra.run.dir=run") == 0
    assert aecli("evaluate", "run") == 0
    assert aecli("reconstruct", "run", "count=2") == 0
    assert aecli("interpolate", "run", "n=1", "steps=3") == 0
    assert aecli("sample", "run", "n=2") == 0
    assert aecli("embed", "run", "n=20") == 0
    assert aecli("export", "run", "format=torch_export") == 0


@pytest.mark.undrawn
@pytest.mark.parametrize("line", [LINES[0], LINES[4], LINES[11]])
def test_two_processes_train_what_one_trains(
    line: str, aecli: Aecli, data_dir: Path, tmp_path: Path
) -> None:
    data = f"data_dir={data_dir}"
    words = ["train", f"model={line.split()[0]}", *line.split()[1:], *TINY, data]
    assert aecli(*words, "hydra.run.dir=one") == 0
    first, second = side_by_side([*words, f"hydra.run.dir={tmp_path / 'two'}"], tmp_path)
    assert (first.status, second.status, second.errors) == (0, 0, ""), first.errors
    one, two = RunDirectory(tmp_path / "one"), RunDirectory(tmp_path / "two")
    weights, others = load_file(one.weights_file), load_file(two.weights_file)
    for name, tensor in weights.items():
        torch.testing.assert_close(tensor, others[name], rtol=1e-3, atol=1e-4)
    for record, same in zip(one.load_metrics(), two.load_metrics(), strict=True):
        for key in ("train_loss", "train_penalty", "val_loss", "val_penalty"):
            assert record[key] == pytest.approx(same[key], rel=1e-3)


@pytest.mark.undrawn
def test_tied_weights_are_trained_saved_and_counted_once(aecli: Aecli, tmp_path: Path) -> None:
    words = ["train", "model=fc", "model.widths=[8]", *TINY, "hydra.run.dir=run"]
    assert aecli(*words, "tied=true") == 0
    run = RunDirectory(tmp_path / "run")
    weights = load_file(run.weights_file)
    assert [tuple(each.shape) for name, each in weights.items() if each.dim() > 1] == [
        (8, 784), (3, 8),
    ]  # fmt: skip
    # Both matrices, and the biases of four layers.
    assert run.load_summary()["parameters"] == 784 * 8 + 8 * 3 + (8 + 3 + 8 + 784)
    model = new_model(run.load_config(), some_data())
    run.load_weights(model)
    for number, weight in {0: weights["encoder.3.weight"], 2: weights["encoder.1.weight"]}.items():
        tied = model.decoder[number].weight
        assert isinstance(tied, torch.Tensor) and torch.equal(tied, weight.T)


def test_tied_weights_are_for_the_fully_connected_model(
    aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("train", "model=conv", "tied=true", *TINY) == 2
    assert "model.tied" in (error := capsys.readouterr().err) and "model=fc" in error


@pytest.mark.undrawn("train", "sample")
def test_a_prior_is_sampled_from_where_there_is_one(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("vae", "l2"):
        line = ["train", "model=fc", f"regularizer={name}", *TINY, "epochs=1"]
        assert aecli(*line, f"hydra.run.dir={name}") == 0
    capsys.readouterr()
    assert aecli("sample", "vae", "n=2") == 0
    assert "samples, the prior" in capsys.readouterr().out
    assert aecli("sample", "l2", "n=2") == 0
    assert "samples, diagonal Gaussian" in capsys.readouterr().out
    assert aecli("sample", "l2", "density=prior") == 2
    assert "regularizer=vae" in capsys.readouterr().err


@pytest.mark.undrawn("train", "compare")
def test_a_sweep_over_losses_and_regularisers_is_compared_by_mse(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["train", "-m", "model=fc", "loss=mse,bce", "regularizer=none,vae", *TINY, "epochs=1"]
    assert aecli(*line, "hydra.sweep.dir=sweep") == 0
    names = sorted(path.name for path in (tmp_path / "sweep").iterdir() if path.name[0].isdigit())
    assert [name.split("-", 2)[2] for name in names] == [
        "z3-no_regularizer-mse", "z3-vae-mse", "z3-no_regularizer-bce", "z3-vae-bce",
    ]  # fmt: skip
    table = (tmp_path / "sweep" / "compare" / "table.md").read_text()
    assert "bce" in table and "vae" in table


@pytest.mark.undrawn
def test_the_python_api_keeps_a_gaussian_code(aecli: Aecli, tmp_path: Path) -> None:
    line = ["train", "model=fc", "regularizer=vae", "tied=true", *TINY, "epochs=1"]
    assert aecli(*line, "hydra.run.dir=run") == 0
    model = load("run", device="cpu")
    again = load(model.save_pretrained(tmp_path / "kept"), device="cpu")
    pixels = to_pixels(some_data().test.images)
    assert torch.equal(model.network.encode(pixels), again.network.encode(pixels))
    assert again.network.encode(pixels).shape == (8, 3)
