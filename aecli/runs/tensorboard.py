"""A writer of TensorBoard event files.

Unlike TensorBoard's own writer it uses no background thread: a full disk raises an error in the
call that meets it, and a flush takes effect at once.
"""

import itertools
import os
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import custom_scalars, image, scalar

from aecli.files import fsync_folder, make_folder

_file_numbers = itertools.count()
"""Numbers the files of this process, which may create several in one second."""


class EventsFile:
    """A new event file in a folder; a context manager that closes it."""

    def __init__(self, folder: Path, first_step: int | None = None) -> None:
        """With `first_step`, TensorBoard ignores events of earlier files from that step on.

        Raises:
            OSError: the file cannot be written; all methods may raise this.
        """
        make_folder(folder)
        origin = f"{socket.gethostname()}.{os.getpid()}.{next(_file_numbers)}"
        # TensorBoard recognises event files by this name, and reads them in order of their times.
        self._file = open(folder / f"events.out.tfevents.{time.time():010.0f}.{origin}", "wb")
        self._records = RecordWriter(self._file)
        with ExitStack() as opened:
            opened.enter_context(self._file)
            self.add(Event(file_version="brain.Event:2", step=first_step or 0))
            if first_step is not None:
                self.add(Event(step=first_step, session_log=SessionLog(status=SessionLog.START)))
            self.flush()
            fsync_folder(folder)
            opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        with self._file:
            self.sync()

    def flush(self) -> None:
        """Make everything added so far visible to other processes."""
        self._records.flush()

    def sync(self) -> None:
        """Have everything added so far on disk."""
        self.flush()
        os.fsync(self._file.fileno())

    def scalar(self, tag: str, value: float, step: int = 0) -> None:
        self.summary(scalar(tag, value), step)

    def image(self, tag: str, pixels: NDArray[np.uint8], step: int = 0) -> None:
        """`pixels`: (H, W, C)."""
        self.summary(image(tag, pixels, dataformats="HWC"), step)

    def layout(self, charts: Mapping[str, Any]) -> None:
        """Set the layout of TensorBoard's "Custom scalars" page."""
        self.summary(custom_scalars(charts))

    def summary(self, summary: Summary, step: int = 0) -> None:
        self.add(Event(summary=summary, step=step))

    def add(self, event: Event) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())
