"""The results that a command saves in a run: all of them, or none."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from aecli.errors import StorageError
from aecli.runs.directory import RunDirectory
from aecli.runs.owned import MANIFEST
from aecli.runs.results import NUMBERS, Results
from aecli.runs.tensorboard import EventsFile


def some_figure() -> Figure:
    figure = Figure((2, 1), dpi=50)
    figure.add_subplot().plot([0, 1])
    return figure


def files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("events.")
    }


def test_figures_and_numbers_are_there_and_in_tensorboard(tmp_path: Path) -> None:
    with Results.for_run(RunDirectory(tmp_path), "evaluate") as results:
        results.figure("chart", some_figure())
        results.file("images/a.png", b"content")
        results.numbers({"mse": 0.25, "of_each": [0.5, 0.0], "count": 2})
        assert not results.folder.exists()  # until everything is there
    assert results.folder == tmp_path / "evaluate"
    names = ("chart.png", "chart.svg", "images/a.png", MANIFEST, NUMBERS)
    assert files(tmp_path) == {MANIFEST, *(f"evaluate/{name}" for name in names)}
    numbers = json.loads((results.folder / NUMBERS).read_text())
    assert numbers == {"mse": 0.25, "of_each": [0.5, 0.0], "count": 2}
    events = EventAccumulator(str(tmp_path)).Reload()
    assert events.Tags()["images"] == ["results/evaluate/chart"]
    assert events.Tags()["scalars"] == ["results/evaluate/mse"]
    assert events.Scalars("results/evaluate/mse")[0].value == 0.25


def test_new_results_replace_the_old(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with Results.for_run(RunDirectory(tmp_path), "evaluate") as results:
            results.file(name, b"content")
    assert files(tmp_path) == {MANIFEST, "evaluate/new", f"evaluate/{MANIFEST}"}
    assert len(list(tmp_path.rglob("events.*"))) == 1


def test_to_tensorboard_a_run_and_its_commands_are_one_run(tmp_path: Path) -> None:
    with EventsFile(tmp_path) as events:
        events.scalar("loss/train", 0.5)
    for number, command in enumerate(["evaluate", "sample", "evaluate"]):
        with Results.for_run(RunDirectory(tmp_path), command) as results:
            results.numbers({"mse": float(number)})
            results.file_for_tensorboard("projector_config.pbtxt", b"something")
    folders = {path.parent for path in tmp_path.rglob("*tfevents*")}
    assert folders == {tmp_path}
    found = EventAccumulator(str(tmp_path)).Reload()
    assert found.Scalars("loss/train")[0].value == 0.5
    assert [event.value for event in found.Scalars("results/evaluate/mse")] == [2]
    assert [event.value for event in found.Scalars("results/sample/mse")] == [1]
    assert (tmp_path / "projector_config.pbtxt").read_bytes() == b"something"
    with Results.for_run(RunDirectory(tmp_path), "evaluate", str(tmp_path / "mine")) as results:
        results.numbers({"mse": 7.0})
    assert len(list((tmp_path / "mine").glob("*tfevents*"))) == 1  # asked for elsewhere


def test_while_the_run_is_trained_results_are_kept_and_announced(
    tmp_path: Path,
) -> None:
    run = RunDirectory(tmp_path)
    with (
        run.locked(),
        pytest.raises(StorageError, match="in use by process .*; the results are in .*/evaluate"),
        Results.for_run(RunDirectory(tmp_path), "evaluate") as results,
    ):
        results.numbers({"mse": 0.25})
    assert (tmp_path / "evaluate" / NUMBERS).is_file()


def test_another_programs_projector_stays(tmp_path: Path) -> None:
    (tmp_path / "projector_config.pbtxt").write_text("precious")
    with (
        pytest.raises(StorageError, match="projector_config.pbtxt was not written by aecli"),
        Results.for_run(RunDirectory(tmp_path), "embed") as results,
    ):
        results.file("map.png", b"content")
        results.file_for_tensorboard("projector_config.pbtxt", b"something")
    assert (tmp_path / "projector_config.pbtxt").read_text() == "precious"
    assert len(list(tmp_path.glob("embed-kept-*/map.png"))) == 1


def test_after_a_failure_the_old_results_are_still_there(tmp_path: Path) -> None:
    with Results.for_run(RunDirectory(tmp_path), "evaluate") as results:
        results.file("old", b"content")
    run = RunDirectory(tmp_path)
    with pytest.raises(KeyboardInterrupt), Results.for_run(run, "evaluate") as results:
        results.file("new", b"content")
        raise KeyboardInterrupt
    assert files(tmp_path) == {MANIFEST, "evaluate/old", f"evaluate/{MANIFEST}"}


def test_files_of_other_programs_stay(tmp_path: Path) -> None:
    for _ in range(2):
        with Results(tmp_path / "evaluate", "evaluate") as results:
            results.figure("chart", some_figure())
        (tmp_path / "evaluate/notes.md").write_text("precious")
    assert (tmp_path / "evaluate/notes.md").read_text() == "precious"
    assert not list(tmp_path.glob(".*"))


def test_an_edited_result_is_not_replaced(tmp_path: Path) -> None:
    with Results(tmp_path / "evaluate", "evaluate") as results:
        results.figure("chart", some_figure())
    (tmp_path / "evaluate/chart.svg").write_text("with my colours")
    with pytest.raises(StorageError, match="chart.svg has been changed since aecli wrote it"):
        Results(tmp_path / "evaluate", "evaluate")
    assert (tmp_path / "evaluate/chart.svg").read_text() == "with my colours"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("folder", ["export", "new/folder", "."])
def test_a_file_in_the_way_is_named(folder: str, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / folder / "model.onnx").write_text("precious")
    with (
        pytest.raises(StorageError, match="model.onnx was not written by aecli"),
        Results(tmp_path / folder, "export") as results,
    ):
        results.file("model.onnx", b"content")
    assert files(tmp_path / folder) == {"model.onnx"}
    assert (tmp_path / folder / "model.onnx").read_text() == "precious"


def test_a_file_in_the_way_is_named_before_anything_is_computed(tmp_path: Path) -> None:
    (tmp_path / "evaluate").mkdir()
    (tmp_path / "evaluate" / NUMBERS).write_text("precious")
    with pytest.raises(StorageError, match=f"{NUMBERS} was not written by aecli"):
        Results(tmp_path / "evaluate", "evaluate")
    assert files(tmp_path) == {f"evaluate/{NUMBERS}"}


def test_results_that_cannot_be_put_in_place_are_kept(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match="the new results are in .*-kept-") as raised,
        Results(tmp_path / "export", "export") as results,
    ):
        results.file("deep/model.onnx", b"content")
        (tmp_path / "export/deep").mkdir(parents=True)
        (tmp_path / "export/deep/model.onnx").write_text("precious")
    kept = Path(str(raised.value).rpartition(" in ")[2])
    assert (kept / "deep/model.onnx").read_bytes() == b"content"
    assert files(tmp_path / "export") == {"deep/model.onnx"}
    assert (tmp_path / "export/deep/model.onnx").read_text() == "precious"


def test_two_commands_at_once_do_not_replace_each_others_results(tmp_path: Path) -> None:
    with Results(tmp_path / "here", "evaluate") as results:
        results.file("old", b"old")
    with (
        pytest.raises(StorageError, match="another command has written its results to .*here"),
        Results(tmp_path / "here", "probe") as second,
    ):
        second.file("second", b"second")
        with Results(tmp_path / "here", "evaluate") as first:
            first.file("first", b"first")
    assert (tmp_path / "here/first").read_bytes() == b"first"
    assert not (tmp_path / "here/second").exists()
    (kept,) = tmp_path.glob("here-kept-*/second")
    assert kept.read_bytes() == b"second"


@pytest.mark.parametrize("command", ["evaluate", "sample", "probe"])
def test_a_command_looks_for_files_in_the_way_first(
    command: str,
    run: RunDirectory,
    aecli: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def compute(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(f"aecli.analysis.{command}.{command}", compute)
    (run.path / command).mkdir()
    (run.path / command / NUMBERS).write_text("precious")
    assert aecli(command, str(run.path)) == 5
    assert f"{NUMBERS} was not written by aecli" in capsys.readouterr().err


def test_results_go_to_the_folder_that_is_named(
    run: RunDirectory, aecli: Callable[..., int], tmp_path: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    assert aecli("evaluate", str(run.path), "output=there/too") == 0
    assert (tmp_path / "there/too" / NUMBERS).is_file()
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before


def test_a_run_is_refused_as_a_folder_for_results(
    run: RunDirectory, aecli: Callable[..., int]
) -> None:
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    (run.path.parent / "link").symlink_to(run.path)
    for folder in (run.path, run.path.parent / "link"):
        assert aecli("evaluate", str(run.path), f"output={folder}") == 2
        assert aecli("compare", str(run.path), f"output={folder}") == 2
    assert before == {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
