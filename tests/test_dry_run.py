"""A dry run says what would be trained and how long it would take, and writes nothing."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aecli.cli.compose import compose
from aecli.cli.forecast import duration
from aecli.config import TrainConfig
from aecli.data.loaded import load_cached_data
from aecli.runs.directory import RunDirectory
from aecli.runs.discovery import runs_below
from aecli.training import estimate
from aecli.training.estimate import Pace, Task, makespan, measure_pace
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
) -> None:
    (tmp_path / "other").write_text("somebody else's")
    before = listing(tmp_path), listing(data_dir)
    assert aecli("train", "--dry-run", *line) == 0
    shown = capsys.readouterr()
    assert "Nothing was written." in " ".join(shown.out.split()) and not shown.err
    assert (listing(tmp_path), listing(data_dir)) == before


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
def test_what_could_not_start_is_refused(
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


def test_what_is_left_of_a_run_and_of_a_sweep(
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


def test_a_search_tells_the_number_of_its_runs(
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


def test_the_pace_is_that_of_the_steps_after_the_first(
    clock: list[float], config: TrainConfig
) -> None:
    pace = measure_pace(config, load_cached_data(config), 0.1)
    assert pace.steps == pytest.approx(10, abs=1)
    assert pace.step == pytest.approx(0.01) and pace.validation == pytest.approx(0.1)


def test_a_slow_step_is_measured_once(
    clock: list[float], config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(*_: object) -> None:
        clock[0] += 30

    monkeypatch.setattr(TrainingStep, "__call__", step)
    pace = measure_pace(config, load_cached_data(config), 0.5)
    assert (pace.steps, pace.step) == (1, 30)
    assert clock[0] < 61  # one that warms up, one that counts, and a few images
    assert pace.validation == pytest.approx(0.1)  # of all of them


def test_the_time_of_a_training(config: TrainConfig) -> None:
    pace = Pace(step=0.5, validation=3)
    assert Task(config, 256, 4).seconds(pace) == 4 * (2 * 0.5 + 3)
    assert Task(config, 256, 2.5).seconds(pace) == 2.5 * (2 * 0.5 + 3)
    rarely = replace(config, val_every=2)
    assert Task(rarely, 256, 4).seconds(pace) == 4 * 2 * 0.5 + 2 * 3
    assert Task(config, 256, 4, max_seconds=2).seconds(pace) == 0.5 * 4 * (2 * 0.5 + 3)


def test_runs_at_a_time_are_not_added_up() -> None:
    assert makespan([1, 2, 3, 4], 1) == 10
    assert makespan([1, 2, 3, 4], 2) == 5
    assert makespan([1, 2, 3, 4], 9) == 4


def test_what_costs_the_same_is_measured_once_and_of_many_kinds_some(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[TrainConfig] = []

    def measure(config: TrainConfig, *_: object) -> Pace:
        measured.append(config)
        return Pace(step=0.01 * config.batch_size, validation=1, steps=10)

    monkeypatch.setattr(estimate, "measure_pace", measure)
    alike = [replace(config, seed=seed, lr=lr) for seed in range(3) for lr in (0.1, 0.2)]
    found = estimate.estimate([Task(each, 256, 1) for each in alike])
    assert (found.kinds, found.measured, found.steps, len(measured)) == (1, 1, 10, 1)

    measured.clear()
    sizes = range(1, 10_001)
    found = estimate.estimate([Task(replace(config, batch_size=n), 256, 1) for n in sizes])
    assert (found.kinds, found.measured) == (10_000, 16) and len(found.seconds) == 10_000
    assert min(each.batch_size for each in measured) == 1
    assert max(each.batch_size for each in measured) == 10_000


def test_the_estimate_is_near_what_a_run_takes(
    aecli: Aecli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    config = compose(["model=conv", *TINY, "data.train_size=4096", "epochs=2"])
    data = load_cached_data(config)
    pace = measure_pace(config, data, 0.5)
    expected = 2 * config.steps_per_epoch(4096) * pace.step
    line = ["model=conv", *TINY, "data.train_size=4096", "epochs=2", "hydra.run.dir=run"]
    assert aecli("train", *line) == 0
    taken = RunDirectory(tmp_path / "run").load_summary()["seconds"]
    assert taken / 5 < expected < 5 * taken  # other processes may slow either


def test_durations() -> None:
    assert [duration(each) for each in (0.2, 1, 119, 125)] == [
        "under 1 s",
        "1 s",
        "119 s",
        "0:02:05",
    ]
