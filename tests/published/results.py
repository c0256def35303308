"""Our numbers for the rows: made by their commands, kept in docs/published/results/, one file per
row."""

import json
import os
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from aecli.config import default_data_dir
from tests.benchmarks.runs import machine
from tests.published.rows import FOLDER, PROJECT, RUN, Row

RESULTS = FOLDER / "results"
WORK = PROJECT / "outputs" / "published"


@dataclass
class Result:
    """The results of the commands of a row, seed by seed."""

    row: str
    line: str
    """The commands that made it: other commands make another number."""
    values: list[float] = field(default_factory=list)
    beside: dict[str, list[float]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    """Wall-clock seconds of all commands of a seed."""
    processor_seconds: list[float] = field(default_factory=list)
    """Seconds of all cores together, which another busy process hardly changes."""
    processors: list[str] = field(default_factory=list)
    """The machine that each seed ran on."""


def load(row: Row, folder: Path | None = None) -> Result | None:
    """The result of a row; None if there is none, or only one of other commands."""
    path = (folder or RESULTS) / f"{row.name}.json"
    if not path.exists():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    known = {each.name: content[each.name] for each in fields(Result) if each.name in content}
    return Result(**known) if content["line"] == row.line else None


def run(rows: Sequence[Row], work: Path = WORK, folder: Path = RESULTS) -> None:
    """Run the commands that these rows share, with each seed that one of them lacks, and save the
    results after each."""
    known = {row.name: load(row, folder) or Result(row.name, row.line) for row in rows}
    first = rows[0]
    done = min(len(known[row.name].values) for row in rows)
    for number_of_seed, seed in enumerate(first.drawn[done:], start=done):
        place = work / first.name / ("once" if seed is None else f"seed-{seed}")
        seconds, processor_seconds = _run_lines(first, seed, place)
        for row in rows:
            result = known[row.name]
            if len(result.values) == number_of_seed:
                _add(result, row, place)
                result.seconds.append(round(seconds, 1))
                result.processor_seconds.append(round(processor_seconds, 1))
                folder.mkdir(parents=True, exist_ok=True)
                text = json.dumps(asdict(result), indent=1)
                (folder / f"{row.name}.json").write_text(f"{text}\n", encoding="utf-8")


def _add(result: Result, row: Row, place: Path) -> None:
    """Add the results of the commands below a folder."""
    result.values.append(number(place, row.file, row.key))
    for name, key in row.beside.items():
        result.beside.setdefault(name, []).append(number(place, row.file, key))
    result.processors.append(_machine(place))


def _machine(place: Path) -> str:
    """The machine that the times depend on; with the GPU, if the runs below a folder used one."""
    about = machine()
    threads = os.environ.get("OMP_NUM_THREADS")  # next to other work, one is faster than several
    cores = f"{about['cores']} cores" + (f", OMP_NUM_THREADS={threads}" if threads else "")
    text = f"{about['processor']}; {cores}, torch {about['torch']}"
    run = next(place.rglob("summary.json"), None)
    device = json.loads(run.read_text(encoding="utf-8"))["device"] if run else "cpu"
    return text if device.startswith("cpu") else f"{device.partition(', ')[2]}; {text}"


def _run_lines(row: Row, seed: int | None, place: Path) -> tuple[float, float]:
    """Run all commands in an empty folder; return their wall-clock and processor seconds."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    started, used = time.perf_counter(), _processor_seconds()
    for line in row.lines:
        words = shlex.split(line)
        if seed is not None and words[0] == "train":
            words.append(f"seed={seed}")
        targets = _runs(place) if RUN in words else [RUN]
        for target in targets:
            _aecli([target if word == RUN else word for word in words], place)
    return time.perf_counter() - started, _processor_seconds() - used


def _aecli(words: list[str], place: Path) -> None:
    environment = {
        **os.environ,
        "AECLI_DATA": str(Path(default_data_dir()).resolve()),
        "PYTHONPATH": str(PROJECT),
    }
    line = [sys.executable, "-m", "aecli", *words]
    subprocess.run(line, cwd=place, env=environment, stdout=subprocess.DEVNULL, check=True)


def _runs(place: Path) -> list[str]:
    """The paths of the runs below a folder, relative to it."""
    return [str(path.parent.relative_to(place)) for path in sorted(place.rglob("summary.json"))]


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def number(place: Path, file: str, key: str) -> float:
    """The number at `key` of the files called `file` below a folder: the mean over them."""
    found = []
    for path in sorted(place.rglob(file)):
        value: Any = json.loads(path.read_text(encoding="utf-8"))
        for part in key.split("/"):
            value = value[int(part) if isinstance(value, list) else part]
        found.append(float(value))
    return statistics.fmean(found)
