"""`aecli runs remove`: what aecli wrote goes, whenever it is killed, and nothing else."""

import errno
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aecli.errors import StorageError
from aecli.runs import removal
from aecli.runs.directory import HYDRA, HYDRA_FILES, RunDirectory
from aecli.runs.discovery import entries_below, is_run
from aecli.runs.listing import State, read_facts
from aecli.runs.lock import locked
from aecli.runs.lookup import find_folder
from aecli.runs.removal import contents, remove
from aecli.runs.sweep_plan import (
    OPTUNA_FILE,
    PLAN_FILE,
    SWEEP_FILE,
    missing_runs,
    save_search,
)
from tests.conftest import TINY, with_project
from tests.lab import FIRST, OTHER, PLANNED, RUNS, SECOND, SWEEP, make_lab, tree

Aecli = Callable[..., int]


@pytest.fixture(scope="module")
def used(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, and what two commands have made of it."""
    from aecli.cli import main as cli

    run = Path(shutil.copytree(finished, tmp_path_factory.mktemp("used") / "run"))
    assert cli.run(["export", str(run), "device=cpu"]) == 0
    assert cli.run(["embed", str(run), "device=cpu", "n=50"]) == 0
    return run


@pytest.fixture
def lab(tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return make_lab(Path("outputs"), finished)


def test_a_run_is_removed_and_nothing_around_it(used: Path, lab: Path) -> None:
    shutil.copytree(used, lab / "used" / "run")
    before = tree(lab)
    assert contents(lab / "used" / "run").others == []
    assert remove(lab / "used" / "run") == []
    assert tree(lab) == [each for each in before if not each.startswith("used")]


def test_an_unfinished_run_is_removed(lab: Path) -> None:
    run = RunDirectory(lab / FIRST)
    run.summary_file.unlink()
    run.save_failure("it diverged")
    (run.path / ".summary.json.0123.aecli-part").touch()
    assert remove(run.path) == []
    assert remove(lab / SECOND) == []
    assert not (lab / "fc-z3").exists() and lab.exists()


def test_files_written_or_changed_by_others_stay_and_are_named(used: Path, lab: Path) -> None:
    run = Path(shutil.copytree(used, lab / "used" / "run"))
    kept = [
        "checkpoints/notes.txt",
        "export/model.txt",
        "figures/loss.png",
        "mine/deep/a.txt",
        "notes.txt",
        "numbers",
    ]
    for name in kept[:-1]:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("mine")
    target = lab.parent / "target.txt"
    target.write_text("elsewhere")
    (run / "numbers").symlink_to(target)
    named = [run / name for name in kept]
    named[3] = run / "mine"
    assert contents(run).others == named
    assert remove(run) == named
    left = [each for each in tree(run) if not (run / each).is_dir()]
    assert left == kept and target.read_text() == "elsewhere"
    assert not is_run(run)


def test_foreign_event_files_and_changed_copies_of_the_configuration_stay(
    aecli: Aecli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = ["model=fc", "latent=2", *TINY, "hydra.run.dir=outputs/run"]
    assert aecli("train", *line) == 0
    run = Path("outputs/run")
    events, overrides = run / f"events.out.tfevents.{10**9}.host.1.0", run / HYDRA_FILES[2]
    events.touch()
    overrides.write_text("- mine\n")
    assert contents(run).others == [overrides, events]
    assert aecli("train", "resume=outputs/run", "epochs=2") == 0  # replaces neither
    assert remove(run) == [overrides, events]
    assert tree(run) == [HYDRA, HYDRA_FILES[2], events.name]


def test_links_are_not_followed(lab: Path) -> None:
    run = lab / FIRST
    elsewhere = lab.parent / "elsewhere"
    for name in ("checkpoints", "figures"):
        shutil.move(run / name, elsewhere / name)
        (run / name).symlink_to((elsewhere / name).resolve())
    shutil.move(run / "best.safetensors", elsewhere)
    (run / "best.safetensors").symlink_to((elsewhere / "best.safetensors").resolve())
    before = tree(elsewhere)
    assert remove(run) == [run / "best.safetensors", run / "checkpoints", run / "figures"]
    assert tree(elsewhere) == before and len(before) > 6


@pytest.mark.undrawn("compare")
def test_a_sweep_is_removed_with_its_runs_and_its_comparison(
    aecli: Aecli, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("compare", f"outputs/{SWEEP}") == 0
    linked = lab / SWEEP / "linked"
    linked.symlink_to((lab / OTHER).resolve())
    assert aecli("runs", "remove", "latent", f"outputs/{PLANNED}", "yes=true") == 0
    output, errors = capsys.readouterr()
    assert "removed 2 runs and 1 sweep, " in output
    assert errors.count("/linked") == 1
    assert f"kept outputs/{SWEEP}/linked: not written by aecli, or changed since\n" in errors
    assert tree(lab / "latent") == [Path(SWEEP).name, f"{Path(SWEEP).name}/linked"]
    assert is_run(lab / OTHER)


@pytest.mark.parametrize("name", [PLAN_FILE, OPTUNA_FILE])
def test_a_search_is_a_sweep(
    name: str, aecli: Aecli, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (SWEEP_FILE, PLAN_FILE):
        (lab / SWEEP / file).unlink()
    if name == PLAN_FILE:
        save_search(lab / SWEEP)
    else:  # of an earlier version
        (lab / SWEEP / name).touch()
    assert aecli("runs") == 0 and "and 1 sweep, " in capsys.readouterr().out
    assert find_folder("latest") == lab / SWEEP
    for line in (["resume=latest"], ["resume=latest", "finish=true"], ["resume=latest", "-m"]):
        assert aecli("train", *line) == 2
        errors = capsys.readouterr().err.splitlines()
        assert f"aecli: resume=outputs/{SWEEP} is a search, which is not resumed" in errors[-1]
    assert aecli("runs", "remove", "2-fc-z3", "10-fc", "yes=true") == 0
    if name == PLAN_FILE:  # it is aecli's, also without a run
        assert aecli("runs", "remove", "latest", "yes=true") == 0
        assert not (lab / "latent").exists()


def test_a_run_that_is_removed_is_not_missed_by_its_sweep(
    aecli: Aecli, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(lab / RUNS[3])
    assert missing_runs(lab / SWEEP) == [lab / RUNS[3]]
    assert aecli("runs", "yes=true", "remove", "10-fc") == 0
    assert missing_runs(lab / SWEEP) == [lab / RUNS[3]]  # of which nobody said that it may go
    assert json.loads((lab / SWEEP / PLAN_FILE).read_text()) == {"runs": ["2-fc-z3"]}


def test_a_run_is_removed_from_within_its_folder(
    lab: Path, aecli: Aecli, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = lab.absolute()
    monkeypatch.chdir(home / FIRST)
    assert aecli("runs", "remove", ".", "yes=true") == 0
    assert not (home / FIRST).exists()
    assert missing_runs(home / SWEEP) == []


def test_a_run_behind_a_link_is_refused_however_it_is_named(
    lab: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = lab.absolute().parent / "elsewhere"
    shutil.copytree(lab / OTHER, elsewhere / "run")
    (lab / "linked").symlink_to(elsewhere)
    for path in (lab / "linked/run", lab.absolute() / "linked/run"):
        assert aecli("runs", "remove", str(path), "yes=true") == 2
        assert f"is a link: remove {elsewhere / 'run'}" in capsys.readouterr().err
    assert (elsewhere / "run").exists()


def test_a_run_that_is_named_twice_counts_once(
    aecli: Aecli, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = (f"outputs/{FIRST}", str(lab.resolve() / FIRST), "fc-z3/2026-01-01")
    assert aecli("runs", "remove", *names, "yes=true") == 0
    assert "removed 1 run, " in capsys.readouterr().out
    assert aecli("runs", "remove", f"{lab.resolve()}/{SWEEP}", "2-fc-z3", "yes=true") == 0
    assert "removed 2 runs and 1 sweep, " in capsys.readouterr().out


def test_a_run_in_use_is_refused_and_so_are_all_others(
    aecli: Aecli, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(lab)
    with locked(lab / OTHER):
        assert aecli("runs", "remove", f"outputs/{FIRST}", "fc-z30", "yes=true") == 5
        assert f"outputs/{OTHER} is in use by process" in capsys.readouterr().err
        with pytest.raises(StorageError, match="in use"):
            remove(lab / OTHER)
    with locked(lab / SWEEP):
        assert aecli("runs", "remove", "2-fc-z3", "yes=true") == 5
    with locked(lab / PLANNED):
        assert aecli("runs", "remove", "latent", "yes=true") == 5
    assert tree(lab) == before


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("", 2, "runs remove takes the names of runs and sweeps, but none is given"),
        ("fc-z30", 2, "there is no terminal on which to ask: to remove them, add yes=true"),
        ("outputs/fc-z3 yes=true", 2, "is neither a run nor a sweep but holds 2: give one, such"),
        ("fc-z3 yes=true", 2, "fc-z3 stands for 2 runs"),
        ("nowhere yes=true", 2, "nowhere is neither a run nor a sweep, so it is not removed"),
        ("status=failed yes=true", 2, "runs remove takes the names of runs and sweeps, and yes"),
        ("link yes=true", 2, "link is a link: remove "),
        ("outputs/linked/run yes=true", 2, "outputs/linked is a link: remove "),
        ("foreign yes=true", 2, "foreign is neither a run nor a sweep"),
        ("unknown yes=true", 5, "has no manifest.json, so aecli cannot tell which files are its"),
    ],
)
def test_a_refused_removal_changes_nothing(
    line: str,
    status: int,
    message: str,
    aecli: Aecli,
    lab: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("link").symlink_to(lab / OTHER)
    shutil.copytree(lab / OTHER, "elsewhere/run")
    (lab / "linked").symlink_to(Path("elsewhere").resolve())
    Path("foreign").mkdir()
    Path("foreign", "multirun.yaml").touch()
    Path("unknown").mkdir()
    shutil.copy(lab / OTHER / "config.yaml", "unknown")
    before = tree(lab.parent)
    assert aecli("runs", "remove", *line.split()) == status
    errors = capsys.readouterr().err.splitlines()
    assert errors[-1].startswith("aecli: ") and message in errors[-1]
    assert tree(lab.parent) == before


def test_a_folder_that_is_called_remove_can_be_listed(
    aecli: Aecli, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.rename("remove")
    assert aecli("runs", "./remove") == 0
    assert "5 runs and 1 sweep" in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "is_removed"), [("y", True), ("n", False), ("", False)])
def test_it_asks_on_a_terminal(answer: str, is_removed: bool, lab: Path) -> None:
    master, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "aecli", "runs", "remove", "fc-z30"],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=with_project(),
    )
    os.write(master, f"{answer}\n".encode())
    output, _ = process.communicate()
    os.close(master)
    os.close(terminal)
    assert process.returncode == 0
    assert b"remove 1 run, " in output and b"? [y/N]" in output
    assert (b"removed 1 run" in output) == is_removed
    assert (b"nothing was removed" in output) != is_removed
    assert (lab / OTHER).exists() != is_removed


def test_a_killed_removal_is_reported_and_finished_by_the_next(used: Path, lab: Path) -> None:
    run = lab / "used" / "run"
    shutil.copytree(used, run)
    unlink = removal._unlink
    count = len(contents(run).files) + 1  # failure.json comes to them
    for stop in range(count):
        shutil.copytree(used, run, dirs_exist_ok=True)

        def killed(path: Path, files: list[Path], stop: int = stop) -> None:
            assert len(files) == count
            unlink(path, files[:stop])
            raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(removal, "_unlink", killed)
            remove(run)
        facts = read_facts(run)
        known = {0: State.finished, count - 2: State.damaged, count - 1: State.damaged}
        assert facts.state is known.get(stop, State.failed), stop
        if facts.state is State.failed:
            assert "removal was interrupted: aecli runs remove outputs/used" in str(facts.reason)
        assert run in [entry.path for entry in entries_below(lab)]
        assert remove(run) == []
        assert not run.exists()


def test_runs_can_be_removed_from_a_full_disk(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("aecli.runs.lock.scratch_folder", full)
    monkeypatch.setattr("aecli.runs.directory.write_atomically", full)
    assert remove(lab / FIRST) == []
    assert not (lab / FIRST).exists()
