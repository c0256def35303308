"""Commands in processes of their own, which begin with everything imported."""

import atexit
import gc
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aecli.cli import main as cli

# A server that has imported what a run needs, and computed nothing, is forked for each process.
# There is one for all tests: another list of modules, wherever it is given, would replace this one.
IMPORTED = [
    "aecli.commands.train", "aecli.figures", "aecli.sweep.lifecycle",
    "torch.utils.tensorboard", "torchvision",
    "skimage.metrics._structural_similarity",  # which scikit-image itself imports when it is used
]  # fmt: skip
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(IMPORTED)

SECONDS = 120  # after which a command is taken to hang


@dataclass(frozen=True)
class Done:
    """What became of a command."""

    status: int
    """Its exit status; below 0 the signal that ended it."""
    errors: str
    """What it wrote to stderr."""


def run_apart(line: list[str], folder: Path, before: Callable[[], None] | None = None) -> Done:
    """Run `aecli` in `folder`, having called `before`, which must be possible to pickle."""
    errors = folder / ".errors"
    process = context.Process(target=_main, args=(line, folder, errors, before))
    process.start()
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
        raise AssertionError(f"aecli {' '.join(line)} did not end: {errors.read_text()}")
    assert process.exitcode is not None
    return Done(process.exitcode, errors.read_text())


def _main(line: list[str], folder: Path, errors: Path, before: Callable[[], None] | None) -> None:
    assert set(IMPORTED) <= sys.modules.keys(), "the server says nothing of what it cannot import"
    gc.freeze()  # what has been imported need not be gone through, and copied, by each process
    os.chdir(folder)
    with open(errors, "wb") as file, open(os.devnull, "wb") as null:
        os.dup2(file.fileno(), 2)
        os.dup2(null.fileno(), 1)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    if before is not None:
        before()
    try:
        cli.main(line)
    except SystemExit as end:
        # As an interpreter ends, and not a process of multiprocessing, which waits for all others
        # that it knows of: for joblib's workers five minutes.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(end.code or 0))
