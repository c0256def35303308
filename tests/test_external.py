"""Runs with external trackers: W&B in a local folder, MLflow in a local database."""

import json
import shutil
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import mlflow
import pytest
import wandb
from mlflow.exceptions import MlflowException

from aecli.cli import main as cli
from aecli.runs.directory import RunDirectory
from aecli.runs.external import mlflow as aecli_mlflow
from tests.conftest import TINY

# MLflow uses what the database library has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.undrawn,
]

RUN = ["train", *TINY, "model=fc", "epochs=2", "hydra.run.dir=run"]


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[mlflow.MlflowClient]:
    """MLflow's own default: a database in the current folder."""
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    yield mlflow.MlflowClient()


def records(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def the_run(client: mlflow.MlflowClient) -> mlflow.entities.Run:
    experiment = client.get_experiment_by_name("aecli")
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id])
    return run


def test_mlflow_has_the_curves_the_settings_and_the_images(
    aecli: Callable[..., int], database: mlflow.MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli(*RUN, "tracker=mlflow", "latent=7") == 0
    run = the_run(database)
    history = database.get_metric_history(run.info.run_id, "loss/train")
    assert [(m.step, m.value) for m in history] == [
        (r["epoch"], r["train_loss"]) for r in records(Path("run"))
    ]
    summary = json.loads(Path("run/summary.json").read_text())
    assert run.data.metrics["test/mse"] == summary["test"]["mse"]
    assert (run.data.params["latent"], run.data.params["steps"]) == ("7", "null")
    assert "device" not in run.data.params  # as it decides no result
    assert (run.info.run_name, run.info.status) == ("fc-z7-synthetic", "FINISHED")
    images = database.list_artifacts(run.info.run_id, "reconstructions")
    assert [Path(image.path).name for image in images] == ["epoch-0001.png", "epoch-0002.png"]
    assert "tracker=mlflow logs to sqlite:///" in capsys.readouterr().err


def test_a_run_that_is_resumed_is_the_same_at_mlflow(
    aecli: Callable[..., int], database: mlflow.MlflowClient
) -> None:
    assert aecli(*RUN, "tracker=mlflow") == 0
    assert aecli("train", "resume=run", "epochs=3") == 0
    run = the_run(database)
    history = database.get_metric_history(run.info.run_id, "mse/validation")
    # The last epoch before the resumption is logged again, with the same value.
    assert [m.step for m in history] == [1, 2, 2, 3]
    assert history[1].value == history[2].value
    assert run.info.status == "FINISHED"


def test_runs_of_a_sweep_are_tagged_with_it(
    aecli: Callable[..., int], database: mlflow.MlflowClient
) -> None:
    line = [*RUN[:-1], "-m", "latent=2,3", "hydra.sweep.dir=sweeps/one", "compare=false"]
    assert aecli(*line, "tracker=mlflow") == 0
    experiment = database.get_experiment_by_name("aecli")
    assert experiment is not None
    runs = database.search_runs([experiment.experiment_id])
    assert {run.data.tags["sweep"] for run in runs} == {"sweeps/one"}
    assert len(runs) == 2


@pytest.mark.parametrize("kind", [MlflowException, ConnectionResetError, RuntimeError])
def test_a_tracker_that_fails_does_not_stop_a_run(
    kind: type[Exception],
    aecli: Callable[..., int],
    database: mlflow.MlflowClient,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise kind("the server\nis away")

    monkeypatch.setattr(aecli_mlflow.MlflowRun, "metrics", fail)
    assert aecli(*RUN, "tracker=mlflow") == 0
    warning = "tracker=mlflow failed: the server is away; the run goes on without it"
    assert capsys.readouterr().err.count(warning) == 1
    assert Path("run/summary.json").exists()


def test_a_run_that_fails_is_marked_as_failed(
    aecli: Callable[..., int], database: mlflow.MlflowClient
) -> None:
    assert aecli(*RUN, "tracker=mlflow", "lr=1e30") == 4
    assert the_run(database).info.status == "FAILED"


def test_a_refusing_tracker_is_a_usage_error(
    aecli: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://x")
    assert aecli(*RUN, "tracker=mlflow") == 2
    assert "aecli: tracker=mlflow: " in capsys.readouterr().err
    assert not Path("run/metrics.jsonl").exists()


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder in which W&B keeps its runs."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    yield tmp_path / "wandb"
    wandb.teardown()  # it reads the variables once


def test_wandb_offline_has_the_curves(
    aecli: Callable[..., int], offline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli(*RUN, "tracker=wandb") == 0
    [folder] = offline.glob("offline-run-*")
    assert f"tracker=wandb logs to {folder}\n" in capsys.readouterr().err
    [file] = folder.glob("*.wandb")
    content = file.read_bytes()
    for record in records(Path("run")):
        assert json.dumps(record["train_loss"]).encode() in content
    assert b"test/mse" in content
    images = folder / "files/media/images"
    assert len([*images.glob("reconstructions_*.png")]) == 2
    assert len([*images.glob("training/losses_*.png")]) == 1


@pytest.mark.parametrize("found", [None, ModuleSpec("wandb", None)])
def test_a_tracker_that_is_not_installed_is_named(
    aecli: Callable[..., int],
    found: ModuleSpec | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also where a folder is called like the package, as that of an earlier run of W&B."""
    monkeypatch.setattr("aecli.runs.external.find_spec", lambda name: found)
    assert cli.run(["train", *RUN[1:], "tracker=wandb"]) == 2
    assert "tracker=wandb is an extra: pip install 'aecli[wandb]'" in capsys.readouterr().err
    assert not Path("run").exists()


def test_a_run_that_cannot_begin_is_marked_as_failed(
    aecli: Callable[..., int], database: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RunDirectory, "begin", fail)
    assert aecli(*RUN, "tracker=mlflow") == 5
    assert the_run(database).info.status == "FAILED"


def test_another_training_in_the_folder_of_one_that_was_removed_is_another_run(
    aecli: Callable[..., int], database: mlflow.MlflowClient
) -> None:
    for latent in ("2", "3"):
        assert aecli(*RUN, "tracker=mlflow", f"latent={latent}") == 0
        shutil.rmtree("run")
    experiment = database.get_experiment_by_name("aecli")
    assert experiment is not None
    runs = database.search_runs([experiment.experiment_id])
    assert {run.data.params["latent"] for run in runs} == {"2", "3"}


def test_two_runs_of_a_sweep_may_create_the_experiment_at_once(
    aecli: Callable[..., int], database: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, create = mlflow.MlflowClient.get_experiment_by_name, database.create_experiment

    def find_too_early(client: mlflow.MlflowClient, name: str) -> object:
        monkeypatch.setattr(mlflow.MlflowClient, "get_experiment_by_name", find)
        create(name)
        return None

    monkeypatch.setattr(mlflow.MlflowClient, "get_experiment_by_name", find_too_early)
    assert aecli(*RUN, "tracker=mlflow") == 0
    assert the_run(database).info.status == "FINISHED"


def test_a_wandb_run_opened_by_the_caller_is_left_alone(
    aecli: Callable[..., int], offline: Path
) -> None:
    with wandb.init(settings=wandb.Settings(silent=True)) as mine:
        assert aecli(*RUN, "tracker=wandb") == 0
        assert len([*offline.glob("offline-run-*")]) == 2
        mine.log({"still": "open"})  # which a run that has ended refuses


def test_a_misspelt_variable_of_wandb_is_a_usage_error(
    aecli: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(**_: object) -> None:  # the variables are only read at the first run of a process
        raise ValueError("mode\n  Input should be 'online' or 'offline'")

    monkeypatch.setattr(wandb, "init", refuse)
    assert aecli(*RUN, "tracker=wandb") == 2
    message = "aecli: tracker=wandb: mode Input should be 'online' or 'offline'. With WANDB_MODE"
    assert message in capsys.readouterr().err
