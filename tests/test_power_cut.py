"""A power cut at any moment of a training, by the model of `simulated_disk`: what was reported as
written is there, and a resumed run ends with the same bits or says in one line why it cannot."""

import pickle
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from aecli.cli import main as cli
from aecli.errors import AecliError
from aecli.errors.text import one_line
from aecli.files.storage import SCRATCH
from aecli.runs import directory, lock
from aecli.runs.checkpoints import Checkpoints
from aecli.runs.directory import RunDirectory, Status
from aecli.runs.lock import LOCK
from aecli.runs.trained import open_run
from tests.apart import run_apart
from tests.recorded_disk import Recorder
from tests.same_run import assert_same_run
from tests.simulated_disk import (
    PowerCuts,
    Recording,
    Report,
    Tree,
    read_tree,
    write_tree,
)
from tests.undrawn import undrawn_training

RUN = "outputs/fc/run"
EPOCHS = 3
# Epochs with validation and without, so with and without new weights.
SETTINGS = [
    "model=fc", "model.widths=[4]", "latent=2", "data=folder", "image_size=8", "batch_size=16",
    f"epochs={EPOCHS}", "val_every=2", "device=cpu",
]  # fmt: skip

SHARES = {"fresh": 0.45, "resumed": 0.4, "further": 0.16}  # of the states, all of them different


def report_checkpoints(recorder: Recorder) -> None:
    """Report how many epochs there are in each checkpoint that has been saved."""
    save = Checkpoints.save

    def reported_save(self: Checkpoints, position: int, state: dict[str, Any]) -> None:
        save(self, position, state)
        recorder.add(Report(len(state["records"])))

    Checkpoints.save = reported_save  # type: ignore[method-assign]


def record(folder: Path, line: list[str], log: Path) -> Recording:
    """Run a line in `folder` and record what it does there."""
    done = run_apart(line, folder, Recorder(folder, log, report_checkpoints))
    assert done.status == 0, done.errors
    recording: Recording = pickle.loads(log.read_bytes())
    return recording


@dataclass(frozen=True)
class Scenario:
    """A training on the simulated disk."""

    recording: Recording
    resume: list[str]
    """The command that is run after a power cut."""
    whole: Path
    """The run that it has to end as."""
    is_finished: bool
    """Whether there are already results when it begins."""
    epochs: int
    """Those in the checkpoint with which it begins."""

    def reported(self, end: int) -> int:
        """The number of epochs in the newest checkpoint that was reported before `end`."""
        reports = [each for each in self.recording.operations[:end] if isinstance(each, Report)]
        return reports[-1].epochs if reports else self.epochs


@pytest.fixture(scope="module")
def scenarios(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scenario]:
    """A training from its beginning, one that is resumed, and one of a finished run."""
    home = tmp_path_factory.mktemp("disks")
    draw = np.random.default_rng(0)
    for name in range(40):
        pixels = draw.integers(0, 256, (8, 8), dtype=np.uint8)
        file = home / "images" / "ab"[name % 2] / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    start = ["train", *SETTINGS, f"data.path={home / 'images'}", f"hydra.run.dir={RUN}"]
    resume = ["train", f"resume={RUN}"]
    found = {}

    def folder(name: str, tree: Tree) -> Path:
        (home / name).mkdir()
        write_tree(tree, home / name, {})
        return home / name

    fresh = record(folder("fresh", {}), start, home / "log")
    found["fresh"] = Scenario(fresh, resume, home / "fresh" / RUN, False, 0)

    first = next(n for n, each in enumerate(fresh.operations) if each == Report(1))
    interrupted = PowerCuts(fresh).at(first + 1, lambda _: None)
    resumed = record(folder("resumed", interrupted), resume, home / "log")
    found["resumed"] = Scenario(resumed, resume, home / "resumed" / RUN, False, 1)

    further = [*resume, f"epochs={EPOCHS + 1}"]
    finished = read_tree(home / "fresh")
    recording = record(folder("further", finished), further, home / "log")
    found["further"] = Scenario(recording, further, home / "further" / RUN, True, EPOCHS)

    once = [*start, "epochs=1", "val_every=1", "hydra.output_subdir=null"]
    recording = record(folder("short", {}), once, home / "log")
    found["short"] = Scenario(recording, resume, home / "short" / RUN, False, 0)
    return found


def sampled(cuts: PowerCuts, seed: int) -> Iterator[tuple[int, Tree]]:
    """Moments, and the states that are left: at every moment with all or nothing lost, then random
    ones."""
    ends = range(len(cuts.recording.operations) + 1)
    for end in ends:
        yield end, cuts.at(end, lambda _: None)
        yield end, cuts.at(end, lambda operation: operation)
    draw = random.Random(seed)
    while True:
        # Whatever is lost may be lost long after the end.
        end = ends[-1] if draw.random() < 0.1 else draw.choice(ends)
        yield end, cuts.draw(draw, end)


def every(cuts: PowerCuts) -> Iterator[tuple[int, Tree]]:
    """All moments, and at each all states that may be left of whole operations."""
    for end in range(len(cuts.recording.operations) + 1):
        for tree in cuts.every(end):
            yield end, tree


def verdict(read: Callable[[], Any]) -> str:
    try:
        read()
    except (AecliError, OSError) as error:
        return one_line(error)
    return "sound"


@dataclass(frozen=True)
class Seen:
    """The state of a run as the program sees it."""

    status: Status
    epochs: int
    """Those in the newest checkpoint."""
    problems: tuple[str, ...]
    """Of newer checkpoints, or of all."""
    verdicts: tuple[str, ...]
    """The messages when it reads the other files."""

    @classmethod
    def from_run(cls, run: RunDirectory) -> "Seen":
        epochs, problems = 0, list[str]()
        try:
            state, problems = run.checkpoints.newest()
            epochs = len(state["records"]) if state else 0
        except AecliError as error:
            problems = [str(error)]
        readers = (
            run.load_config, run.load_summary, run.load_metrics, run.load_images,
            lambda: open_run(run.path, device="cpu"),
        )  # fmt: skip
        return cls(run.status, epochs, tuple(problems), tuple(map(verdict, readers)))

    @property
    def is_finished(self) -> bool:
        """Whether all results are there."""
        return self.status is Status.finished and set(self.verdicts) == {"sound"}


@contextmanager
def remembering(memory: dict[object, Any]) -> Iterator[None]:
    """Parse the same bytes only once, which would take most of the time."""

    def remembered(name: str, parse: Callable[..., Any], key: Callable[..., Any]) -> Any:
        def parsed(*arguments: Any, **options: Any) -> Any:
            known = (name, key(*arguments))
            if known not in memory:
                memory[known] = parse(*arguments, **options)
            return memory[known]

        return parsed

    with pytest.MonkeyPatch.context() as patch:
        load, parse_config = torch.load, directory._parse_config
        patch.setattr(torch, "load", remembered("checkpoint", load, lambda file: file.getvalue()))
        patch.setattr(
            directory,
            "_parse_config",
            remembered("config", parse_config, lambda file, content: content),
        )
        yield


def kept_for_good(tree: Tree) -> Tree:
    """Files that only the program's own cleanup may remove: all but locks and unfinished files."""
    return {
        path: content
        for path, content in tree.items()
        if content is not None and f"/{LOCK}" not in path and not path.endswith(SCRATCH)
    }


def check_resume(scenario: Scenario, tree: Tree, is_needed: bool, folder: Path) -> None:
    """Resume from `tree`: it ends as it would have ended, or is refused and nothing is lost.

    Args:
        is_needed: whether there is a checkpoint, so that it must not be refused.
        folder: an empty folder for it.
    """
    write_tree(tree, folder, {})
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stderr(StringIO()) as errors,
        undrawn_training(),
    ):
        patch.chdir(folder)
        # A lock whose file is damaged: its holder is unknown, so the program waits for a heartbeat.
        patch.setattr(lock, "HEARTBEAT_SECONDS", 0.01)
        patch.setattr(lock, "POLL_SECONDS", 0.01)
        status = cli.run(scenario.resume)
        if status == 0:
            with RunDirectory(Path(RUN)).locked():  # puts what is finished in its place
                pass
            assert_same_run(Path(RUN), scenario.whole)
            return
    line = errors.getvalue()
    assert not is_needed and status in (2, 3, 5), (status, line)
    assert line.startswith("aecli: ") and line.count("\n") == 1, line
    assert kept_for_good(tree).items() <= read_tree(folder).items(), line


def check_power_cuts(
    scenario: Scenario,
    states: Iterator[tuple[int, Tree]],
    count: int,
    resumes: int,
    folder: Path,
) -> int:
    """Check up to `count` different states, and resume from some.

    Args:
        resumes: how many are resumed of those in which the program sees the same.

    Returns:
        The number of different states.
    """
    disk, again = folder / "disk", folder / "again"
    disk.mkdir()
    last = len(scenario.recording.operations)
    known: set[int] = set()
    resumed: Counter[Seen] = Counter()
    memory: dict[object, Any] = {}
    earlier: Tree = {}
    for end, tree in states:
        reported = scenario.reported(end)
        state = hash((end == last, reported, frozenset(tree.items())))
        if state in known:
            continue
        known.add(state)
        write_tree(tree, disk, earlier)
        earlier = tree
        with remembering(memory), pytest.MonkeyPatch.context() as patch:
            patch.chdir(disk)
            seen = Seen.from_run(RunDirectory(Path(RUN)))
        where = f"state {len(known)}, cut before operation {end} of {last}: {seen}"
        assert seen.epochs >= reported, where
        assert seen.is_finished or not (end == last or scenario.is_finished), where
        resumed[seen] += 1
        if resumed[seen] <= resumes:
            again.mkdir()
            try:
                check_resume(scenario, tree, reported > 0, again)
            except Exception as error:
                raise AssertionError(f"{where}: {error}") from error
            shutil.rmtree(again)
        if len(known) == count:
            break
    return len(known)


@pytest.mark.parametrize("name", SHARES)
def test_after_a_power_cut_reported_results_are_there_and_a_resume_ends_the_same(
    name: str, scenarios: dict[str, Scenario], states: int, tmp_path: Path
) -> None:
    scenario = scenarios[name]
    drawn = sampled(PowerCuts(scenario.recording), seed=0)
    count, resumes = round(SHARES[name] * states), max(2, states // 5_000)
    assert check_power_cuts(scenario, drawn, count, resumes, tmp_path) == count


@pytest.mark.soak
def test_after_any_power_cut_in_a_short_training(
    scenarios: dict[str, Scenario], tmp_path: Path
) -> None:
    scenario = scenarios["short"]
    states = every(PowerCuts(scenario.recording))
    assert check_power_cuts(scenario, states, 0, 20, tmp_path) > 10_000
