"""Train an autoencoder, or with -m a sweep of them.

usage: aecli train [-m] [key=value ...]

Trains an autoencoder and writes a run directory under output_dir. --cfg job prints the
configuration instead of training. Flags may appear anywhere.

With -m (--multirun), lists of values such as latent=5,25,125 train one run per combination, and
sweep=... supplies ready-made lists, which values on the command line override.

--config-dir DIR adds choices of your own, such as DIR/model/mine.yaml for model=mine. The file of a
model begins with "defaults: [conv_schema]" or "[fc_schema]", and those under conf/ are examples.

resume=FOLDER continues an interrupted run, or all unfinished runs of a sweep, each from its newest
checkpoint; epochs=... and minutes=... may be raised, even for a finished run. With restart=true a
run is trained from the beginning instead. The results of a finished run stay until the new ones are
complete. The beginning of a name, or latest, may stand for FOLDER.

On a terminal a bar shows the progress; log=lines prints a line for each epoch instead, on stdout,
as is done where there is no terminal.

Under torchrun, all processes train one run together; batch_size is their total.

examples:
  aecli train model=conv latent=25
  aecli train model=denoising latent=32 epochs=10 corruption.noise_std=0.3
  aecli train experiment=lecture_fc latent=125
  aecli train -m model=fc latent=5,25,125 seed=0,1,2
  aecli train -m sweep=latent hydra/launcher=joblib
  aecli train resume=outputs/latent/2026-11-21_10-15-00-123456
  torchrun --nproc_per_node=2 -m aecli train model=denoising
"""

import argparse
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from aecli.baselines.contestants import LABELS
from aecli.cli import console
from aecli.cli.compose import check_overrides, compose, compose_run
from aecli.cli.jobs import run_once, show_config
from aecli.cli.options import found, pop_value
from aecli.cli.overrides import read_arguments
from aecli.cli.own_config import pop_config_dir
from aecli.config import TrainConfig, Upsampling, short_key
from aecli.config.limits import expand_user
from aecli.data import Data
from aecli.data.loaded import load_cached_data, relocate, resolve_config
from aecli.errors import Interrupted, UsageError
from aecli.evaluation.scores import UNPOOLING_BYPASSES_CODE
from aecli.models import build_model, describe
from aecli.runs.diagnosis import diagnose
from aecli.runs.directory import RunDirectory, Status
from aecli.runs.display import Display, Log
from aecli.runs.lookup import find_run_or_sweep
from aecli.runs.sweep_plan import SWEEP_FILE
from aecli.runtime.device import device_name, flush_denormals
from aecli.runtime.distributed import ProcessGroup, init_distributed
from aecli.text import invalid_choice
from aecli.training.experiment import (
    exclusive_run,
    record_failure,
    run_experiment,
    run_worker,
)
from aecli.training.loop import steps_per_epoch
from aecli.training.outcome import Outcome
from aecli.training.preflight import check_runnable


def main(arguments: list[str]) -> None:
    """Train what the command line describes.

    Raises:
        AecliError: it cannot be done; the message says why.
    """
    flush_denormals()  # before the threads that reduce gradients exist
    with init_distributed() as group:
        if group.is_main_process:
            run_main(arguments, group)
            group.release_workers()
        else:
            run_worker(group)


def run_main(arguments: list[str], group: ProcessGroup) -> None:
    """Execute the command line in the main process of `group`; the others join in for training."""
    options = _parse(arguments)
    check_overrides(options.overrides, options.multirun)
    if options.cfg:
        compose(options.overrides)  # rejects invalid values, which Hydra would print
        show_config(options.cfg, options.resolve, options.overrides)
    elif options.resume is not None:
        folder = found(expand_user("resume", options.resume), find_run_or_sweep)
        resume(folder, options, group)
    elif options.multirun:
        _check_single_process(group)
        from aecli.sweep import lifecycle as sweep  # a single run need not wait for it

        sweep.start(options.overrides, options.compare, options.log)
    else:
        train_single(options.overrides, group, options.log)


def _check_single_process(group: ProcessGroup) -> None:
    if group.size > 1:
        raise UsageError(
            "under torchrun all processes train one run together: start a sweep without it, with "
            "hydra/launcher=joblib to train several runs at a time"
        )


CONFIG_PARTS = ("job", "hydra", "all")
"""What --cfg prints."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; aecli train --help says what is valid")


def _parse(arguments: list[str]) -> argparse.Namespace:
    """Parse Hydra's flags, which may appear anywhere, our own, and the overrides, in order."""
    parser = _Parser(prog="aecli train", add_help=False, allow_abbrev=False)
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("-c", "--cfg")
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("overrides", nargs="*")
    own = pop_config_dir(arguments)
    options = parser.parse_intermixed_args(arguments)
    if options.cfg not in (None, *CONFIG_PARTS):
        parser.error(invalid_choice("--cfg", options.cfg, CONFIG_PARTS))
    if options.cfg and options.multirun:
        parser.error("--cfg shows the configuration of one run: leave -m out")
    if options.cfg and any(each.startswith("resume=") for each in options.overrides):
        parser.error("--cfg shows the configuration of a new run: leave resume out")
    if options.resolve and not options.cfg:
        parser.error("--resolve goes with --cfg job")
    # These are not part of a run's configuration, so they are not passed to Hydra.
    options.resume = pop_value(options.overrides, "resume")
    if options.resume == "":
        parser.error("resume= is empty: give the folder of a run or of a sweep")
    if own and options.resume is not None:
        parser.error("--config-dir is for a new run: one that is resumed has its configuration")
    compare = _pop_switch(parser, options.overrides, "compare")
    if compare is not None and not options.multirun and options.resume is None:
        parser.error(f"compare={str(compare).lower()} is for a sweep: add -m")
    options.compare = compare is not False
    restart = _pop_switch(parser, options.overrides, "restart")
    if restart is not None and options.resume is None:
        parser.error(f"restart={str(restart).lower()} is for a run that exists: add resume=FOLDER")
    options.restart = restart is True
    log = pop_value(options.overrides, "log")
    if log is not None and log not in Log.__members__:
        parser.error(invalid_choice("log", log, tuple(Log.__members__)))
    options.log = Log[log or "bar"]
    options.overrides = [*own, *read_arguments(options.overrides)]
    return options


def _pop_switch(parser: _Parser, arguments: list[str], key: str) -> bool | None:
    """Remove `key=true` or `key=false` from `arguments`; None if it is not given."""
    value = pop_value(arguments, key)
    if value not in (None, "true", "false"):
        parser.error(f"{key}={value} is not valid: give true or false")
    return None if value is None else value == "true"


def train_single(overrides: list[str], group: ProcessGroup, log: Log) -> None:
    """Train one run with all processes of `group`.

    Raises:
        AecliError: it cannot be done; the message says why.
    """
    run = compose_run(overrides)
    check_runnable(run.config)
    run_once(run, lambda config, folder: run_one(config, RunDirectory(folder), group, log))


def resume(folder: Path, options: argparse.Namespace, group: ProcessGroup) -> None:
    """Resume an interrupted run, or the unfinished runs of a sweep.

    Raises:
        UsageError: `folder` holds neither, or a setting cannot be changed on resuming.
        AecliError: it cannot be done; the message says why.
    """
    run = RunDirectory(folder)
    if not run.config_file.exists():
        if (folder / SWEEP_FILE).exists():
            _check_single_process(group)
        if options.restart:
            raise UsageError(f"restart=true is for a single run, and {folder} is not one")
        from aecli.sweep import lifecycle as sweep

        sweep.resume(folder, options.overrides, options.compare, options.log)
    elif options.multirun:
        raise UsageError(f"resume={folder} is a single run: leave -m out")
    else:
        resume_run(run, options.overrides, options.restart, group, options.log)


def resume_run(
    run: RunDirectory, overrides: list[str], restart: bool, group: ProcessGroup, log: Log
) -> None:
    """Resume a run from its newest checkpoint, in its own folder.

    Args:
        run: the directory of the run.
        overrides: may raise epochs or minutes, but change nothing else that affects the result.
        restart: train from the beginning instead.
        group: the processes that train; their number may differ from before.
        log: how the run shows its progress.

    Raises:
        UsageError: another setting is changed, or epochs or minutes is lowered.
        AecliError: it cannot be done; the message says why.
    """
    unfinished = run.load_next_config()
    planned = unfinished or run.load_config()
    config = _with_more_epochs(planned, overrides)
    is_complete = run.status is Status.finished and unfinished is None
    has_more = (config.epochs, config.minutes) != (planned.epochs, planned.minutes)
    if is_complete and not has_more and not restart:
        console.warn(
            f"{run.path} is finished: there is nothing to do (epochs={2 * planned.epochs} would "
            f"train it further)"
        )
        return
    data = check_runnable(config)
    _announce(config, data, group)
    with _describing_interruption(run), exclusive_run(run):
        display = Display(config.name, log)
        outcome = run_experiment(
            config, data, run, display, group, restart=restart, warn=console.warn
        )
    _conclude(config, data, run, outcome)


# What may be given on resuming: more epochs or time, where the images are now, and the device.
CHANGEABLE = ("epochs", "minutes", "data_dir", "data.path", "device")


def _with_more_epochs(planned: TrainConfig, overrides: list[str]) -> TrainConfig:
    """The configuration of a run, updated with what may change on resuming."""
    for override in overrides:
        key = override.partition("=")[0]
        if key not in CHANGEABLE:
            raise UsageError(
                f"{override} would make it a different run: a run keeps its configuration when "
                f"resumed, and only {', '.join(map(short_key, CHANGEABLE))} may be given"
            )
    if not overrides:  # then Hydra, which takes a third of a second, is not needed
        return planned
    given = compose(overrides)
    keys = {override.partition("=")[0] for override in overrides}
    config = replace(planned, **{key: getattr(given, key) for key in keys - {"data.path"}})
    config = relocate(config, data_dir=None, path=given.data.path)
    for key in ("epochs", "minutes"):
        before, after = getattr(planned, key), getattr(config, key)
        if after is not None and (before is None or after < before):
            planned_value = "null" if before is None else before
            raise UsageError(
                f"{key}={after} is not valid: the run has {planned_value}, which may be raised but "
                f"not lowered"
            )
    return config


def run_one(config: TrainConfig, run: RunDirectory, group: ProcessGroup, log: Log) -> None:
    """Train one run, from an empty folder to its summary, and print its progress and scores.

    Raises:
        UsageError: the folder already holds a run.
        DivergenceError: the loss is not finite.
        Interrupted: Ctrl-C or SIGTERM; the message says what is kept.
    """
    data = load_cached_data(config)
    config = resolve_config(config, data)
    run.check_vacant()
    _announce(config, data, group)
    with _describing_interruption(run), run.locked():
        run.check_vacant()  # again, in case another process was faster
        with record_failure(run):
            display = Display(config.name, log)
            outcome = run_experiment(config, data, run, display, group, warn=console.warn)
    _conclude(config, data, run, outcome)


def _announce(config: TrainConfig, data: Data, group: ProcessGroup) -> None:
    """Print the data, the model and the device."""
    if data.notice is not None:
        console.notice(data.notice)
    console.facts(
        {
            "data": console.describe_data(data),
            "model": console.describe_model(config),
            "device": device_name(data.train.images.device, group.size),
        }
    )
    # Not on the meta device: its first forward pass imports torch's compiler, which takes 1 s.
    console.layer_table(describe(build_model(config.model, config.upsample, data.image_shape)))


def _conclude(config: TrainConfig, data: Data, run: RunDirectory, outcome: Outcome) -> None:
    """Print the scores, the training time, and how to view the run."""
    console.score_table(
        f"{config.name} on the {len(data.test):,} test images of {data.name}",
        {LABELS[name]: score for name, score in outcome.scores.items()},
    )
    if data.notice is not None:
        console.notice(data.notice)
    if config.upsample.name is Upsampling.max_unpool:
        console.warn(f"upsample=max_unpool: {UNPOOLING_BYPASSES_CODE}")
    records, best = outcome.training.records, outcome.training.best
    for finding in diagnose(
        config,
        records,
        best.epoch,
        steps_per_epoch(config, data),
        outcome.scores["model"].mse,
        outcome.scores["mean_image"].mse,
    ):
        console.warn(f"{finding.details}: {finding.advice}")
    epochs = len(records)
    stopped = f" of {config.epochs}, stopped early," if epochs < config.epochs else ""
    if stopped and not outcome.training.best.is_exhausted(config.patience):
        stopped = f", as many as minutes={config.minutes:g} allow,"
    seconds = sum(record.seconds for record in records)
    console.facts(
        {
            "training": f"{epochs} epoch{'s' * (epochs > 1)}{stopped} in {seconds:.1f} s, "
            f"best epoch {best.epoch} (by validation loss)",
            "run": str(run.path),
            "look at it": f"tensorboard --logdir {shlex.quote(str(_log_dir(config, run)))}",
        }
    )


def _log_dir(config: TrainConfig, run: RunDirectory) -> Path:
    """The folder of all runs if this run is in it, so that TensorBoard compares them."""
    folder = Path(config.output_dir)
    return folder if run.path.resolve().is_relative_to(folder.resolve()) else run.path


@contextmanager
def _describing_interruption(run: RunDirectory) -> Iterator[None]:
    """If interrupted, say what is kept and how to resume."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        if not run.config_file.exists():  # nothing was written
            raise
        epochs = run.finished_epochs()
        kept = f"epoch {epochs} was the last to finish" if epochs else "no epoch has finished"
        raise Interrupted.saying(
            f"interrupted: {kept}; to resume: aecli train resume={shlex.quote(str(run.path))}",
            interruption,
        ) from None
