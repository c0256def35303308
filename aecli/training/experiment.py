"""One run from model to summary: train, evaluate, plot and save the results."""

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
from aecli.baselines.contestants import LABELS, baselines
from aecli.config import TrainConfig, from_yaml, to_yaml
from aecli.data import Data
from aecli.data.loaded import load_cached_data
from aecli.errors import AecliError, StorageError, one_line, storage_error
from aecli.evaluation.examination import (
    Examination,
    Levels,
    examine,
    make_reconstruct_fn,
    pca_curve_sizes,
)
from aecli.evaluation.examples import ExampleImages, example_images, reconstruction_figure
from aecli.evaluation.metrics import Score
from aecli.models import describe
from aecli.runs.directory import RunDirectory
from aecli.runs.tracker import Resumed, Tracker
from aecli.runtime.device import device_name, is_out_of_memory, keep_freed_memory
from aecli.runtime.distributed import PROCESS_LOST, SINGLE_PROCESS, ProcessGroup, is_process_lost
from aecli.training.callback import Callback
from aecli.training.loop import new_model, steps_per_epoch, train
from aecli.training.recorder import Recorder
from aecli.training.state import TrainingState


@dataclass(frozen=True)
class Outcome:
    """The result of a finished run."""

    training: TrainingState
    test: Examination
    """Measurements on the test images."""

    @property
    def scores(self) -> dict[str, Score]:
        """Scores of the model and each baseline on the test images, by the names of `LABELS`."""
        return self.test.scores


@contextmanager
def exclusive_run(run: RunDirectory) -> Iterator[None]:
    """Lock the run directory; if the run fails, record the reason in it, in one line.

    Raises:
        AecliError: that reason.
        StorageError: another process has locked the directory.
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
    with suppress(OSError):  # a full disk, which the error line names
        run.save_failure(str(failure))
    raise failure


def _as_aecli_error(error: MemoryError | RuntimeError, run: RunDirectory) -> AecliError:
    """Convert an error of torch to a readable one; re-raise it unchanged if it is a bug."""
    if is_out_of_memory(error):
        failure = AecliError(
            "not enough memory: try a smaller batch_size or model, or fewer processes"
        )
    elif is_process_lost(error):
        failure = AecliError(
            f"{PROCESS_LOST}; to resume from its newest checkpoint: aecli train "
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
    *,
    warn: Callable[[str], None],
) -> Outcome:
    """Train a model and write everything in its run directory, the summary last.

    Training resumes from the newest undamaged checkpoint, or starts from the beginning if there is
    none. The test images are evaluated once, at the end, with the weights of the best epoch.

    Args:
        config: what to train.
        data: the images.
        run: the run directory to write to.
        bar: name of the run in the progress bar; None for no bar.
        group: the training processes; rank 0 calls this, the others call `run_worker`.
        warn: receives a message for each damaged checkpoint.

    Raises:
        DivergenceError: the loss is no longer finite.
        StorageError: all checkpoints are damaged.
        Interrupted: Ctrl-C or SIGTERM.
    """
    keep_freed_memory()
    state = TrainingState(config, new_model(config, data), len(data.train), group)
    saved = _restore(state, run, warn)
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
        examples = example_images(config, data.test)
        with torch.inference_mode():
            pca = baselines(config, data)["pca"]
            outputs = {"model": model(examples.inputs), "pca": pca(examples.inputs)}
        _save_example_images(examples, outputs, outcome, run)
        _plot(f"{config.name} on {data.name}", examples, outputs, outcome, recorder.levels, run)
    run.save_weights(state.best_weights)
    run.checkpoints.keep_newest()
    run.save_summary(summary)
    return outcome


def run_worker(group: ProcessGroup) -> None:
    """Train as a rank other than 0; return at once if rank 0 has nothing to train.

    Raises:
        AecliError: this rank failed.
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


def _restore(
    state: TrainingState, run: RunDirectory, warn: Callable[[str], None]
) -> dict[str, Any] | None:
    """Load the newest undamaged checkpoint into `state` and return it; None if there is none."""
    saved, problems = run.checkpoints.newest()
    for problem in problems:
        warn(f"{problem}; using the previous checkpoint")
    run.failure_file.unlink(missing_ok=True)
    if saved is None:
        if run.config_file.exists():  # otherwise nothing in the folder is ours
            run.clear()
        return None
    try:
        state.load_state_dict(saved)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise StorageError(
            f"the checkpoint in {run.checkpoints.folder} was not written by this version of aecli: "
            f"{one_line(error)}"
        ) from error
    return saved


def summarise(config: TrainConfig, data: Data, outcome: Outcome) -> dict[str, Any]:
    """The content of `summary.json`: the final metrics and everything they depend on."""
    records, best = outcome.training.records, outcome.training.best
    scores = {name: score_as_json(score) for name, score in outcome.scores.items()}
    validated = {record.epoch: record.val_mse for record in records}
    return {
        "test": scores.pop("model"),
        "baselines": scores,
        "checkerboard_of_originals": outcome.test.checkerboard_of_originals,
        "pca_curve": {str(size): mse for size, mse in outcome.test.pca_curve.items()},
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
    """A score as JSON, with null for the infinite PSNR of a perfect reconstruction."""
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
    available = {name: value for name, value in measured.items() if value is not None}
    return {**available, "test/mse_pca": scores["pca"].mse}


def _save_example_images(
    examples: ExampleImages, outputs: dict[str, Tensor], outcome: Outcome, run: RunDirectory
) -> None:
    """Save the images a comparison shows, so that it needs neither the data nor the weights."""
    extremes = outcome.test.extremes
    snapshots = outcome.training.snapshots
    images = {
        "original": examples.pixels,
        **({"corrupted": examples.inputs} if examples.are_corrupted else {}),
        "output": outputs["model"],
        "pca": outputs["pca"],
        "best/original": extremes.best.pixels,
        "best/output": extremes.best.outputs,
        "worst/original": extremes.worst.pixels,
        "worst/output": extremes.worst.outputs,
        **{f"epoch/{epoch}": output for epoch, output in snapshots.items()},
    }
    run.save_images(
        images, means={"mean/original": extremes.mean.pixels, "mean/output": extremes.mean.outputs}
    )


def _plot(
    title: str,
    examples: ExampleImages,
    outputs: dict[str, Tensor],
    outcome: Outcome,
    levels: Levels,
    run: RunDirectory,
) -> None:
    """Save the figures of the run directory."""
    from aecli.figures import loss_figure, save  # imported late: matplotlib would delay training

    rows = {LABELS[name]: output for name, output in outputs.items()}
    save(
        reconstruction_figure(f"{title}: test images", examples, rows),
        run.figures / "reconstructions",
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
