"""init=RUN starts from the weights of another run, if they fit."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from aecli.runs.directory import RunDirectory, Status
from tests.conftest import TINY

Aecli = Callable[..., int]

pytestmark = pytest.mark.undrawn


@pytest.fixture
def first(aecli: Aecli) -> RunDirectory:
    """A run of one epoch."""
    assert aecli("train", *TINY, "model=fc", "latent=2", "hydra.run.dir=outputs/first") == 0
    return RunDirectory(Path("outputs/first"))


def test_a_training_starts_from_the_weights_of_the_run(first: RunDirectory, aecli: Aecli) -> None:
    line = ["train", *TINY, "model=fc", "latent=2", "lr=1e-30", "weight_decay=0", "seed=5"]
    for name, init in (("from_first", ["init=first"]), ("from_seed", [])):
        assert aecli(*line, *init, f"hydra.run.dir={name}") == 0
    expected = load_file(first.weights_file)  # steps of 1e-30 change nothing
    for name, is_equal in (("from_first", True), ("from_seed", False)):
        found = load_file(RunDirectory(Path(name)).weights_file)
        assert all(torch.equal(found[each], expected[each]) for each in expected) is is_equal
    config = RunDirectory(Path("from_first")).load_config()
    assert config.init == str(first.path.absolute())


def test_the_run_is_not_needed_to_resume(first: RunDirectory, aecli: Aecli) -> None:
    line = ["train", *TINY, "model=fc", "latent=2", "init=latest"]
    assert aecli(*line, "hydra.run.dir=second") == 0
    for path in first.path.iterdir():
        if path.is_file():
            path.unlink()
    assert aecli("train", "resume=second", "epochs=2") == 0
    assert RunDirectory(Path("second")).finished_epochs() == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["latent=3"], "has other layers: its encoder.1.weight is 2x784, and that of this network"),
        (["model.widths=[5]"], "has other layers"),
        (["model=conv"], "has other layers"),
        (["regularizer=vae"], "has other layers"),
    ],
)
def test_other_layers_are_refused_before_a_folder_is_made(
    options: list[str],
    message: str,
    first: RunDirectory,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = ["train", *TINY, "model=fc", "latent=2", *options, "init=first"]
    assert aecli(*line, "hydra.run.dir=other") == 2
    assert message in capsys.readouterr().err
    assert not Path("other").exists()


def test_an_unfinished_run_is_refused(
    first: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("train", *TINY, "init=nothing") == 2
    assert "nothing is not a folder" in capsys.readouterr().err
    first.summary_file.unlink()
    assert first.status is Status.interrupted
    assert aecli("train", *TINY, "model=fc", "latent=2", "init=outputs/first") == 2
    assert "is not a finished run" in capsys.readouterr().err
