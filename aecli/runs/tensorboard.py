"""The files that TensorBoard reads.

Written in place, and not by a thread in the background, as TensorBoard does it: a full disk is an
error where it is met, and a flush is a flush.
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

_numbers = itertools.count()
"""Of the files of this process, which may begin several in one second."""


class EventsFile:
    """A new file of events in a folder; a context manager that closes it."""

    def __init__(self, folder: Path, first_step: int | None = None) -> None:
        """With `first_step`, TensorBoard leaves out what earlier files have of that and later ones.

        Raises:
            OSError: the file cannot be written, as all methods do.
        """
        folder.mkdir(parents=True, exist_ok=True)
        place = f"{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        # TensorBoard knows them by this name, and reads them in the order of their times.
        self._file = open(folder / f"events.out.tfevents.{time.time():010.0f}.{place}", "wb")
        self._records = RecordWriter(self._file)
        with ExitStack() as opened:
            opened.enter_context(self._file)
            self.add(Event(file_version="brain.Event:2", step=first_step or 0))
            if first_step is not None:
                self.add(Event(step=first_step, session_log=SessionLog(status=SessionLog.START)))
            self.flush()
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
        self._file.close()

    def flush(self) -> None:
        """From now on other processes see what has been added."""
        self._records.flush()

    def scalar(self, tag: str, value: float, step: int = 0) -> None:
        self.summary(scalar(tag, value), step)

    def image(self, tag: str, pixels: NDArray[np.uint8], step: int = 0) -> None:
        """`pixels`: (H, W, C)."""
        self.summary(image(tag, pixels, dataformats="HWC"), step)

    def layout(self, charts: Mapping[str, Any]) -> None:
        """What TensorBoard's page of custom scalars shows."""
        self.summary(custom_scalars(charts))

    def summary(self, summary: Summary, step: int = 0) -> None:
        self.add(Event(summary=summary, step=step))

    def add(self, event: Event) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())
