"""Every file under conf/ composes, and what it describes trains."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from aecli.cli.compose import compose
from aecli.cli.override_checks import check_overrides
from aecli.config import config_groups
from aecli.data import DATASETS, Data, Split
from aecli.files.places import CONF_DIR
from aecli.models import MODELS
from aecli.runs.directory import RunDirectory
from aecli.training.experiment import run_experiment
from tests.undrawn import undrawn_training

CHOICES = [
    f"{group}={choice}"
    for group, names in config_groups().items()
    if group != "sweep"  # several runs
    for choice in names
]


def some_data(shape: tuple[int, int, int] = (1, 28, 28)) -> Data:
    """A data set of noise, with two classes."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (48, *shape), dtype=torch.uint8, generator=generator)
    everything = Split(images, torch.arange(48) % 2)
    parts = (everything[:32], everything[32:40], everything[40:])
    return Data("noise", "noise", "noise", "a test", None, *parts)


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_trains_one_step(choice: str, tmp_path: Path) -> None:
    check_overrides([choice], multirun=False)
    length = "steps=1" if choice.startswith("budget=") else "epochs=1"
    config = compose([choice, length, "batch_size=32", "latent=3"])
    data = some_data()
    # Of these groups, the figures show the corruption alone.
    with nullcontext() if choice.startswith("corruption=") else undrawn_training():
        outcome = run_experiment(config, data, RunDirectory(tmp_path), warn=print)
    assert outcome.training.records[-1].train_loss > 0


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 27, 31)], ids=str)
@pytest.mark.parametrize("model", config_groups()["model"])
def test_every_model_trains_on_images_of_other_shapes(
    model: str, shape: tuple[int, int, int], tmp_path: Path
) -> None:
    config = compose([f"model={model}", "epochs=1", "batch_size=32", "latent=3", "device=cpu"])
    data = some_data(shape)
    run = RunDirectory(tmp_path)
    outcome = run_experiment(config, data, run, warn=print)
    assert outcome.scores["model"].mse > 0
    assert (run.figures / "reconstructions.png").is_file()


def test_there_are_choices_in_every_group() -> None:
    groups = config_groups()
    assert set(groups) == {
        "model", "upsample", "data", "augment", "corruption", "optimizer", "regularizer",
        "experiment", "budget", "sweep",
    }  # fmt: skip
    assert all(groups.values())


def test_every_data_set_has_a_file_and_vice_versa() -> None:
    names = {compose([f"data={choice}"]).data.name for choice in config_groups()["data"]}
    assert names == {*DATASETS, "auto"}


def test_every_model_file_names_a_class() -> None:
    for choice in config_groups()["model"]:
        assert compose([f"model={choice}"]).model.kind in MODELS


def test_no_file_names_code_to_run() -> None:
    for path in CONF_DIR.rglob("*.yaml"):
        assert "_target_" not in path.read_text(encoding="utf-8")
