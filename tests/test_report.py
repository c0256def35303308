"""The report: one file that holds everything, opened by a parser and by a browser."""

import io
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from PIL import Image

from aecli.comparison.gather import Comparison, LeftOut
from aecli.comparison.report import ReportFigure, render, title
from aecli.figures import theme
from aecli.figures.theme import paper
from tests.test_comparison_table import some_setting

NASTY = "<script>alert(1)</script> & \"two\" 'quotes'"
MADE = datetime(2026, 11, 21, 10, 15)
SECONDS = 60  # a browser that has not answered by then is ended


class Page(HTMLParser):
    """What a report consists of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def png(width: int, height: int, colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


def svg(colour: str) -> bytes:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="72pt" height="36pt" '
        f'viewBox="0 0 72 36"><rect width="72" height="36" fill="{colour}"/></svg>'
    ).encode()


FIGURES = [
    ReportFigure("Error by size", "Lower is better.", svg("red"), svg("blue"), "image/svg+xml"),
    ReportFigure(NASTY, NASTY, png(90, 60, "red"), png(90, 60, "blue"), "image/png"),
]


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Two sizes of fc, a conv that is called something nasty, and a run that failed."""
    run = tmp_path_factory.mktemp(NASTY.replace("/", ""))
    versions = {"versions": {"aecli": "0.1.0", "torch": "2.15.0"}}
    (run / "summary.json").write_text(json.dumps(versions))
    settings = [
        some_setting(0.03, 0.031, latent=5, path=run),
        some_setting(0.01, 0.012, latent=25, path=run),
        some_setting(0.02, model="conv", latent=5, differences={"note": NASTY}, path=run),
    ]
    lost = LeftOut(Path("runs") / NASTY, "failed", f"the reason: {NASTY}")
    return Comparison(settings[0].first.data, settings, [lost])


@pytest.fixture(scope="module")
def report(comparison: Comparison) -> str:
    return render(comparison, FIGURES, MADE)


def test_the_title_names_what_is_compared(comparison: Comparison, report: str) -> None:
    assert title(comparison) == "fc and conv at latent 5 and 25 on mnist"
    assert "<title>fc and conv at latent 5 and 25 on mnist</title>" in report


def test_what_matters_comes_first(report: str) -> None:
    text = Page(report).text
    parts = [
        "fc, latent 25 has the best test mse of all (0.01100).",
        "fc beats PCA of the same size at latent 25",
        "Scores on the test images",
        "below 1 the network is better",
        "Lower is better.",
        "Runs that are not in the comparison",
        f"the reason: {NASTY}",
        "mnist (1x28x28, 10,000 test images)",
        "aecli 0.1.0 with torch 2.15.0",
        "2026-11-21 10:15",
        "5 runs in the comparison",
    ]
    places = [text.rindex(part) for part in parts]
    assert places == sorted(places)


def test_a_mean_stands_over_its_deviation_and_the_best_row_is_marked(report: str) -> None:
    assert '<td class="number">0.01100 <span class="deviation">± 0.00141</span></td>' in report
    page = Page(report)
    assert [row.get("class") for row in page.all("tr")][1:4] == [None, "best", None]
    scopes = [heading.get("scope") for heading in page.all("th")]
    assert scopes.count("row") == 3 + 1 + 5  # settings, the run left out, the runs compared
    assert set(scopes) == {"row", "col"}


def test_it_needs_nothing_from_outside_and_runs_nothing(report: str) -> None:
    page = Page(report)
    names = {name for name, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "base", "form"}
    addresses = [
        (attributes[key] or "").partition(":")[0]
        for _, attributes in page.tags
        for key in ("src", "href", "srcset", "poster", "action")
        if key in attributes
    ]
    assert addresses == ["#scores", *["data"] * 2 * len(FIGURES)]
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")]
    assert "url(" not in report and "@import" not in report
    assert {
        "http-equiv": "Content-Security-Policy",
        "content": "default-src 'none'; img-src data:; style-src 'unsafe-inline'",
    } in page.all("meta")


def test_whatever_people_call_their_things_is_text(report: str, comparison: Comparison) -> None:
    page = Page(report)
    # In the table, a figure's heading and caption, the path of the failed run and its reason.
    assert page.text.count(NASTY) == 5
    assert str(comparison.settings[0].first.run.path) in page.text
    assert [image["alt"] for image in page.all("img")][2:] == [NASTY, NASTY]


def test_images_have_their_size(report: str) -> None:
    sizes = [(image["width"], image["height"]) for image in Page(report).all("img")]
    assert sizes == [("96", "48")] * 2 + [("90", "60")] * 2  # 72 points are 96 pixels


def test_what_there_is_not_has_no_heading(comparison: Comparison) -> None:
    text = render(Comparison(comparison.data, comparison.settings, []), [], MADE)
    assert "not in the comparison" not in text
    assert "Figures" not in Page(text).text


@pytest.mark.parametrize("dark", [False, True])
def test_page_and_figures_have_one_ground(report: str, dark: bool) -> None:
    with theme(dark):
        ground = "#" + "".join(f"{round(255 * channel):02x}" for channel in paper())
    assert report.count(f"--paper: {ground};") == 1


class Browser:
    """A page in Chromium, spoken to by the DevTools protocol: JSON, each ended by a zero byte."""

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
        """Load a file, with everything in it, and note what happens."""
        for domain in ("Network", "Log", "Runtime", "Page"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=path.as_uri())
        while not self.happened("Page.loadEventFired"):
            self.events.append(self._receive())

    def happened(self, method: str) -> list[dict[str, Any]]:
        return [event["params"] for event in self.events if event["method"] == method]

    def evaluate(self, expression: str) -> Any:
        """The value of some JavaScript, which the tools may run where the page may not."""
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
    """Chromium without a window and with a new profile."""
    commands_in, commands_out = os.pipe()
    answers_in, answers_out = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # It reads commands from descriptor 3 and writes answers to 4, which bash puts there.
        process = subprocess.Popen(
            [
                "bash", "-c", f'exec "$@" 3<&{commands_in} 4>&{answers_out}', "bash", program,
                "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
                "--remote-debugging-pipe", f"--user-data-dir={profile}",
            ],
            pass_fds=(commands_in, answers_out), stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(commands_in)
        os.close(answers_out)
        timer = threading.Timer(SECONDS, process.kill)
        timer.start()
        try:
            with open(commands_out, "wb") as commands, open(answers_in, "rb") as answers:
                yield Browser(commands, answers)
        finally:  # it ends when its pipes are closed
            process.wait()
            timer.cancel()


@pytest.fixture(scope="module")
def browser(report: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The report in a browser."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("needs Chromium or Chrome to open the report in")
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report, encoding="utf-8")
    with chromium(program) as opened:
        opened.open(path)
        yield opened


def test_a_browser_loads_it_from_the_file_alone(browser: Browser) -> None:
    requests = [event["request"]["url"] for event in browser.happened("Network.requestWillBeSent")]
    assert {url.partition(":")[0] for url in requests} == {"file", "data"}
    assert len([url for url in requests if url.startswith("file:")]) == 1


def test_a_browser_has_nothing_to_complain_of(browser: Browser) -> None:
    assert not browser.happened("Log.entryAdded")
    assert not browser.happened("Runtime.exceptionThrown")
    assert not browser.happened("Runtime.consoleAPICalled")
    assert browser.evaluate("document.compatMode") == "CSS1Compat"  # standards, not quirks


def test_a_browser_shows_every_image(browser: Browser) -> None:
    widths = browser.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert len(widths) == 2 * len(FIGURES)
    assert all(width > 0 for width in widths)


@pytest.mark.parametrize(
    ("medium", "scheme", "shown"),
    [("screen", "light", "light"), ("screen", "dark", "dark"), ("print", "dark", "light")],
)
def test_the_figures_and_the_page_follow_the_scheme(
    browser: Browser, medium: str, scheme: str, shown: str
) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.call("Emulation.setEmulatedMedia", media=medium, features=features)
    visible = "[...document.images].filter(image => image.checkVisibility())"
    assert browser.evaluate(f"{visible}.map(image => image.className)") == [shown] * len(FIGURES)
    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (shown == "light")


@pytest.mark.parametrize("width", [360, 400, 800, 1400])
def test_the_page_is_as_wide_as_the_window_whatever_the_table_is(
    browser: Browser, width: int
) -> None:
    browser.call("Emulation.setEmulatedMedia", media="screen")
    browser.call(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=800, deviceScaleFactor=1, mobile=True,
    )  # fmt: skip
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    table = "document.querySelector('table').getBoundingClientRect().width"
    assert width >= 800 or browser.evaluate(table) > width
