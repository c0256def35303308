"""`aecli train`: from a command line to finished run directories."""

import argparse
import json
import shlex
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

import torch

from aecli import console
from aecli.composition import check_overrides, compose, jobs, launch
from aecli.config import DataConfig, TrainConfig, plain
from aecli.data import Data, load_data
from aecli.device import device_name, resolve_device
from aecli.errors import AecliError, Interrupted, Terminated, UsageError, storage_error
from aecli.evaluation import LABELS
from aecli.experiment import Outcome, conduct
from aecli.files import writable_folder
from aecli.models import Autoencoder, build_model, describe
from aecli.run import RunDirectory
from aecli.training import new_model


def main(arguments: list[str]) -> None:
    """Train what the command line describes.

    Raises:
        AecliError: why it could not be done.
    """
    options = _parse(arguments)
    check_overrides(options.overrides, options.multirun)
    lines = jobs(options.overrides) if options.multirun else [options.overrides]
    for config in [compose(line) for line in lines]:
        if not options.cfg:
            refuse_early(config)

    failures: list[AecliError] = []

    def job(config: TrainConfig, folder: Path) -> None:
        try:
            run_one(config, RunDirectory(folder))
        except AecliError as error:
            failures.append(error)
        except OSError as error:
            failures.append(storage_error(error))

    launch(options.flags, options.overrides, job)
    if len(lines) == 1 and failures:
        raise failures[0]
    if failures:
        reasons = "; ".join(map(str, failures))
        raise AecliError(f"{len(failures)} of {len(lines)} runs failed: {reasons}")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; aecli train --help tells what is valid")


def _parse(arguments: list[str]) -> argparse.Namespace:
    """Hydra's flags, wherever they stand on the line, and the overrides in their order."""
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
    return options


def refuse_early(config: TrainConfig) -> None:
    """Meet whatever can go wrong before there is a folder: device, data and layer list."""
    data = data_for(config)
    with torch.device("meta"):  # no memory, no arithmetic: shapes alone
        build_model(config.model, config.upsample, data.image_shape)
    writable_folder(Path(config.output_dir), "output_dir")


def data_for(config: TrainConfig) -> Data:
    """The images of a run, kept for the next run that wants the same."""
    return _load_once(json.dumps(plain(config.data)), config.data_dir, config.device)


@lru_cache(maxsize=1)
def _load_once(data: str, data_dir: str, device: str) -> Data:
    return load_data(DataConfig(**json.loads(data)), Path(data_dir), resolve_device(device))


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
    # What is saved names the data set that was used, and the shape that the model was built for.
    recorded = replace(config.data, name=data.name, image_shape=list(data.image_shape))
    config = replace(config, data=recorded)
    model = new_model(config, data)
    _announce(config, data, model)
    try:
        outcome = conduct(config, data, model, run)
    except KeyboardInterrupt as interruption:
        raise _explained(interruption, run) from None
    _conclude(config, data, run, outcome)


def _announce(config: TrainConfig, data: Data, model: Autoencoder) -> None:
    """What is about to be trained."""
    if data.notice is not None:
        console.notice(data.notice)
    method = f", upsample {config.upsample.name.name}" if config.model.kind == "conv" else ""
    console.facts(
        {
            "data": console.describe_data(data),
            "model": f"{config.model.name}, latent {config.latent}{method}",
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
