"""The results of a sweep: a table of its runs, and their comparison."""

import re
import shlex
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

from aecli.cli import console
from aecli.cli.naming import name_word, rounded
from aecli.comparison.compare import compare as compare_runs
from aecli.comparison.grouping import distinctions
from aecli.comparison.write import FOLDER as COMPARISON
from aecli.config import TrainConfig, settings
from aecli.config.wording import NULL, word
from aecli.errors import AecliError, StorageError, UsageError
from aecli.errors.text import one_line
from aecli.runs.directory import RunDirectory, Status
from aecli.runs.discovery import runs_below
from aecli.runs.remaining import is_over
from aecli.runtime.status import show_status


def report(
    folder: Path,
    compare: bool,
    problems: list[str],
    advice: str = "",
    is_search: bool = False,
    may_be_closed: bool = False,
) -> None:
    """Print a table of all runs in `folder`, and write the comparison of the finished ones.

    Args:
        folder: the sweep folder.
        compare: write the comparison.
        problems: errors outside the training of the runs.
        advice: what to do about unfinished runs.
        is_search: name the run with the smallest validation mse, which the search minimised.
        may_be_closed: a run that was closed before its training was over counts as finished.

    Raises:
        AecliError: some runs are not finished, or there are `problems`.
    """
    runs = runs_below(folder)
    usable = [run for run in runs if run.status is Status.finished]
    unfinished = [run for run in runs if run not in usable or not (may_be_closed or is_over(run))]
    by_run, damage = load_configs(runs)
    problems, configs = [*problems, *damage], [*by_run.values()]
    differing = dict(zip(by_run, distinctions(configs), strict=True))
    words = distinguishing_settings(differing)
    console.sweep_table(str(folder), runs, [words.get(run.path, "") for run in runs])
    if is_search and (best := _best_trial(runs, differing)) is not None:
        console.facts({"best trial": best})
    if compare and have_no_images_in_common(configs):
        console.facts({"comparison": "none: the runs use different classes"})
    elif compare and usable:
        try:
            show_status("comparing the runs ...")
            console.comparison(compare_runs([folder], folder / COMPARISON))
        except UsageError as error:  # the runs themselves are valid
            console.warn(f"no comparison: {error}")
    console.facts({"look at it": f"tensorboard --logdir {shlex.quote(str(folder))}"})
    reasons = [f"{run.path.name}: {_state(run)}" for run in unfinished]
    summary = f"{len(unfinished)} of {len(runs)} runs are not finished{advice}"
    if problems and not unfinished:
        summary = f"all {len(runs)} runs are finished, but there were errors"
    if unfinished or problems:
        raise AecliError(summary, [*problems, *reasons])


def _state(run: RunDirectory) -> str:
    """The state of a run that is not finished, in words."""
    if run.status is Status.failed:
        return run.failure()
    is_closed = run.status is Status.finished
    return "closed before its training was over" if is_closed else run.status.value


def distinguishing_settings(differing: dict[Path, dict[str, str]]) -> dict[Path, str]:
    """The settings that distinguish runs, in words; none if their names do."""
    are_told = all(_is_told(path.name, found) for path, found in differing.items())
    return {path: "" if are_told else _in_words(found) for path, found in differing.items()}


def _is_told(name: str, settings: dict[str, str]) -> bool:
    """Whether the name of a run says how it differs from the others, unlike those of earlier
    versions."""
    has_steps = re.search(r"-steps\d+(-|$)", name) is not None
    return all(
        (key == "epochs" and has_steps)  # which determined the number of epochs
        or any(f"-{name_word(key, each)}-" in f"{name}-" for each in (value, rounded(value)))
        for key, value in settings.items()
        if value != NULL
    )


def _in_words(settings: dict[str, str]) -> str:
    """Settings in words, as in `nearest, lr=0.01`."""
    return ", ".join(word(key, value) for key, value in settings.items())


def load_configs(runs: list[RunDirectory]) -> tuple[dict[Path, TrainConfig], list[str]]:
    """The configurations of runs by their paths, and the problems of those that are damaged."""
    configs: dict[Path, TrainConfig] = {}
    problems: list[str] = []
    for run in runs:
        try:
            configs[run.path] = run.load_config()
        except (StorageError, UsageError) as error:
            problems.append(str(error))
    return configs, problems


def have_no_images_in_common(configs: list[TrainConfig]) -> bool:
    """Whether the runs differ in their classes so that no two settings have the same images, as in
    sweep=one_class."""
    classes = {repr((config.data.classes, config.data.exclude_classes)) for config in configs}
    by_images: dict[str, set[str]] = defaultdict(set)
    for config in configs:
        apart_from_seed = {key: value for key, value in settings(config).items() if key != "seed"}
        by_images[repr(config.data)].add(repr(apart_from_seed))
    return len(classes) > 1 and all(len(found) == 1 for found in by_images.values())


def _best_trial(runs: list[RunDirectory], settings: dict[Path, dict[str, str]]) -> str | None:
    """The run with the smallest validation MSE, as in `3-fc-z5, validation mse 0.0123: lr=0.01`;
    None if none is finished and undamaged."""
    found = []
    for run in runs:
        with suppress(StorageError):
            mse = run.load_summary()["validation"]["mse"]
            found.append((mse, run.path.name, _in_words(settings.get(run.path, {}))))
    if not found:
        return None
    mse, name, setting = min(found)
    return f"{name}, validation mse {mse:.6f}" + (f": {setting}" if setting else "")


def describe(error: Exception) -> str:
    """An error outside the training of a run in one line, with its kind if it is not ours."""
    kind = "" if isinstance(error, AecliError) else f"{type(error).__name__}: "
    return f"{kind}{one_line(error)}"


def resume_advice(folder: Path) -> str:
    """The end of a message: how to resume the sweep in `folder`."""
    return f"; to resume: aecli train resume={shlex.quote(str(folder))}"


def finish_advice(folder: Path) -> str:
    """The end of a message: how to use the unfinished runs of the sweep in `folder`."""
    resume = f"aecli train resume={shlex.quote(str(folder))}"
    return f"; to use the runs as they are: {resume} finish=true"
