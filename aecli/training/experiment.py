"""One run from model to summary: train, evaluate, plot and save the results."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from aecli.config import TrainConfig, from_yaml, to_yaml
from aecli.data import Data
from aecli.data.loaded import load_cached_data
from aecli.errors import AecliError, StorageError, storage_error
from aecli.errors.text import one_line
from aecli.models import describe
from aecli.runs.directory import RunDirectory, Status
from aecli.runs.display import Display
from aecli.runs.external import ExternalTracker
from aecli.runs.tracker import LAYOUT, Resumed, Tracker, drawable
from aecli.runtime.device import keep_freed_memory, readable_out_of_memory_errors
from aecli.runtime.distributed import PROCESS_LOST, SINGLE_PROCESS, ProcessGroup, is_process_lost
from aecli.training.callback import Callback
from aecli.training.initial import load_initial
from aecli.training.loop import new_model, steps_per_epoch, train
from aecli.training.outcome import (
    LOSSES,
    Outcome,
    final_metrics,
    hyperparameters,
    losses_figure,
    measure_outcome,
    save_example_images,
    save_figures,
    save_results,
    summarise,
)
from aecli.training.recorder import Recorder
from aecli.training.state import TrainingState, check_images


@contextmanager
def exclusive_run(run: RunDirectory) -> Iterator[None]:
    """Lock the run directory; if the training fails, record the reason in it, in one line.

    Raises:
        AecliError: the training failed; the message is the recorded reason.
        StorageError: another process has locked the directory.
    """
    with run.locked(), record_failure(run):
        yield


@contextmanager
def record_failure(run: RunDirectory) -> Iterator[None]:
    try:
        with readable_out_of_memory_errors():
            yield
    except AecliError as error:
        failure = error
    except OSError as error:
        failure = storage_error(error)
        failure.__cause__ = error
    except RuntimeError as error:
        failure = _process_lost_error(error, run)
    else:
        return
    # A run that is finished or interrupted stays so if its next training is refused.
    if run.status is Status.planned or (run.has_begun and run.status is not Status.finished):
        # A full disk, or another process that has taken over the run: the error line names it.
        with suppress(OSError, StorageError):
            run.save_failure(str(failure))
    raise failure


def _process_lost_error(error: RuntimeError, run: RunDirectory) -> AecliError:
    """Convert torch's error about a lost process to a readable one; re-raise others, which are
    bugs."""
    if not is_process_lost(error):
        raise error
    failure = AecliError(
        f"{PROCESS_LOST}; to resume from its newest checkpoint: aecli train "
        f"resume={shlex.quote(str(run.path))}"
    )
    failure.__cause__ = error
    return failure


def run_experiment(
    config: TrainConfig,
    data: Data,
    run: RunDirectory,
    display: Display | None = None,
    group: ProcessGroup = SINGLE_PROCESS,
    *,
    restart: bool = False,
    warn: Callable[[str], None],
) -> Outcome:
    """Train a model and write everything in its run directory, the summary last.

    Training resumes from the newest undamaged checkpoint, or starts from the beginning if there has
    been none. The test images are evaluated once, at the end, with the weights that are kept.
    The results of a finished run stay in force until the new ones are complete.

    Args:
        config: what to train.
        data: the images.
        run: the run directory to write to.
        display: what the terminal shows of the run; None for nothing.
        group: the training processes; rank 0 calls this, the others call `run_worker`.
        restart: start from the beginning and remove the checkpoints.
        warn: receives a message for each damaged checkpoint, if the processor is busy, and if the
            tracker fails.

    Raises:
        DivergenceError: the loss is no longer finite.
        UsageError: the tracker refuses the run; nothing has been changed.
        DataError: the run was trained on other images; nothing has been changed.
        StorageError: all checkpoints are damaged or missing, or somebody has changed a file that
            would be replaced; nothing has been changed.
        Interrupted: Ctrl-C or SIGTERM.
    """
    keep_freed_memory()
    state = TrainingState(config, new_model(config, data), data.fingerprints, group)
    checkpoint = None if restart else load_newest_checkpoint(state, run, warn)
    is_resumed = checkpoint is not None
    if not is_resumed:
        load_initial(config, state.model)
    run.check_replaceable()
    with ExternalTracker(config, run.path, warn) as external:
        # Nothing has been changed so far.
        run.begin(config)
        if restart:
            run.remove_checkpoints()
        steps = steps_per_epoch(config, data)
        resumed = None
        if is_resumed:
            resumed = Resumed(state.records[:-1], len(state.records) * steps + state.step)
        layout = drawable(LAYOUT, [config])
        with Tracker(run, config.epochs, steps, display, resumed, layout, external) as tracker:
            if not is_resumed:
                tracker.graph(describe(state.model))
            task = {"config": to_yaml(config), "run": str(run.path), "state": checkpoint}
            group.broadcast_object({**task, "images": data.fingerprints})
            recorder = Recorder(config, data, state, run, tracker, warn)
            train(config, data, state, recorder)
            group.shutdown()
            with tracker.phase("testing"):
                outcome = measure_outcome(config, data, state, recorder.references)
            summary = summarise(config, data, outcome)
            columns = hyperparameters(config, summary)
            tracker.results(columns, final_metrics(outcome.scores), len(state.records))
            save_example_images(outcome, run)
            with tracker.phase("drawing"):
                save_figures(config, data, outcome, run)
                tracker.figure(LOSSES, losses_figure(config, state.records), len(state.records))
        save_results(data, outcome, summary, run)
    return outcome


def run_worker(group: ProcessGroup) -> None:
    """Train as a rank other than 0; return at once if rank 0 has nothing to train.

    Raises:
        DataError: the images of this rank are not those of rank 0.
        AecliError: this rank failed.
    """
    task = group.receive_object()
    if task is None:
        group.shutdown()
        return
    keep_freed_memory()
    config, run = from_yaml(task["config"]), RunDirectory(Path(task["run"]))
    data = load_cached_data(config)
    check_images(task["images"], data.fingerprints)
    state = TrainingState(config, new_model(config, data), data.fingerprints, group)
    if task["state"] is None:
        load_initial(config, state.model)
    else:
        state.load_state_dict(task["state"])
    try:
        with readable_out_of_memory_errors():
            train(config, data, state, Callback(run))
    except RuntimeError as error:
        raise _process_lost_error(error, run) from error
    group.shutdown()


def load_newest_checkpoint(
    state: TrainingState, run: RunDirectory, warn: Callable[[str], None]
) -> dict[str, Any] | None:
    """Load the newest undamaged checkpoint into `state` and return it; None if there was none."""
    checkpoint, problems = run.newest_checkpoint()
    for problem in problems:
        warn(f"{problem}; using the previous checkpoint")
    if checkpoint is None:
        return None
    try:
        state.load_state_dict(checkpoint)
    except StorageError as error:
        raise StorageError(f"{run.checkpoints.folder}: {error}") from error
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise StorageError(
            f"the checkpoint in {run.checkpoints.folder} was not written by this version of aecli: "
            f"{one_line(error)}; resume the run with the version that wrote it, or train it from "
            f"the beginning with resume={shlex.quote(str(run.path))} restart=true"
        ) from error
    return checkpoint
