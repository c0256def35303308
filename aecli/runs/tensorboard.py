"""A writer of TensorBoard event files.

Unlike TensorBoard's own writer it uses no background thread: a full disk raises an error in the
call that meets it, and a flush takes effect at once. TensorBoard reads the files of a folder in the
order of the times in their names; these times, and those of the events, never go back, even if the
clock does.
"""

import itertools
import os
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import custom_scalars, image, scalar

from aecli.files.storage import fsync_folder, make_folder

NAME = re.compile(r"events\.out\.tfevents\.(\d{10})\..*")
"""TensorBoard recognises event files by this name."""
END_OF_TIME = 10**10
"""Seconds; a later time is damage, and would not fit in a name."""

_file_numbers = itertools.count()
"""Numbers for the files of this process, which may create several in one second."""


class EventsFile:
    """A new event file in a folder; a context manager that closes it."""

    def __init__(
        self,
        folder: Path,
        first_step: int | None = None,
        beside: Path | None = None,
        claim: Callable[[str], None] | None = None,
    ) -> None:
        """
        Args:
            folder: where to create it.
            first_step: TensorBoard ignores events of earlier files from that step on; or of none.
            beside: the folder that the file will be in, if that is another.
            claim: is called with the name of the file before it is created.

        Raises:
            OSError: the file cannot be written; all methods may raise this.
        """
        make_folder(folder)
        others = folder if beside is None else beside
        origin = f"{socket.gethostname()}.{os.getpid()}.{next(_file_numbers)}"
        files = others.iterdir() if others.is_dir() else ()
        earlier = [path for path in files if NAME.fullmatch(path.name) and path.is_file()]
        self._now = max([0.0, *(wall_time for path in earlier for wall_time in _times(path))])
        started = max([int(time.time()), *(_time_in_name(path) + 1 for path in earlier)])
        self.path = folder / f"events.out.tfevents.{started:010}.{origin}"
        if claim is not None:
            claim(self.path.name)
        self._file = open(self.path, "wb")
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

    def __exit__(self, *_: object) -> None:
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
        self._now = max(self._now, time.time())
        event.wall_time = self._now
        self._records.write(event.SerializeToString())


def _time_in_name(path: Path) -> int:
    found = NAME.fullmatch(path.name)
    return int(found[1]) if found else 0


def _times(path: Path) -> Iterator[float]:
    """The times of the events in a file, without reading the rest of them.

    A record is a length, its checksum, an event and its checksum; an event begins with its time.
    TensorBoard's own reader computes every checksum in Python, which takes seconds.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        while len(header := file.read(21)) == 21:
            length, tag, wall_time = struct.unpack("<Q4xBd", header)
            if tag == 0x09 and 0 <= wall_time < END_OF_TIME:
                yield wall_time
            if not 9 <= length <= size:  # damaged: each begins with its time
                return
            file.seek(length - 9 + 4, os.SEEK_CUR)
