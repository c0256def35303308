"""The command line as a person meets it: help, mistakes, interruptions."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aecli import __version__
from aecli.cli.help import help_for
from aecli.config import TrainConfig, config_groups, field_docs
from aecli.errors import Terminated
from tests.apart import run_apart
from tests.conftest import TINY

pytestmark = pytest.mark.undrawn

Aecli = Callable[..., int]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "aecli", *arguments]


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str], aecli: Aecli) -> None:
    for line in (["--help"], ["-h"], ["help"], []):
        assert aecli(*line) == 0
        text = capsys.readouterr().out
        assert "train         Train an autoencoder" in text
        assert "compare       Put runs side by side" in text
        assert "conv          Show the arithmetic of one" in text


def test_help_may_come_before_or_after_a_command(
    capsys: pytest.CaptureFixture[str], aecli: Aecli
) -> None:
    for line in (["help", "conv"], ["conv", "--help"], ["conv", "-h"]):
        assert aecli(*line) == 0
        assert capsys.readouterr().out == help_for("conv")
    assert aecli("help", "trian") == 2
    assert "did you mean train?" in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture[str], aecli: Aecli) -> None:
    assert aecli("--version") == 0
    assert capsys.readouterr().out == f"aecli {__version__}\n"


def test_help_of_train_lists_every_choice_and_every_short_key() -> None:
    text = help_for("train")
    words = " ".join(text.split())
    for group, choices in config_groups().items():
        listed = words.partition(f" {group}= ")[2].partition("=")[0]  # up to the next key
        assert all(choice in listed for choice in choices)
    for name, doc in field_docs(TrainConfig).items():
        assert f" {name}=" in words
        assert " ".join(doc.split()) in words
    assert " upsample.kernel=null " in words
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("trian", 2, "there is no command 'trian': did you mean train?"),
        ("train model=cnv", 2, "model=cnv: did you mean conv?"),
        ("train data=mnits", 2, "data=mnits: did you mean mnist?"),
        ("train latnt=5", 2, "there is no key 'latnt': did you mean latent?"),
        ("train latent=0", 2, "latent=0 is not valid: give a whole number of at least 1"),
        ("train latent=-3", 2, "latent=-3 is not valid: give a whole number of at least 1"),
        ("train latent=abc", 2, "latent=abc is not valid: give a whole number"),
        ("train epochs=0", 2, "epochs=0 is not valid: give a whole number of at least 1"),
        ("train lr=-1", 2, "lr=-1.0 is not valid: give a finite number above 0"),
        ("train batch_size=0", 2, "batch_size=0 is not valid: give a whole number"),
        ("train latent=5,25", 2, "latent=5,25 names several values: add -m"),
        ("train -m latent=5,0", 2, "latent=0 is not valid"),
        ("train steps=9 epochs=2", 2, "steps=9 says how long to train, so epochs would be ignored"),
        ("train budget=quick epochs=2", 2, "steps=1000 says how long to train, so epochs would"),
        ("train -m latent=2,3 budget=quick epochs=2", 2, "leave epochs out, or give steps=null"),
        ("train --quick", 2, "there is no option --quick: keys have no dashes, as in quick=..."),
        ("train --dryrun", 2, "there is no option --dryrun: did you mean --dry-run?"),
        ("train --latent 5", 2, "there is no option --latent: keys have no dashes, as in latent=5"),
        ("train --latent=5 lr=1", 2, "keys have no dashes, as in latent=5"),
        ("train --batch-size lr=1", 2, "keys have no dashes, as in batch_size=..."),
        ("shapes --model conv", 2, "keys have no dashes, as in model=conv"),
        ("train --cfg job -m latent=2,3", 2, "--cfg shows the configuration of one run"),
        ("train --resolve", 2, "--resolve goes with --cfg"),
        ("train --cfg job resume=here", 2, "--cfg shows the configuration of a new run"),
        ("train --cfg", 2, "argument -c/--cfg: expected one argument"),
        (
            "train data=synthetic device=cuda:99",
            2,
            "device=cuda:99 is not available on this machine: give",
        ),
        (
            "train data=synthetic model.layers.1.kernel=50",
            2,
            "model.layers: layer 2 of 2 (kernel 50, stride 2, padding 1) leaves nothing of its "
            "14x14 map",
        ),
        ("train data=synthetic model=fc upsample=max_unpool", 2, "model=fc has no map to pool"),
        ("train data=synthetic model=deep upsample.kernel=1", 2, "upsample.kernel=1 is not valid"),
        ("train data=synthetic data.train_size=70000", 2, "data.train_size=70000 is not valid"),
        (
            "train data=synthetic data.image_shape=[3,32,32]",
            3,
            "has 1x28x28 images, but data.image_shape requires 3x32x32",
        ),
        ("train data=synthetic data_dir=file/below", 5, "file/below/synthetic cannot be written"),
        ("train data=synthetic output_dir=file/below", 5, "file/below cannot be written"),
        (
            "train data=synthetic hydra.run.dir=file/below",
            5,
            "file cannot be written (File exists): choose another folder",
        ),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing(
    line: str,
    status: int,
    words: str,
    aecli: Aecli,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    assert aecli(*line.split()) == status
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("aecli: ")
    assert words in errors
    assert errors.count("\n") == 1
    assert not list(tmp_path.rglob("outputs/*"))


def forget_data_and_network() -> None:
    os.environ.pop("AECLI_DATA", None)
    for scheme in ("http", "https"):  # a proxy that is not there stands for a network that is not
        os.environ[f"{scheme}_proxy"] = "http://127.0.0.1:9"


def test_mnist_without_files_and_network_says_where_to_put_them(tmp_path: Path) -> None:
    done = run_apart(["train", "data=mnist"], tmp_path, forget_data_and_network)
    assert done.status == 3
    assert done.errors.startswith("aecli: data=mnist is not complete in data/MNIST/raw, and ")
    assert "data=synthetic needs no files" in done.errors
    assert done.errors.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_not_finite_has_its_own_exit_status(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["train", *TINY, "model=fc", "model.output_activation=identity", "lr=1e38"]
    assert aecli(*line) == 4
    errors = capsys.readouterr().err
    assert errors.startswith("aecli: the training loss became ")
    assert "in epoch 1" in errors and "Try a smaller lr" in errors
    assert errors.count("\n") == 1
    assert not list(tmp_path.rglob("summary.json"))


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_an_interrupted_run_keeps_its_last_finished_epoch(
    number: signal.Signals, status: int, data_dir: Path, tmp_path: Path
) -> None:
    line = command("train", "model=fc", *TINY, "epochs=100000", f"data_dir={data_dir}")
    # The tests may run in a shell's background, where SIGINT is ignored, and pass that on.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in tmp_path.rglob("metrics.jsonl")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    try:
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == status
    assert errors.startswith("aecli: interrupted: epoch ")
    assert errors.count("\n") == 1
    (config,) = tmp_path.glob("outputs/*/*/config.yaml")
    resume = f"aecli train resume={config.parent.relative_to(tmp_path)}"
    assert errors.endswith(f"; to resume: {resume}; to use it as it is: {resume} finish=true\n")
    assert (config.parent / "best.safetensors").is_file()
    assert list((config.parent / "checkpoints").glob("*.pt"))
    assert not list(tmp_path.rglob("summary.json"))
    assert not list(tmp_path.rglob("*-part"))


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (KeyboardInterrupt(), 130, "aecli: interrupted\n"),
        (Terminated(), 143, "aecli: terminated\n"),
        (
            OSError(28, "No space left on device", "x.pt"),
            5,
            "aecli: x.pt: No space left on device\n",
        ),
    ],
    ids=["Ctrl-C", "SIGTERM", "a full disk"],
)
def test_every_error_is_one_line_with_an_exit_status(
    error: BaseException,
    status: int,
    line: str,
    aecli: Aecli,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr("aecli.cli.main.dispatch", fail)
    assert aecli("train") == status
    assert capsys.readouterr().err == line


def test_a_full_disk_in_a_run_gets_one_line(
    aecli: Aecli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", "0.pt")

    monkeypatch.setattr("aecli.runs.directory.RunDirectory.save_checkpoint", fail)
    assert aecli("train", "model=fc", *TINY) == 5
    assert capsys.readouterr().err == "aecli: 0.pt: No space left on device\n"


def test_flags_may_appear_anywhere(aecli: Aecli, tmp_path: Path) -> None:
    for line in (["-m", "latent=2,3"], ["latent=2,3", "--multirun"]):
        assert aecli("train", "model=fc", *line, *TINY) == 0
    assert len(list(tmp_path.rglob("summary.json"))) == 4
