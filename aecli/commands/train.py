"""`aecli train`: from a command line to finished run directories."""

import argparse
import shlex
from pathlib import Path
from typing import NoReturn

from aecli import console
from aecli.composition import check_overrides, compose, run_once, show_config
from aecli.config import TrainConfig, Upsampling
from aecli.data import Data
from aecli.device import device_name
from aecli.errors import AecliError, Interrupted, Terminated, UsageError
from aecli.evaluation import LABELS, PAST_THE_CODE
from aecli.experiment import Outcome, conduct, noting_failure
from aecli.models import Autoencoder, describe
from aecli.options import taken_out
from aecli.preparation import data_for, recorded, refuse_early
from aecli.run import RunDirectory
from aecli.training import new_model


def main(arguments: list[str]) -> None:
    """Train what the command line describes.

    Raises:
        AecliError: why it could not be done.
    """
    options = _parse(arguments)
    check_overrides(options.overrides, options.multirun)
    if options.cfg:
        compose(options.overrides)  # which refuses what Hydra would print
        show_config(options.flags, options.overrides)
    elif options.resume is not None and not options.multirun:
        raise UsageError(f"resume={options.resume} goes on with a sweep: add -m")
    elif options.multirun:
        from aecli import sweep  # a single run does not wait for it

        if options.resume is not None:
            sweep.resume(Path(options.resume), options.overrides, options.compare)
        else:
            sweep.start(options.overrides, options.compare)
    else:
        single(options.overrides)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; aecli train --help tells what is valid")


def _parse(arguments: list[str]) -> argparse.Namespace:
    """Hydra's flags, wherever they stand on the line, ours, and the overrides in their order."""
    parser = _Parser(prog="aecli train", add_help=False, allow_abbrev=False)
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("-c", "--cfg", choices=("job", "hydra", "all"))
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_intermixed_args(arguments)
    if options.cfg and options.multirun:
        parser.error("--cfg shows the configuration of one run: leave -m out")
    if options.resolve and not options.cfg:
        parser.error("--resolve goes with --cfg job")
    options.flags = [argument for argument in arguments if argument not in options.overrides]
    # These two are about the sweep and not about its runs, so Hydra does not get to see them.
    options.resume = taken_out(options.overrides, "resume")
    compare = taken_out(options.overrides, "compare")
    if compare not in (None, "true", "false"):
        parser.error(f"compare={compare} is not valid: give true or false")
    if compare is not None and not options.multirun:
        parser.error(f"compare={compare} is for a sweep: add -m")
    options.compare = compare != "false"
    return options


def single(overrides: list[str]) -> None:
    """Train one run.

    Raises:
        AecliError: why it could not be done.
    """
    refuse_early(compose(overrides))
    failures: list[AecliError] = []

    def job(config: TrainConfig, folder: Path) -> None:
        # Hydra would print that the job has failed, and how, in front of our line.
        try:
            run_one(config, RunDirectory(folder))
        except AecliError as error:
            failures.append(error)

    run_once(overrides, job)
    if failures:
        raise failures[0]


def run_one(config: TrainConfig, run: RunDirectory) -> None:
    """One run, from an empty folder to its summary, told in the terminal.

    Raises:
        UsageError: the folder holds a run already.
        DivergenceError: the loss is no longer finite.
        Interrupted: Ctrl-C or SIGTERM; says what is kept.
    """
    if run.config_file.exists():
        raise UsageError(f"{run.path} holds a run already: give another hydra.run.dir")
    data = data_for(config)
    config = recorded(config, data)
    model = new_model(config, data)
    _announce(config, data, model)
    try:
        with noting_failure(run):
            outcome = conduct(config, data, model, run, bar=config.name)
    except KeyboardInterrupt as interruption:
        raise _explained(interruption, run) from None
    _conclude(config, data, run, outcome)


def _announce(config: TrainConfig, data: Data, model: Autoencoder) -> None:
    """What is about to be trained."""
    if data.notice is not None:
        console.notice(data.notice)
    console.facts(
        {
            "data": console.describe_data(data),
            "model": console.describe_model(config),
            "device": device_name(data.train.images.device),
        }
    )
    console.layer_table(describe(model))


def _conclude(config: TrainConfig, data: Data, run: RunDirectory, outcome: Outcome) -> None:
    """What came out of it, and how to look at it."""
    console.score_table(
        f"{config.name} on the {len(data.test):,} test images of {data.name}",
        {LABELS[name]: each for name, each in outcome.scores.items()},
    )
    if data.notice is not None:
        console.notice(data.notice)
    if config.upsample.name is Upsampling.max_unpool:
        console.warn(f"upsample=max_unpool: {PAST_THE_CODE}")
    records, best = outcome.training.records, outcome.training.best
    epochs = len(records)
    stopped = f", stopped early of {config.epochs}" if epochs < config.epochs else ""
    seconds = sum(record.seconds for record in records)
    console.facts(
        {
            "training": f"{epochs} epoch{'s' * (epochs > 1)}{stopped} in {seconds:.1f} s, "
            f"best epoch {best.epoch} (by validation loss)",
            "run": str(run.path),
            "look at it": f"tensorboard --logdir {shlex.quote(config.output_dir)}",
        }
    )


def _explained(interruption: KeyboardInterrupt, run: RunDirectory) -> Interrupted:
    """The interruption with what it leaves behind."""
    kind = Terminated if isinstance(interruption, Terminated) else Interrupted
    epochs = run.finished_epochs()
    kept = f"epoch {epochs} is the last finished one" if epochs else "no epoch was finished"
    return kind(f"interrupted: {kept}, the run is in {run.path}")
