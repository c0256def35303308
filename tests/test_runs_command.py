"""`aecli runs`: what is listed, in what order, at which widths, and that nothing stops it."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from aecli.cli import console
from aecli.cli.completion import candidates
from aecli.cli.help import help_for
from aecli.cli.lookup import REMOVE
from aecli.cli.run_table import age, size
from aecli.comparison.gather import gather
from aecli.runs.directory import RunDirectory
from aecli.runs.listing import State, read_facts, size_on_disk
from aecli.runs.lock import LOCK, locked
from aecli.runs.sweep_plan import PLAN_FILE
from tests.conftest import planted, with_project
from tests.lab import FIRST, OTHER, PLANNED, RUNS, SECOND, SWEEP, make_lab, set_written

Aecli = Callable[..., int]


@pytest.fixture
def lab(tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return make_lab(Path("outputs"), finished)


@pytest.fixture
def shown(aecli: Aecli, lab: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What `aecli runs` prints in 120 columns."""

    def run(*arguments: str, width: int = 120) -> str:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(console, "out", Console(width=width, highlight=False, soft_wrap=False))
            assert aecli("runs", *arguments) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def objects(aecli: Aecli, lab: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """What `aecli runs json=true` prints."""

    def run(*arguments: str) -> Any:
        assert aecli("runs", *arguments, "json=true") == 0
        return json.loads(capsys.readouterr().out)

    return run


def first_words(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines() if line.split()]


def test_the_newest_comes_first_and_a_sweep_holds_its_runs(shown: Callable[..., str]) -> None:
    text = shown()
    expected = ["latent/2026-01-04_10-00", "2-fc-z3", "10-fc-z3-nearest"]
    names = ["fc-z30/2026-01-03_10-00", "fc-z3/2026-01-02_10-00", "fc-z3/2026-01-01_10-00"]
    assert first_words(text)[2:] == [*expected, *names, "5"]
    assert "4 runs and" not in text and "5 runs and 1 sweep, " in text
    assert re.search(r"10-fc-z3-nearest +synthetic +not started +0/1", text)
    assert re.search(r"latent/\S+ +synthetic +1/2 finished", text)
    summary = RunDirectory(Path("outputs", FIRST)).load_summary()
    mse, pca = summary["test"]["mse"], summary["baselines"]["pca"]["mse"]
    assert re.search(rf"finished +1/1 +{mse:.6f} +{mse / pca:.3f} +[\d,]+ d +[\d.]+ [kM]B", text)


def test_a_listed_name_finds_its_run(lab: Path, shown: Callable[..., str]) -> None:
    (lab / FIRST).rename(lab / "fc-z3" / "2026-01-02_10-00-30-000001")  # in the same minute
    text = shown("outputs")
    assert SECOND in text and "fc-z3/2026-01-02_10-00-30-000001" in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_nothing_is_cut(width: int, shown: Callable[..., str]) -> None:
    text = shown(width=width)
    table = text[: text.index("5 runs and")]
    assert "…" not in text and max(map(len, table.splitlines())) <= width
    mse = RunDirectory(Path("outputs", FIRST)).load_summary()["test"]["mse"]
    assert table.count(f"{mse:.6f}") == 4
    for name in ("2026-01-04_10-00", "2026-01-03_10-00", "10-fc-z3-nearest", "not started"):
        assert name in table
    for heading in ("epochs", "data", "size", "age", "to PCA"):
        assert heading in table  # as a column, or as one that is left out
    assert ("Left out at this width" in table) == (width < 120)


def test_json_has_whole_numbers_and_times(objects: Callable[..., Any], lab: Path) -> None:
    found = {each["name"]: each for each in objects()}
    assert list(found) == [RUNS[3], PLANNED, OTHER, SECOND, FIRST]
    run, summary = found[FIRST], RunDirectory(lab / FIRST).load_summary()
    assert run == {
        "run": f"outputs/{FIRST}",
        "name": FIRST,
        "sweep": None,
        "status": "finished",
        "reason": None,
        "data": "synthetic",
        "model": "conv",
        "latent": 3,
        "epochs": 1,
        "planned_epochs": 1,
        "test_mse": summary["test"]["mse"],
        "pca_mse": summary["baselines"]["pca"]["mse"],
        "ratio_to_pca": summary["test"]["mse"] / summary["baselines"]["pca"]["mse"],
        "written": run["written"],
        "bytes": size_on_disk(lab / FIRST),
    }
    assert datetime.fromisoformat(run["written"]).timestamp() == 1.7e9
    planned = found[PLANNED]
    assert planned["sweep"] == f"outputs/{SWEEP}"
    assert (planned["status"], planned["test_mse"]) == ("not_started", None)
    assert [each["name"] for each in objects(f"outputs/{SWEEP}")] == ["2-fc-z3", "10-fc-z3-nearest"]
    assert [each["name"] for each in objects(f"outputs/{FIRST}")] == [Path(FIRST).name]


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        (["status=not_started"], [PLANNED]),
        (["status=not_started,finished", "latent=3"], [RUNS[3], PLANNED, OTHER, SECOND, FIRST]),
        (["model=fc,deep"], []),
        (["data=mnist"], []),
        (["data=synthetic", "status=failed"], []),
        (["latent=3,5", "model=conv", "status=finished"], [RUNS[3], OTHER, SECOND, FIRST]),
    ],
)
def test_filters(keys: list[str], names: list[str], objects: Callable[..., Any]) -> None:
    assert [each["name"] for each in objects(*keys)] == names


def test_nothing_to_list_is_one_sentence(
    shown: Callable[..., str], objects: Callable[..., Any], tmp_path: Path
) -> None:
    assert "None of the 5 runs in outputs has data=mnist status=failed" in shown(
        "data=mnist", "status=failed"
    )
    (tmp_path / "empty").mkdir()
    assert shown("empty") == "There are no runs in empty: aecli train writes one.\n"
    assert objects("empty") == []


def test_the_outputs_folder_may_be_missing(
    aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("runs") == 0
    assert capsys.readouterr().out == "There are no runs in outputs: aecli train writes one.\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nowhere", "nowhere is not a folder: give one that holds runs, such as outputs"),
        ("outputs elsewhere", "runs lists one folder, not 2: outputs, elsewhere"),
        ("status=xyz", "status=xyz is not valid: give one of finished, closed, running, interr"),
        ("json=maybe", "json=maybe is not valid: give true or false"),
        ("yes=true", "yes=true is for removing runs: begin with aecli runs remove"),
        ("sort=mse", "there is no key 'sort'"),
    ],
)
def test_mistakes(
    line: str,
    message: str,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert aecli("runs", *line.split()) == 2
    output, errors = capsys.readouterr()
    assert output == "" and errors.startswith(f"aecli: {message}") and errors.count("\n") == 1


def test_every_status_is_shown(lab: Path, objects: Callable[..., Any]) -> None:
    failed, interrupted, damaged, running, lost = (RunDirectory(lab / name) for name in RUNS)
    for run in (failed, interrupted):
        run.summary_file.unlink()
    failed.save_failure("the disk was full")
    planted(damaged, "summary.json", "{}")
    lost.config_file.unlink()
    with locked(running.path):
        found = {each["run"]: each for each in objects()}
    states = [found[str(lab / name)]["status"] for name in RUNS]
    assert states == ["failed", "interrupted", "damaged", "running", "damaged"]
    assert found[str(failed.path)]["reason"] == "the disk was full"
    assert "test.mse is missing" in found[str(damaged.path)]["reason"]
    assert "config.yaml cannot be read" in found[str(lost.path)]["reason"]
    assert found[str(interrupted.path)]["epochs"] == 1


def test_a_run_that_was_closed_is_not_finished(
    lab: Path, objects: Callable[..., Any], shown: Callable[..., str]
) -> None:
    run = RunDirectory(lab / FIRST)
    planted(run, "summary.json", json.dumps({**run.load_summary(), "closed": "interrupted"}))
    planted(run, "config.yaml", run.config_file.read_text().replace("epochs: 1", "epochs: 4"))
    (found,) = objects("status=closed")
    assert (found["name"], found["epochs"], found["planned_epochs"]) == (FIRST, 1, 4)
    assert found["test_mse"] is not None
    assert re.search(r"closed +1/4 ", shown())


@pytest.mark.parametrize(
    "name", ["folder", "folder:my photos", "my-photos", "my-photos-{}", "mnist,my-photos"]
)
def test_runs_on_own_images_are_found_by_any_name_of_the_data_set(
    name: str, lab: Path, objects: Callable[..., Any]
) -> None:
    run = RunDirectory(lab / FIRST)
    summary = run.load_summary()
    fingerprint = summary["data"]["fingerprints"]["test"]
    data = {**summary["data"], "name": "folder:my photos"}
    planted(run, "summary.json", json.dumps({**summary, "data": data}))
    name = name.format(fingerprint[:8])
    assert [each["name"] for each in objects(f"data={name}")] == [FIRST]
    assert {*gather([Path("outputs")], name.rpartition(",")[2])} == {"my-photos"}


def test_a_filter_changes_nothing_about_a_sweep(shown: Callable[..., str]) -> None:
    text = shown("status=not_started")
    assert re.search(r"latent/\S+ +synthetic +1/2 finished", text)
    assert "10-fc-z3-nearest" in text and "2-fc-z3 " not in text
    assert "1 run and 1 sweep, " in text


def test_an_abandoned_lock_is_ignored(lab: Path) -> None:
    (lab / FIRST / LOCK).mkdir()
    holder = lab / FIRST / LOCK / "another.json"
    holder.write_text('{"pid": 1, "host": "another machine"}')
    assert read_facts(lab / FIRST).state is State.running  # its heartbeat is new
    os.utime(holder, (0, 0))
    assert read_facts(lab / FIRST).state is State.finished


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "data: 5", "data: {name: [1]}", "\x00", "a: " + "[" * 100, "epochs: many"],
)
@pytest.mark.parametrize("name", ["config.yaml", "summary.json", "failure.json", "metrics.jsonl"])
def test_all_runs_are_listed_whatever_a_file_contains(
    name: str, content: str, lab: Path, objects: Callable[..., Any]
) -> None:
    run = RunDirectory(lab / FIRST)
    planted(run, name, content)
    if name == "failure.json":
        run.summary_file.unlink()
    found = {each["name"]: each for each in objects()}
    assert len(found) == len(RUNS)
    is_damage = name in ("config.yaml", "summary.json")
    assert found[FIRST]["status"] == (
        "damaged" if is_damage else "failed" if name == "failure.json" else "finished"
    )
    assert not is_damage or str(lab / FIRST) in found[FIRST]["reason"]


def test_a_damaged_manifest_does_not_stop_the_listing(lab: Path, shown: Callable[..., str]) -> None:
    (lab / FIRST / "manifest.json").write_text("{")
    (lab / OTHER / "summary.json").write_text("{}")
    (lab / SWEEP / PLAN_FILE).write_text("{")
    text = shown()
    assert first_words(text).count("damaged:") == 2 and f"damaged: outputs/{OTHER}: " in text


def test_only_runs_are_listed(lab: Path, objects: Callable[..., Any]) -> None:
    stranger = lab / "of-another-program"
    (stranger / "inner").mkdir(parents=True)
    (stranger / "config.yaml").write_text("learning_rate: 1\n")
    (stranger / "inner" / "multirun.yaml").write_text("hydra: {}\n")
    assert len(objects()) == len(RUNS)


def test_a_link_has_its_own_size(lab: Path, tmp_path: Path) -> None:
    before = size_on_disk(lab / FIRST)
    big = tmp_path / "big"
    big.write_bytes(bytes(10**6))
    (lab / FIRST / "link").symlink_to(big)
    (lab / FIRST / "folder").symlink_to(tmp_path)
    assert before < size_on_disk(lab / FIRST) < before + 10**4


def test_a_name_cannot_control_the_terminal(lab: Path, shown: Callable[..., str]) -> None:
    (lab / FIRST).rename(lab / "fc-z3" / "a\x1b[2J\nb")
    set_written(lab / "fc-z3" / "a\x1b[2J\nb", 1)
    text = shown()
    assert "a\\x1b[2J\\x0ab" in text and "\x1b" not in text


def test_ages_and_sizes() -> None:
    now = time.time()
    ages = [age(now - seconds) for seconds in (-60, 5, 3599, 7200, 10 * 86400)]
    assert ages == ["0 s", "5 s", "59 min", "2 h", "10 d"]
    assert [size(n) for n in (0, 999, 1500, 45 * 10**6, 12 * 10**8)] == [
        "0 B", "999 B", "1.5 kB", "45 MB", "1.2 GB",
    ]  # fmt: skip


def test_it_does_not_import_torch(lab: Path) -> None:
    code = (
        "import sys\nfrom aecli.cli.main import run\nstatus = run(sys.argv[1:])\n"
        "sys.exit(status or bool({'torch', 'hydra', 'matplotlib'} & {*sys.modules}))"
    )
    for line in (["runs"], ["runs", "json=true"], ["runs", "remove", "fc-z30", "yes=true"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *line], capture_output=True, text=True, env=with_project()
        )
        assert done.returncode == 0, done.stderr
        assert "loading" not in done.stderr
    assert not (lab / OTHER).exists()


def test_the_shell_offers_states_and_the_verb() -> None:
    assert candidates("aecli runs status=f") == ["status=finished", "status=failed"]
    assert candidates("aecli runs rem") == [REMOVE]
    assert "data=mnist" in candidates("aecli runs data=")


def test_help_names_every_state() -> None:
    assert all(state.name in help_for("runs") for state in State)
