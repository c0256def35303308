"""One run from a model to a summary: train it, measure it, draw it, write down what came out."""

import math
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import torch

from aecli import __version__
from aecli.config import TrainConfig
from aecli.data import Data
from aecli.device import device_name
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
from aecli.metrics import Score
from aecli.models import Autoencoder
from aecli.run import RunDirectory
from aecli.tracking import Tracker
from aecli.training import TrainingResult, steps_per_epoch, train


@dataclass(frozen=True)
class Outcome:
    """What a finished run is told by."""

    training: TrainingResult
    scores: dict[str, Score]
    """On the test images: of the model and of each baseline, by the names of `LABELS`."""


def conduct(config: TrainConfig, data: Data, model: Autoencoder, run: RunDirectory) -> Outcome:
    """Train `model` and leave everything that a run directory holds, the summary last.

    The test images are measured once, at the end, with the weights of the best epoch.

    Raises:
        DivergenceError: the loss is no longer finite.
    """
    run.save_config(config)
    with Tracker(run, config.epochs, steps_per_epoch(config, data)) as tracker:
        training = train(config, data, model, run, tracker)
        run.load_weights(model)
        contestants = {"model": reconstruction(model, config), **baselines(config, data)}
        scores = {name: score(config, each, data.test) for name, each in contestants.items()}
        outcome = Outcome(training, scores)
        summary = summarise(config, data, model, outcome)
        tracker.results(_hyperparameters(summary), _final_metrics(scores), len(training.records))
        _draw(config, data, contestants, training, run)
    run.save_summary(summary)
    return outcome


def summarise(
    config: TrainConfig, data: Data, model: Autoencoder, outcome: Outcome
) -> dict[str, Any]:
    """What `summary.json` holds: the final figures, and all that they depend on."""
    records, best = outcome.training.records, outcome.training.best
    scores = {name: _json(each) for name, each in outcome.scores.items()}
    validated = {record.epoch: record.val_mse for record in records}
    return {
        "test": scores.pop("model"),
        "baselines": scores,
        "validation": {"loss": best.loss, "mse": validated[best.epoch]},
        "best_epoch": best.epoch,
        "epochs": len(records),
        "seconds": sum(record.seconds for record in records),
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
            "requested": data.requested,
            "source": data.source,
            "image_shape": list(data.image_shape),
            "train": len(data.train),
            "validation": len(data.validation),
            "test": len(data.test),
        },
        "device": device_name(data.train.images.device),
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


def _draw(
    config: TrainConfig,
    data: Data,
    contestants: dict[str, Reconstruct],
    training: TrainingResult,
    run: RunDirectory,
) -> None:
    """The figures of the run directory."""
    title = f"{config.name} on {data.name}"
    rows = {LABELS[name]: contestants[name] for name in ("model", "pca")}
    pictures = picture(f"{title}: test images", config, shown_images(data.test), rows)
    save(pictures, run.figures / "reconstructions")
    records = training.records
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
