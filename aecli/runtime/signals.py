"""Ctrl-C and SIGTERM as something that happens between two steps, and not anywhere."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

from aecli.errors import Interrupted, Terminated

KINDS: dict[int, type[Interrupted]] = {signal.SIGINT: Interrupted, signal.SIGTERM: Terminated}


class StopRequest:
    """Takes note of a signal that `check` then raises; a second one raises at once.

    Left to itself Python raises in the middle of whatever line is running: between two writes that
    belong together, or in a callback that drops exceptions, such as a weak reference's.
    """

    def __init__(self) -> None:
        self._noted: type[Interrupted] | None = None
        self._previous: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # no other may set handlers
            for number in KINDS:
                handler = signal.getsignal(number)
                # A shell's background job is started with SIGINT ignored, and means it.
                if handler is not signal.SIG_IGN:
                    self._previous[number] = handler
                    signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if kind is None:
            self.check()

    @property
    def is_pending(self) -> bool:
        """Whether `check` is going to raise."""
        return self._noted is not None

    def check(self) -> None:
        """Raise what has been noted, if anything."""
        if self._noted is not None:
            raise self._noted

    def _note(self, number: int, _: FrameType | None) -> None:
        if self._noted is not None:
            raise KINDS[number]
        self._noted = KINDS[number]


def end_at_once() -> None:
    """From here on a signal ends the process, without a word: all that was to be said is said.

    While Python shuts down it would print what a handler raises, and go on.
    """
    for number in KINDS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
