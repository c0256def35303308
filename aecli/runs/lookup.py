"""Find a run by `latest`, or by the beginning of its name."""

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from aecli.errors import UsageError
from aecli.files import places
from aecli.files.places import DEPTH, LATEST
from aecli.files.storage import natural_key
from aecli.runs.directory import CONFIG, RunDirectory, Status
from aecli.runs.discovery import entries_below, is_sweep, last_written

OUTPUTS = Path(places.OUTPUTS)
"""The folder in which names are looked up that do not begin with a folder."""
MAX_NAMED = 3
"""Runs that an error message names."""

Found = Mapping[Path, float]
"""Runs, or sweeps, and when they were last written; see `last_written`."""


def find_run(text: str) -> Path:
    """The folder of the run that `text` stands for, for a command that needs a finished one.

    A path that exists is taken as it is, unless it is a folder that holds one run. Of any other,
    the end may be `latest`, or the beginning of a run's name or of the path to it, and what comes
    before is the folder to look in. `latest` is the newest finished run; if none is finished, the
    newest run, whose status the command then reports.

    Raises:
        UsageError: it stands for no run, or for several.
    """
    if os.path.lexists(text):
        path = Path(text)
        runs = {} if (path / CONFIG).exists() else _runs_in(path)
        if len(runs) > 1:
            raise UsageError(not_a_run(path))
        return next(iter(runs), path)
    return _find(text, takes_sweeps=False)


def find_run_or_sweep(text: str) -> Path:
    """The folder of the run or the sweep that `text` stands for, as for `find_run`.

    If it stands for neither, it is returned as it is: what can be done depends on the command.

    Raises:
        UsageError: it stands for several, or seems to be misspelt.
    """
    if os.path.lexists(text):
        path = Path(text)
        if (path / CONFIG).exists() or is_sweep(path):
            return path
        entries = entries_below(path)
        if len(entries) > 1:
            raise UsageError(
                f"{path} is neither a run nor a sweep but holds {len(entries)}: give one, such as "
                f"the newest, {entries[0].path}"
            )
        return entries[0].path if entries else path
    return _find(text, takes_sweeps=True)


def find_folder(text: str) -> Path:
    """The folder of runs that `text` stands for: of one, of a sweep, or any that holds some.

    Raises:
        UsageError: it stands for several, or seems to be misspelt.
    """
    if os.path.lexists(text):
        return Path(text)
    below = OUTPUTS / text
    return below if below.is_dir() else _find(text, takes_sweeps=True)


def not_a_run(path: Path) -> str:
    """The error message for a path that is not a run: the newest of those that it holds."""
    if not path.is_dir():
        return f"{path} is not a folder: give the folder of a finished run"
    runs = _runs_in(path)
    if not runs:
        return f"{path} holds no runs: give a folder that aecli train has written"
    if path in runs:
        return f"{path} has lost its {CONFIG}, so it cannot be used"
    return f"{path} is not a run but holds {len(runs)}: give one, such as the newest, " + str(
        _newest(runs)
    )


def _runs_in(folder: Path) -> Found:
    return {run: last_written(run) for entry in entries_below(folder) for run in entry.runs}


def _find(text: str, takes_sweeps: bool) -> Path:
    names: dict[str, Path] = {}
    rest = Path(text)
    for root, rest in _places(text):
        entries = entries_below(root, DEPTH)
        runs = {run: last_written(run) for entry in entries for run in entry.runs}
        top = {entry.path: entry.written for entry in entries} if takes_sweeps else runs
        if rest.name == LATEST:
            found = _latest(rest.parent, root, top, is_finished=not takes_sweeps)
        else:
            found = _beginning(str(rest), root, {**runs, **top})
            found = {path: found[path] for path in found if not found.keys() & {*path.parents}}
        if found:
            return _only(text, found)
        for path in (*top, *runs):
            for name in _names(path, root):
                names.setdefault(name, path)
                names.setdefault(name.partition("/")[0], path)
    close = get_close_matches(str(rest), [*names, LATEST], n=1)
    if takes_sweeps and not close:
        return Path(text)
    advice = "give the folder of a finished run, or how its name begins"
    if close and names:
        advice = f"did you mean {names.get(close[0], LATEST)}?"
    raise UsageError(f"{text} is not a folder: {advice} (aecli runs lists all)")


def _places(text: str) -> Iterator[tuple[Path, Path]]:
    """The folders to look in, and what to look for there: the folder with which `text` begins, and
    outputs."""
    path = Path(text)
    parent = next(each for each in (*path.parents, path) if each.is_dir() or each == path)
    is_typed = parent == path.parent or OUTPUTS in (parent, *parent.parents)
    # A folder around this one is not that of the runs, and may be large.
    if is_typed and parent.resolve() not in (Path.cwd(), *Path.cwd().parents):
        yield parent, path.relative_to(parent)
    if not path.is_absolute() and OUTPUTS not in path.parents:
        yield OUTPUTS, path


def _latest(start: Path, root: Path, known: Found, is_finished: bool) -> Found:
    """The newest of those in `root` whose name begins with `start`; with `is_finished`, the newest
    finished one, if there is one."""
    found = _beginning(str(start), root, known) if start.parts else known
    if is_finished:
        status = {path: RunDirectory(path).status for path in found}
        found = {path: found[path] for path in found if status[path] is Status.finished} or found
    return {_newest(found): 0.0} if found else {}


def _beginning(start: str, root: Path, known: Found) -> Found:
    """The paths with a name that begins with `start`; if there are any whose name is `start`, or
    goes on with a slash after it, only those.

    Then `conv-z2` does not stand for a run in `conv-z25`, too.
    """
    names = {path: _names(path, root) for path in known}
    full = {
        path: written
        for path, written in known.items()
        if any(name == start or name.startswith(f"{start}/") for name in names[path])
    }
    begun = {path: known[path] for path in known if any(n.startswith(start) for n in names[path])}
    return full or begun


def _names(path: Path, root: Path) -> list[str]:
    """The path from `root`, and the same without one or more of its first folders."""
    parts = path.relative_to(root).parts or (path.name,)
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _only(text: str, found: Found) -> Path:
    """The only one that was found.

    Raises:
        UsageError: there are several.
    """
    if len(found) == 1:
        return next(iter(found))
    named = sorted(map(str, found), key=natural_key)[:MAX_NAMED]
    more = " ..." if len(found) > MAX_NAMED else ""
    raise UsageError(
        f"{text} stands for {len(found)} runs, {', '.join(named)}{more}: give more of "
        f"the name, such as that of the newest, {_newest(found)}"
    )


def _newest(found: Found) -> Path:
    """The one that was last written; if several have the same time, the last by name."""
    return max(found, key=lambda path: (found[path], natural_key(str(path))))
