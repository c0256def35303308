"""What a command leaves beside a run: all of it, or nothing."""

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from aecli.runs.directory import RunDirectory
from aecli.runs.results import NUMBERS, Results


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
    with Results(RunDirectory(tmp_path), "evaluate") as results:
        results.figure("chart", some_figure())
        results.file("images/a.png", b"content")
        results.numbers({"mse": 0.25, "of_each": [0.5, 0.0], "count": 2})
        assert not results.folder.exists()  # until everything is there
    assert results.folder == tmp_path / "evaluate"
    assert files(tmp_path) == {
        f"evaluate/{name}" for name in ("chart.png", "chart.svg", "images/a.png", NUMBERS)
    }
    numbers = json.loads((results.folder / NUMBERS).read_text())
    assert numbers == {"mse": 0.25, "of_each": [0.5, 0.0], "count": 2}
    events = EventAccumulator(str(results.folder)).Reload()
    assert events.Tags()["images"] == ["evaluate/chart"]
    assert events.Tags()["scalars"] == ["evaluate/mse"]
    assert events.Scalars("evaluate/mse")[0].value == 0.25


def test_new_results_take_the_place_of_the_old(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with Results(RunDirectory(tmp_path), "evaluate") as results:
            results.file(name, b"content")
    assert files(tmp_path) == {"evaluate/new"}
    assert len(list(results.folder.glob("events.*"))) == 1


def test_after_a_failure_the_old_results_are_still_there(tmp_path: Path) -> None:
    with Results(RunDirectory(tmp_path), "evaluate") as results:
        results.file("old", b"content")
    with pytest.raises(KeyboardInterrupt), Results(RunDirectory(tmp_path), "evaluate") as results:
        results.file("new", b"content")
        raise KeyboardInterrupt
    assert files(tmp_path) == {"evaluate/old"}
    assert [path.name for path in tmp_path.iterdir()] == ["evaluate"]
