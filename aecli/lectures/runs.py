"""The runs of a lecture: found again by their configuration, or trained."""

import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from aecli.cli.compose import compose, compose_sweep
from aecli.cli.lookup import module
from aecli.cli.override_checks import check_overrides
from aecli.cli.overrides import override, read_arguments
from aecli.config import CheckpointConfig, TrainConfig
from aecli.data.loaded import keep_data, load_cached_data, resolve_config
from aecli.errors import AecliError, StorageError, UsageError
from aecli.files.places import OUTPUTS
from aecli.lectures.script import Run
from aecli.runs.directory import RunDirectory
from aecli.runs.discovery import entries_below
from aecli.runs.listing import State, read_facts
from aecli.runs.sweep_plan import SWEEP_FILE

SWEEP = "-m"


@dataclass(frozen=True)
class Prepared:
    """A run of a lecture, or why there is none."""

    command: str
    """The command that trains it."""
    folder: Path | None
    is_new: bool = False
    """Whether it was trained now; otherwise it was found."""
    error: AecliError | None = None


def prepare(run: Run, lecture: str, quick: bool) -> Prepared:
    """Find a finished run, or sweep, of the same configuration, or train it.

    One that was interrupted on the way is resumed.
    """
    arguments = shlex.split(f"{run.line} {run.quick}" if quick else run.line)
    command = shlex.join(["aecli", "train", *arguments])
    try:
        wanted = _configs(arguments)
        found = _find(wanted, is_sweep=SWEEP in arguments)
        if found is not None:
            return Prepared(command, found)
        key = f"{run.key}-quick" if quick and run.quick else run.key
        folder = _vacant(Path(OUTPUTS, "lectures", lecture, "runs"), key, wanted)
        _train(arguments, folder)
        return Prepared(command, folder, is_new=True)
    except AecliError as error:
        return Prepared(command, None, error=type(error)(f"run {run.key}: {error}", error.details))


def _configs(arguments: list[str]) -> list[TrainConfig]:
    """The configuration of each run that `aecli train` would train.

    Raises:
        AecliError: the command is not valid, or the images cannot be loaded.
    """
    own = (SWEEP, "compare=true", "compare=false")  # which are no part of a configuration
    overrides = read_arguments(each for each in arguments if each not in own)
    check_overrides(overrides, multirun=SWEEP in arguments)
    if SWEEP not in arguments:
        configs = [compose(overrides)]
    else:
        jobs = compose_sweep(overrides).jobs
        if jobs is None:
            raise UsageError("a search chooses its runs itself, so a lecture cannot find it again")
        configs = [job.config for job in jobs]
    with keep_data():
        return [_comparable(resolve_config(each, load_cached_data(each))) for each in configs]


def _comparable(config: TrainConfig) -> TrainConfig:
    """The configuration without what does not affect results: names, places and the machine."""
    same_machine = replace(config, device="auto", checkpoint=CheckpointConfig())
    return replace(same_machine, name="any", output_dir="any", data_dir="any")


def _find(wanted: list[TrainConfig], is_sweep: bool) -> Path | None:
    """The newest finished run, or sweep, with exactly these configurations."""
    described = sorted((str(each.model.name), each.latent) for each in wanted)
    for path, runs in _candidates(is_sweep):
        facts = [read_facts(run) for run in runs]
        known = [(each.model, each.latent) for each in facts if each.state is State.finished]
        # Reading the whole configuration takes longer.
        if len(runs) == len(wanted) and sorted(known, key=str) == sorted(described, key=str):
            if _are(wanted, runs):
                return path
    return None


def _candidates(is_sweep: bool) -> Iterator[tuple[Path, tuple[Path, ...]]]:
    """Every sweep with its runs, or every run, also of a sweep; the newest first."""
    for entry in entries_below(Path(OUTPUTS)):
        if not is_sweep:
            yield from ((run, (run,)) for run in entry.runs)
        elif entry.is_sweep:
            yield entry.path, entry.runs


def _are(wanted: list[TrainConfig], runs: Iterable[Path]) -> bool:
    """Whether the runs have exactly these configurations, in any order."""
    left = [*wanted]
    for path in runs:
        try:
            config = _comparable(RunDirectory(path).load_config())
        except (UsageError, StorageError):  # of another version, or damaged
            return False
        if config not in left:
            return False
        left.remove(config)
    return not left


def _vacant(parent: Path, key: str, wanted: list[TrainConfig]) -> Path:
    """A folder that is free, or holds the same training, which was interrupted."""
    for number in count(1):
        folder = parent / (key if number == 1 else f"{key}-{number}")
        if not folder.exists() or _are(wanted, _runs_in(folder)):
            return folder
    raise AssertionError("count is endless")


def _runs_in(folder: Path) -> list[Path]:
    return [run for entry in entries_below(folder) for run in entry.runs]


def _train(arguments: list[str], folder: Path) -> None:
    """Train what the arguments describe in `folder`, or go on where it was interrupted.

    Raises:
        AecliError: it cannot be done.
    """
    is_sweep = SWEEP in arguments
    if RunDirectory(folder).exists() or (folder / SWEEP_FILE).exists():
        line = [f"resume={folder}"]
    else:
        line = [*arguments, override("hydra.sweep.dir" if is_sweep else "hydra.run.dir", folder)]
    with redirect_stdout(sys.stderr):  # stdout is for the results of the lecture
        module("train").main(line)
