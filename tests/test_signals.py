"""Signals count between steps: none is lost, and none cuts a line of code in two."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from aecli.errors import Interrupted, Terminated
from aecli.runtime.signals import StopRequest


@pytest.fixture(autouse=True)
def _nothing_ignored() -> Iterator[None]:
    """The tests may themselves run in a shell's background, where SIGINT is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("number", "kind", "status"),
    [(signal.SIGINT, Interrupted, 130), (signal.SIGTERM, Terminated, 143)],
    ids=["SIGINT", "SIGTERM"],
)
def test_a_signal_waits_for_the_next_check(
    number: int, kind: type[Interrupted], status: int
) -> None:
    reached = []
    with pytest.raises(kind) as caught, StopRequest() as stop:
        stop.check()  # nothing has come yet
        send(number)
        reached.append("the line after the signal")
        stop.check()
    assert reached
    assert caught.value.status == status


def test_a_second_signal_does_not_wait() -> None:
    reached = []
    with pytest.raises(Interrupted), StopRequest():
        send(signal.SIGINT)
        reached.append("after the first")
        send(signal.SIGINT)
        reached.append("after the second")
    assert reached == ["after the first"]


def test_a_signal_that_nobody_checked_is_raised_at_the_end() -> None:
    with pytest.raises(Interrupted), StopRequest():
        send(signal.SIGINT)


def test_the_handlers_from_before_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with StopRequest():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            send(signal.SIGINT)
            stop.check()
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("name", "handler", "status"),
    [
        ("SIGINT", "default_int_handler", -signal.SIGINT),
        ("SIGTERM", "default_int_handler", -signal.SIGTERM),
        ("SIGINT", "SIG_IGN", 0),
    ],
    ids=["SIGINT", "SIGTERM", "SIGINT ignored"],
)
def test_a_signal_after_the_end_of_a_command_is_silent(
    name: str, handler: str, status: int
) -> None:
    program = f"""
import atexit, os, signal
from aecli.cli import main as cli
signal.signal(signal.SIGINT, signal.{handler})
atexit.register(lambda: os.kill(os.getpid(), signal.{name}))
cli.main(["--version"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (status, "")
