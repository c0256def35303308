"""Names of runs: latest, and the beginning of a name, wherever a run is expected."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from aecli.cli import completion
from aecli.errors import UsageError
from aecli.files.places import LATEST
from aecli.runs.directory import RunDirectory
from aecli.runs.lock import locked
from aecli.runs.lookup import find_folder, find_run, find_run_or_sweep
from aecli.runs.sweep_plan import SWEEP_FILE
from tests.conftest import undo
from tests.lab import FIRST, OTHER, PLANNED, RUNS, SECOND, SWEEP, make_lab, set_written

Aecli = Callable[..., int]


@pytest.fixture
def lab(tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return make_lab(Path("outputs"), finished)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("latest", RUNS[3]),
        ("outputs/latest", RUNS[3]),
        ("fc-z3/latest", SECOND),
        ("outputs/fc-z3/latest", SECOND),
        ("fc-z30", OTHER),
        ("fc-z30/", OTHER),
        ("outputs/fc-z30", OTHER),
        ("outputs/fc-z30/2026-01", OTHER),
        ("fc-z3/2026-01-01", FIRST),
        ("2026-01-02_10", SECOND),
        ("2-fc-z3", RUNS[3]),
        ("10-fc", PLANNED),
        ("latent/2026-01-04_10-00-00-000001/10", PLANNED),
        (f"outputs/{FIRST}", FIRST),
    ],
)
def test_a_name_stands_for_a_run(lab: Path, text: str, name: str) -> None:
    assert find_run(text) == lab / name
    absolute = os.path.join(os.getcwd(), text)
    if text.startswith("outputs"):
        assert find_run(absolute) == lab.absolute() / name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("latest", SWEEP),
        ("latent", SWEEP),
        ("outputs/latent", SWEEP),
        ("2026-01-04", SWEEP),
        ("10-fc", PLANNED),
        ("fc-z3/latest", SECOND),
    ],
)
def test_a_name_stands_for_a_sweep_where_one_may_be(lab: Path, text: str, name: str) -> None:
    assert find_run_or_sweep(text) == lab / name


def test_a_folder_of_runs_may_be_named_from_outputs_where_any_is_taken(lab: Path) -> None:
    assert find_folder("fc-z3") == lab / "fc-z3"
    assert find_folder("outputs") == lab
    assert find_folder("latest") == lab / SWEEP


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "fc-z3",
            f"^fc-z3 stands for 2 runs, outputs/{FIRST}, outputs/{SECOND}: give more of the name, "
            f"such as that of the newest, outputs/{SECOND}$",
        ),
        ("2026-01-0", rf"^2026-01-0 stands for 5 runs, .* \.\.\.: .* newest, outputs/{PLANNED}$"),
        (
            "outputs/fc-z3",
            f"^outputs/fc-z3 is not a run but holds 2: give one, such as the newest, "
            f"outputs/{SECOND}$",
        ),
        ("fcz30", r"^fcz30 is not a folder: did you mean outputs/fc-z30/.*\? \(aecli runs lists"),
        ("latset", r"^latset is not a folder: did you mean latest\?"),
        ("nothing-like-it", "^nothing-like-it is not a folder: give the folder of a finished run"),
        ("outputs/nothing-like-it", "is not a folder: give the folder of a finished run"),
        ("elsewhere/latest", "is not a folder"),
        ("../latest", "is not a folder"),
        ("/nowhere/latest", "is not a folder"),
        ("x" * 300, "x is not a folder"),
    ],
)
def test_names_of_no_run_or_several(lab: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.compile(message)):
        find_run(text)


def test_the_newest_is_taken_if_none_is_finished(
    aecli: Aecli, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    undo(RunDirectory(lab / RUNS[3]))
    set_written(lab / RUNS[3], 1.0)
    assert find_run(f"{SWEEP}/latest") == lab / PLANNED
    for held in (lab / PLANNED, lab / SWEEP):
        with locked(held):
            assert aecli("evaluate", f"{SWEEP}/latest") == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert "being trained; wait" in error and "resume" not in error


def test_an_existing_path_is_taken_as_it_is(lab: Path, finished: Path) -> None:
    for name in ("latest", "fc-z30"):
        Path(name).symlink_to(finished)
        assert find_run(name) == Path(name)
    Path("2-fc-z3").write_text("a file")
    assert find_run("2-fc-z3") == Path("2-fc-z3")


def test_a_folder_of_the_same_name_does_not_hide_a_run(lab: Path) -> None:
    Path("fc-z3").mkdir()
    assert find_run("fc-z3/2026-01-01") == lab / FIRST


def test_the_newest_run_was_written_last_whatever_its_name_says(lab: Path) -> None:
    set_written(lab / FIRST, 2e9)
    assert find_run("latest") == lab / FIRST
    (lab / SECOND / "notes.txt").touch()  # and what others write does not count
    assert find_run("fc-z3/latest") == lab / FIRST


def test_without_outputs_there_is_nothing_to_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="latest is not a folder: give the folder of a finished"):
        find_run("latest")


def test_every_command_that_uses_a_run_takes_its_name(
    aecli: Aecli, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("export", "run=fc-z30", "device=cpu") == 0
    assert f"run: outputs/{OTHER}\n" in capsys.readouterr().err
    assert (lab / OTHER / "export").is_dir()
    assert aecli("reconstruct", f"outputs/{OTHER}", "device=cpu", "count=1") == 0
    assert "run: " not in capsys.readouterr().err
    assert aecli("evaluate", "fc-z3") == 2
    assert "stands for 2 runs" in capsys.readouterr().err


@pytest.mark.undrawn("compare")
def test_compare_and_resume_take_names(
    aecli: Aecli, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("compare", "fc-z3/2026-01-01", "fc-z30", "output=here") == 0
    errors = capsys.readouterr().err
    assert f"run: outputs/{FIRST}\nfolder: outputs/fc-z30\n" in errors
    assert aecli("train", "resume=fc-z30") == 0
    assert f"outputs/{OTHER} is finished: there is nothing to do" in capsys.readouterr().err
    assert aecli("train", "resume=outputs") == 2
    assert f"holds 4: give one, such as the newest, outputs/{SWEEP}" in capsys.readouterr().err


def test_no_run_can_be_called_latest(
    aecli: Aecli, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("train", "data=synthetic", "name=latest") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == "aecli: name=latest stands for the newest run: give another"
    assert not (lab / "latest").exists()


def test_runs_takes_the_names_that_compare_takes(
    aecli: Aecli, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, said in {
        "latent": "folder: outputs/latent\n",
        "latest": f"sweep: outputs/{SWEEP}\n",
        "fc-z30/latest": f"run: outputs/{OTHER}\n",
    }.items():
        assert aecli("runs", name) == 0
        output, errors = capsys.readouterr()
        assert said in errors and output


def test_the_shell_offers_runs_by_name_and_searches(lab: Path) -> None:
    (lab / FIRST / ".hydra").mkdir(exist_ok=True)
    (lab / FIRST / ".hydra" / "config.yaml").touch()
    assert not any(".hydra" in each for each in completion.candidates("aecli evaluate out"))
    assert completion.candidates("aecli evaluate fc-z30") == [OTHER]
    assert completion.candidates("aecli evaluate run=2-fc") == ["run=2-fc-z3"]
    (lab / SWEEP / SWEEP_FILE).unlink()
    assert f"outputs/{SWEEP}" in completion.candidates("aecli compare outputs/latent")
    assert completion.candidates("aecli shapes --c") == ["--config-dir"]


def test_the_shell_offers_the_word_for_the_newest(lab: Path) -> None:
    assert completion.candidates("aecli evaluate late")[0] == LATEST
    assert completion.candidates("aecli evaluate lates") == [LATEST]
    assert completion.candidates("aecli train resume=late")[0] == f"resume={LATEST}"
