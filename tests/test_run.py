"""A run directory: what is written is read back."""

from pathlib import Path

import pytest
import torch

from aecli.config import FCConfig, TrainConfig, UpsampleConfig
from aecli.errors import StorageError
from aecli.models import Autoencoder, build_model
from aecli.run import RunDirectory


def model(seed: int) -> Autoencoder:
    torch.manual_seed(seed)
    return build_model(FCConfig("fc", latent=2), UpsampleConfig(), (1, 4, 5))


def test_weights_are_read_back_to_the_bit(tmp_path: Path) -> None:
    run, saved, loaded = RunDirectory(tmp_path), model(0), model(1)
    run.save_weights(saved)
    run.load_weights(loaded)
    for name, tensor in saved.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name])


def test_a_configuration_is_read_back(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    config = TrainConfig(name="a", model=FCConfig("fc", latent=25))
    config.data.name = "mnist"
    run.save_config(config)
    assert run.load_config() == config


def test_a_checkpoint_holds_tensors_and_numbers_and_no_code(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.save_checkpoint({"epoch": 3, "model": model(0).state_dict()})
    state = run.load_checkpoint()
    assert state["epoch"] == 3
    assert torch.equal(
        state["model"]["encoder.1.weight"], model(0).state_dict()["encoder.1.weight"]
    )


def test_a_checkpoint_with_code_in_it_is_not_loaded(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    torch.save({"epoch": Path("/")}, run.checkpoint_file)  # an object that a pickle would build
    with pytest.raises(Exception, match="weights_only|Weights only"):
        run.load_checkpoint()


def test_a_folder_without_a_summary_is_no_finished_run(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is no finished run"):
        RunDirectory(tmp_path).load_summary()
    (tmp_path / "summary.json").write_text('{"test": ')
    with pytest.raises(StorageError, match="is no finished run"):
        RunDirectory(tmp_path).load_summary()


def test_finished_epochs_are_counted(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert run.finished_epochs() == 0
    run.metrics_file.write_text('{"epoch": 1}\n{"epoch": 2}\n')
    assert run.finished_epochs() == 2
