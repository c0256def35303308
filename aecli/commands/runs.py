"""List runs and sweeps, or remove some.

usage: aecli runs [FOLDER] [key=value ...]
       aecli runs remove NAME ... [yes=true]

Lists every run and sweep below FOLDER, which is outputs unless given, the most recently trained
first; the name of a run or a sweep may stand for FOLDER. Below a sweep are its runs. Of each run it
shows the data, the status, the finished epochs of those planned, the test mse and its ratio to that
of PCA of the same latent size, the time since it was written, and its size on disk.

The keys data, model, latent and status leave out all other runs; each takes one value or several,
as in status=failed,interrupted.

Wherever a command takes a run, its name may stand for it: the path from outputs, or the folder's
own name, or the beginning of either, if it matches only one run. latest is the newest finished run,
and outputs/latent/latest the newest in that folder. For compare, explore, runs, remove and resume=,
latest is the newest run or sweep, finished or not.

After remove, each NAME is a run or a sweep. The command lists what would be removed, and asks for
confirmation. Only what aecli wrote is removed; other files stay, and are named. If a run is being
trained, nothing is removed. A folder that is called remove can be listed as ./remove.

examples:
  aecli runs
  aecli runs outputs/latent status=failed,interrupted
  aecli runs data=mnist model=conv json=true
  aecli evaluate latest
  aecli runs remove conv-z25/2026-11-21_10-15
  aecli runs remove outputs/latent/2026-11-21_10-15-00-123456 yes=true
"""

import sys
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from aecli.cli import console
from aecli.cli.lookup import REMOVE
from aecli.cli.options import found, parse_options
from aecli.cli.run_table import relative_name, run_table, short_names, size
from aecli.errors import UsageError
from aecli.errors.text import counted, escaped, invalid_choice
from aecli.files.documents import to_json
from aecli.runs.discovery import Entry, is_sweep, last_written
from aecli.runs.listing import Listed, RunFacts, State, list_runs, read_facts
from aecli.runs.lookup import OUTPUTS, find_folder, find_run_or_sweep
from aecli.runs.removal import check_removable, contents, remove, runs_of

FILTERS = ("data", "model", "latent", "status")


@dataclass
class Options:
    """Which runs to list, or to remove."""

    run: list[str] = field(default_factory=list)
    """The folder to list or, after remove, a run or a sweep to remove, which may be given several
    times; a bare path means the same."""

    data: str | None = None
    """Runs on this data set, as in mnist or mnist,fashion_mnist; of your own images, folder or the
    name of the folder; null: on any."""

    model: str | None = None
    """Runs of this model, as in conv; null: of any."""

    latent: str | None = None
    """Runs with this latent size, as in 5,25; null: with any."""

    status: str | None = None
    """Runs of this status; null: of any. One or several of finished, closed, running, interrupted,
    failed, not_started and damaged."""

    json: bool = False
    """Print JSON: a list with an object for each run; docs/sweeps.md lists its keys."""

    yes: bool = False
    """Remove without asking."""


def main(arguments: list[str]) -> None:
    """List runs, or remove those that the command line names.

    Raises:
        UsageError: a folder does not exist, or a name stands for no run; nothing has been removed.
        StorageError: a run is in use, or cannot be removed.
    """
    is_removal = [word for word in arguments if "=" not in word][:1] == [REMOVE]
    if is_removal:
        arguments.remove(REMOVE)
    options = parse_options("runs", Options, arguments)
    states = [state.name for state in State]
    for value in _values(options.status):
        if value not in states:
            raise UsageError(invalid_choice("status", value, states))
    if is_removal:
        _remove(options)
    else:
        _list(options)


def _list(options: Options) -> None:
    if len(options.run) > 1:
        raise UsageError(f"runs lists one folder, not {len(options.run)}: {', '.join(options.run)}")
    folder = found(options.run[0], find_folder) if options.run else OUTPUTS
    if options.run and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: give one that holds runs, such as {OUTPUTS}")
    if options.yes:
        raise UsageError(f"yes=true is for removing runs: begin with aecli runs {REMOVE}")
    everything = list_runs(folder)
    listed = [each for each in (_filtered(each, options) for each in everything) if each.shown]
    if all(getattr(options, key) is None for key in FILTERS):
        listed = everything  # a sweep without any run, too
    if options.json:
        print(to_json(_objects(listed, folder)).decode(), end="")
    elif listed:
        names = short_names([each.entry for each in everything], folder)
        _print_table(listed, names)
        console.out.print(f"{_summary(listed)} in {folder}", markup=False, soft_wrap=True)
    else:
        console.paragraph(_nothing(everything, options, folder))


def _filtered(listed: Listed, options: Options) -> Listed:
    """The runs and sweeps to list, with only the runs that the options select."""

    def is_selected(run: RunFacts) -> bool:
        known = {"model": {str(run.model)}, "latent": {str(run.latent)}}
        known |= {"data": {*run.data_names}, "status": {run.state.name}}
        wanted = {key: _values(getattr(options, key)) for key in FILTERS}
        return all(known[key] & {*values} for key, values in wanted.items() if values)

    return replace(listed, shown=[run for run in listed.runs if is_selected(run)])


def _values(text: str | None) -> list[str]:
    return [] if text is None else text.split(",")


def _nothing(everything: list[Listed], options: Options, folder: Path) -> str:
    """The sentence that replaces an empty table."""
    total = sum(len(each.runs) for each in everything)
    if not total:
        return f"There are no runs in {folder}: aecli train writes one."
    asked = " ".join(
        f"{key}={value}" for key in FILTERS if (value := getattr(options, key)) is not None
    )
    return f"None of the {total:,} runs in {folder} has {asked}: aecli runs {folder} lists them."


def _print_table(listed: list[Listed], names: dict[Path, str]) -> None:
    table, left_out = run_table(listed, names, console.out.width)
    console.out.print(table)
    for run in (run for each in listed for run in each.shown if run.reason is not None):
        console.out.print(f"{run.state.name}: {escaped(str(run.path))}: {run.reason}", markup=False)
    if left_out:
        console.paragraph(left_out)


def _summary(listed: list[Listed]) -> str:
    """As in: 3 runs and 1 sweep, 45 MB."""
    runs, sweeps = sum(len(each.shown) for each in listed), sum(e.entry.is_sweep for e in listed)
    counts = [counted(runs, "run")] if runs or not sweeps else []
    counts += [counted(sweeps, "sweep")] if sweeps else []
    return f"{' and '.join(counts)}, {size(sum(each.bytes for each in listed))}"


def _objects(listed: list[Listed], folder: Path) -> list[dict[str, Any]]:
    """The facts about each run, for programs."""
    return [
        {
            "run": str(run.path),
            "name": relative_name(run.path, folder),
            "sweep": str(each.entry.path) if each.entry.is_sweep else None,
            "status": run.state.name,
            "reason": run.reason,
            "data": run.data,
            "model": run.model,
            "latent": run.latent,
            "epochs": run.epochs,
            "planned_epochs": run.planned_epochs,
            "test_mse": run.test_mse,
            "pca_mse": run.pca_mse,
            "ratio_to_pca": run.ratio_to_pca,
            "written": datetime.fromtimestamp(run.written).astimezone().isoformat("T", "seconds"),
            "bytes": run.bytes,
        }
        for each in listed
        for run in each.shown
    ]


def _remove(options: Options) -> None:
    if options.json or any(getattr(options, key) is not None for key in FILTERS):
        raise UsageError(f"runs {REMOVE} takes the names of runs and sweeps, and yes=true")
    if not options.run:
        raise UsageError(f"runs {REMOVE} takes the names of runs and sweeps, but none is given")
    given: dict[Path, Path] = {}  # a folder may be named in several ways
    for path in (found(text, find_run_or_sweep) for text in options.run):
        given.setdefault(path.resolve(), path)
    paths = [path for home, path in given.items() if not given.keys() & {*home.parents}]
    for path in paths:
        check_removable(path)
    inside = {path: contents(path) for path in paths}
    listed = [_listed(path, inside[path].bytes) for path in paths]
    _print_table(listed, {path: str(path) for path in paths})
    for other in (other for each in inside.values() for other in each.others):
        console.warn(f"kept {other}: not written by aecli, or changed since")
    summary = _summary(listed)
    if not (options.yes or _confirmed(f"remove {summary}? [y/N] ")):
        console.warn("nothing was removed")
        return
    for path in paths:
        remove(path)
    console.out.print(f"removed {summary}", markup=False)


def _listed(path: Path, bytes_removed: int) -> Listed:
    """A run or a sweep that is to be removed."""
    runs = [read_facts(run) for run in runs_of(path)]
    written = max([last_written(path), *(run.written for run in runs)])
    entry = Entry(path, tuple(run.path for run in runs), is_sweep(path), written)
    return Listed(entry, runs, runs, bytes_removed)


def _confirmed(question: str) -> bool:
    """Whether the person at the terminal agrees.

    Raises:
        UsageError: there is none.
    """
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal on which to ask: to remove them, add yes=true")
    console.err.print(question, end="", markup=False)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
