"""The standard streams, made to accept any text and to survive a reader that has gone."""

import errno
import io
import os
import sys
from typing import Any


class _Output(io.FileIO):
    """The file of a standard stream. Output that nobody reads any more does not stop the command.

    What is written to a pipe whose reader has ended is dropped, and the command goes on. Any other
    failure of stdout, such as that of a full disk, is raised once; of stderr none is, since there
    is nowhere left to report it.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._is_lost = False

    def write(self, content: Any) -> int:
        if not self._is_lost:
            try:
                return super().write(content) or 0
            except OSError as error:
                self._is_lost = True
                if self.fileno() == 1 and error.errno != errno.EPIPE:
                    raise OSError(error.errno, error.strerror, "standard output") from error
        return memoryview(content).nbytes


def protect_standard_streams() -> None:
    """Make stdout and stderr accept any text, and make their loss harmless."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: otherwise the next file to be opened would get its number
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdout, sys.stderr = _protected(sys.stdout, 1), _protected(sys.stderr, 2)


def _protected(stream: Any, descriptor: int) -> Any:
    """A stream like `stream` that accepts any text; `stream` itself if it has no file."""
    if stream is not None:
        try:
            if stream.fileno() != descriptor:
                return stream
        except OSError:  # it is in memory
            return stream
        stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Output(descriptor)),
        encoding=getattr(stream, "encoding", "utf-8"),
        errors="backslashreplace",  # for characters that the encoding does not have
        line_buffering=descriptor == 2 or os.isatty(descriptor),
    )
