"""What is kept of the benchmarks, and README's table, which is made of it."""

import json
from pathlib import Path

import pytest

from tests.benchmarks import runs


def run(line: str, ours: list[float], theirs: float) -> dict[str, object]:
    return {
        "line": line,
        "goal": 7,
        "aecli": [{"seconds": sum(ours) + 4, "epochs": [ours]}],
        "lecture": [{"seconds": theirs, "epochs": [[theirs / 2] * 2]}],
    }


def test_the_table_has_seconds_ratio_and_the_slowest_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "FOLDER", tmp_path)
    path = runs.keep({"runs": [run("train a", [2, 2, 3], 55), run("train b", [1, 1], 12)]})
    about = json.loads(path.read_text())["machine"]
    name = f"{about['processor']}; {about['cores']} cores, torch {about['torch']}"
    assert runs.table().splitlines()[2:] == [
        f"| {name} | `train a` | 11 s | 55 s | 5.0 | 1.50 |",
        "|  | `train b` | 6 s | 12 s | 2.0 | 1.00 |",
    ]


def test_other_parts_of_a_benchmark_file_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "FOLDER", tmp_path)
    runs.keep({"parts": [["fc", "1"]]})
    path = runs.keep({"runs": []})
    kept = json.loads(path.read_text())
    assert (kept["parts"], kept["runs"]) == ([["fc", "1"]], [])


def test_the_readme_has_the_table_of_the_benchmark_files() -> None:
    text = runs.README.read_text(encoding="utf-8")
    _, _, rest = text.partition(f"{runs.BEGIN}\n")
    found, _, _ = rest.partition(f"\n{runs.END}")
    assert found == runs.table()
