"""Train an autoencoder, or with -m a sweep of them.

usage: aecli train [-m] [key=value ...]

Trains an autoencoder and writes a run directory under output_dir. --cfg job prints the
configuration instead of training. Flags may appear anywhere.

--dry-run checks the command and says what would be trained: the runs by their names, with
parameters, steps, and an estimate of the time from a few steps of each kind. It works with -m and
with resume=, and writes nothing but what loading the data set keeps in data_dir and in the cache.

With -m (--multirun), lists of values such as latent=5,25,125 train one run per combination, and
sweep=... supplies ready-made lists, which values on the command line override.

--config-dir DIR adds choices of your own, such as DIR/model/mine.yaml for model=mine. The file of a
model begins with "defaults: [conv_schema]" or "[fc_schema]", and those under conf/ are examples.

resume=FOLDER continues an interrupted run, or all unfinished runs of a sweep, each from its newest
checkpoint. For a single run, even a finished one, epochs=... and minutes=... may be raised, and
restart=true trains it from the beginning instead. The results of a finished run stay until the new
ones are complete. The beginning of a name, or latest, may stand for FOLDER.

resume=FOLDER finish=true trains no further: it closes an interrupted run, or those of a sweep, with
the weights kept so far (the best, or with keep=last the last), so that every command can use it.
Its results say at which epoch it was closed, and resume=FOLDER continues its training later.

On a terminal a bar shows the progress. With log=lines, and wherever there is no terminal, a line
for each epoch is printed on stdout instead.

Under torchrun, all processes train one run together; batch_size is their total.

examples:
  aecli train model=conv latent=25
  aecli train model=denoising latent=32 epochs=10 corruption.noise_std=0.3
  aecli train experiment=lecture_fc latent=125
  aecli train -m model=fc latent=5,25,125 seed=0,1,2
  aecli train -m sweep=latent hydra/launcher=joblib
  aecli train -m sweep=upsample seed=0,1,2 --dry-run
  aecli train resume=outputs/latent/2026-11-21_10-15-00-123456
  aecli train resume=outputs/conv-z25/2026-11-21_10-15-00-123456 finish=true
  torchrun --nproc_per_node=2 -m aecli train model=denoising
"""

import argparse
from pathlib import Path
from typing import NoReturn

from aecli.cli.jobs import show_config
from aecli.cli.options import found, pop_value
from aecli.cli.override_checks import check_overrides
from aecli.cli.overrides import read_arguments
from aecli.cli.own_config import pop_config_dir
from aecli.cli.single_run import (
    finish_run,
    forecast_rest,
    forecast_single,
    resume_run,
    train_single,
)
from aecli.config.limits import expand_user
from aecli.data.loaded import keep_data
from aecli.errors import UsageError
from aecli.errors.text import invalid_choice
from aecli.runs.directory import RunDirectory
from aecli.runs.display import Log
from aecli.runs.lookup import find_run_or_sweep
from aecli.runs.sweep_plan import SWEEP_FILE, is_search
from aecli.runtime.device import flush_denormals
from aecli.runtime.distributed import ProcessGroup, init_distributed
from aecli.training.experiment import run_worker


def main(arguments: list[str]) -> None:
    """Train what the command line describes.

    Raises:
        AecliError: it cannot be done; the message says why.
    """
    flush_denormals()  # before the threads that reduce gradients exist
    with keep_data(), init_distributed() as group:
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
        show_config(options.cfg, options.resolve, options.overrides)
    elif options.dry_run:
        _check_single_process(group, "--dry-run trains nothing, so give it without torchrun")
        forecast(options)
    elif options.resume is not None:
        resume(_given_folder(options), options, group)
    elif options.multirun:
        _check_single_process(group, SWEEP_IN_ONE_PROCESS)
        from aecli.sweep import lifecycle as sweep  # a single run need not wait for it

        sweep.start(options.overrides, options.compare, options.log)
    else:
        train_single(options.overrides, group, options.log)


SWEEP_IN_ONE_PROCESS = (
    "start a sweep without it, with hydra/launcher=joblib to train several runs at a time"
)


def _check_single_process(group: ProcessGroup, advice: str) -> None:
    if group.size > 1:
        raise UsageError(f"under torchrun all processes train one run together: {advice}")


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
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("overrides", nargs="*")
    own = pop_config_dir(arguments)
    options = parser.parse_intermixed_args(arguments)
    if options.cfg not in (None, *CONFIG_PARTS):
        parser.error(invalid_choice("--cfg", options.cfg, CONFIG_PARTS))
    if options.cfg and options.multirun:
        parser.error("--cfg shows the configuration of one run: leave -m out")
    if options.cfg and any(each.startswith("resume=") for each in options.overrides):
        parser.error("--cfg shows the configuration of a new run: leave resume out")
    if options.cfg and options.dry_run:
        parser.error("--cfg and --dry-run both say what would be trained: give one of them")
    if options.resolve and not options.cfg:
        parser.error("--resolve goes with --cfg job")
    # These are not part of a run's configuration, so they are not passed to Hydra.
    options.resume = pop_value(options.overrides, "resume")
    if options.resume == "":
        parser.error("resume= is empty: give the folder of a run or of a sweep")
    if own and options.resume is not None:
        parser.error("--config-dir is for a new run: one that is resumed has its configuration")
    _pop_switches(parser, options)
    log = pop_value(options.overrides, "log")
    if log is not None and log not in Log.__members__:
        parser.error(invalid_choice("log", log, tuple(Log.__members__)))
    options.log = Log[log or "bar"]
    options.overrides = [*own, *read_arguments(options.overrides)]
    return options


def _pop_switches(parser: _Parser, options: argparse.Namespace) -> None:
    """Move `compare`, `restart` and `finish` from the overrides to `options`."""
    compare = _pop_switch(parser, options.overrides, "compare")
    if compare is not None and not options.multirun and options.resume is None:
        parser.error(f"compare={str(compare).lower()} is for a sweep: add -m")
    options.compare = compare is not False
    for key in ("restart", "finish"):
        value = _pop_switch(parser, options.overrides, key)
        if value is not None and options.resume is None:
            parser.error(f"{key}={str(value).lower()} is for a run that exists: add resume=FOLDER")
        setattr(options, key, value is True)
    if options.finish and options.dry_run:
        parser.error("--dry-run says what would be trained, and finish=true trains nothing")
    if options.restart and options.finish:
        parser.error(
            "restart=true trains a run from the beginning, and finish=true no further: give one"
        )


def _pop_switch(parser: _Parser, arguments: list[str], key: str) -> bool | None:
    """Remove `key=true` or `key=false` from `arguments`; None if it is not given."""
    value = pop_value(arguments, key)
    if value not in (None, "true", "false"):
        parser.error(f"{key}={value} is not valid: give true or false")
    return None if value is None else value == "true"


def forecast(options: argparse.Namespace) -> None:
    """Print what would be trained and how long it would take; nothing is written.

    Raises:
        AecliError: it could not start; the message says why.
    """
    if options.resume is not None:
        _forecast_rest(_given_folder(options), options)
    elif options.multirun:
        from aecli.sweep import dry_run

        dry_run.forecast(options.overrides)
    else:
        forecast_single(options.overrides)


def _forecast_rest(folder: Path, options: argparse.Namespace) -> None:
    """Print what resuming a run, or the unfinished runs of a sweep, would train."""
    run = RunDirectory(folder)
    if run.config_file.exists():
        _check_for_single(options, folder)
        forecast_rest(run, options.overrides, options.restart)
    else:
        _check_for_sweep(options, folder)
        from aecli.sweep import dry_run

        dry_run.forecast_rest(folder, options.overrides)


def _given_folder(options: argparse.Namespace) -> Path:
    """The folder of the run or the sweep that `resume` stands for."""
    return found(expand_user("resume", options.resume), find_run_or_sweep)


def _check_for_single(options: argparse.Namespace, folder: Path) -> None:
    if options.multirun:
        raise UsageError(f"resume={folder} is a single run: leave -m out")


def _check_for_sweep(options: argparse.Namespace, folder: Path) -> None:
    if options.restart:
        raise UsageError(f"restart=true is for a single run, and {folder} is not one")
    if is_search(folder):
        raise UsageError(
            f"resume={folder} is a search, which is not resumed: give one of its runs, as in "
            f"resume={folder}/RUN, or start another search"
        )


def resume(folder: Path, options: argparse.Namespace, group: ProcessGroup) -> None:
    """Resume or close an interrupted run, or the unfinished runs of a sweep.

    Raises:
        UsageError: `folder` holds neither, or a setting cannot be changed on resuming.
        AecliError: it cannot be done; the message says why.
    """
    run = RunDirectory(folder)
    if options.finish:
        _check_single_process(group, "finish=true trains nothing, so give it without torchrun")
    if not run.config_file.exists():
        if (folder / SWEEP_FILE).exists():
            _check_single_process(group, SWEEP_IN_ONE_PROCESS)
        _check_for_sweep(options, folder)
        from aecli.sweep import lifecycle as sweep

        go_on = sweep.finish if options.finish else sweep.resume
        go_on(folder, options.overrides, options.compare, options.log)
        return
    _check_for_single(options, folder)
    if options.finish:
        finish_run(run, options.overrides, options.log)
    else:
        resume_run(run, options.overrides, options.restart, group, options.log)
