"""Entry point: dispatch to a command, and report failures as one line and an exit status."""

import gc
import re
import signal
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from types import FrameType

from aecli import __version__
from aecli.cli.lookup import command_names, module
from aecli.errors import (
    AecliError,
    Interrupted,
    StorageError,
    Terminated,
    UsageError,
    storage_error,
)
from aecli.errors.text import printable, suggest
from aecli.runtime.contention import limit_spinning
from aecli.runtime.signals import end_at_once
from aecli.runtime.status import announce_imports, erase_status
from aecli.runtime.streams import protect_standard_streams

# Python collects garbage after this many net allocations. A command's imports allocate a million
# objects that stay alive; with Python 3.11's default of 700, scanning them took a seventh of the
# time until the first training step.
GC_THRESHOLD = 10_000


HELP = """\
aecli {version}: an experiment runner for autoencoders on small images

usage: aecli COMMAND [key=value ...]

commands:
{commands}

options:
  -h, --help   show this text or, after a command, its help; aecli help COMMAND does the same
  --version    show the version

examples:
  aecli train model=conv latent=25
  aecli train -m sweep=latent
  aecli compare outputs/latent/2026-11-21_10-15-00-123456
  aecli conv input=2 kernel=3 stride=2 transposed=true
  tensorboard --logdir outputs
"""


_GNU_OPTION = re.compile(r"--([A-Za-z][\w./-]*)(?:=(.*))?", re.DOTALL)
FLAGS = ("cfg", "config-dir", "dry-run", "resolve", "multirun")
"""Those of `train`, which have dashes as in Hydra."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    protect_standard_streams()
    gc.set_threshold(GC_THRESHOLD)
    limit_spinning()
    signal.signal(signal.SIGTERM, _terminate)
    status = run(sys.argv[1:] if arguments is None else arguments)
    end_at_once()
    sys.exit(status)


def run(arguments: Sequence[str]) -> int:
    """Run one command, report a failure as one line on stderr, and return the exit status."""
    try:
        dispatch(arguments)
        erase_status()
        sys.stdout.flush()  # where a full disk shows
    except AecliError as error:
        return _fail(error.status, str(error), *error.details)
    except Interrupted as interruption:
        return _fail(interruption.status, str(interruption) or "terminated")
    except KeyboardInterrupt:
        return _fail(Interrupted.status, "interrupted")
    except OSError as error:
        return _fail(StorageError.status, str(storage_error(error)))
    return 0


def dispatch(arguments: Sequence[str]) -> None:
    """Call the command named in `arguments`.

    Raises:
        AecliError: the command failed.
    """
    first = arguments[0] if arguments else "--help"
    if first == "help" and len(arguments) > 1:
        return dispatch([arguments[1], "--help"])
    if first == "--version":
        print(f"aecli {__version__}")
    elif first in ("-h", "--help", "help"):
        from aecli.cli.help import summaries

        print(HELP.format(version=__version__, commands=summaries()), end="")
    elif first not in command_names():
        raise UsageError(
            f"there is no command {first!r}: {suggest(first, command_names())}; "
            f"aecli --help says what each does"
        )
    elif {"-h", "--help"} & set(arguments):
        from aecli.cli.help import help_for

        print(help_for(first), end="")
    else:
        _check_grammar(arguments[1:])
        announce_imports()
        module(first).main(list(arguments[1:]))


def _check_grammar(arguments: Sequence[str]) -> None:
    """Check that no option is written as most programs have it.

    Raises:
        UsageError: one is; the message shows how it is written here.
    """
    for number, argument in enumerate(arguments):
        typed = _GNU_OPTION.fullmatch(argument)
        if typed is None or typed[1] in FLAGS:
            continue
        if close := get_close_matches(typed[1], FLAGS, n=1, cutoff=0.8):
            raise UsageError(f"there is no option --{typed[1]}: did you mean --{close[0]}?")
        value, key = typed[2], typed[1].replace("-", "_")
        if value is None:
            following = arguments[number + 1 : number + 2]
            value = following[0] if following and "=" not in following[0] else "..."
        raise UsageError(
            f"there is no option --{typed[1]}: keys have no dashes, as in {key}={value}"
        )


def _fail(status: int, message: str, *details: str) -> int:
    erase_status()
    for line in (f"aecli: {message}", *details):
        print(printable(line).replace("\n", "\\n"), file=sys.stderr)
    return status


def _terminate(_: int, __: FrameType | None) -> None:
    raise Terminated
