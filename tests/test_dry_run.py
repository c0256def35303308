"""A dry run says what would be trained and how long it would take, and writes nothing."""

import os
import re
import shutil
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aecli.cli import forecast
from aecli.cli.compose import compose
from aecli.cli.forecast import duration
from aecli.config import TrainConfig
from aecli.data.loaded import load_cached_data
from aecli.runs.directory import RunDirectory
from aecli.runs.discovery import runs_below
from aecli.runs.lock import locked
from aecli.training import estimate
from aecli.training.callback import Callback
from aecli.training.estimate import StepTimes, Task, makespan, measure_steps
from aecli.training.loop import new_model, train
from aecli.training.state import TrainingState
from aecli.training.step import TrainingStep
from tests.conftest import TINY, undo

pytestmark = pytest.mark.undrawn

Aecli = Callable[..., int]
LINE = ["model=fc", "latent=3", *TINY, "epochs=4"]


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few steps are enough here."""
    monkeypatch.setattr(estimate, "MAX_SECONDS", 0.001)


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder, with its size and time."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    "line",
    [
        LINE,
        ["-m", *LINE, "latent=2,3"],
        ["-m", *LINE, "latent=2,3", "hydra/launcher=joblib"],
        ["-m", "sweep=search", *LINE],
        [*LINE, "output_dir=mine/deep/down"],
        [*LINE, "hydra.run.dir=mine"],
        ["-m", *LINE, "hydra.sweep.dir=mine"],
    ],
    ids=" ".join,
)
def test_nothing_is_written(
    line: list[str],
    aecli: Aecli,
    tmp_path: Path,
    data_dir: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "other").write_text("somebody else's")
    # Not the folder of all tests, to which others may write now.
    shutil.copytree(data_dir / "synthetic", tmp_path / "data/synthetic", copy_function=os.link)
    monkeypatch.setenv("AECLI_DATA", str(tmp_path / "data"))
    before = listing(tmp_path)
    assert aecli("train", "--dry-run", *line) == 0
    shown = capsys.readouterr()
    assert "No run was created." in " ".join(shown.out.split()) and not shown.err
    assert listing(tmp_path) == before


def rows(shown: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in shown.splitlines()
        if line.startswith("│")
    ]


def test_a_sweep_is_listed_with_the_names_that_its_runs_get(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["train", "-m", "model=fc,conv", "latent=2,3", *TINY, "compare=false"]
    assert aecli(*line, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "a new folder in outputs/sweep" in shown and re.search(r"runs +4\n", shown)
    assert aecli(*line) == 0
    runs = runs_below(tmp_path)
    assert [row[0] for row in rows(shown)] == [run.path.name for run in runs]
    parameters = [int(row[1].replace(",", "")) for row in rows(shown)]
    assert parameters == [run.load_summary()["parameters"] for run in runs]
    assert {row[2] for row in rows(shown)} == {"2"}  # 256 images in batches of 128


@pytest.mark.parametrize("width", [60, 80])
def test_it_fits_a_narrow_terminal(
    width: int, aecli: Aecli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from aecli.cli import console

    monkeypatch.setattr(console.out, "width", width)
    assert aecli("train", "--dry-run", "-m", *LINE, "seed=0,1", "lr=0.001,0.0002") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("data")]
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        (["hydra.run.dir=run"], 2, "run already holds a run"),
        (["-m", "hydra.sweep.dir=run"], 2, "run already holds runs"),
        (["-m", "hydra.sweep.subdir=../x"], 2, "is not valid"),
        (["-m", "latent=1,2", "hydra.sweep.subdir=x"], 2, "gives two runs the same folder, x"),
        (["latent=0"], 2, "latent=0 is not valid"),
        (["corruption=downsample", "factor=99"], 2, "factor=99 is not valid"),
        (["output_dir=file"], 5, "file cannot be written (Not a directory)"),
        (["--cfg", "job"], 2, "--cfg and --dry-run both say"),
        (["resume=run", "finish=true"], 2, "finish=true trains nothing"),
        (["resume=run", "-m"], 2, "is a single run: leave -m out"),
        (["resume=nowhere"], 2, "resume=nowhere is neither a run folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_run_that_could_not_start_is_refused(
    line: list[str],
    status: int,
    words: str,
    run: RunDirectory,
    aecli: Aecli,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    before = listing(tmp_path)
    given = [] if line[0].startswith("resume") else TINY
    assert aecli("train", "--dry-run", *given, *line) == status
    (message,) = capsys.readouterr().err.splitlines()
    assert words in message
    assert listing(tmp_path) == before


def test_the_rest_of_a_run_and_of_a_sweep(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["train", "-m", *LINE, "latent=2,3", "hydra.sweep.dir=mine", "compare=false"]
    assert aecli(*line) == 0
    one, other = runs_below(tmp_path)
    undo(other)
    before = listing(tmp_path)
    capsys.readouterr()
    assert aecli("train", "--dry-run", "resume=mine") == 0
    shown = capsys.readouterr().out
    assert "1 finished, 1 to do, in mine" in shown
    assert [row[0] for row in rows(shown)] == [other.path.name]

    assert aecli("train", "--dry-run", f"resume={one.path}", "epochs=10") == 0
    assert "6 of 10 epochs are left, 12 steps" in capsys.readouterr().out
    assert aecli("train", "--dry-run", f"resume={one.path}", "restart=true") == 0
    assert "4 epochs, 8 steps" in capsys.readouterr().out
    assert aecli("train", "--dry-run", f"resume={one.path}") == 0
    assert "is finished: there is nothing to do" in capsys.readouterr().err
    assert listing(tmp_path) == before


@pytest.fixture
def second_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step takes a second, and a validation none."""
    times = StepTimes(step=1, validation=0, steps=10)
    monkeypatch.setattr(estimate, "measure_steps", lambda *_: times)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["epochs=99500"], "99,500 epochs, 199,000 steps"),
        (["minutes=0.05"], "about 3 s, when minutes=0.05 ends it"),
        (["minutes=5"], "about 8 s"),
        (["-m", "latent=2,3"], "about 16 s, one after the other"),
        (["-m", "latent=2,3", "hydra/launcher=joblib"], "about 8 s, 2 at a time"),
        (
            ["-m", "latent=2,3", "minutes=0.05,5"],
            "about 22 s, one after the other; minutes=... ends 2 of them before the last epoch",
        ),
        (["-m", "sweep=search", "hydra.sweeper.n_trials=3"], "about 24 s, one after the other"),
        (
            ["-m", "sweep=search", "hydra.sweeper.n_trials=3", "hydra/launcher=joblib"],
            "about 16 s, 2 at a time",
        ),
        (
            ["-m", "sweep=search", "hydra.sweeper.n_trials=3", "minutes=0.05"],
            "about 9 s, one after the other, when minutes=0.05 ends each",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_time_of_runs_together(
    line: list[str],
    words: str,
    second_steps: None,
    aecli: Aecli,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("joblib.effective_n_jobs", lambda _: 2)
    assert aecli("train", "--dry-run", *LINE, *line) == 0
    assert f"{words}\n" in capsys.readouterr().out


def test_runs_that_share_a_gpu_are_added_up(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = Namespace(type="cuda")
    monkeypatch.setattr(forecast, "open_device", lambda _: gpu)
    told = forecast._together([1, 2, 3], [Task(config, 256, 1)], workers=3)
    assert told == "about 6 s, 3 at a time on one GPU, so as if one after the other"


def test_the_rest_of_many_epochs_is_written_out(config: TrainConfig) -> None:
    planned = replace(config, epochs=100_000)
    left = [forecast._epochs(Task(planned, 256, epochs)) for epochs in (99_500, 1000, 2.5, 1 / 3)]
    assert left == [
        f"{each} of 100,000 epochs are left" for each in ("99,500", "1,000", "2.5", "0.33")
    ]


def test_all_data_sets_of_a_sweep_are_described(
    aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["train", "-m", *LINE, "epochs=1", "latent=2", "data.train_size=256,200,256"]
    for flag in (["--dry-run"], ["compare=false"]):
        assert aecli(*line, *flag) == 0
        first, second, *_ = capsys.readouterr().out.splitlines()
        assert first.startswith("data   ") and ": 256 training, " in first
        assert second.startswith("       ") and ": 200 training, " in second


def test_a_run_in_use_is_not_resumed(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("train", "-m", *LINE, "epochs=1", "hydra.sweep.dir=mine", "compare=false") == 0
    (run,) = runs_below(Path("mine"))
    undo(run)
    mine, one = Path("mine"), run.path
    for folder, resumed in [(mine, mine), (one, one), (one, mine)]:
        with locked(folder):
            before = listing(tmp_path)
            capsys.readouterr()
            assert aecli("train", "--dry-run", f"resume={resumed}") == 5
            assert f"{folder} is in use by process" in capsys.readouterr().err
            assert listing(tmp_path) == before


def test_a_search_shows_the_number_of_its_runs(
    aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("train", "--dry-run", "-m", "sweep=search", *LINE, "n_trials=7") == 2
    capsys.readouterr()
    line = ["-m", "sweep=search", *LINE, "hydra.sweeper.n_trials=7"]
    assert aecli("train", "--dry-run", *line) == 0
    assert re.search(
        r"search +7 runs, in a new folder in outputs/search-synthetic\n", capsys.readouterr().out
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """A clock that only steps and validations move: 0.01 s each, and 1 ms for each image."""
    now = [0.0]

    def step(*_: object) -> None:
        now[0] += 0.01

    def validate(_: object, data: object, __: object) -> None:
        now[0] += 0.001 * len(data.validation)  # type: ignore[attr-defined]

    monkeypatch.setattr(TrainingStep, "__call__", step)
    monkeypatch.setattr(estimate, "validate", validate)
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    yield now


@pytest.fixture
def config(aecli: Aecli) -> TrainConfig:
    return compose(LINE)


def test_the_time_of_a_step_is_that_of_those_after_the_first(
    clock: list[float], config: TrainConfig
) -> None:
    times = measure_steps(config, load_cached_data(config), 0.1)
    assert times.steps == pytest.approx(10, abs=1)
    assert times.step == pytest.approx(0.01) and times.validation == pytest.approx(0.1)


def test_a_slow_step_is_measured_once(
    clock: list[float], config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(*_: object) -> None:
        clock[0] += 30

    monkeypatch.setattr(TrainingStep, "__call__", step)
    times = measure_steps(config, load_cached_data(config), 0.5)
    assert (times.steps, times.step) == (1, 30)
    assert clock[0] < 61  # one that warms up, one that counts, and a few images
    assert times.validation == pytest.approx(0.1)  # of all of them


def test_graphs_are_captured_before_the_measurement(
    clock: list[float], config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = [0]

    def step(*_: object) -> None:
        taken[0] += 1
        clock[0] += 2 if taken[0] in (1, 9) else 0.01  # the first, and the one that captures

    monkeypatch.setattr(TrainingStep, "__call__", step)
    monkeypatch.setattr(TrainingStep, "is_warm", property(lambda _: taken[0] >= 9))
    times = measure_steps(config, load_cached_data(config), 0.5)
    assert times.step == pytest.approx(0.01)


def test_the_time_of_a_training(config: TrainConfig) -> None:
    times = StepTimes(step=0.5, validation=3)
    assert Task(config, 256, 4).seconds(times) == 4 * (2 * 0.5 + 3)
    assert Task(config, 256, 2.5).seconds(times) == 2.5 * (2 * 0.5 + 3)
    rarely = replace(config, val_every=2)
    assert Task(rarely, 256, 4).seconds(times) == 4 * 2 * 0.5 + 2 * 3
    assert Task(config, 256, 4, max_seconds=2).seconds(times) == 0.5 * 4 * (2 * 0.5 + 3)
    assert Task(config, 256, 4, max_seconds=2).is_cut_short(times)
    assert not Task(config, 256, 4, max_seconds=4).is_cut_short(times)


def test_the_rest_of_a_training_after_a_checkpoint(config: TrainConfig) -> None:
    config, data = replace(config, minutes=1), load_cached_data(config)
    assert Task.left(config, data) == Task(config, 256, 4, 60)
    saved = {"records": [{"seconds": 10}, {"seconds": 20}], "step": 1, "seconds": 5}
    assert Task.left(config, data, saved) == Task(config, 256, 1.5, 25)
    assert Task.left(replace(config, epochs=1, minutes=0.1), data, saved).max_seconds == 0
    assert Task.left(replace(config, epochs=1), data, saved).steps == 0


def test_runs_at_a_time_are_not_added_up() -> None:
    assert makespan([1, 2, 3, 4], 1) == 10
    assert makespan([1, 2, 3, 4], 2) == 5
    assert makespan([1, 2, 3, 4], 9) == 4


def test_equal_costs_are_measured_once_and_only_some_of_many_kinds(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[TrainConfig] = []

    def measure(config: TrainConfig, *_: object) -> StepTimes:
        measured.append(config)
        return StepTimes(step=0.01 * config.batch_size, validation=1, steps=10)

    monkeypatch.setattr(estimate, "measure_steps", measure)
    alike = [replace(config, seed=seed, lr=lr) for seed in range(3) for lr in (0.1, 0.2)]
    found = estimate.estimate([Task(each, 256, 1) for each in alike])
    assert (found.kinds, found.measured, found.steps, len(measured)) == (1, 1, 10, 1)

    measured.clear()
    sizes = range(1, 10_001)
    found = estimate.estimate([Task(replace(config, batch_size=n), 256, 1) for n in sizes])
    assert (found.kinds, found.measured) == (10_000, 16) and len(found.seconds) == 10_000
    assert min(each.batch_size for each in measured) == 1
    assert max(each.batch_size for each in measured) == 10_000


def test_the_estimate_is_close_to_the_time_of_a_training(
    aecli: Aecli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(estimate, "MAX_SECONDS", 0.5)
    monkeypatch.setattr("time.perf_counter", time.process_time)  # whatever other processes do
    config = compose(["model=conv", *TINY, "data.train_size=2048", "data.val_size=2048"])
    config = replace(config, epochs=2)
    data = load_cached_data(config)
    (expected,) = estimate.estimate([Task.left(config, data)]).seconds
    state = TrainingState(config, new_model(config, data), data.fingerprints)
    started = time.process_time()
    train(config, data, state, Callback(RunDirectory(tmp_path / "run")))
    assert 0.5 < expected / (time.process_time() - started) < 2


def test_durations() -> None:
    assert [duration(each) for each in (0.2, 1, 119, 125)] == [
        "under 1 s",
        "1 s",
        "119 s",
        "0:02:05",
    ]
