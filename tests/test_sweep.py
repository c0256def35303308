"""Sweeps from the command line: launchers, failures, interruptions, and going on."""

import functools
import json
import os
import re
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from aecli.cli.compose import compose
from aecli.config import TrainConfig
from aecli.data import Data, load_data, loaded
from aecli.data.loaded import load_cached_data, resolve_config, share_data
from aecli.errors import UsageError
from aecli.files.storage import write_atomically
from aecli.runs.directory import RunDirectory, Status
from aecli.runs.discovery import runs_below
from aecli.runs.lookup import find_run_or_sweep
from aecli.runs.tensorboard import EventsFile
from aecli.sweep.planned import longest_first, plan, run_planned, training_flops
from aecli.sweep.report import have_no_images_in_common
from aecli.sweep.search import Plan
from aecli.sweep.watch import Watch
from tests.apart import Done, run_apart
from tests.conftest import TINY, planted, undo

pytestmark = pytest.mark.undrawn

Aecli = Callable[..., int]

TWO_BY_TWO = ["model=fc,conv", "latent=2,3", *TINY]
NAMES = ["0-fc-z2", "1-fc-z3", "2-conv-z2", "3-conv-z3"]
# The second of two runs: a step so large that the first loss is not finite.
ONE_FAILS = ["model=fc", "model.output_activation=identity", "lr=0.001,1e38", *TINY]


def names(folder: Path) -> list[str]:
    """Name and status of every run below a folder."""
    return [f"{run.path.name} {run.status.value}" for run in runs_below(folder)]


def sweep_folder(folder: Path) -> Path:
    """The folder of the one sweep below a folder."""
    (file,) = folder.rglob("multirun.yaml")
    return file.parent


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_sweep_trains_every_combination_in_a_folder_of_its_own(
    launcher: str, aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("train", *TWO_BY_TWO, "-m", f"hydra/launcher={launcher}", "compare=false") == 0
    text = capsys.readouterr().out
    folder = sweep_folder(tmp_path)
    assert names(folder) == [f"{name} finished" for name in NAMES]
    for run in runs_below(folder):
        mse = run.load_summary()["test"]["mse"]
        assert re.search(rf"{run.path.name} +│ finished │ {mse:.6f} │ +\d+\.\d s", text)
    assert not [path for path in folder.iterdir() if path.name.startswith(".aecli")]


def test_the_images_of_a_sweep_are_loaded_once(
    aecli: Aecli, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []

    def counted(*arguments: Any) -> Data:
        loads.append(arguments)
        return load_data(*arguments)

    monkeypatch.setattr(loaded, "load_data", counted)
    for sweeps in (1, 2):
        assert aecli("train", "-m", "model=fc", "latent=2,3", *TINY, "compare=false") == 0
        assert len(loads) == sweeps


def test_the_launchers_train_the_same_models(data_dir: Path, tmp_path: Path) -> None:
    # In a process of its own, as joblib's are.
    for launcher in ("basic", "joblib"):
        place = [f"hydra/launcher={launcher}", f"hydra.sweep.dir={launcher}", "compare=false"]
        line = ["train", "-m", "model=fc", "latent=2,3", *TINY, f"data_dir={data_dir}"]
        done = run_apart([*line, *place], tmp_path)
        assert done.status == 0, done.errors
    for name in NAMES[:2]:
        first, second = (
            (tmp_path / launcher / name / "best.safetensors").read_bytes()
            for launcher in ("basic", "joblib")
        )
        assert first == second


def test_jobs_of_a_cluster_are_waited_for(aecli: Aecli, tmp_path: Path) -> None:
    line = ["hydra/launcher=submitit_local", "model=fc", "latent=2", "compare=false"]
    assert aecli("train", "-m", *line, *TINY) == 0
    assert names(sweep_folder(tmp_path)) == ["0-fc-z2 finished"]


def test_a_missing_cluster_is_reported_in_one_line(
    aecli: Aecli,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")  # no srun, wherever the tests run
    line = ["hydra/launcher=submitit_slurm", "model=fc", "latent=2"]
    assert aecli("train", "-m", *line, *TINY) == 1
    errors = capsys.readouterr().err
    assert 'Could not detect "srun"' in errors
    assert "Traceback" not in errors
    assert names(sweep_folder(tmp_path)) == ["0-fc-z2 not started"]


# Optuna 2, which Hydra's sweeper needs, is older than what it imports.
OLD_OPTUNA = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@OLD_OPTUNA
def test_a_search_minimises_the_validation_mse(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["sweep=search", "hydra.sweeper.n_trials=4", "batch_size=16", "compare=false"]
    assert aecli("train", "-m", *line, "latent=choice(2,3)", *TINY) == 0
    captured = capsys.readouterr()
    assert "search  4 trials in " in captured.out
    first, *_, last = (line for line in captured.err.splitlines() if ": test mse" in line)
    assert re.fullmatch(r"trial 1 of 4, 0-fc-z.* s; about \d:\d\d:\d\d left", first)
    assert re.fullmatch(r"trial 4 of 4, 3-fc-z.* s", last)
    (file,) = tmp_path.rglob("optimization_results.yaml")
    assert file.parent.parent.name == "search-synthetic"
    found = yaml.safe_load(file.read_text())
    summaries = [run.load_summary() for run in runs_below(file.parent)]
    best = min(summaries, key=lambda summary: summary["validation"]["mse"])
    assert len(summaries) == 4
    assert found["best_value"] == best["validation"]["mse"]
    assert found["best_params"]["latent"] == best["latent"]
    assert found["best_params"]["lr"] == best["lr"]
    assert 1e-4 <= best["lr"] <= 1e-2
    assert find_run_or_sweep("latest").resolve() == file.parent
    for run in runs_below(file.parent):  # the batch size is not searched
        lr, weight_decay = (run.load_summary()[key] for key in ("lr", "weight_decay"))
        words = {f"fc-z{run.load_config().latent}", f"lr{lr:.3g}", f"weight_decay{weight_decay:g}"}
        name = run.load_config().name
        assert run.path.name.partition("-")[2] == name
        assert all(word in name for word in words) and "batch" not in name


def test_the_time_that_a_search_takes_is_that_of_its_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(tmp_path, trials=3, started=1000.0)
    for number in range(3):
        run = RunDirectory(tmp_path / str(number))
        run.path.mkdir()
        run.save_config(compose(["model=fc"]))
    monkeypatch.setattr(time, "time", lambda: 1060.0)
    assert plan.count(1) == "trial 2 of 3"
    assert plan.time_left() == ""  # nothing to judge by
    (tmp_path / "1/failure.json").write_text('{"reason": "it failed"}')
    assert plan.time_left() == "; about 0:02:00 left"
    (tmp_path / "2/summary.json").write_text("{}")
    assert plan.time_left() == "; about 0:00:30 left"
    (tmp_path / "0/summary.json").write_text("{}")
    assert plan.time_left() == ""


@OLD_OPTUNA
def test_a_trial_that_fails_does_not_end_the_search(aecli: Aecli, tmp_path: Path) -> None:
    line = [
        "sweep=search",
        "hydra.sweeper.n_trials=4",
        "model.output_activation=identity",
        "compare=false",
    ]
    assert aecli("train", "-m", *line, "lr=choice(0.001,1e38)", *TINY) == 1
    (file,) = tmp_path.rglob("optimization_results.yaml")
    assert {run.status for run in runs_below(file.parent)} == {Status.finished, Status.failed}


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_one_failure_does_not_stop_the_others(
    launcher: str, aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [f"hydra/launcher={launcher}", "latent=2,3", "compare=false"]
    assert aecli("train", "-m", *ONE_FAILS, *line) == 1
    text, errors = capsys.readouterr()
    folder = sweep_folder(tmp_path)
    assert names(folder) == [
        "0-fc-z2-lr0.001 finished", "1-fc-z3-lr0.001 finished",
        "2-fc-z2-lr1e38 failed", "3-fc-z3-lr1e38 failed",
    ]  # fmt: skip
    assert re.search(r"2-fc-z2-lr1e38 +│ failed ", text)
    summary, *reasons = errors[errors.index("aecli: ") :].splitlines()
    relative = folder.relative_to(tmp_path)
    assert summary == (
        f"aecli: 2 of 4 runs are not finished; to resume: aecli train resume={relative}"
    )
    assert [reason.split(" became ")[0] for reason in reasons] == [
        "2-fc-z2-lr1e38: the training loss", "3-fc-z3-lr1e38: the training loss",
    ]  # fmt: skip


@OLD_OPTUNA
def test_a_search_without_a_good_trial_ends_in_lines(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [
        "sweep=search",
        "hydra.sweeper.n_trials=2",
        "model.output_activation=identity",
        "lr=1e38",
    ]
    assert aecli("train", "-m", *line, *TINY) == 1
    errors = capsys.readouterr().err
    assert "aecli: 2 of 2 runs are not finished\n" in errors  # a search cannot be resumed
    assert "Traceback" not in errors


@OLD_OPTUNA
def test_a_search_goes_on_after_a_trial_that_diverges_and_names_the_best(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", "hydra.sweeper.sampler.seed=0",
            "model.output_activation=identity", "compare=false", "model=fc"]  # fmt: skip
    assert (
        aecli("train", "-m", *line, "lr=choice(0.001,1e38)", "batch_size=choice(16,32)", *TINY) == 1
    )
    text, errors = capsys.readouterr()
    assert re.match(r"(?s).*\naecli: \d of 4 runs are not finished\n", errors)
    assert "Trial" not in errors and "A new study" not in errors  # the log of Optuna
    runs = [run for run in runs_below(tmp_path) if run.status is Status.finished]
    assert 0 < len(runs) < 4
    best = min(runs, key=lambda run: run.load_summary()["validation"]["mse"])
    mse, size = best.load_summary()["validation"]["mse"], best.load_config().batch_size
    words = " ".join(text.split())
    assert f"best trial {best.path.name}, validation mse {mse:.6f}: batch_size={size}" in words


@OLD_OPTUNA
@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "hydra.sweeper.storage=sqlite:////nowhere/s.db",
            "the search cannot start: OperationalErr",
        ),
        ("batch_size=choice(0,-1)", "aecli: batch_size="),
    ],
)
def test_an_error_before_the_first_trial_is_reported_unchanged(
    line: str, words: str, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    search = ["sweep=search", "hydra.sweeper.n_trials=2", line]
    assert aecli("train", "-m", *search, *TINY) == 2
    errors = capsys.readouterr().err
    assert words in errors and "run folders" not in errors and "Traceback" not in errors


@OLD_OPTUNA
def test_a_search_does_not_overwrite_runs(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["sweep=search", "hydra.sweeper.n_trials=1", "hydra.sweep.dir=mine", "compare=false"]
    assert aecli("train", "-m", *line, *TINY) == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "mine").rglob("*")}
    assert aecli("train", "-m", *line, *TINY) == 2
    assert "mine already holds runs" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "mine").rglob("*")} == before


def test_a_sweep_over_different_images_has_a_comparison_for_each(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["model=fc", "latent=2", *TINY, "data.test_size=50,60"]
    assert aecli("train", "-m", *line) == 0
    shown = capsys.readouterr()
    reports = sorted(tmp_path.rglob("report.html"))
    assert len(reports) == 2 and shown.out.count("report on synthetic-") == 2
    assert "no comparison" not in shown.err


def test_classes_are_compared_where_several_settings_have_the_same() -> None:
    def configs(*lines: list[str]) -> list[TrainConfig]:
        return [compose(line) for line in lines]

    zero, one = "data.classes=[0]", "data.classes=[1]"
    assert have_no_images_in_common(configs([zero], [one]))
    assert have_no_images_in_common(configs([zero], [one], [one, "seed=1"]))
    assert not have_no_images_in_common(configs([zero], [zero, "latent=3"], [one]))
    assert not have_no_images_in_common(configs([], ["latent=3"]))


def test_hydra_notes_the_command_line(aecli: Aecli, tmp_path: Path) -> None:
    line = ["model=fc", "latent=2,3", "model.output_activation=tanh", *TINY]
    assert aecli("train", "-m", *line, "compare=false", "hydra.sweep.dir=mine") == 0
    noted = yaml.safe_load((tmp_path / "mine/multirun.yaml").read_text())
    assert noted["hydra"]["overrides"]["task"] == line
    job = yaml.safe_load((tmp_path / "mine/1-fc-z3/.hydra/overrides.yaml").read_text())
    assert job == ["model=fc", "latent=3", "model.output_activation=tanh", *TINY]


def test_the_longest_run_is_launched_first_with_one_thread_and_decoded_images(
    aecli: Aecli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[str] = []
    given: dict[str, object] = {}

    def here(
        jobs: dict[str, list[str]], folder: Path, _: list[str], job: functools.partial[None]
    ) -> list[Exception]:
        launched.extend(jobs)
        given.update(job.keywords, files=[*job.keywords["shared"].iterdir()])
        return []

    monkeypatch.setattr("aecli.sweep.launch.run_jobs", here)
    line = ["hydra/launcher=joblib", "latent=2,300,40", "model=fc"]
    assert aecli("train", "-m", *line, *TINY) == 1  # for nothing was trained
    assert launched == ["1-fc-z300", "2-fc-z40", "0-fc-z2"]
    assert given["threads"] == 1
    assert isinstance(given["files"], list) and len(given["files"]) == 1
    assert not list(tmp_path.rglob(".aecli-images"))


def test_invalid_values_are_refused_before_the_first_run(aecli: Aecli, tmp_path: Path) -> None:
    for line in (
        ["latent=5,0"],
        ["model=fc,cnv"],
        ["data.train_size=100,70000"],  # more than there are
        ["device=cpu,cuda:99"],
        ["model=conv", "model.layers.0.kernel=3,99"],  # nothing would be left of the image
        ["latent=2,3", "hydra.sweep.subdir=same"],
    ):
        assert aecli("train", "-m", *TINY, *line) == 2
    assert not list(tmp_path.rglob("config.yaml"))


def test_a_folder_that_holds_a_sweep_is_not_used_again(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["train", "-m", "model=fc", *TINY, "hydra.sweep.dir=mine", "compare=false"]
    assert aecli(*line, "latent=2") == 0
    before = (tmp_path / "mine/0-fc-z2/summary.json").stat().st_mtime_ns
    capsys.readouterr()
    assert aecli(*line, "latent=2,3") == 2
    assert "mine already holds runs: resume them with resume=mine" in capsys.readouterr().err
    assert (tmp_path / "mine/0-fc-z2/summary.json").stat().st_mtime_ns == before
    assert names(tmp_path / "mine") == ["0-fc-z2 finished"]


def test_a_folder_may_have_any_name(aecli: Aecli, tmp_path: Path) -> None:
    strange = "it's a=b, (c) {d} $e"
    line = ["model=fc", "latent=2", "compare=false", *TINY]
    quoted = strange.replace("'", "\\'")
    assert aecli("train", "-m", *line, f"hydra.sweep.dir='{quoted}'") == 0
    assert names(tmp_path / strange) == ["0-fc-z2 finished"]


def lead_a_group(file: Path) -> None:
    """Make this process the first of a group, as a shell does, and write down its number."""
    os.setsid()
    # The tests may run in a shell's background, where SIGINT is ignored, and pass that on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    write_atomically(file, str(os.getpid()).encode())


def interrupted(
    line: list[str], number: signal.Signals, when: Callable[[], bool], folder: Path
) -> Done:
    """Start a sweep, and send it a signal as soon as `when` says so."""
    file = folder / ".group"
    before = functools.partial(lead_a_group, file)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(run_apart, ["train", "-m", *line], folder, before)
        try:
            deadline = time.monotonic() + 120
            while not when():
                assert time.monotonic() < deadline and not running.done()
                time.sleep(0.02)
            # To the whole group, as a terminal does.
            os.killpg(int(file.read_text()), number)
            return running.result()
        finally:
            if not running.done():
                os.killpg(int(file.read_text()), signal.SIGKILL)


@pytest.mark.undrawn
@pytest.mark.parametrize(
    ("launcher", "number", "status"),
    [
        ("basic", signal.SIGINT, 130),
        ("basic", signal.SIGTERM, 143),
        pytest.param("basic", signal.SIGKILL, -9, marks=pytest.mark.soak),
        pytest.param("joblib", signal.SIGINT, 130, marks=pytest.mark.soak),
        ("joblib", signal.SIGKILL, -9),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_an_interrupted_sweep_is_resumed(
    launcher: str,
    number: signal.Signals,
    status: int,
    aecli: Aecli,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # The first run is short, and the others would take for ever.
    line = ["model=fc", "latent=2,3,4", "epochs=1", "data.train_size=256", *TINY[:1], *TINY[2:4]]
    folder = tmp_path / "mine"
    assert aecli("train", "-m", *line, "hydra.sweep.dir=mine", "compare=false", "device=cpu") == 0
    finished, *others = runs_below(folder)
    for run in others:
        config = run.load_config()
        undo(run)
        run.save_config(TrainConfig(**{**vars(config), "epochs": 100_000}))
    before = finished.summary_file.stat().st_mtime_ns
    begun = others[-1 if launcher == "joblib" else 0]

    done = interrupted(
        ["resume=mine", f"hydra/launcher={launcher}"],
        number,
        lambda: begun.finished_epochs() > 0,
        tmp_path,
    )
    assert done.status == status
    if number != signal.SIGKILL:
        assert (
            "aecli: interrupted: 1 of 3 runs finished; to resume: aecli train resume=mine; "
            "to use the runs as they are: aecli train resume=mine finish=true\n" in done.errors
        )
        assert "Traceback" not in done.errors and "Warning" not in done.errors
    assert begun.status is Status.interrupted

    trained = {run.path: run.finished_epochs() for run in others}
    for run in others:
        epochs = trained[run.path] + 2
        run.save_config(TrainConfig(**{**vars(run.load_config()), "epochs": epochs}))
    capsys.readouterr()
    assert aecli("train", "-m", "resume=mine", "compare=false") == 0
    assert names(folder) == ["0-fc-z2 finished", "1-fc-z3 finished", "2-fc-z4 finished"]
    assert finished.summary_file.stat().st_mtime_ns == before  # it was not trained again
    for run in others:
        epochs = trained[run.path] + 2
        assert [line["epoch"] for line in run.load_metrics()] == list(range(1, epochs + 1))


def test_a_sweep_interrupted_before_its_first_run_is_resumed(
    aecli: Aecli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    line = ["model=fc", "latent=2", *TINY, "compare=false", "hydra.sweep.dir=mine"]
    with monkeypatch.context() as patch:
        patch.setattr("aecli.sweep.launch.run_jobs", interrupt)
        assert aecli("train", "-m", *line) == 130
    advice = "interrupted: 0 of 1 runs finished; to resume: aecli train resume=mine"
    assert advice in capsys.readouterr().err
    assert aecli("train", "-m", "resume=mine", "compare=false") == 0
    assert names(tmp_path / "mine") == ["0-fc-z2 finished"]


def test_failed_runs_are_tried_again(aecli: Aecli, tmp_path: Path) -> None:
    assert aecli("train", "-m", *ONE_FAILS, "compare=false") == 1
    folder = sweep_folder(tmp_path)
    failed = runs_below(folder)[1]
    overrides = (failed.path / ".hydra/overrides.yaml").read_text()
    assert aecli("train", "-m", f"resume={folder}", "compare=false") == 1  # and fails again
    failed.save_config(TrainConfig(**{**vars(failed.load_config()), "lr": 0.002}))
    assert aecli("train", "-m", f"resume={folder}", "compare=false") == 0
    assert names(folder) == ["0-fc-z25-lr0.001 finished", "1-fc-z25-lr1e38 finished"]
    assert not failed.failure_file.exists()
    assert (failed.path / ".hydra/overrides.yaml").read_text() == overrides


def test_a_retried_run_does_not_count_as_failed(
    aecli: Aecli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert aecli("train", "-m", *ONE_FAILS, "compare=false", "hydra.sweep.dir=mine") == 1
    seen: list[Status] = []

    def look(jobs: dict[str, list[str]], folder: Path, *_: object) -> list[Exception]:
        seen.extend(RunDirectory(folder / name).status for name in jobs)
        return []

    monkeypatch.setattr("aecli.sweep.launch.run_jobs", look)
    aecli("train", "-m", "resume=mine", "compare=false")
    assert seen == [Status.interrupted]


def test_resuming_a_finished_sweep_trains_nothing(aecli: Aecli, tmp_path: Path) -> None:
    assert aecli("train", "-m", "model=fc", "latent=2", *TINY, "compare=false") == 0
    folder = sweep_folder(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert aecli("train", "-m", f"resume={folder}", "compare=false") == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["-m", "resume=nowhere"], "resume=nowhere is neither a run folder"),
        (["resume=nowhere"], "nor a sweep folder, which contains a multirun.yaml"),
        (["compare=false"], "compare=false is for a sweep: add -m"),
        (["-m", "compare=maybe"], "compare=maybe is not valid: give true or false"),
    ],
)
def test_mistakes_with_sweeps_are_named(
    line: list[str], words: str, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("train", *line) == 2
    assert words in capsys.readouterr().err


def test_a_resumed_sweep_takes_no_other_values(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "multirun.yaml").touch()
    assert aecli("train", "-m", "resume=.", "latent=5") == 2
    assert "latent=5: a resumed sweep trains its runs as planned" in capsys.readouterr().err


def test_a_resumed_configuration_is_read_as_plain_data(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["-m", "model=fc", "latent=2", *TINY, "hydra.sweep.dir=mine", "compare=false"]
    assert aecli("train", *line) == 0
    run = RunDirectory(tmp_path / "mine/0-fc-z2")
    run.summary_file.unlink()
    text = run.config_file.read_text()
    planted(run, "config.yaml", text.replace("name: fc-z2", "name: ${oc.env:HOME}"))
    assert aecli("train", "-m", "resume=mine") == 1
    assert "name=${oc.env:HOME} is not valid" in capsys.readouterr().err


# What a sweep is made of.


def configs(data_dir: Path, *lines: list[str]) -> dict[str, TrainConfig]:
    common = [*TINY, f"data_dir={data_dir}"]
    composed = [compose([*common, *line]) for line in lines]
    return {
        str(number): resolve_config(config, load_cached_data(config))
        for number, config in enumerate(composed)
    }


def test_a_plan_is_a_folder_with_a_configuration_for_each_run(
    data_dir: Path, tmp_path: Path
) -> None:
    planned = plan(tmp_path, configs(data_dir, ["latent=2"], ["latent=3"]))
    assert [run.status for run in planned] == [Status.planned] * 2
    assert [run.load_config().latent for run in planned] == [2, 3]
    with pytest.raises(UsageError, match="already holds runs"):
        plan(tmp_path, {})


def test_the_longest_run_comes_first(data_dir: Path, tmp_path: Path) -> None:
    lines = [["model=fc"], ["model=denoising"], ["model=fc", "epochs=3"], ["model=conv"]]
    order = longest_first(plan(tmp_path, configs(data_dir, *lines)))
    assert [run.path.name for run in order] == ["1", "3", "2", "0"]


def test_the_work_of_a_run_is_that_of_its_products(data_dir: Path) -> None:
    (config,) = configs(data_dir, ["model=fc", "latent=5", "epochs=2"]).values()
    # two layers of 784 x 5 products, each a multiplication and an addition, three passes
    assert training_flops(config) == 3 * 2 * (2 * 784 * 5) * 256 * 2


def test_shared_images_are_the_decoded_ones(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (config,) = configs(data_dir, ["model=fc"]).values()
    data = load_cached_data(config)
    share_data(config, tmp_path)

    def refuse(*_: object) -> None:
        raise AssertionError("decoded once more")

    monkeypatch.setattr(loaded, "load_data", refuse)
    shared = load_cached_data(config, tmp_path)
    for name in ("train", "validation", "test"):
        for part in ("images", "labels"):
            kept, original = (getattr(getattr(each, name), part) for each in (shared, data))
            assert torch.equal(kept, original) and kept.dtype == original.dtype
    assert (shared.name, shared.source, shared.notice) == (data.name, data.source, data.notice)


def test_a_run_computes_with_the_threads_that_it_is_given(data_dir: Path, tmp_path: Path) -> None:
    (run,) = plan(tmp_path, configs(data_dir, ["model=fc"]))
    before = torch.get_num_threads()
    try:
        run_planned(run.path, display=None, threads=3, shared=None)
        assert run.load_summary()["device"] == "cpu, 3 threads"
    finally:
        torch.set_num_threads(before)


def test_a_run_restarted_by_a_cluster_starts_again(data_dir: Path, tmp_path: Path) -> None:
    (run,) = plan(tmp_path, configs(data_dir, ["model=fc"]))
    with EventsFile(run.path) as events:  # of the attempt that was killed
        events.scalar("loss/train", 1.0, 1)
    run.save_failure("killed")
    run_planned(run.path, display=None, threads=None, shared=None)
    assert run.status is Status.finished
    assert not run.failure_file.exists()
    shown = EventAccumulator(str(run.path)).Reload().Scalars("loss/train")
    assert [(event.step, event.value) for event in shown] == [
        (line["epoch"], pytest.approx(line["train_loss"])) for line in run.load_metrics()
    ]


def test_a_bug_in_one_run_is_recorded_with_its_traceback(
    data_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("not enough memory")

    monkeypatch.setattr("aecli.sweep.planned.run_experiment", fail)
    (run,) = plan(tmp_path, configs(data_dir, ["model=fc"]))
    run_planned(run.path, display=None, threads=None, shared=None)
    assert run.failure() == "RuntimeError: not enough memory"
    assert "Traceback" in capsys.readouterr().err


def test_progress_is_read_from_the_folders(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = plan(tmp_path, configs(data_dir, ["model=fc", "epochs=7"], ["model=fc"], ["model=fc"]))
    watch = Watch(runs)
    watch._update()
    assert [task.description for task in watch._bars._progress.tasks] == ["sweep"]
    runs[0].metrics_file.write_text(
        json.dumps({"epoch": 1}) + "\n" + json.dumps({"epoch": 2}) + "\n"
    )
    runs[1].save_failure("the loss became nan")
    watch._update()
    total, first = watch._bars._progress.tasks
    assert (total.completed, total.total) == (1, 3)
    assert (first.description, first.completed, first.total) == ("0", 2, 7)
    assert "1: the loss became nan" in capsys.readouterr().err


@OLD_OPTUNA
def test_every_trial_of_a_search_starts_from_the_same_run(aecli: Aecli, tmp_path: Path) -> None:
    """Also with `latest`, although each trial is newer than the one before it."""
    own = [*TINY, "model=fc", "latent=2"]
    assert aecli("train", *own, "hydra.run.dir=outputs/first") == 0
    line = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "compare=false", "init=latest",
            "lr=choice(0.001,0.002)", "hydra.sweep.dir=outputs/search"]  # fmt: skip
    assert aecli("train", "-m", *own, *line) == 0
    runs = runs_below(tmp_path / "outputs" / "search")
    assert len(runs) == 3
    assert {run.load_config().init for run in runs} == {str(tmp_path / "outputs" / "first")}
