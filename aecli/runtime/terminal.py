"""The terminal and the standard streams: what is written to them, and what becomes of it."""

import errno
import io
import os
import re
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

# Characters that move the cursor, start an escape sequence or reverse the direction of text. Line
# breaks are not among them.
CONTROLS = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)


def printable(text: str) -> str:
    """Write control characters and marks of direction as escapes: a name cannot move the cursor."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class SafeConsole(Console):
    """A console on which no name, whatever is in it, controls the terminal."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


out = SafeConsole(highlight=False)
err = SafeConsole(stderr=True, highlight=False)


class _StandardStream(io.FileIO):
    """The file below a standard stream: output that nobody reads any more costs no result.

    What is written to a pipe whose reader has ended is dropped, and the command goes on. Any other
    failure of stdout, such as that of a full disk, is raised once; of stderr none is, since there
    is nowhere to say so.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._stream = name
        self._is_lost = False

    def write(self, content: Any) -> int:
        if not self._is_lost:
            try:
                return super().write(content)
            except OSError as error:
                self._is_lost = True
                is_reader_gone = error.errno in (errno.EPIPE, errno.ESHUTDOWN)
                if self.fileno() == 1 and not is_reader_gone:
                    raise OSError(error.errno, error.strerror, self._stream) from error
        return len(memoryview(content).cast("B"))


def protect_standard_streams() -> None:
    """Make stdout and stderr streams that take any text and whose loss does no harm."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: the next file that is opened would take its place
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdout = _protected(sys.stdout, 1, "standard output")
    sys.stderr = _protected(sys.stderr, 2, "standard error")


def _protected(stream: Any, descriptor: int, name: str) -> io.TextIOWrapper:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    if stream is not None:
        stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_StandardStream(descriptor, name)),
        encoding=encoding,
        errors="backslashreplace",  # of names that the encoding does not have
        line_buffering=descriptor == 2 or os.isatty(descriptor),
    )
