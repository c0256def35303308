"""The results of a finished training: measured once, then saved, logged and shown."""

import platform
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from aecli import __version__
from aecli.baselines.contestants import LABELS, baselines
from aecli.baselines.pca import pca_of
from aecli.config import TrainConfig, settings
from aecli.config.choices import TRAIN, VALIDATION
from aecli.config.wording import as_typed, loss_label, shortest_keys
from aecli.data import Data
from aecli.evaluation.examples import (
    ExampleImages,
    epochs_figure,
    example_images,
    reconstruction_figure,
)
from aecli.evaluation.linear import angles_to_pca, is_linear
from aecli.evaluation.metrics import Score
from aecli.evaluation.plane import Plane, has_plane, measure_plane
from aecli.evaluation.scores import (
    ReferenceScores,
    SplitScores,
    make_reconstruct_fn,
    pca_curve_sizes,
    score_test_split,
)
from aecli.runs.directory import CURVE, EPOCHS, LOSS, RECONSTRUCTIONS, RunDirectory
from aecli.runs.records import EpochRecord, by_epoch
from aecli.runtime.device import device_name
from aecli.training.state import TrainingState
from aecli.training.validation import validate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOSSES = "training/losses"
"""TensorBoard's tag of the picture with both losses, which is sorted after the curves of
`loss/`."""


@dataclass(frozen=True)
class Outcome:
    """Everything that is measured and shown of a finished training."""

    training: TrainingState
    references: ReferenceScores
    """The baselines on the validation images."""
    test: SplitScores
    """The model and the baselines on the test images."""
    examples: ExampleImages
    """The test images that figures show."""
    outputs: dict[str, Tensor]
    """Their reconstructions by the model and by PCA, keyed as in `LABELS`; (K, C, H, W) each."""
    kept: EpochRecord
    """The record of the epoch whose weights are kept. Without validation images, dead units and
    pixels are counted on the test images."""
    closed: str | None
    """Why the training was closed early; None if it was not."""
    plane: Plane | None
    """How the model maps points of the plane; None if the images are not such points."""
    angles_to_pca: list[float] | None
    """In degrees, the largest first; None if the network is not linear."""

    @property
    def records(self) -> list[EpochRecord]:
        """The records of all epochs, with `kept` in its place."""
        records = [*self.training.records]
        records[self.kept.epoch - 1] = self.kept
        return records

    @property
    def scores(self) -> dict[str, Score]:
        """Scores of the model and each baseline on the test images, keyed as in `LABELS`."""
        return self.test.scores


@torch.inference_mode()
def measure_outcome(
    config: TrainConfig,
    data: Data,
    training: TrainingState,
    references: ReferenceScores,
    closed: str | None = None,
) -> Outcome:
    """Evaluate the model, which has the weights that are kept, on the test images."""
    model = make_reconstruct_fn(training.model, config)
    test = score_test_split(config, data, model, pca_curve_sizes(config, data))
    examples = example_images(config, data.test)
    functions = {"model": model, "pca": baselines(config, data)["pca"]}
    outputs = {name: function(examples.inputs) for name, function in functions.items()}
    kept = training.records[training.kept_epoch - 1]
    if not config.data.has_validation:
        found = validate(config, replace(data, validation=data.test), training.model)
        kept = replace(
            kept,
            live_units=found.live_units,
            constant_pixels=found.constant_pixels,
            active_units=found.active_units,
        )
    angles = plane = None
    if has_plane(config, data.image_shape):
        plane = measure_plane(config, training.model, data.test, functions["pca"])
    if is_linear(config):
        angles = angles_to_pca(training.model, pca_of(data.train, config.latent))
    return Outcome(training, references, test, examples, outputs, kept, closed, plane, angles)


def summarise(config: TrainConfig, data: Data, outcome: Outcome) -> dict[str, Any]:
    """The content of `summary.json`: the final metrics and everything they depend on."""
    return {
        **_measured(outcome),
        **_settings(config),
        "data": _about(data),
        "device": device_name(data.train.images.device, outcome.training.group.size),
        "versions": {
            "aecli": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": version("torchvision"),
        },
    }


def _measured(outcome: Outcome) -> dict[str, Any]:
    """The final metrics, and those of the epoch whose weights are kept."""
    records, kept = outcome.records, outcome.kept
    scores = {name: asdict(score) for name, score in outcome.scores.items()}
    return {
        "test": scores.pop("model"),
        "baselines": scores,
        "checkerboard_of_originals": outcome.test.checkerboard_of_originals,
        "angles_to_pca": outcome.angles_to_pca,
        "pca_curve": {str(size): mse for size, mse in outcome.test.pca_curve.items()},
        "validation": {
            "loss": kept.val_loss,
            "mse": kept.val_mse,
            "reconstruction": kept.val_reconstruction,
            "penalty": kept.val_penalty,
        },
        "live_units": kept.live_units,
        "active_units": kept.active_units,
        "constant_pixels": kept.constant_pixels,
        "best_epoch": outcome.training.best.epoch or None,
        "kept_epoch": kept.epoch,
        "epochs": len(records),
        "closed": outcome.closed,
        "seconds": sum(record.seconds for record in records),
        "parameters": sum(parameter.numel() for parameter in outcome.training.model.parameters()),
    }


def _settings(config: TrainConfig) -> dict[str, Any]:
    """The most important settings of the configuration; config.yaml has all of it."""
    return {
        "model": config.model.name,
        "upsample": config.upsample.name.name if config.model.kind == "conv" else None,
        "corruption": config.corruption.name.name,
        "loss": config.loss.name,
        "regularizer": config.regularizer.name.name,
        "latent": config.latent,
        "seed": config.seed,
        "batch_size": config.batch_size,
        "lr": config.lr,
        "weight_decay": config.weight_decay,
    }


def _about(data: Data) -> dict[str, Any]:
    """The facts about the images."""
    return {
        "name": data.name,
        "requested": data.requested,
        "source": data.source,
        "image_shape": list(data.image_shape),
        "train": len(data.train),
        "validation": len(data.validation),
        "test": len(data.test),
        "test_copies": data.copies,
        "fingerprints": data.fingerprints,
    }


def hyperparameters(config: TrainConfig, summary: dict[str, Any]) -> dict[str, Any]:
    """The columns of the hparams table, named as in comparisons, without the layers, which the
    model implies."""
    keys = "model upsample latent corruption epochs batch_size lr weight_decay seed parameters"
    columns = {key: summary[key] for key in keys.split()} | {"data": summary["data"]["name"]}
    others = {
        key: as_typed(value) if isinstance(value, bool | list) else value
        for key, value in settings(config).items()
        if not key.startswith(("model.kind", "model.latent", "model.layers."))
    }
    words = shortest_keys(others)
    found = {words[key]: value for key, value in others.items()} | columns
    return {key: value for key, value in found.items() if value is not None}


def final_metrics(scores: dict[str, Score]) -> dict[str, float]:
    """The metrics of the hparams table."""
    measured = {f"test/{name}": value for name, value in asdict(scores["model"]).items()}
    available = {name: value for name, value in measured.items() if value is not None}
    return {**available, "test/mse_pca": scores["pca"].mse}


def save_example_images(outcome: Outcome, run: RunDirectory) -> None:
    """Save the images a comparison shows, so that it needs neither the data nor the weights."""
    examples, extremes = outcome.examples, outcome.test.extremes
    images = {
        "original": examples.pixels,
        **({"corrupted": examples.inputs} if examples.are_corrupted else {}),
        "output": outcome.outputs["model"],
        "pca": outcome.outputs["pca"],
        "best/original": extremes.best.pixels,
        "best/output": extremes.best.outputs,
        "worst/original": extremes.worst.pixels,
        "worst/output": extremes.worst.outputs,
        **{f"epoch/{epoch}": output for epoch, output in outcome.training.snapshots.items()},
    }
    run.save_images(
        images, means={"mean/original": extremes.mean.pixels, "mean/output": extremes.mean.outputs}
    )


def save_figures(config: TrainConfig, data: Data, outcome: Outcome, run: RunDirectory) -> None:
    """Save the figures of the run directory."""
    # Imported late: matplotlib would delay training.
    from aecli.figures import PlaneChart, loss_figure, plane_figure, save

    title = f"{config.name} on {data.name}"
    rows = {LABELS[name]: output for name, output in outcome.outputs.items()}
    save(
        reconstruction_figure(f"{title}: test images", outcome.examples, rows),
        run.figure(RECONSTRUCTIONS),
    )
    save(
        epochs_figure(
            f"{title}: test images by epoch", outcome.examples, outcome.training.snapshots
        ),
        run.figure(EPOCHS),
    )
    records = outcome.records
    curves = loss_figure(
        title,
        train_loss=by_epoch(records, "train_loss"),
        val_loss=by_epoch(records, "val_loss"),
        val_mse=by_epoch(records, "val_mse"),
        references={LABELS[name]: mse for name, mse in outcome.references.mse.items()},
        loss=loss_label([config]),
    )
    save(curves, run.figure(LOSS))
    if outcome.plane is not None:
        arrays = {name: each.double().numpy() for name, each in vars(outcome.plane).items()}
        save(plane_figure(f"{title}: f and g", PlaneChart(**arrays)), run.figure(CURVE))


def losses_figure(config: TrainConfig, records: list[EpochRecord]) -> "Figure":
    """The losses by epoch, for TensorBoard, whose own charts have one colour for each run."""
    from aecli.figures import small_loss_figure  # imported late, as above

    return small_loss_figure(
        config.name,
        train_loss=by_epoch(records, "train_loss"),
        val_loss=by_epoch(records, "val_loss"),
        loss=loss_label([config]),
    )


def save_results(data: Data, outcome: Outcome, summary: dict[str, Any], run: RunDirectory) -> None:
    """Save what commands need from a finished run, the summary last."""
    run.save_weights(outcome.training.kept_weights)
    run.save_seen_images({TRAIN: data.train.image_keys, VALIDATION: data.validation.image_keys})
    run.save_image_errors({name: each.mse for name, each in outcome.test.measured.items()})
    run.save_summary(summary)
    run.checkpoints.keep_newest()
