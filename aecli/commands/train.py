"""`aecli train`: from a command line to finished run directories."""

import argparse
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from aecli.cli import console
from aecli.cli.compose import check_overrides, compose, compose_run
from aecli.cli.jobs import run_once, show_config
from aecli.cli.options import taken_out
from aecli.config import TrainConfig, Upsampling
from aecli.data import Data
from aecli.data.loaded import load_cached_data, resolve_config
from aecli.errors import Interrupted, Terminated, UsageError
from aecli.evaluation.examination import LABELS, UNPOOLING_BYPASSES_CODE
from aecli.models import build_model, describe
from aecli.runs.directory import SWEEP_FILE, RunDirectory, Status
from aecli.runtime.device import device_name, flush_denormals
from aecli.runtime.distributed import ProcessGroup, init_distributed
from aecli.training.experiment import (
    Outcome,
    exclusive_run,
    record_failure,
    run_experiment,
    run_worker,
)
from aecli.training.preflight import check_runnable


def main(arguments: list[str]) -> None:
    """Train what the command line describes.

    Raises:
        AecliError: why it could not be done.
    """
    flush_denormals()  # before there are threads that add up what processes send one another
    with init_distributed() as group:
        if group.is_main_process:
            lead(arguments, group)
            group.release_workers()
        else:
            run_worker(group)


def lead(arguments: list[str], group: ProcessGroup) -> None:
    """Do what the command line says; the first of `group` does it, and calls the others to help."""
    options = _parse(arguments)
    check_overrides(options.overrides, options.multirun)
    if options.cfg:
        compose(options.overrides)  # which refuses what Hydra would print
        show_config(options.flags, options.overrides)
    elif options.resume is not None:
        resume(Path(options.resume), options, group)
    elif options.multirun:
        _check_single_process(group)
        from aecli.sweep import launch as sweep  # a single run does not wait for it

        sweep.start(options.overrides, options.compare)
    else:
        single(options.overrides, group)


def _check_single_process(group: ProcessGroup) -> None:
    if group.size > 1:
        raise UsageError(
            "torchrun has its processes train one run together: train a sweep without it, with "
            "hydra/launcher=joblib for several runs at a time"
        )


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
    if compare is not None and not options.multirun and options.resume is None:
        parser.error(f"compare={compare} is for a sweep: add -m")
    options.compare = compare != "false"
    return options


def single(overrides: list[str], group: ProcessGroup) -> None:
    """Train one run, by all of `group`.

    Raises:
        AecliError: why it could not be done.
    """
    run = compose_run(overrides)
    check_runnable(run.config)
    run_once(run, lambda config, folder: run_one(config, RunDirectory(folder), group))


def resume(folder: Path, options: argparse.Namespace, group: ProcessGroup) -> None:
    """Go on with an interrupted run, or with the unfinished runs of a sweep.

    Raises:
        UsageError: there is neither in `folder`, or a setting that is not to be changed.
        AecliError: why it could not be done.
    """
    run = RunDirectory(folder)
    if not run.config_file.exists():
        if (folder / SWEEP_FILE).exists():
            _check_single_process(group)
        from aecli.sweep import launch as sweep

        sweep.resume(folder, options.overrides, options.compare)
    elif options.multirun:
        raise UsageError(f"resume={folder} is a single run: leave -m out")
    else:
        resume_run(run, options.overrides, group)


def resume_run(run: RunDirectory, overrides: list[str], group: ProcessGroup) -> None:
    """Go on with a run from its newest checkpoint, in its own folder.

    Args:
        run: its folder.
        overrides: may raise epochs, and nothing else that the result depends on.
        group: who trains; not necessarily as many as before.

    Raises:
        UsageError: another setting, or fewer epochs.
        AecliError: why it could not be done.
    """
    planned = run.load_config()
    config = _with_more_epochs(planned, overrides)
    if run.status is Status.finished and config.epochs == planned.epochs:
        console.warn(
            f"{run.path} is finished: there is nothing to do (epochs={2 * planned.epochs} would "
            f"train it further)"
        )
        return
    data = check_runnable(config)
    _announce(config, data, group)
    with _explaining(run), exclusive_run(run):
        run.summary_file.unlink(missing_ok=True)  # with more epochs it is no longer finished
        outcome = run_experiment(config, data, run, config.name, group, console.warn)
    _conclude(config, data, run, outcome)


# What may be given on resuming: the one that trains further, and where things are by now.
CHANGEABLE = ("epochs", "data_dir", "device")


def _with_more_epochs(planned: TrainConfig, overrides: list[str]) -> TrainConfig:
    """The configuration of a run with what may be changed on resuming it."""
    for override in overrides:
        key = override.partition("=")[0]
        if key not in CHANGEABLE:
            raise UsageError(
                f"{override} would make it another run: a run is resumed as it was configured, and "
                f"only {', '.join(CHANGEABLE)} may be given"
            )
    given = compose(overrides)
    keys = {override.partition("=")[0] for override in overrides}
    config = replace(planned, **{key: getattr(given, key) for key in keys})
    if config.epochs < planned.epochs:
        raise UsageError(
            f"epochs={config.epochs} is not valid: the run has {planned.epochs}, which may be "
            f"raised and not lowered"
        )
    return config


def run_one(config: TrainConfig, run: RunDirectory, group: ProcessGroup) -> None:
    """One run, from an empty folder to its summary, told in the terminal.

    Raises:
        UsageError: the folder holds a run already.
        DivergenceError: the loss is no longer finite.
        Interrupted: Ctrl-C or SIGTERM; says what is kept.
    """
    data = load_cached_data(config)
    config = resolve_config(config, data)
    check_unused(run)
    _announce(config, data, group)
    with _explaining(run), run.locked():
        check_unused(run)  # by a process that was faster
        with record_failure(run):
            outcome = run_experiment(config, data, run, config.name, group, console.warn)
    _conclude(config, data, run, outcome)


def check_unused(run: RunDirectory) -> None:
    """No run may come to lie over another.

    Raises:
        UsageError: there is one.
    """
    if run.config_file.exists():
        raise UsageError(
            f"{run.path} holds a run already: go on with it by resume={run.path}, or give another "
            f"hydra.run.dir"
        )


def _announce(config: TrainConfig, data: Data, group: ProcessGroup) -> None:
    """What is about to be trained."""
    if data.notice is not None:
        console.notice(data.notice)
    console.facts(
        {
            "data": console.describe_data(data),
            "model": console.describe_model(config),
            "device": device_name(data.train.images.device, group.size),
        }
    )
    # Not on the device "meta", whose first forward pass has torch import its compiler: a second.
    console.layer_table(describe(build_model(config.model, config.upsample, data.image_shape)))


def _conclude(config: TrainConfig, data: Data, run: RunDirectory, outcome: Outcome) -> None:
    """What came out of it, and how to look at it."""
    console.score_table(
        f"{config.name} on the {len(data.test):,} test images of {data.name}",
        {LABELS[name]: each for name, each in outcome.scores.items()},
    )
    if data.notice is not None:
        console.notice(data.notice)
    if config.upsample.name is Upsampling.max_unpool:
        console.warn(f"upsample=max_unpool: {UNPOOLING_BYPASSES_CODE}")
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


@contextmanager
def _explaining(run: RunDirectory) -> Iterator[None]:
    """An interruption says what it leaves behind, and how to go on."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        if not run.config_file.exists():  # nor anything else
            raise
        kind = Terminated if isinstance(interruption, Terminated) else Interrupted
        epochs = run.finished_epochs()
        kept = f"epoch {epochs} is the last finished one" if epochs else "no epoch was finished"
        raise kind(
            f"interrupted: {kept}; to go on: aecli train resume={shlex.quote(str(run.path))}"
        ) from None
