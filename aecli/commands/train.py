"""`aecli train`: from a command line to a finished run directory."""

import argparse
import json
import math
import platform
import shlex
from dataclasses import asdict, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import torch

from aecli import __version__, console
from aecli.composition import check_overrides, compose, jobs, launch
from aecli.config import DataConfig, TrainConfig, plain
from aecli.data import Data, load_data
from aecli.device import resolve_device
from aecli.errors import AecliError, Interrupted, Terminated, UsageError
from aecli.evaluation import (
    LABELS,
    Reconstruct,
    baselines,
    picture,
    reconstruction,
    score,
    shown_images,
)
from aecli.figures import loss_figure, save
from aecli.files import writable_folder
from aecli.metrics import Score
from aecli.models import Autoencoder, build_model, describe
from aecli.run import RunDirectory
from aecli.tracking import Tracker
from aecli.training import TrainingResult, new_model, steps_per_epoch, train


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
    """One run, from an empty folder to its summary.

    Raises:
        DivergenceError: the loss is no longer finite.
        Interrupted: Ctrl-C or SIGTERM; says what is kept.
    """
    requested, data = config.data.name, data_for(config)
    # What is saved names the data set that was used, and the shape that the model was built for.
    recorded = replace(config.data, name=data.name, image_shape=list(data.image_shape))
    config = replace(config, data=recorded)
    run.save_config(config)
    model = new_model(config, data)
    _announce(config, data, model)
    try:
        with Tracker(run, config.epochs, steps_per_epoch(config, data)) as tracker:
            result = train(config, data, model, run, tracker)
            run.load_weights(model)
            rivals = baselines(config, data)
            contestants = {"model": reconstruction(model, config), **rivals}
            scores = {name: score(config, each, data.test) for name, each in contestants.items()}
            _draw(config, data, contestants, result, run)
            summary = summarise(config, requested, data, model, result, scores)
            tracker.results(_hyperparameters(summary), _final_metrics(scores))
            run.save_summary(summary)
    except KeyboardInterrupt as interruption:
        raise _explained(interruption, run) from None
    _conclude(config, run, data, result, scores)


def summarise(
    config: TrainConfig,
    requested: str,
    data: Data,
    model: Autoencoder,
    result: TrainingResult,
    scores: dict[str, Score],
) -> dict[str, Any]:
    """What `summary.json` holds: the final figures, and all that they depend on."""
    test, *_ = scores.values()
    validated = {r.epoch: r.val_mse for r in result.records}
    return {
        "test": _json(test),
        "baselines": {name: _json(each) for name, each in scores.items() if name != "model"},
        "validation": {"loss": result.best.loss, "mse": validated[result.best.epoch]},
        "best_epoch": result.best.epoch,
        "epochs": len(result.records),
        "seconds": sum(record.seconds for record in result.records),
        "model": config.model.name,
        "upsample": config.upsample.name.name if config.model.kind == "conv" else None,
        "corruption": config.corruption.name.name,
        "latent": config.latent,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "seed": config.seed,
        "batch_size": config.batch_size,
        "lr": config.lr,
        "weight_decay": config.weight_decay,
        "data": {
            "name": data.name,
            "requested": requested,
            "source": data.source,
            "image_shape": list(data.image_shape),
            "train": len(data.train),
            "validation": len(data.validation),
            "test": len(data.test),
        },
        "device": _device_name(data),
        "versions": {
            "aecli": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": version("torchvision"),
        },
    }


def _json(score: Score) -> dict[str, float | None]:
    """A score as JSON can hold it: the psnr of a perfect reconstruction is null."""
    return {name: value if math.isfinite(value) else None for name, value in asdict(score).items()}


def _hyperparameters(summary: dict[str, Any]) -> dict[str, Any]:
    """The columns of the hparams table."""
    keys = "model upsample latent corruption epochs batch_size lr weight_decay seed parameters"
    columns = {key: summary[key] for key in keys.split() if summary[key] is not None}
    return {**columns, "data": summary["data"]["name"]}


def _final_metrics(scores: dict[str, Score]) -> dict[str, float]:
    return {
        "test/mse": scores["model"].mse,
        "test/sse": scores["model"].sse,
        "test/psnr": scores["model"].psnr,
        "test/mse_pca": scores["pca"].mse,
    }


def _announce(config: TrainConfig, data: Data, model: Autoencoder) -> None:
    """What is about to be trained."""
    if data.notice is not None:
        console.notice(data.notice)
    method = f", upsample {config.upsample.name.name}" if config.model.kind == "conv" else ""
    console.facts(
        {
            "data": console.describe_data(data),
            "model": f"{config.model.name}, latent {config.latent}{method}",
            "device": _device_name(data),
        }
    )
    console.layer_table(describe(model))


def _conclude(
    config: TrainConfig,
    run: RunDirectory,
    data: Data,
    result: TrainingResult,
    scores: dict[str, Score],
) -> None:
    """What came out of it, and how to look at it."""
    console.score_table(
        f"{config.name} on the {len(data.test):,} test images of {data.name}",
        {LABELS[name]: each for name, each in scores.items()},
    )
    if data.notice is not None:
        console.notice(data.notice)
    epochs = len(result.records)
    stopped = f", stopped early of {config.epochs}" if epochs < config.epochs else ""
    seconds = sum(record.seconds for record in result.records)
    console.facts(
        {
            "training": f"{epochs} epochs{stopped} in {seconds:.1f} s, best epoch "
            f"{result.best.epoch} (by validation loss)",
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


def _draw(
    config: TrainConfig,
    data: Data,
    contestants: dict[str, Reconstruct],
    result: TrainingResult,
    run: RunDirectory,
) -> None:
    """The figures of the run directory."""
    title = f"{config.name} on {data.name}"
    rows = {LABELS[name]: contestants[name] for name in ("model", "pca")}
    pictures = picture(f"{title}: test images", config, shown_images(data.test), rows)
    save(pictures, run.figures / "reconstructions")
    records = result.records
    curves = loss_figure(
        title,
        train_loss={r.epoch: r.train_loss for r in records},
        val_loss={r.epoch: r.val_loss for r in records if r.val_loss is not None},
        val_mse={r.epoch: r.val_mse for r in records if r.val_mse is not None},
        levels={
            LABELS[name]: score(config, each, data.validation).mse
            for name, each in contestants.items()
            if name != "model"
        },
    )
    save(curves, run.figures / "loss")


def _device_name(data: Data) -> str:
    device = data.train.images.device
    if device.type == "cpu":
        return f"cpu, {torch.get_num_threads()} threads"
    return f"{device}, {torch.cuda.get_device_name(device)}" if device.type == "cuda" else "mps"
