"""Commands and programs in separate processes, in which everything is already imported."""

import atexit
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from aecli.cli import main as cli
from tests.undrawn import undrawn_training

# A server that has imported what a run needs, and computed nothing, is forked for each process.
# There is one for all tests: a list of modules that is given elsewhere would replace this one.
IMPORTED = [
    "aecli.commands.train", "aecli.figures", "aecli.sweep.lifecycle",
    "torch.utils.tensorboard", "torchvision", "tests.conftest", "tests.frozen",
]  # fmt: skip
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(IMPORTED)

SECONDS = 120  # after which a command is taken to hang


@dataclass(frozen=True)
class Done:
    """The outcome of a command."""

    status: int
    """Its exit status; below 0 the signal that ended it."""
    errors: str
    """What it wrote to stderr."""


def run_apart(line: list[str], folder: Path, before: Callable[[], None] | None = None) -> Done:
    """Run `aecli` in `folder` after calling `before`, which must be picklable.

    Its figures are not made.
    """
    with NamedTemporaryFile(
        "r", encoding="utf-8"
    ) as errors:  # not in the folder, whose files are examined
        process = context.Process(target=_main, args=(line, folder, Path(errors.name), before))
        process.start()
        process.join(SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
            raise AssertionError(f"aecli {' '.join(line)} did not end: {errors.read()}")
        assert process.exitcode is not None
        return Done(process.exitcode, errors.read())


def _main(line: list[str], folder: Path, errors: Path, before: Callable[[], None] | None) -> None:
    assert set(IMPORTED) <= sys.modules.keys(), "the server says nothing of what it cannot import"
    os.chdir(folder)
    with open(errors, "wb") as file, open(os.devnull, "wb") as null:
        os.dup2(file.fileno(), 2)
        os.dup2(null.fileno(), 1)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    if before is not None:
        before()
    try:
        with undrawn_training():
            cli.main(line)
    except SystemExit as end:
        # Exit like an interpreter. A process of multiprocessing would wait for all others that it
        # knows of: for joblib's workers, five minutes.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(end.code or 0))


@dataclass(frozen=True)
class Popen:
    """The part of `subprocess.Popen` that a program's process has."""

    process: BaseProcess

    def poll(self) -> int | None:
        return self.process.exitcode

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def wait(self, timeout: float) -> None:
        self.process.join(timeout)
        if self.process.is_alive():
            raise subprocess.TimeoutExpired([], timeout)


@contextmanager
def program(arguments: list[str], folder: Path, report: IO[bytes]) -> Iterator[Popen]:
    """Run `python -c ...` in `folder` as `aecli.data.download` does, with its output in `report`.

    Its stdin is closed when this process ends, and it is killed at the end if it still runs.
    """
    reader, writer = context.Pipe(duplex=False)
    output = Connection(os.dup(report.fileno()), readable=False)
    with writer, reader, output:
        process = context.Process(
            target=_run_program, args=(arguments, folder, dict(os.environ), reader, output)
        )
        process.start()
        try:
            yield Popen(process)
        finally:
            process.kill()
            process.join()


def _run_program(
    arguments: list[str],
    folder: Path,
    environment: dict[str, str],
    stdin: Connection,
    stdout: Connection,
) -> None:
    option, code, *rest = arguments
    assert option == "-c"
    os.setsid()
    os.chdir(folder)
    os.environ.update(environment)
    with open(os.devnull, "wb") as null:
        for number, descriptor in enumerate((stdin.fileno(), stdout.fileno(), null.fileno())):
            os.dup2(descriptor, number)
    sys.argv = [option, *rest]
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
