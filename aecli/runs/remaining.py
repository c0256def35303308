"""Whether there is training left to do in a run."""

from aecli.errors import StorageError
from aecli.runs.directory import RunDirectory, Status
from aecli.runs.summary import closed_early


def is_over(run: RunDirectory) -> bool:
    """Whether the run is finished and was not closed before its training was over."""
    if run.status is not Status.finished:
        return False
    try:
        return closed_early(run.load_summary()) is None
    except StorageError:  # whoever uses the summary says so
        return True


def is_interrupted(run: RunDirectory) -> bool:
    """Whether a training of the run, the first or a further one, has not come to an end.

    Raises:
        UsageError: the configuration of a further training is not one of aecli's.
    """
    return run.status is not Status.finished or run.load_next_config() is not None
