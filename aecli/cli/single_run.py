"""A single run, with what the terminal shows of it: started, resumed or closed."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from aecli.baselines.contestants import LABELS
from aecli.cli import console
from aecli.cli.compose import check_folder, compose, compose_run
from aecli.cli.forecast import show_run
from aecli.cli.jobs import hydra_subfolders, run_once
from aecli.cli.overrides import is_given
from aecli.config import Keep, TrainConfig, Upsampling, short_key
from aecli.data import Data
from aecli.data.loaded import load_cached_data, relocate, resolve_config
from aecli.errors import Interrupted, UsageError
from aecli.errors.text import counted
from aecli.evaluation.scores import UNPOOLING_BYPASSES_CODE
from aecli.models import build_network, describe
from aecli.runs.diagnosis import diagnose
from aecli.runs.directory import RunDirectory, Status
from aecli.runs.display import Display, Log
from aecli.runs.lock import check_free
from aecli.runs.remaining import is_interrupted, is_over
from aecli.runtime.device import device_name, readable_out_of_memory_errors
from aecli.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from aecli.training.closing import close_run
from aecli.training.estimate import Task
from aecli.training.experiment import (
    exclusive_run,
    load_newest_checkpoint,
    record_failure,
    run_experiment,
)
from aecli.training.loop import new_model, steps_per_epoch
from aecli.training.outcome import Outcome
from aecli.training.preflight import check_runnable, check_without_writing
from aecli.training.state import TrainingState


def train_single(overrides: list[str], group: ProcessGroup, log: Log) -> None:
    """Train one run with all processes of `group`.

    Raises:
        AecliError: it cannot be done; the message says why.
    """
    run = compose_run(overrides)
    check_runnable(run.config)
    run_once(run, lambda config, folder: run_one(config, RunDirectory(folder), group, log))


def forecast_single(overrides: list[str]) -> None:
    """Check a new run as its start would, and print how long it would take; nothing is written.

    Raises:
        AecliError: it could not start.
    """
    run = compose_run(overrides)
    data = check_without_writing(run.config)
    config = resolve_config(run.config, data)
    folder = Path(str(run.composed.hydra.run.dir))
    check_folder(folder)
    place = f"a new folder in {folder.parent}"
    if is_given("hydra.run.dir", overrides):
        RunDirectory(folder).check_vacant(*hydra_subfolders(run.composed))
        check_free(folder)
        place = str(folder)
    _announce(config, data, SINGLE_PROCESS)
    show_run(Task.left(config, data), place)


def forecast_rest(run: RunDirectory, overrides: list[str], restart: bool) -> None:
    """Check a run as resuming it would, and print how long the rest would take.

    Raises:
        AecliError: it cannot be resumed.
    """
    config = _resumable(run, overrides, restart)
    if config is None:
        return
    data = check_without_writing(config, is_new=False)
    check_free(run.path)
    state = TrainingState(config, new_model(config, data), data.fingerprints)
    saved = None if restart else load_newest_checkpoint(state, run, console.warn)
    run.check_replaceable()
    _announce(config, data, SINGLE_PROCESS)
    show_run(Task.left(config, data, saved), str(run.path))


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
    config = _resumable(run, overrides, restart)
    if config is None:
        return
    data = check_runnable(config, is_new=False)
    _announce(config, data, group)
    with _describing_interruption(run), exclusive_run(run):
        display = Display(config.name, log)
        outcome = run_experiment(
            config, data, run, display, group, restart=restart, warn=console.warn
        )
    _conclude(config, data, run, outcome)


def _resumable(run: RunDirectory, overrides: list[str], restart: bool) -> TrainConfig | None:
    """The configuration with which a run is resumed; None, after a message, if it is finished."""
    planned = run.load_next_config() or run.load_config()
    config = _with_changes(planned, overrides)
    has_more = (config.epochs, config.minutes) != (planned.epochs, planned.minutes)
    if restart or has_more or is_interrupted(run) or not is_over(run):
        return config
    run.load_summary()  # a damaged one is named
    console.warn(
        f"{run.path} is finished: there is nothing to do (epochs={2 * planned.epochs} would "
        f"train it further)"
    )
    return None


def finish_run(run: RunDirectory, overrides: list[str], log: Log) -> None:
    """Close an interrupted run: finish it with the weights that it keeps, the best or the last so
    far.

    Args:
        run: the directory of the run.
        overrides: say where the images are now, and the device.
        log: how the run shows its progress.

    Raises:
        UsageError: it has no weights yet, or another setting is given.
        AecliError: it cannot be done; the message says why.
    """
    config = config_to_close(run, overrides)
    if is_interrupted(run):
        data = check_runnable(config, is_new=False)
        _announce(config, data, SINGLE_PROCESS)
        if run.status is Status.failed:
            console.warn(f"the training failed: {run.failure()}")
        with _describing_interruption(run), run.locked(), readable_out_of_memory_errors():
            outcome = close_run(config, data, run, Display(config.name, log), console.warn)
        _conclude(config, data, run, outcome)
    elif not is_over(run):
        console.warn(
            f"{run.path} is closed: there is nothing to do (leave finish=true out to train it on)"
        )
    else:
        run.load_summary()  # a damaged one is named
        console.warn(f"{run.path} is finished: there is nothing to do")


# What may be changed on resuming: more epochs or time, the place of the images, device and tracker.
MORE_TRAINING = ("epochs", "minutes")
PLACES = ("data_dir", "data.path", "device", "tracker")
CHANGEABLE = (*MORE_TRAINING, *PLACES)


def config_to_close(run: RunDirectory, overrides: list[str]) -> TrainConfig:
    """The configuration with which a run is closed.

    Raises:
        UsageError: an override is not about where the images are now, or the device.
    """
    check_closing(overrides)
    return _with_changes(run.load_next_config() or run.load_config(), overrides)


def check_closing(overrides: list[str]) -> None:
    """Check the settings that are given with finish=true.

    Raises:
        UsageError: it is not about where the images are now, or the device.
    """
    for override in overrides:
        key = override.partition("=")[0]
        if key in MORE_TRAINING or key.startswith("hydra"):
            raise UsageError(f"{override}: finish=true trains no further, so leave it out")
    _check_changes(overrides, PLACES)


def _check_changes(overrides: list[str], changeable: tuple[str, ...]) -> None:
    for override in overrides:
        if override.partition("=")[0] not in changeable:
            raise UsageError(
                f"{override} would make it a different run: a run keeps its configuration when "
                f"resumed, and only {', '.join(map(short_key, changeable))} may be given"
            )


def _with_changes(planned: TrainConfig, overrides: list[str]) -> TrainConfig:
    """The configuration of a run, updated with what may change on resuming."""
    _check_changes(overrides, CHANGEABLE)
    if not overrides:  # then Hydra, which takes a third of a second, is not needed
        return planned
    given = compose(overrides)
    keys = {override.partition("=")[0] for override in overrides}
    config = replace(planned, **{key: getattr(given, key) for key in keys - {"data.path"}})
    config = relocate(config, data_dir=None, path=given.data.path)
    for key in MORE_TRAINING:
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
    model = build_network(config, data.image_shape)
    console.layer_table(describe(model))


def _conclude(config: TrainConfig, data: Data, run: RunDirectory, outcome: Outcome) -> None:
    """Print the scores, the training time, and how to view the run."""
    console.score_table(
        f"{config.name} on the {len(data.test):,} test images of {data.name}",
        {LABELS[name]: score for name, score in outcome.scores.items()},
    )
    if outcome.angles_to_pca is not None:
        console.facts({"subspace": console.describe_angles(outcome.angles_to_pca)})
    if data.notice is not None:
        console.notice(data.notice)
    if config.upsample.name is Upsampling.max_unpool:
        console.warn(f"upsample=max_unpool: {UNPOOLING_BYPASSES_CODE}")
    records = outcome.records
    for finding in diagnose(
        config,
        records,
        outcome.kept.epoch,
        steps_per_epoch(config, data),
        outcome.scores["model"].mse,
        outcome.scores["mean_image"].mse,
        outcome.closed,
    ):
        console.warn(f"{finding.details}: {finding.advice}")
    epochs = len(records)
    stopped = f" of {config.epochs}, stopped early," if epochs < config.epochs else ""
    if outcome.closed is not None:
        stopped = f" of {config.epochs}, closed early,"
    elif stopped and not outcome.training.best.is_exhausted(config.patience):
        stopped = f", as many as minutes={config.minutes:g} allow,"
    seconds = sum(record.seconds for record in records)
    console.facts(
        {
            "training": f"{counted(epochs, 'epoch')}{stopped} in {seconds:.1f} s, "
            f"{_kept(config, outcome)}",
            "run": str(run.path),
            "look at it": f"tensorboard --logdir {shlex.quote(str(_log_dir(config, run)))}",
        }
    )


def _kept(config: TrainConfig, outcome: Outcome) -> str:
    """Which weights were kept, and their validation error."""
    best = outcome.training.best.epoch
    if config.keep is Keep.best:
        return f"best epoch {best} (by validation loss)"
    validation = f"epoch {best} the best by validation loss" if best else "no validation images"
    return f"last weights kept, {validation}"


def _log_dir(config: TrainConfig, run: RunDirectory) -> Path:
    """The folder of all runs if this run is in it, so that TensorBoard compares them."""
    folder = Path(config.output_dir)
    return folder if run.path.resolve().is_relative_to(folder.resolve()) else run.path


@contextmanager
def _describing_interruption(run: RunDirectory) -> Iterator[None]:
    """If interrupted, say what is kept, how to resume, and how to use the run as it is."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        if not run.config_file.exists():  # nothing was written
            raise
        epochs = run.finished_epochs()
        kept = f"epoch {epochs} was the last to finish" if epochs else "no epoch has finished"
        resume = f"aecli train resume={shlex.quote(str(run.path))}"
        use = f"; to use it as it is: {resume} finish=true" if epochs else ""
        raise Interrupted.saying(
            f"interrupted: {kept}; to resume: {resume}{use}", interruption
        ) from None
