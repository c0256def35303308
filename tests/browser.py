"""A browser to open pages in: headless Chromium, controlled over pipes."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 60  # seconds after which a browser that has not answered is killed


@contextmanager
def opened(path: Path) -> Iterator["Browser"]:
    """A file in a browser; without one, the test is skipped."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("needs Chromium or Chrome to open the report in")
    with chromium(program) as browser:
        browser.open(path)
        yield browser


class Browser:
    """A page in Chromium, controlled by the DevTools protocol: JSON messages, each ended by a zero
    byte."""

    def __init__(self, commands: BinaryIO, answers: BinaryIO) -> None:
        self.events: list[dict[str, Any]] = []
        self._commands, self._answers = commands, answers
        self._count = 0
        self._session: dict[str, str] = {}
        target = self.call("Target.createTarget", url="about:blank")
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = {"sessionId": attached["sessionId"]}

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give a command and wait for its result."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters, **self._session}
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._commands.flush()
        while (answer := self._receive()).get("id") != self._count:
            self.events.append(answer)
        assert "error" not in answer, answer
        return dict(answer["result"])

    def open(self, path: Path) -> None:
        """Load a file with everything in it, and record what happens."""
        for domain in ("Network", "Log", "Runtime", "Page"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=path.as_uri())
        while not self.happened("Page.loadEventFired"):
            self.events.append(self._receive())

    def happened(self, method: str) -> list[dict[str, Any]]:
        return [event["params"] for event in self.events if event["method"] == method]

    def requests(self) -> list[str]:
        """The addresses of everything that was requested."""
        return [event["request"]["url"] for event in self.happened("Network.requestWillBeSent")]

    def complaints(self) -> list[dict[str, Any]]:
        """The messages in the console."""
        kinds = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
        return [event for kind in kinds for event in self.happened(kind)]

    def image_widths(self) -> list[int]:
        """The width of every image, in its own pixels; 0 if it has not loaded."""
        return list(self.evaluate("[...document.images].map(image => image.naturalWidth)"))

    def evaluate(self, expression: str) -> Any:
        """The value of some JavaScript, which developer tools may run even where the page may
        not."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return result["result"]["value"]

    def _receive(self) -> dict[str, Any]:
        message = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            assert byte, "Chromium has ended"
            message += byte
        return dict(json.loads(message))


@contextmanager
def chromium(program: str) -> Iterator[Browser]:
    """Headless Chromium with a new profile."""
    commands_in, commands_out = os.pipe()
    answers_in, answers_out = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # It reads commands from descriptor 3 and writes answers to 4, which bash puts there.
        process = subprocess.Popen(
            [
                "bash", "-c", f'exec "$@" 3<&{commands_in} 4>&{answers_out}', "bash", program,
                "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--remote-debugging-pipe", f"--user-data-dir={profile}",
            ],
            pass_fds=(commands_in, answers_out), stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        os.close(commands_in)
        os.close(answers_out)
        # With its own helpers, one of which would hold the pipe of answers open.
        timer = threading.Timer(SECONDS, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        try:
            with open(commands_out, "wb") as commands, open(answers_in, "rb") as answers:
                yield Browser(commands, answers)
        finally:  # it ends when its pipes are closed
            process.wait()
            timer.cancel()
