"""The folder of a sweep: one process at a time has it, and it knows which runs belong to it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aecli.cli import main as cli
from aecli.runs.directory import Status
from aecli.runs.discovery import runs_below
from aecli.runs.lock import LOCK, locked
from aecli.runs.sweep_plan import OPTUNA_FILE, PLAN_FILE, SWEEP_FILE
from tests.conftest import TINY
from tests.gathered import gather
from tests.undrawn import undrawn_training

pytestmark = pytest.mark.undrawn

Aecli = Callable[..., int]
LINE = ["train", "-m", "model=fc", "latent=2,3", *TINY, "hydra.sweep.dir=mine", "compare=false"]


@pytest.fixture(scope="module")
def trained(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep of two runs, not to be written to."""
    folder = tmp_path_factory.mktemp("sweep")
    with pytest.MonkeyPatch.context() as patch, undrawn_training():
        patch.chdir(folder)
        assert cli.run([*LINE, f"data_dir={data_dir}"]) == 0
    return folder / "mine"


@pytest.fixture
def sweep(trained: Path, tmp_path: Path) -> Path:
    """A finished sweep of two runs."""
    return Path(shutil.copytree(trained, tmp_path / "mine"))


def test_a_sweep_that_is_resumed_elsewhere_is_in_use(
    sweep: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    (sweep / "1-fc-z3" / "summary.json").unlink()
    capsys.readouterr()
    with locked(sweep):
        assert aecli("train", "resume=mine") == 5
        assert capsys.readouterr().err.startswith("aecli: mine is in use by process ")
        assert runs_below(sweep)[1].status is Status.interrupted


@pytest.mark.parametrize("line", [LINE, ["train", "resume=mine"]], ids=["started", "resumed"])
def test_a_sweep_that_is_trained_is_in_use(
    line: list[str],
    sweep: Path,
    aecli: Aecli,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if line == LINE:
        shutil.rmtree(sweep)
    else:
        (sweep / "1-fc-z3" / "summary.json").unlink()
    statuses = []

    def train(*_: object) -> list[Exception]:
        statuses.append(aecli("train", "resume=mine"))
        return []

    monkeypatch.setattr("aecli.sweep.launch.run_jobs", train)
    capsys.readouterr()
    assert aecli(*line) == 1  # for nothing was trained
    assert statuses == [5]
    assert "mine is in use by process" in capsys.readouterr().err
    assert not (sweep / LOCK).exists()


def test_a_search_locks_its_folder(
    aecli: Aecli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "mine").mkdir()
    with locked(tmp_path / "mine"):
        line = ["sweep=search", "hydra.sweep.dir=mine", "hydra.sweeper.n_trials=1"]
        assert aecli("train", "-m", *line, *TINY) == 5
    assert "mine is in use by process" in capsys.readouterr().err


def test_errors_in_a_sweep_whose_runs_are_finished_are_not_called_unfinished_runs(
    sweep: Path,
    aecli: Aecli,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = runs_below(sweep)[1]
    summary = run.summary_file.read_bytes()
    run.summary_file.unlink()

    def finished_by_another(*_: object) -> list[Exception]:
        run.summary_file.write_bytes(summary)
        return [RuntimeError("in use")]

    monkeypatch.setattr("aecli.sweep.launch.run_jobs", finished_by_another)
    capsys.readouterr()
    assert aecli("train", "resume=mine", "compare=false") == 1
    assert "aecli: all 2 runs are finished, but there were errors\n" in capsys.readouterr().err


@pytest.mark.undrawn("train", "compare")
def test_a_run_that_was_deleted_is_missed(
    sweep: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(sweep / "0-fc-z2")
    capsys.readouterr()
    assert aecli("train", "resume=mine", "compare=false") == 0
    missed = "mine/0-fc-z2 is missing: it was planned in this sweep, and deleted or moved\n"
    assert missed in capsys.readouterr().err
    assert aecli("compare", "mine") == 0
    output = capsys.readouterr()
    reason = "planned in the sweep mine, and deleted or moved"
    assert f"left out: mine/0-fc-z2, missing: {reason}" in " ".join(output.err.split())
    assert "1 of 2 runs is missing: 1 was deleted or moved" in " ".join(output.out.split())
    assert reason in (sweep / "compare" / "report.html").read_text()


@pytest.mark.parametrize(
    "content", ["", "[]", '{"runs": 3}', '{"runs": [3]}', "[" * 10**5], ids=range(5)
)
def test_a_damaged_record_is_named(
    content: str, sweep: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    (sweep / PLAN_FILE).write_text(content)
    capsys.readouterr()
    damaged = f"mine/{PLAN_FILE} is damaged: it does not list the runs of a sweep"
    assert aecli("train", "resume=mine", "compare=false") == 0
    assert damaged in capsys.readouterr().err
    (skipped,) = gather([Path("mine")]).skipped
    assert (skipped.status, skipped.reason) == ("damaged", damaged)


def test_a_sweep_without_a_record_is_complete(
    sweep: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert json.loads((sweep / PLAN_FILE).read_text()) == {"runs": ["0-fc-z2", "1-fc-z3"]}
    (sweep / PLAN_FILE).unlink()
    capsys.readouterr()
    assert aecli("train", "resume=mine", "compare=false") == 0
    assert "missing" not in capsys.readouterr().err
    assert gather([sweep]).skipped == []


@pytest.mark.parametrize("name", [SWEEP_FILE, PLAN_FILE, OPTUNA_FILE])
def test_a_file_of_somebody_else_is_not_overwritten_by_a_sweep(
    name: str, aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("mine")
    assert aecli(*LINE) == 2
    assert f"mine/{name} is in the way of a new sweep" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == [name]
    assert (tmp_path / "mine" / name).read_text() == "mine"


@pytest.mark.parametrize("is_finished", [True, False])
def test_a_damaged_configuration_is_named_and_the_others_go_on(
    is_finished: bool, sweep: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    (sweep / "1-fc-z3" / "summary.json").unlink()
    if not is_finished:
        (sweep / "0-fc-z2" / "summary.json").unlink()
    (sweep / "0-fc-z2" / "config.yaml").write_text("latent: [")
    capsys.readouterr()
    assert aecli("train", "resume=mine") == 1
    assert "mine/0-fc-z2/config.yaml is damaged" in capsys.readouterr().err
    assert runs_below(sweep)[1].status is Status.finished


@pytest.mark.parametrize("subdir", ["{mine}/a", "../a", "a/../..", ".", "link/a"])
def test_the_runs_of_a_sweep_are_within_its_folder(
    subdir: str, aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "sweep/link").symlink_to(tmp_path / "theirs")
    value = subdir.format(mine=tmp_path)
    line = ["hydra.sweep.dir=sweep", f"hydra.sweep.subdir={value}", "latent=2", *TINY]
    assert aecli("train", "-m", "model=fc", *line) == 2
    assert f"hydra.sweep.subdir={value} is not " in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "sweep").iterdir()] == ["link"]
    assert not any((tmp_path / "theirs").iterdir())


def test_missing_runs_are_found_behind_links(sweep: Path, tmp_path: Path) -> None:
    shutil.rmtree(sweep / "0-fc-z2")
    (tmp_path / "all").mkdir()
    (tmp_path / "all/link").symlink_to(sweep)
    (missing,) = gather([tmp_path / "all"]).skipped
    assert (missing.path, missing.status) == (tmp_path / "all/link/0-fc-z2", "missing")
