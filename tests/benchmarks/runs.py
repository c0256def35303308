"""Whole runs at the default settings compared with the lectures' loop, from return to prompt.

Results are kept in docs/benchmarks/, one file per machine, and README's table is made from these
files.
"""

import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.progress import track

from aecli.runtime.terminal import err
from tests.benchmarks.contestants import data_dir

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "docs" / "benchmarks"
README = PROJECT / "README.md"
BEGIN, END = "<!-- whole runs: make bench writes this -->", "<!-- end of whole runs -->"
EPOCHS = 25


@dataclass(frozen=True)
class Run:
    """A command of aecli, and what the lecture's loop trains instead."""

    line: tuple[str, ...]
    lecture: tuple[str, ...]
    """The model, and its latent sizes."""
    goal: float
    """How many times as fast it has to be."""

    def __str__(self) -> str:
        return f"train {' '.join(self.line)}"


RUNS = [
    Run(("model=fc", "latent=25"), ("fc", "25"), 7),
    Run(("model=conv", "latent=25"), ("conv", "25"), 3.2),
    Run(("-m", "sweep=latent"), ("fc", "5", "25", "125", "784"), 6),
]
SLOWEST = 1.5  # times the median epoch, at most


def measure(rounds: int, epochs: int = EPOCHS) -> Iterator[list[dict[str, Any]]]:
    """Measure every run and its lecture in turn; yield the results so far after each. It takes
    three quarters of an hour."""
    found: list[dict[str, Any]] = [
        {"line": str(run), "goal": run.goal, "aecli": [], "lecture": []} for run in RUNS
    ]
    for number, run in track(
        [*enumerate(RUNS)] * rounds, "whole runs", console=err, disable=not err.is_terminal
    ):
        found[number]["aecli"].append(_aecli(run, epochs))
        found[number]["lecture"].append(_lecture(run, epochs))
        yield [each for each in found if each["lecture"]]


def _aecli(run: Run, epochs: int) -> dict[str, Any]:
    """The seconds of the process, and of the epochs of each of its runs."""
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, "-m", "aecli", "train", *run.line, "data=mnist", f"epochs={epochs}"]
        seconds, _ = _timed([*line, f"output_dir={folder}"])
        metrics = sorted(Path(folder).rglob("metrics.jsonl"))
        lines = [[json.loads(each) for each in file.read_text().splitlines()] for file in metrics]
    return {"seconds": seconds, "epochs": [[each["seconds"] for each in own] for own in lines]}


def _lecture(run: Run, epochs: int) -> dict[str, Any]:
    line = [sys.executable, "-m", "tests.benchmarks.lecture", *run.lecture, f"--epochs={epochs}"]
    seconds, output = _timed(line)
    every = json.loads(output)
    return {
        "seconds": seconds,
        "epochs": [every[i : i + epochs] for i in range(0, len(every), epochs)],
    }


def _timed(line: list[str]) -> tuple[float, str]:
    environment = {
        **os.environ, "AECLI_DATA": str(data_dir().resolve()), "PYTHONPATH": str(PROJECT),
    }  # fmt: skip
    started = time.perf_counter()
    done = subprocess.run(
        line, cwd=PROJECT, env=environment, check=True, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    return time.perf_counter() - started, done.stdout


def machine() -> dict[str, str | int]:
    """The machine and the versions that the numbers depend on."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "torch": version("torch"),
        "python": platform.python_version(),
        "aecli": version("aecli"),
        "date": datetime.date.today().isoformat(),
    }


def _processor() -> str:
    """The name of the processor with family and model, since a virtual machine may only call it a
    Xeon."""
    text = Path("/proc/cpuinfo").read_text()
    name, family, model = (
        re.search(rf"^{key}\s*: (.*)$", text, re.MULTILINE)
        for key in ("model name", "cpu family", "model")
    )
    assert name and family and model, "they are in the /proc/cpuinfo of every x86 processor"
    return f"{name[1]}, family {family[1]}, model {model[1]}"


def keep(results: dict[str, Any]) -> Path:
    """Write what was measured on this machine to its file, in addition to what is already there."""
    about = machine()
    name = re.sub(r"[^a-z0-9]+", "-", f"{about['processor']} {about['cores']} cores".lower())
    path = FOLDER / f"{name.strip('-')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    before = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**before, "machine": about, **results}, indent=1) + "\n")
    return path


def summary(found: dict[str, Any]) -> list[str]:
    """The cells of a run's row: seconds, those of the lecture, the ratio, the slowest epoch."""
    ours, theirs = (
        statistics.median(each["seconds"] for each in found[name]) for name in ("aecli", "lecture")
    )
    slowest = max(
        max(own) / statistics.median(own) for each in found["aecli"] for own in each["epochs"]
    )
    return [f"{ours:.0f} s", f"{theirs:.0f} s", f"{theirs / ours:.1f}", f"{slowest:.2f}"]


def table() -> str:
    """README's table, of all files in docs/benchmarks."""
    rows = [
        "| processor | command | aecli | lectures' loop | speed-up | slowest to median epoch |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for path in sorted(FOLDER.glob("*.json")):
        kept = json.loads(path.read_text())
        about = kept["machine"]
        name = f"{about['processor']}; {about['cores']} cores, torch {about['torch']}"
        for number, found in enumerate(kept["runs"]):
            cells = [name if number == 0 else "", f"`{found['line']}`", *summary(found)]
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def write_readme() -> None:
    """Put the table where README has its place for it."""
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")
