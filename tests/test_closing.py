"""A run that was interrupted is closed with the weights that it has kept, and can be trained on."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from torch import Tensor

from aecli.errors import Interrupted
from aecli.evaluation.examples import ExampleImages, epochs_figure
from aecli.runs.directory import EVENTS, RunDirectory, Status
from aecli.runs.discovery import runs_below
from aecli.runtime.signals import StopRequest
from aecli.training import closing, loop
from tests.conftest import TINY, undo
from tests.same_run import assert_same_run, curves

pytestmark = pytest.mark.undrawn

Aecli = Callable[..., int]
LINE = ["train", "model=fc", "latent=3", *TINY, "epochs=4"]
LOOKS = 3  # in an epoch of LINE: after each of its two steps, and at its end


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def snapshot(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def train_until(looks: int, patch: pytest.MonkeyPatch, aecli: Aecli, *line: str) -> int:
    """Press Ctrl-C before training looks for it for so many times: after each step and epoch."""
    left = iter(range(looks - 1))

    def is_pending(stop: StopRequest) -> bool:
        if next(left, None) is None:
            stop._pending = Interrupted
        return stop._pending is not None

    with patch.context() as until:
        until.setattr(StopRequest, "is_pending", property(is_pending))
        return aecli(*line)


def diverge_in_epoch(epoch: int, patch: pytest.MonkeyPatch) -> None:
    train_epoch = loop.train_epoch

    def diverging(*arguments: object) -> float:
        loss = train_epoch(*arguments)  # type: ignore[arg-type]
        return float("nan") if arguments[2].epoch == epoch else loss  # type: ignore[attr-defined]

    patch.setattr(loop, "train_epoch", diverging)


@pytest.fixture
def begun(aecli: Aecli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """A run that was interrupted in the middle of its third of four epochs."""
    assert train_until(2 * LOOKS + 1, monkeypatch, aecli, *LINE, "hydra.run.dir=run") == 130
    run = RunDirectory(tmp_path / "run")
    assert run.status is Status.interrupted and run.finished_epochs() == 2
    saved, _ = run.newest_checkpoint()
    assert saved is not None and saved["step"] == 1
    return run


def test_the_line_that_ends_an_interrupted_run_says_how_to_use_it(
    aecli: Aecli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train_until(2 * LOOKS, monkeypatch, aecli, *LINE, "hydra.run.dir=run")
    assert capsys.readouterr().err == (
        "aecli: interrupted: epoch 2 was the last to finish; to resume: aecli train resume=run; "
        "to use it as it is: aecli train resume=run finish=true\n"
    )


@pytest.mark.undrawn("train", "evaluate", "compare")
def test_an_interrupted_run_is_closed_and_every_table_says_so(
    begun: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert aecli("train", "resume=run", "finish=true") == 0
    shown = capsys.readouterr()
    assert "2 epochs of 4, closed early," in shown.out
    assert "closed at epoch 2 of 4: resume it to continue training" in shown.err
    summary = begun.load_summary()
    assert (summary["epochs"], summary["best_epoch"], summary["closed"]) == (2, 2, "interrupted")
    assert begun.load_config().epochs == 4
    assert [record["epoch"] for record in begun.load_metrics()] == [1, 2]
    assert aecli("evaluate", "run") == 0

    assert aecli("compare", "run") == 0
    shown = capsys.readouterr()
    sentences = " ".join(shown.out.split())
    assert "fc ‡" in sentences and "‡: closed before its training was over." in sentences
    assert "fc, latent 3: closed at epoch 2 of 4; resume it to continue training." in sentences
    assert "still fell" not in sentences
    (row,) = csv.DictReader((begun.path / "compare/table.csv").read_text().splitlines())
    assert (row["model"], row["closed_early"]) == ("fc", "1")


def test_a_closed_run_is_trained_on_to_the_same_end(
    begun: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("train", "resume=run", "finish=true") == 0
    assert aecli("train", "resume=run", "finish=true") == 0
    assert "run is closed: there is nothing to do" in capsys.readouterr().err
    assert aecli("train", "resume=run") == 0
    assert begun.load_summary()["closed"] is None
    assert aecli(*LINE, "hydra.run.dir=whole") == 0
    assert_same_run(begun.path, begun.path.parent / "whole")
    for finish in ("finish=true", "finish=false"):
        assert aecli("train", "resume=run", finish) == 0
        assert "run is finished: there is nothing to do" in capsys.readouterr().err


def test_the_outputs_by_epoch_are_shown_of_the_epochs_that_there_are(
    begun: RunDirectory, aecli: Aecli, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[list[int]] = []

    def watched(title: str, examples: ExampleImages, outputs: dict[int, Tensor]) -> Figure:
        shown.append(sorted(outputs))
        return epochs_figure(title, examples, outputs)

    monkeypatch.setattr("aecli.training.outcome.epochs_figure", watched)
    assert aecli("train", "resume=run", "finish=true") == 0
    assert aecli("train", "resume=run") == 0
    assert shown == [[1, 2], [1, 2, 3, 4]]
    assert (begun.figures / "epochs.png").is_file()


def test_a_run_that_is_trained_on_and_interrupted_again_is_closed_again(
    begun: RunDirectory, aecli: Aecli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert aecli("train", "resume=run", "finish=true") == 0
    train_until(LOOKS, monkeypatch, aecli, "train", "resume=run")
    assert begun.load_summary()["epochs"] == 2
    assert aecli("train", "resume=run", "finish=true") == 0
    assert begun.load_summary()["epochs"] == 3
    assert not (begun.path / ".next").exists()


def test_a_training_that_was_over_is_not_called_closed(
    aecli: Aecli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("aecli.training.experiment.measure_outcome", interrupt)
        assert aecli(*LINE, "hydra.run.dir=run") == 130
    assert aecli("train", "resume=run", "finish=true") == 0
    assert RunDirectory(tmp_path / "run").load_summary()["closed"] is None


@pytest.mark.parametrize("phase", ["reference_scores", "measure_outcome", "save_figures"])
def test_interrupting_the_closing_changes_nothing(
    phase: str,
    begun: RunDirectory,
    aecli: Aecli,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    begun.save_failure("the disk is full")
    before = snapshot(begun.path)
    with monkeypatch.context() as patch:
        patch.setattr(closing, phase, interrupt)
        assert aecli("train", "resume=run", "finish=true") == 130
    assert "to use it as it is: aecli train resume=run finish=true" in capsys.readouterr().err
    after = snapshot(begun.path)
    assert {name: after[name] for name in after if not name.startswith(".next/")} == before
    assert begun.status is Status.failed
    assert aecli("train", "resume=run", "finish=true") == 0


@pytest.mark.parametrize("phase", ["Tracker", "save_results"])
def test_why_a_run_failed_is_known_until_it_is_closed(
    phase: str, begun: RunDirectory, aecli: Aecli, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun.save_failure("the disk is full")
    with monkeypatch.context() as patch:
        patch.setattr(closing, phase, interrupt)
        assert aecli("train", "resume=run", "finish=true") == 130
    assert (begun.status, begun.failure()) == (Status.failed, "the disk is full")
    assert aecli("train", "resume=run", "finish=true") == 0
    assert begun.load_summary()["closed"] == "the disk is full"
    assert not begun.failure_file.exists()


def test_further_settings_are_checked_for_a_finished_run_as_well(
    run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("train", "resume=run", "finish=true", "lr=5") == 2
    assert "only data_dir, path, device, tracker may be given" in capsys.readouterr().err


def test_a_run_without_an_epoch_is_refused_and_stays_as_it_is(
    aecli: Aecli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train_until(1, monkeypatch, aecli, *LINE, "hydra.run.dir=run") == 130
    assert capsys.readouterr().err.endswith("; to resume: aecli train resume=run\n")
    run = RunDirectory(tmp_path / "run")
    for prepare in (lambda: None, lambda: undo(run)):  # within an epoch, and before the first step
        prepare()
        before = snapshot(run.path)
        assert aecli("train", "resume=run", "finish=true") == 2
        assert "run cannot be closed, because no checkpoint has a complete " in (
            capsys.readouterr().err
        )
        assert snapshot(run.path) == before


def test_a_run_that_diverged_is_closed_with_the_epochs_before(
    aecli: Aecli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    diverge_in_epoch(3, monkeypatch)
    assert aecli(*LINE, "hydra.run.dir=run") == 4
    assert aecli("train", "resume=run", "finish=true") == 0
    reason = "the training loss became nan in epoch 3"
    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith(f"the training failed: {reason}") for line in lines)
    assert "closed at epoch 2 of 4, because its training failed: summary.json says why" in lines
    run = RunDirectory(tmp_path / "run")
    assert run.status is Status.finished and not run.failure_file.exists()
    assert run.load_summary()["closed"].startswith(reason)


def test_tensorboard_has_the_curves_and_the_scores_of_a_closed_run(
    begun: RunDirectory, aecli: Aecli
) -> None:
    assert aecli("train", "resume=run", "finish=true") == 0
    scalars = curves(begun.path)["scalars"]
    assert [step for step, _ in scalars["loss/validation"]] == [1, 2]
    assert [step for step, _ in scalars["test/mse"]] == [2]
    assert len(list(begun.path.glob(EVENTS))) == 2


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["finish=true"], "finish=true is for a run that exists: add resume=FOLDER"),
        (["resume=run", "finish=yes"], "finish=yes is not valid: give true or false"),
        (["resume=run", "finish=true", "restart=true"], "finish=true no further: give one"),
        (["resume=run", "finish=true", "epochs=9"], "epochs=9: finish=true trains no further"),
        (["resume=run", "finish=true", "lr=1"], "lr=1 would make it a different run"),
        (["resume=run", "-m", "finish=true"], "is a single run: leave -m out"),
    ],
)
def test_mistakes_are_named(
    extra: list[str],
    words: str,
    run: RunDirectory,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run.summary_file.unlink()  # as if it had been interrupted
    assert aecli("train", *extra) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_the_runs_of_a_sweep_that_have_weights_are_closed_and_trained_on_later(
    aecli: Aecli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = ["train", "-m", *LINE[1:], "latent=2,3,4", "hydra.sweep.dir=mine", "compare=false"]
    assert train_until(5 * LOOKS + 1, monkeypatch, aecli, *line) == 130
    advice = "; to use the runs as they are: aecli train resume=mine finish=true\n"
    assert capsys.readouterr().err.endswith(f"resume=mine{advice}")

    assert aecli("train", "resume=mine", "finish=true") == 1  # one has not started
    shown = capsys.readouterr()
    assert "1-fc-z3: test mse" in shown.err and ", closed at epoch 1" in shown.err
    assert "aecli: 1 of 3 runs are not finished; to resume: aecli train resume=mine\n" in shown.err
    assert shown.err.endswith("\n2-fc-z4: not started\n")
    assert "closed at epoch 1" in shown.out and "report" in shown.out
    runs = runs_below(tmp_path / "mine")
    assert [run.status for run in runs] == [Status.finished, Status.finished, Status.planned]

    assert aecli("train", "resume=mine", "finish=true", "hydra/launcher=joblib") == 2
    assert "finish=true trains no further" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        diverge_in_epoch(3, patch)
        assert aecli("train", "resume=mine", "compare=false") == 1
    errors = capsys.readouterr().err
    assert "aecli: 2 of 3 runs are not finished; to resume" in errors
    assert "\n1-fc-z3: the training loss became nan in epoch 3" in errors
    assert "\n1-fc-z3: closed before its training was over\n" in errors
    assert "\n2-fc-z4: the training loss became nan in epoch 3" in errors
    assert aecli("train", "resume=mine", "compare=false") == 0
    assert "1 finished, 2 to do," in capsys.readouterr().out
    assert [run.load_summary()["closed"] for run in runs] == [None] * 3
    assert [run.load_summary()["epochs"] for run in runs] == [4] * 3
