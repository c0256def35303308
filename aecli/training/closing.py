"""Close a run before its training is over: finish it with the weights that it keeps."""

from collections.abc import Callable

from aecli.config import TrainConfig
from aecli.data import Data
from aecli.errors import UsageError
from aecli.evaluation.scores import reference_scores
from aecli.runs.directory import RunDirectory, Status
from aecli.runs.display import Display, Progress
from aecli.runs.external import ExternalTracker
from aecli.runs.remaining import is_interrupted
from aecli.runs.tracker import Resumed, Tracker
from aecli.training.experiment import load_newest_checkpoint
from aecli.training.loop import new_model, steps_per_epoch
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
from aecli.training.state import TrainingState
from aecli.training.validation import validate


def close_run(
    config: TrainConfig,
    data: Data,
    run: RunDirectory,
    display: Display,
    warn: Callable[[str], None],
) -> Outcome:
    """Finish an interrupted run from its newest undamaged checkpoint; the caller holds the lock.

    An epoch that is not complete does not count. The checkpoint stays, so that the run can be
    resumed all the same.

    Args:
        config: what was to be trained.
        data: the images.
        run: the run directory.
        display: what the terminal shows of the run.
        warn: receives a message for each damaged checkpoint.

    Raises:
        UsageError: no checkpoint holds a complete epoch, or another process has finished the run;
            nothing has been changed.
        DataError: the run was trained on other images; nothing has been changed.
        StorageError: all checkpoints are damaged or missing, or somebody has changed a file that
            would be replaced; nothing has been changed.
    """
    if not is_interrupted(run):
        raise UsageError(f"{run.path} has been finished by another process in the meantime")
    state = TrainingState(config, new_model(config, data), data.fingerprints)
    load_newest_checkpoint(state, run, warn)
    has_failed = run.status is Status.failed
    if not state.kept_epoch:
        advice = "train another" if has_failed else "leave finish=true out to train it"
        raise UsageError(
            f"{run.path} cannot be closed, because no checkpoint has a complete epoch: {advice}"
        )
    run.check_replaceable()
    with ExternalTracker(config, run.path, warn) as external:
        reason = run.failure() if has_failed else Status.interrupted.value
        state.model.load_state_dict(state.kept_weights)
        kept = state.records[state.kept_epoch - 1]
        # The last epoch, if it was not validated.
        if kept.val_loss is None and config.data.has_validation:
            state.records[-1] = kept.with_validation(validate(config, data, state.model))
        epochs, steps = len(state.records), steps_per_epoch(config, data)
        counts = config.epochs, config.epochs * steps, epochs, epochs * steps
        with Progress(display, *counts) as shown:
            with shown.phase("testing"):
                references = reference_scores(config, data)
                closed = None if state.is_over(config) else reason
                outcome = measure_outcome(config, data, state, references, closed)
            save_example_images(outcome, run)
            with shown.phase("drawing"):
                save_figures(config, data, outcome, run)
        summary = summarise(config, data, outcome)
        # A run that failed stays so, with its reason, until the summary is there.
        run.save_working_config(config)
        at_end = Resumed(state.records, 0)
        with Tracker(run, config.epochs, steps, resumed=at_end, external=external) as tracker:
            tracker.results(hyperparameters(config, summary), final_metrics(outcome.scores), epochs)
            tracker.figure(LOSSES, losses_figure(config, state.records), epochs)
        save_results(data, outcome, summary, run)
    return outcome
