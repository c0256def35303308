"""A worker process that does not outlive the process it works for."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from aecli.errors import Terminated
from aecli.runtime.process import ProcessId

POLL_SECONDS = 0.5
WATCH = "parent watch"


@contextmanager
def exit_with_parent(parent: ProcessId | None) -> Iterator[None]:
    """A context in which this process works for `parent`, and ends once `parent` is gone.

    It gets a SIGTERM, so that a training saves a checkpoint first. After that, and while it waits
    for work, the process ends at once: there is nobody left to give it any.
    """
    if parent is None or parent.pid == os.getpid():
        yield
        return
    if all(thread.name != WATCH for thread in threading.enumerate()):
        threading.Thread(target=_watch, args=(parent,), name=WATCH, daemon=True).start()
    try:
        _end_without(parent)
        yield
    finally:
        _end_without(parent)


def _end_without(parent: ProcessId) -> None:
    if parent.is_running() is False:
        os._exit(Terminated.status)


def _watch(parent: ProcessId) -> None:
    while parent.is_running() is not False:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
