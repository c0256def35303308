"""Handling of Ctrl-C and SIGTERM: they take effect between two training steps."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

from aecli.errors import Interrupted, Terminated

EXCEPTIONS: dict[int, type[Interrupted]] = {signal.SIGINT: Interrupted, signal.SIGTERM: Terminated}


class StopRequest:
    """Records a signal, which `check` then raises; a second signal raises at once.

    By default Python raises in whatever line is running: between two writes that belong together,
    or in a callback that drops exceptions, such as that of a weak reference.
    """

    def __init__(self) -> None:
        self._pending: type[Interrupted] | None = None
        self._previous: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # no other may set handlers
            for number in EXCEPTIONS:
                handler = signal.getsignal(number)
                # A shell starts background jobs with SIGINT ignored; keep it so.
                if handler is not signal.SIG_IGN:
                    self._previous[number] = handler
                    signal.signal(number, self._record)
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
        """Whether `check` will raise."""
        return self._pending is not None

    def check(self) -> None:
        """Raise the recorded signal, if any."""
        if self._pending is not None:
            raise self._pending

    def _record(self, number: int, _: FrameType | None) -> None:
        if self._pending is not None:
            raise EXCEPTIONS[number]
        self._pending = EXCEPTIONS[number]


def ignore_signals() -> None:
    """Make signals do nothing from now on, since the process is ending and has yet to report why.

    They still reach a wakeup file descriptor.
    """
    for number in EXCEPTIONS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, frame: None)


def end_at_once() -> None:
    """Make signals end the process silently from now on, since its output is complete.

    During shutdown, Python would print an exception raised by a handler and continue.
    """
    for number in EXCEPTIONS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
