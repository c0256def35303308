"""A run directory: what is written is read back."""

from pathlib import Path

import pytest
import torch

from aecli.config import FCConfig, TrainConfig, UpsampleConfig
from aecli.errors import StorageError
from aecli.models import Autoencoder, build_model
from aecli.runs.directory import RunDirectory


def model(seed: int) -> Autoencoder:
    torch.manual_seed(seed)
    return build_model(FCConfig("fc", latent=2), UpsampleConfig(), (1, 4, 5))


def test_weights_are_read_back_to_the_bit(tmp_path: Path) -> None:
    run, saved, loaded = RunDirectory(tmp_path), model(0), model(1)
    run.save_weights(saved.state_dict())
    run.save_summary({})
    run.load_weights(loaded)
    for name, tensor in saved.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name])


def test_a_configuration_is_read_back(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    config = TrainConfig(name="a", model=FCConfig("fc", latent=25))
    config.data.name = "mnist"
    run.save_config(config)
    assert run.load_config() == config


def test_a_folder_without_a_summary_is_no_finished_run(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is not a finished run: it has no summary.json"):
        RunDirectory(tmp_path).load_summary()


def test_a_file_is_read_only_as_it_was_written(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.save_summary({"mse": 0.0123})
    assert run.load_summary() == {"mse": 0.0123}
    run.summary_file.write_text(run.summary_file.read_text().replace("123", "133"))
    with pytest.raises(StorageError, match="summary.json is damaged: its sha256 is"):
        run.load_summary()
    run.summary_file.write_text("")
    with pytest.raises(StorageError, match="damaged: it has 0 bytes, but 20 were written"):
        run.load_summary()
    run.manifest_file.write_text("{}")
    with pytest.raises(StorageError, match="manifest.json is damaged .* no entry for summary.json"):
        run.load_summary()
    run.manifest_file.unlink()
    with pytest.raises(StorageError, match="manifest.json .* No such file"):
        run.load_summary()


def test_finished_epochs_are_counted(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert run.finished_epochs() == 0
    run.metrics_file.write_text('{"epoch": 1}\n{"epoch": 2}\n')
    assert run.finished_epochs() == 2


def test_naming_a_file_of_a_training_creates_nothing(run: RunDirectory) -> None:
    assert run.working_path("best.safetensors") == run.path / ".next/best.safetensors"
    assert not (run.path / ".next").exists()
