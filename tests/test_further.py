"""A finished run that is trained further, or again: what is finished stays until all is new."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aecli.runs.directory import EVENTS, RunDirectory, Status
from aecli.runs.owned import MANIFEST
from aecli.training import experiment, loop
from tests.conftest import TINY
from tests.same_run import assert_same_run

pytestmark = pytest.mark.undrawn

Aecli = Callable[..., int]
SHORT = ["train", "model=fc", "latent=3", *TINY]


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file of a run but the events, which are only ever added to."""
    events = set(folder.glob(EVENTS))
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path not in events
    }


def damage_checkpoints(run: RunDirectory) -> None:
    for file in run.checkpoints.folder.glob("*.pt"):
        file.write_bytes(file.read_bytes()[:-1])


def remove_checkpoints(run: RunDirectory) -> None:
    shutil.rmtree(run.checkpoints.folder)


def remove_manifests(run: RunDirectory) -> None:
    for file in run.checkpoints.folder.glob("*.json"):
        file.unlink()


def edit_figure(run: RunDirectory) -> None:
    (run.figures / "loss.svg").write_text("with a note of mine")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (damage_checkpoints, "is damaged: it has .* add restart=true"),
        (remove_checkpoints, "lacks the checkpoints of this run.* restart=true"),
        (remove_manifests, "lacks the checkpoints of this run.* restart=true"),
        (edit_figure, "loss.svg has been changed since aecli wrote it"),
    ],
)
def test_a_resume_that_is_refused_changes_nothing(
    spoil: Callable[[RunDirectory], None],
    reason: str,
    run: RunDirectory,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil(run)
    before = snapshot(run.path)
    assert aecli("train", f"resume={run.path}", "epochs=2") == 5
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(reason, line)
    assert snapshot(run.path) == before
    assert run.status is Status.finished


def test_an_interrupted_run_without_its_manifests_is_refused(
    run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    run.summary_file.unlink()  # as if it had been interrupted
    remove_manifests(run)
    before = snapshot(run.path)
    assert aecli("train", f"resume={run.path}") == 5
    assert "lacks the checkpoints of this run" in capsys.readouterr().err
    assert snapshot(run.path) == before  # a training that was refused has not failed


def test_the_old_results_are_in_force_until_the_new_ones_are_complete(
    run: RunDirectory, aecli: Aecli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(run.path)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(experiment, "measure_outcome", interrupt)
        assert aecli("train", f"resume={run.path}", "epochs=2") == 130
    for name in before:
        if name != MANIFEST and not name.startswith("checkpoints/"):
            assert (run.path / name).read_bytes() == before[name], name
    manifest = json.loads(run.manifest_file.read_bytes())
    assert manifest.items() >= json.loads(before[MANIFEST]).items()  # and an event file
    assert run.status is Status.finished and run.load_summary()["epochs"] == 1
    assert aecli("evaluate", str(run.path)) == 0

    # It goes on where it was, and need not be told how far.
    monkeypatch.setattr(loop, "train_epoch", interrupt)  # both epochs are trained
    assert aecli("train", f"resume={run.path}") == 0
    assert run.load_summary()["epochs"] == 2
    assert not (run.path / ".next").exists()
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    whole = tmp_path / "whole"
    data_dir = f"data_dir={run.load_config().data_dir}"
    line = ["train", "latent=3", *TINY, data_dir, "epochs=2", f"hydra.run.dir={whole}"]
    assert aecli(*line) == 0
    assert_same_run(run.path, whole)


def test_a_run_that_diverges_when_trained_further_stays_finished(
    run: RunDirectory, aecli: Aecli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "train_epoch", lambda *_: float("nan"))
    assert aecli("train", f"resume={run.path}", "epochs=2") == 4
    assert run.status is Status.finished and not run.failure_file.exists()
    assert aecli("evaluate", str(run.path)) == 0


@pytest.mark.parametrize("spoil", [remove_checkpoints, damage_checkpoints, remove_manifests])
def test_a_run_can_be_trained_again(
    spoil: Callable[[RunDirectory], None], run: RunDirectory, aecli: Aecli, finished: Path
) -> None:
    spoil(run)
    assert aecli("train", f"resume={run.path}", "restart=true") == 0
    assert_same_run(run.path, finished)


def test_a_restart_that_is_interrupted_leaves_the_results(
    run: RunDirectory, aecli: Aecli, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = run.load_summary()
    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_epoch", interrupt)
        assert aecli("train", f"resume={run.path}", "restart=true") == 130
    assert run.load_summary() == before
    assert aecli("train", f"resume={run.path}") == 0  # from the beginning, as was asked for
    assert_same_run(run.path, finished)


def test_epochs_cannot_be_lowered_below_those_of_an_interrupted_training(
    run: RunDirectory,
    aecli: Aecli,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(experiment, "measure_outcome", interrupt)
        assert aecli("train", f"resume={run.path}", "epochs=3") == 130
    capsys.readouterr()
    assert aecli("train", f"resume={run.path}", "epochs=2") == 2
    assert "epochs=2 is not valid: the run has 3" in capsys.readouterr().err


def test_minutes_can_be_raised_and_not_lowered(
    run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("train", f"resume={run.path}", "minutes=3") == 2  # the run has no limit
    assert "minutes=3.0 is not valid: the run has null, which may be" in capsys.readouterr().err
    assert aecli("train", f"resume={run.path}", "minutes=null") == 0
    assert "is finished: there is nothing to do" in capsys.readouterr().err


@pytest.mark.parametrize("extra", [["restart=true"], ["resume=mine", "restart=maybe"]])
def test_restart_needs_an_existing_run(
    extra: list[str], aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("train", *extra) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "name",
    ["manifest.json", "metrics.jsonl", "summary.json", "best.safetensors", "images.safetensors",
     "failure.json", "config.yaml", "figures/loss.png", "checkpoints/0000000001.pt",
     "events.out.tfevents.1.mine", ".hydra/config.yaml", ".next/mine"],
)  # fmt: skip
def test_a_new_run_overwrites_no_file_of_another_program(
    name: str, aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "mine" / name
    theirs.parent.mkdir(parents=True)
    theirs.write_text("precious")
    assert aecli(*SHORT, "hydra.run.dir=mine") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert name.partition("/")[0] in line and "is in the way of a new run" in line
    assert snapshot(tmp_path / "mine") | {name: b"precious"} == {name: b"precious"}
    assert theirs.read_text() == "precious"


def test_a_run_that_could_not_begin_leaves_no_folder(aecli: Aecli, tmp_path: Path) -> None:
    assert aecli("train", "data=folder", "path=missing", "hydra.run.dir=mine") == 3
    assert not (tmp_path / "mine").exists()


def test_tensorboard_is_pointed_to_the_run(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli(*SHORT, "hydra.run.dir=mine") == 0
    assert "tensorboard --logdir mine" in capsys.readouterr().out
    assert aecli(*SHORT) == 0
    assert "tensorboard --logdir outputs" in capsys.readouterr().out
    assert aecli(*SHORT, "hydra.job.chdir=true") == 0
    assert f"tensorboard --logdir {tmp_path}/outputs" in capsys.readouterr().out


@pytest.mark.parametrize("value", ["{mine}", "../mine", "a/b", "..", "."])
def test_hydra_writes_only_into_the_folder_of_the_run(
    value: str, aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "mine" / "config.yaml"
    theirs.parent.mkdir()
    theirs.write_text("precious")
    line = f"hydra.output_subdir={value.format(mine=theirs.parent)}"
    for multirun in ([], ["-m"]):
        assert aecli(*SHORT, *multirun, line) == 2
        assert "give the name of a folder within that of a run" in capsys.readouterr().err
    assert theirs.read_text() == "precious" and not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("name", [".hydra/config.yaml", "config.yaml", "figures/loss.svg"])
def test_a_sweep_overwrites_no_file_of_another_program(
    name: str, aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "sweep/0-fc-z3-s0" / name
    theirs.parent.mkdir(parents=True)
    theirs.write_text("precious")
    assert aecli(*SHORT, "-m", "seed=0,1", "hydra.sweep.dir=sweep", "compare=false") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert theirs.read_text() == "precious"
    assert [path.name for path in (tmp_path / "sweep").iterdir()] == ["0-fc-z3-s0"]
