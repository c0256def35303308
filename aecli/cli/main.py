"""The command line: finds the command, and turns its failures into one line and an exit status."""

import gc
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NamedTuple

from aecli import __version__
from aecli.errors import (
    AecliError,
    Interrupted,
    StorageError,
    Terminated,
    UsageError,
    storage_error,
    suggest,
)
from aecli.runtime.signals import end_at_once

# Python looks for garbage whenever so many more objects have been made than freed. What a command
# imports makes a million that stay; at the 700 of Python 3.11 a seventh of the time until the first
# training step went into looking through them.
OBJECTS_BETWEEN_COLLECTIONS = 10_000


class Command(NamedTuple):
    """One verb: where its code is, and what it does."""

    module: str
    """Has a function main(arguments); imported only when the command is used."""

    summary: str


COMMANDS = {
    "train": Command("aecli.commands.train", "train an autoencoder, or with -m a sweep of them"),
    "shapes": Command(
        "aecli.commands.shapes", "show a network layer by layer: sizes, parameters, operations"
    ),
    "evaluate": Command(
        "aecli.commands.evaluate", "measure a trained model class by class, beside PCA"
    ),
    "reconstruct": Command(
        "aecli.commands.reconstruct", "show what a trained model makes of images"
    ),
    "interpolate": Command(
        "aecli.commands.interpolate", "go from one image to another through latent space"
    ),
    "sample": Command("aecli.commands.sample", "decode codes drawn from a fitted density"),
    "denoise": Command(
        "aecli.commands.denoise", "remove noise, beside a linear denoiser and filters"
    ),
    "superres": Command("aecli.commands.superres", "raise resolution, beside bicubic"),
    "probe": Command("aecli.commands.probe", "classify by the codes, beside PCA codes and pixels"),
    "anomaly": Command(
        "aecli.commands.anomaly", "find images unlike those of training, by their error"
    ),
    "export": Command("aecli.commands.export", "write a trained network as ONNX, or for torch"),
    "embed": Command(
        "aecli.commands.embed", "map the codes, and put them into TensorBoard's projector"
    ),
    "compare": Command(
        "aecli.commands.compare", "put runs side by side: table, figures, a report, beside PCA"
    ),
    "conv": Command(
        "aecli.commands.conv", "the arithmetic of one (transposed) convolution, with all numbers"
    ),
}

HELP = """\
aecli {version}: an experiment runner for autoencoders on small images

usage: aecli COMMAND [key=value ...]

commands:
{commands}

options:
  -h, --help   this text; after a command, what that command takes
  --version    the version

examples:
  aecli train model=conv latent=25
  aecli train -m sweep=latent
  aecli compare outputs/latent/2026-11-21_10-15-00-123456
  aecli conv input=2 kernel=3 stride=2 transposed=true
  tensorboard --logdir outputs
"""


# How often a thread of OpenMP looks whether the others are through before it sleeps. GNU's 300,000
# are 20 ms on an Intel Xeon, which is how long threads may wait, at every operation, for one whose
# core is busy with something else: beside two busy processes an epoch of fc with 11,000 images took
# over 15 s, and with this 0.2 s. With a tenth of this, conv takes half as long again on idle cores.
OPENMP_SPINS = "50000"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    if "OMP_WAIT_POLICY" not in os.environ:  # which says the same
        os.environ.setdefault("GOMP_SPINCOUNT", OPENMP_SPINS)  # read when torch is imported
    signal.signal(signal.SIGTERM, _terminate)
    status = run(sys.argv[1:] if arguments is None else arguments)
    end_at_once()
    sys.exit(status)


def run(arguments: Sequence[str]) -> int:
    """Run one command; its failures end as one line on stderr. Returns the exit status."""
    try:
        dispatch(arguments)
    except AecliError as error:
        return _fail(error.status, str(error))
    except Interrupted as interruption:
        return _fail(interruption.status, str(interruption) or "terminated")
    except KeyboardInterrupt:
        return _fail(Interrupted.status, "interrupted")
    except OSError as error:
        return _fail(StorageError.status, str(storage_error(error)))
    return 0


def dispatch(arguments: Sequence[str]) -> None:
    """Call the command that `arguments` name.

    Raises:
        AecliError: whatever the command could not do.
    """
    first = arguments[0] if arguments else "--help"
    if first in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        rows = (f"  {name:{width}}   {command.summary}" for name, command in COMMANDS.items())
        print(HELP.format(version=__version__, commands="\n".join(rows)), end="")
    elif first == "--version":
        print(f"aecli {__version__}")
    elif first in COMMANDS and {"-h", "--help"} & set(arguments):
        print(importlib.import_module("aecli.cli.help").help_for(first), end="")
    elif first in COMMANDS:
        command: Callable[[list[str]], None] = importlib.import_module(COMMANDS[first].module).main
        command(list(arguments[1:]))
    else:
        raise UsageError(
            f"there is no command {first!r}: {suggest(first, COMMANDS)}; "
            f"aecli --help tells what each does"
        )


def _fail(status: int, message: str) -> int:
    print(f"aecli: {message}", file=sys.stderr)
    return status


def _terminate(_: int, __: FrameType | None) -> None:
    raise Terminated
