"""How fast aecli is, compared with what people would use instead: `make bench`.

First whole runs, from return to prompt, which are what people wait for (runs.py): three quarters of
an hour. In the parts that follow every number is a ratio of two times that were measured one after
the other: each contestant has a process of its own, and in every round they train an epoch in turn,
while the others wait. It is the median of several rounds, with the smallest and the largest. Run it
on an otherwise idle machine; it takes an hour on two cores.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import track
from rich.table import Table

from aecli.runtime.terminal import err
from tests.benchmarks import runs
from tests.benchmarks.contestants import data_dir

MB = 2**20
PARTS = ["runs", "epochs", "commands", "growth"]


@dataclass(frozen=True)
class Case:
    """One network, and enough images for an epoch that is long enough to be timed."""

    model: str
    latent: int
    images: int

    def __str__(self) -> str:
        return f"{self.model}, latent {self.latent}"


CASES = [
    Case("fc", 25, 55_000),
    Case("fc", 784, 22_000),
    Case("conv", 25, 11_000),
    Case("denoising", 25, 2_560),
    Case("deep", 25, 2_560),
]
BF16, COMPILED = "precision=bf16", "compile=true"
# What is measured in each round: a name, the contestant, and its further settings. Those that are
# compared are next to one another.
CONTESTANTS: dict[str, list[str]] = {
    "lightning": ["lightning"],
    "lecture": ["lecture"],
    "aecli": ["aecli"],
    "bare": ["bare"],
    "bf16": ["aecli", BF16],
    "both": ["aecli", BF16, COMPILED],
    "compiled": ["aecli", COMPILED],
    "whole": ["whole", "epochs=3"],
    "limit": ["limit"],
}
COLUMNS = ["", "what", "median", "smallest to largest", "handed over quickly, slowly", "goal"]
RUNS = 3  # rounds of what takes longer: commands, and growing sizes
APART = 1.25  # by this factor, at least, handing over work takes longer if the cores share no cache


@dataclass(frozen=True)
class Comparison:
    """The quotient of two measurements."""

    title: str
    above: str
    below: str
    goals: dict[tuple[str, int], float]
    """The ratio to reach with 2 threads, by model and latent size."""


EVERY = [(case.model, case.latent) for case in CASES]
COMPARISONS = [
    Comparison(
        "times as fast as the lecture's loop", "lecture", "aecli",
        {("fc", 25): 9, ("conv", 25): 2.6, ("denoising", 25): 1.5, ("deep", 25): 1.3},
    ),
    Comparison(
        f"the same with {BF16}", "lecture", "bf16", {("denoising", 25): 3, ("deep", 25): 2}
    ),
    Comparison(f"the same with {COMPILED}", "lecture", "compiled", {}),
    Comparison("the same with both", "lecture", "both", {}),
    Comparison(
        "times as fast as the Lightning Trainer", "lightning", "aecli",
        {each: 1.5 if each[0] == "fc" else 1 for each in EVERY},
    ),
    Comparison("of the speed of a bare loop", "bare", "aecli", dict.fromkeys(EVERY, 1 / 1.05)),
    Comparison("the same with all else that a run does", "bare", "whole", {}),
    Comparison("of the speed of matrix products", "limit", "aecli", {}),
]  # fmt: skip


@dataclass(frozen=True)
class PerImageScores:
    """The cost of one epoch."""

    seconds: float
    peak: int
    """Peak memory in bytes, of all epochs so far."""
    handover: float
    """Seconds until all threads had received work and finished it."""


class Contestant:
    """A process that trains an epoch whenever it is asked to, and otherwise sleeps."""

    def __init__(self, case: Case, arguments: list[str], threads: int) -> None:
        """Start it, and let it warm up."""
        name, *overrides = arguments
        self._line = [
            sys.executable, "-m", "tests.benchmarks.contestants", name, case.model,
            str(case.latent), *overrides, f"--images={case.images}",
        ]  # fmt: skip
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            self._line, env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
        )  # fmt: skip
        self.epoch()

    def epoch(self) -> PerImageScores:
        """Train one."""
        assert self._process.stdin and self._process.stdout, "they are pipes"
        print(file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            self._errors.seek(0)
            raise SystemExit(f"{' '.join(self._line)}\n{self._errors.read()}")
        return PerImageScores(**json.loads(answer))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # no more epochs: it ends
        self._errors.close()


def measure(case: Case, arguments: list[str], threads: int) -> PerImageScores:
    """One epoch of one contestant."""
    with Contestant(case, arguments, threads) as contestant:
        return contestant.epoch()


def measure_in_turn(case: Case, threads: int, rounds: int) -> list[dict[str, PerImageScores]]:
    """The cost of each contestant in each round."""
    with ExitStack() as stack:
        contestants = {
            name: stack.enter_context(Contestant(case, arguments, threads))
            for name, arguments in CONTESTANTS.items()
        }
        return [
            {name: contestant.epoch() for name, contestant in contestants.items()}
            for _ in range(rounds)
        ]


def epochs(threads: int, rounds: int, table: Table) -> None:
    """Add the ratios between epochs for one number of threads."""
    measured = {
        case: measure_in_turn(case, threads, rounds)
        for case in track(
            CASES, f"epochs, {threads} threads", console=err, disable=not err.is_terminal
        )
    }
    slow = APART * min(
        one.handover for found in measured.values() for each in found for one in each.values()
    )
    for case, found in measured.items():
        title = f"{case}, {threads} thread{'s' * (threads > 1)}"
        for comparison in COMPARISONS:
            pairs = [(each[comparison.above], each[comparison.below]) for each in found]
            ratios = [above.seconds / below.seconds for above, below in pairs]
            goal = comparison.goals.get((case.model, case.latent)) if threads == 2 else None
            placed = by_placement(pairs, slow) if threads > 1 else ""
            add(table, title, comparison.title, ratios, goal, placed)
        peaks = {name: max(each[name].peak for each in found) / MB for name in found[0]}
        add_plain(
            table, title, "peak memory: aecli, lecture, Lightning",
            f"{peaks['aecli']:,.0f}, {peaks['lecture']:,.0f}, {peaks['lightning']:,.0f} MiB",
        )  # fmt: skip
        if threads > 1:
            handovers = [1e6 * one.handover for each in found for one in each.values()]
            add(table, title, "microseconds to hand work to threads", handovers, None)
        table.add_section()


def by_placement(pairs: list[tuple[PerImageScores, PerImageScores]], slow: float) -> str:
    """The median ratio and the number of rounds in which work was handed to the threads of both in
    less than `slow` seconds, and the same for the other rounds.

    The host of a virtual machine moves its cores: sometimes they share a cache, and sometimes not.
    """
    ratios: dict[bool, list[float]] = {False: [], True: []}
    for above, below in pairs:
        if (is_slow := above.handover >= slow) == (below.handover >= slow):
            ratios[is_slow].append(above.seconds / below.seconds)
    return ", ".join(
        f"{statistics.median(each):.2f} ({len(each)})" if each else "-" for each in ratios.values()
    )


def commands(table: Table) -> None:
    """Add the seconds that a person waits for commands, with which no other program can be
    compared."""
    aecli = [sys.executable, "-m", "aecli"]
    # Ends at the first step of the optimiser, without cleaning up.
    start = (
        "import os; from unittest.mock import patch; import aecli.cli, aecli.tracking\n"
        "with patch('aecli.runs.tracker.Tracker.step', lambda _: os._exit(0)):\n"
        "    aecli.cli.main(['train', 'data=mnist'])"
    )
    add_seconds(table, "aecli --help", 0.3, lambda: seconds_of([*aecli, "--help"]))
    add_seconds(
        table, "from return to the first training step", 5.0,
        lambda: seconds_of([sys.executable, "-c", start]),
    )  # fmt: skip
    sweep = [*aecli, "train", "-m", "model=fc", "latent=2,4,8,16", "seed=0,1,2", "epochs=5"]
    sweep = [*sweep, "compare=false", "data=mnist"]
    ratios = [
        seconds_of(sweep) / seconds_of([*sweep, "hydra/launcher=joblib"]) for _ in range(RUNS)
    ]
    add(table, "12 fc models, 5 epochs", "times as fast by joblib as in sequence", ratios, 1.1)
    sizes = [Case("fc", latent, 55_000) for latent in (5, 25, 125, 784)]
    study = [*aecli, "train", "-m", "sweep=latent", "data=mnist"]
    ours = seconds_of(study)
    # The lecture's epochs are all alike, so one of each size is enough.
    theirs = 25 * sum(measure(case, ["lecture"], 2).seconds for case in sizes)
    add(
        table, "study of four sizes with report, 25 epochs", "times as fast as the lecture's loop",
        [theirs / ours], 4,
    )  # fmt: skip


def seconds_of(line: list[str]) -> float:
    """How long a command takes, in an empty folder."""
    environment = {
        **os.environ,
        "AECLI_DATA": str(data_dir().resolve()),
        "PYTHONPATH": str(Path.cwd()),
    }
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        subprocess.run(line, cwd=folder, env=environment, capture_output=True, check=True)
        return time.perf_counter() - started


def growth(table: Table) -> None:
    """Add how time and memory grow with images, epochs and models: medians, the sizes in turn."""
    counts = (60_000, 240_000, 960_000)
    sizes = [Case("fc", 25, images) for images in counts]
    found = [[measure(size, ["aecli"], 2) for size in sizes] for _ in range(RUNS)]
    times = medians([[each.seconds for each in turn] for turn in found])
    add_series(table, "images", "seconds of an epoch of fc, latent 25", counts, times)
    peaks = medians([[each.peak / MB for each in turn] for turn in found])
    add_series(table, "images", "MiB more at the peak", counts, above_the_first(peaks))
    data = [images * 28 * 28 / MB for images in counts]
    add_series(table, "images", "MiB more of images", counts, above_the_first(data))

    counts, case = (4, 16, 64), Case("fc", 25, 55_000)
    times = medians(
        [
            [n * measure(case, ["whole", f"epochs={n}"], 2).seconds for n in counts]
            for _ in range(RUNS)
        ]
    )
    add_series(table, "epochs", "seconds of a run of fc, latent 25", counts, times)

    counts = (1, 4, 16)
    sweep = [sys.executable, "-m", "aecli", "train", "-m", "model=fc", "epochs=5", "data=mnist"]
    seeds = [f"seed={','.join(map(str, range(models)))}" for models in counts]
    times = medians(
        [[seconds_of([*sweep, each, "compare=false"]) for each in seeds] for _ in range(RUNS)]
    )
    add_series(table, "models", "seconds of a sweep over seeds of fc, 5 epochs", counts, times)


def medians(turns: list[list[float]]) -> list[float]:
    """The medians of each size, which is measured once in every turn."""
    return [statistics.median(times) for times in zip(*turns, strict=True)]


def above_the_first(values: list[float]) -> list[float]:
    return [value - values[0] for value in values]


def add_series(
    table: Table, size: str, what: str, counts: Sequence[int], values: list[float]
) -> None:
    pairs = zip(counts, values, strict=True)
    add_plain(table, f"growth with {size}", what, ", ".join(f"{n:,}: {v:.2f}" for n, v in pairs))


def add(
    table: Table, title: str, what: str, ratios: list[float], goal: float | None, placed: str = ""
) -> None:
    middle = statistics.median(ratios)
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}" if len(ratios) > 1 else ""
    wanted = "" if goal is None else f"{goal:.2f}: {'reached' if middle >= goal else 'missed'}"
    table.add_row(title, what, f"{middle:.2f}", spread, placed, wanted)


def add_seconds(table: Table, title: str, goal: float, run: Callable[[], float]) -> None:
    times = [run() for _ in range(RUNS)]
    middle = statistics.median(times)
    spread = f"{min(times):.2f} to {max(times):.2f}"
    wanted = f"{goal:g}: {'reached' if middle <= goal else 'missed'}"
    table.add_row(title, "seconds", f"{middle:.2f}", spread, "", wanted)


def add_plain(table: Table, title: str, what: str, text: str) -> None:
    table.add_row(title, what, text, "", "", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, nargs="*", default=[2, 1])
    parser.add_argument("--part", choices=PARTS, action="append")
    options = parser.parse_args()
    parts = options.part or PARTS
    if "runs" in parts:
        for found in runs.measure(rounds=1):
            runs.keep({"runs": found})
            runs.write_readme()
        print(runs.table())
    table = Table(title="aecli on MNIST", title_justify="left")
    for name in COLUMNS:
        table.add_column(name)
    if "epochs" in parts:
        for threads in options.threads:
            epochs(threads, options.rounds, table)
    if "commands" in parts:
        commands(table)
    if "growth" in parts:
        growth(table)
    if table.row_count:
        Console(width=170).print(table)
        columns = [list(map(str, column.cells)) for column in table.columns]
        runs.keep({"parts": [list(row) for row in zip(*columns, strict=True)]})


if __name__ == "__main__":
    main()
