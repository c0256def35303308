"""One run from a model to a summary: train it, measure it, draw it, write down what came out."""

import math
import platform
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aecli import __version__
from aecli.config import TrainConfig, from_yaml, to_yaml
from aecli.data import Data
from aecli.data.loaded import load_cached_data
from aecli.errors import AecliError, StorageError, one_line, storage_error
from aecli.evaluation.examination import (
    LABELS,
    Examination,
    ExampleImages,
    Levels,
    baselines,
    examine,
    example_images,
    make_reconstruct_fn,
    pca_curve_sizes,
    reconstruction_figure,
)
from aecli.evaluation.metrics import Score
from aecli.models import describe
from aecli.runs.directory import RunDirectory
from aecli.runs.tracker import Resumed, Tracker
from aecli.runtime.device import device_name, is_out_of_memory, keep_freed_memory
from aecli.runtime.distributed import PROCESS_LOST, SINGLE_PROCESS, ProcessGroup, is_process_lost
from aecli.training.loop import Callback, TrainingState, new_model, steps_per_epoch, train
from aecli.training.recorder import Recorder


@dataclass(frozen=True)
class Outcome:
    """What a finished run is told by."""

    training: TrainingState
    test: Examination
    """Of the test images."""

    @property
    def scores(self) -> dict[str, Score]:
        """On the test images: of the model and of each baseline, by the names of `LABELS`."""
        return self.test.scores


@contextmanager
def exclusive_run(run: RunDirectory) -> Iterator[None]:
    """Have the folder of `run` alone; leave the reason in it, in one line, where the attempt comes
    to no end of its own.

    Raises:
        AecliError: that reason.
        StorageError: another process is at it.
    """
    with run.locked(), record_failure(run):
        yield


@contextmanager
def record_failure(run: RunDirectory) -> Iterator[None]:
    try:
        yield
    except AecliError as error:
        failure = error
    except OSError as error:
        failure = storage_error(error)
        failure.__cause__ = error
    except (MemoryError, RuntimeError) as error:
        failure = _as_aecli_error(error, run)
    else:
        return
    with suppress(OSError):  # a full disk, of which the line tells
        run.save_failure(str(failure))
    raise failure


def _as_aecli_error(error: MemoryError | RuntimeError, run: RunDirectory) -> AecliError:
    """What torch has raised, for a person; a mistake of ours is raised again as it is."""
    if is_out_of_memory(error):
        failure = AecliError(
            "there is too little memory: try a smaller batch_size or model, or fewer processes"
        )
    elif is_process_lost(error):
        failure = AecliError(
            f"{PROCESS_LOST}; to go on from its newest checkpoint: aecli train "
            f"resume={shlex.quote(str(run.path))}"
        )
    else:
        raise error
    failure.__cause__ = error
    return failure


def run_experiment(
    config: TrainConfig,
    data: Data,
    run: RunDirectory,
    bar: str | None = None,
    group: ProcessGroup = SINGLE_PROCESS,
    warn: Callable[[str], None] = print,
) -> Outcome:
    """Train a model and leave everything that a run directory holds, the summary last.

    It goes on from the newest checkpoint that is sound, and without one begins anew. The test
    images are measured once, at the end, with the weights of the best epoch.

    Args:
        config: what to train.
        data: the images.
        run: where everything goes.
        bar: what a progress bar calls the run; without it there is none.
        group: who trains; the first of them calls this, and the others `run_worker`.
        warn: is told of a checkpoint that is damaged.

    Raises:
        DivergenceError: the loss is no longer finite.
        StorageError: all checkpoints are damaged.
        Interrupted: Ctrl-C or SIGTERM.
    """
    keep_freed_memory()
    state = TrainingState(config, new_model(config, data), len(data.train), group)
    saved = _restored(state, run, warn)
    is_resumed = saved is not None
    run.save_config(config)
    steps = steps_per_epoch(config, data)
    resumed = None
    if is_resumed:
        resumed = Resumed(state.records[:-1], len(state.records) * steps + state.step)
    with Tracker(run, config.epochs, steps, bar, resumed) as tracker:
        if not is_resumed:
            tracker.graph(describe(state.model))
        group.broadcast_object({"config": to_yaml(config), "run": str(run.path), "state": saved})
        recorder = Recorder(config, data, state, run, tracker)
        train(config, data, state, recorder)
        group.shutdown()
        model = make_reconstruct_fn(state.model, config)
        outcome = Outcome(state, examine(config, data, model, pca_curve_sizes(config, data)))
        summary = summarise(config, data, outcome)
        tracker.results(
            _hyperparameters(summary), _final_metrics(outcome.scores), len(state.records)
        )
        shown = example_images(config, data.test)
        with torch.inference_mode():
            pca = baselines(config, data)["pca"]
            outputs = {"model": model(shown.inputs), "pca": pca(shown.inputs)}
        _save_example_images(shown, outputs, outcome, run)
        _draw(f"{config.name} on {data.name}", shown, outputs, outcome, recorder.levels, run)
    run.save_weights(state.best_weights)
    run.checkpoints.keep_newest()
    run.save_summary(summary)
    return outcome


def run_worker(group: ProcessGroup) -> None:
    """Take part in the training that the first process leads, if it leads one.

    Raises:
        AecliError: whatever this rank could not do.
    """
    task = group.receive_object()
    if task is None:
        group.shutdown()
        return
    keep_freed_memory()
    config, run = from_yaml(task["config"]), RunDirectory(Path(task["run"]))
    data = load_cached_data(config)
    state = TrainingState(config, new_model(config, data), len(data.train), group)
    if task["state"] is not None:
        state.load_state_dict(task["state"])
    try:
        train(config, data, state, Callback(run))
    except (MemoryError, RuntimeError) as error:
        raise _as_aecli_error(error, run) from error
    group.shutdown()


def _restored(
    state: TrainingState, run: RunDirectory, warn: Callable[[str], None]
) -> dict[str, Any] | None:
    """The checkpoint that has been put into `state`, if there is one."""
    saved, problems = run.checkpoints.newest()
    for problem in problems:
        warn(f"{problem}; the checkpoint before it is used")
    run.failure_file.unlink(missing_ok=True)
    if saved is None:
        if run.config_file.exists():  # or nothing in the folder is ours
            run.clear()
        return None
    try:
        state.load_state_dict(saved)
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(
            f"the checkpoint in {run.checkpoints.folder} is not of this version of aecli: "
            f"{one_line(error)}"
        ) from error
    return saved


def summarise(config: TrainConfig, data: Data, outcome: Outcome) -> dict[str, Any]:
    """What `summary.json` holds: the final figures, and all that they depend on."""
    records, best = outcome.training.records, outcome.training.best
    scores = {name: score_as_json(each) for name, each in outcome.scores.items()}
    validated = {record.epoch: record.val_mse for record in records}
    return {
        "test": scores.pop("model"),
        "baselines": scores,
        "checkerboard_of_originals": outcome.test.checkerboard_of_originals,
        "pca_curve": {str(size): each for size, each in outcome.test.pca_curve.items()},
        "validation": {"loss": best.loss, "mse": validated[best.epoch]},
        "best_epoch": best.epoch,
        "epochs": len(records),
        "seconds": sum(record.seconds for record in records),
        "model": config.model.name,
        "upsample": config.upsample.name.name if config.model.kind == "conv" else None,
        "corruption": config.corruption.name.name,
        "latent": config.latent,
        "parameters": sum(parameter.numel() for parameter in outcome.training.model.parameters()),
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
        "device": device_name(data.train.images.device, outcome.training.group.size),
        "versions": {
            "aecli": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": version("torchvision"),
        },
    }


def score_as_json(score: Score) -> dict[str, float | None]:
    """A score as JSON can hold it: the psnr of a perfect reconstruction is null."""
    return {
        name: value if value is not None and math.isfinite(value) else None
        for name, value in asdict(score).items()
    }


def _hyperparameters(summary: dict[str, Any]) -> dict[str, Any]:
    """The columns of the hparams table."""
    keys = "model upsample latent corruption epochs batch_size lr weight_decay seed parameters"
    columns = {key: summary[key] for key in keys.split() if summary[key] is not None}
    return {**columns, "data": summary["data"]["name"]}


def _final_metrics(scores: dict[str, Score]) -> dict[str, float]:
    measured = {f"test/{name}": value for name, value in asdict(scores["model"]).items()}
    known = {name: value for name, value in measured.items() if value is not None}
    return {**known, "test/mse_pca": scores["pca"].mse}


def _save_example_images(
    shown: ExampleImages, outputs: dict[str, Tensor], outcome: Outcome, run: RunDirectory
) -> None:
    """What a comparison shows of the run, so that it needs neither the data nor the weights."""
    seen = outcome.test.survey
    snapshots = outcome.training.snapshots
    images = {
        "original": shown.pixels,
        **({"corrupted": shown.inputs} if shown.are_corrupted else {}),
        "output": outputs["model"],
        "pca": outputs["pca"],
        "best/original": seen.best.pixels,
        "best/output": seen.best.outputs,
        "worst/original": seen.worst.pixels,
        "worst/output": seen.worst.outputs,
        **{f"epoch/{epoch}": output for epoch, output in snapshots.items()},
    }
    run.save_images(
        images, means={"mean/original": seen.mean.pixels, "mean/output": seen.mean.outputs}
    )


def _draw(
    title: str,
    shown: ExampleImages,
    outputs: dict[str, Tensor],
    outcome: Outcome,
    levels: Levels,
    run: RunDirectory,
) -> None:
    """The figures of the run directory."""
    from aecli.figures import loss_figure, save  # training starts without waiting for matplotlib

    rows = {LABELS[name]: output for name, output in outputs.items()}
    save(
        reconstruction_figure(f"{title}: test images", shown, rows), run.figures / "reconstructions"
    )
    records = outcome.training.records
    curves = loss_figure(
        title,
        train_loss={r.epoch: r.train_loss for r in records},
        val_loss={r.epoch: r.val_loss for r in records if r.val_loss is not None},
        val_mse={r.epoch: r.val_mse for r in records if r.val_mse is not None},
        levels={LABELS[name]: mse for name, mse in levels.mse.items()},
    )
    save(curves, run.figures / "loss")
