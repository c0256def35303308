"""The report: one file that holds everything, opened by a parser and by a browser."""

import base64
import hashlib
import io
from collections.abc import Iterator
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from aecli.comparison.findings import findings
from aecli.comparison.report import Origin, ReportFigure, render, title
from aecli.comparison.results import Comparison, SkippedRun
from aecli.figures import HoverPoint, theme
from aecli.figures.theme import paper
from aecli.runs.directory import RunDirectory
from tests.browser import Browser, opened
from tests.test_comparison_table import some_setting

NASTY = "<script>alert(1)</script> & \"two\" 'quotes'"
ORIGIN = Origin(datetime(2026, 11, 21, 10, 15), f"aecli compare '{NASTY}'", Path("out"))
HOVER_POINTS = [HoverPoint(0.25, 0.5, "fc · latent size 5: 0.0305"), HoverPoint(0.75, 0.6, NASTY)]


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
    ReportFigure(
        "Error by size", "Lower is better.", svg("red"), svg("blue"), "image/svg+xml", HOVER_POINTS
    ),
    ReportFigure(NASTY, NASTY, png(90, 60, "red"), png(90, 60, "blue"), "image/png"),
]


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Two sizes of fc, a conv that is called something nasty, and a run that failed."""
    run = tmp_path_factory.mktemp(NASTY.replace("/", ""))
    versions = {"versions": {"aecli": "0.1.0", "torch": "2.15.0"}}
    RunDirectory(run).save_summary(versions)
    settings = [
        some_setting(0.03, 0.031, latent=5, path=run),
        some_setting(0.01095, 0.01105, latent=25, path=run),
        some_setting(0.02, model="conv", latent=5, differences={"note": NASTY}, path=run),
    ]
    lost = SkippedRun(Path("runs") / NASTY, "failed", f"the reason: {NASTY}")
    return Comparison(settings[0].first.data, settings, [lost], {"epochs": "25", "lr": "0.001"})


@pytest.fixture(scope="module")
def report(comparison: Comparison) -> str:
    return render(comparison, findings(comparison), comparison.settings, FIGURES, ORIGIN)


def test_the_title_names_what_is_compared(comparison: Comparison, report: str) -> None:
    assert title(comparison) == "fc and conv at latent 5 and 25 on mnist"
    assert "<title>fc and conv at latent 5 and 25 on mnist</title>" in report


def test_the_findings_come_first(report: str) -> None:
    text = Page(report).text
    parts = [
        "fc, latent 25 has the lowest validation mse of all; its test mse is 0.01100",
        "fc beats PCA of the same size at latent 25",
        "Scores on the test images",
        "below 1 the network is better",
        "Lower is better.",
        "Runs left out of the comparison",
        f"the reason: {NASTY}",
        "mnist (1x28x28, 10,000 test images)",
        "aecli 0.1.0 with torch 2.15.0",
        "2026-11-21 10:15",
        f"aecli compare '{NASTY}'",
        "5 runs in the comparison",
    ]
    places = [text.rindex(part) for part in parts]
    assert places == sorted(places)


def test_a_mean_is_above_its_deviation_and_the_best_row_is_marked(report: str) -> None:
    assert '<td class="number">0.01100 <span class="deviation">± 0.00007</span></td>' in report
    page = Page(report)
    assert [row.get("class") for row in page.all("tr")][1:4] == [None, "best", None]
    scopes = [heading.get("scope") for heading in page.all("th")]
    assert scopes.count("row") == 3 + 1 + 5  # settings, the run left out, the runs compared
    assert set(scopes) == {"row", "col"}


def test_it_loads_nothing_from_elsewhere_and_runs_only_its_own_script(report: str) -> None:
    page = Page(report)
    names = {name for name, _ in page.tags}
    assert not names & {"link", "iframe", "object", "embed", "base", "form"}
    assert page.all("script") == [{}]
    addresses = {
        (attributes[key] or "").partition(":")[0][:2]
        for _, attributes in page.tags
        for key in ("src", "href", "srcset", "poster", "action")
        if key in attributes
    }
    assert {each[0] for each in addresses} == {"#", ".", "d"} and "da" in addresses
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")]
    assert "url(" not in report and "@import" not in report
    script = report.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert {
        "http-equiv": "Content-Security-Policy",
        "content": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'",
    } in page.all("meta")


def test_its_contents_lead_to_every_part_and_figure(report: str) -> None:
    page = Page(report)
    links = [link["href"] for link in page.all("a") if (link["href"] or "").startswith("#")]
    assert links == [
        *("#scores", "#findings", "#scores", "#figures", "#figure-1", "#figure-2", "#left-out"),
        *("#details", "#runs", "#scores"),
    ]
    places = {attributes.get("id") for _, attributes in page.tags}
    assert {(link or "")[1:] for link in links} <= places


def test_a_run_is_linked_from_the_folder_of_the_report() -> None:
    origin = Origin(ORIGIN.made, "", Path("sweep/compare"))
    assert origin.link(Path("sweep/0-fc-z2")) == "./../0-fc-z2"
    assert origin.link(Path("sweep/compare/javascript:a b")) == "./javascript%3Aa%20b"
    assert origin.config_link(RunDirectory(Path("sweep/a?b"))) == "./../a%3Fb/config.yaml"


def test_names_are_escaped(report: str, comparison: Comparison) -> None:
    page = Page(report)
    # In the table, a figure's heading, its entry in the contents, its caption, a value, the path of
    # the failed run, its reason, and the command.
    assert page.text.count(NASTY) == 8
    assert str(comparison.settings[0].first.run.path) in page.text
    assert [image["alt"] for image in page.all("img")][2:] == [NASTY, NASTY]


def test_images_have_their_size(report: str) -> None:
    sizes = [(image["width"], image["height"]) for image in Page(report).all("img")]
    assert sizes == [("96", "48")] * 2 + [("90", "60")] * 2  # 72 points are 96 pixels


def test_empty_sections_have_no_heading(comparison: Comparison) -> None:
    bare = Comparison(comparison.data, comparison.settings, [], {})
    text = render(bare, findings(bare), comparison.settings, [], ORIGIN)
    assert "left out of the comparison" not in text
    assert "Figures" not in Page(text).text


@pytest.mark.parametrize("dark", [False, True])
def test_page_and_figures_have_the_same_background(report: str, dark: bool) -> None:
    with theme(dark):
        ground = "#" + "".join(f"{round(255 * channel):02x}" for channel in paper())
    assert report.count(f"--paper: {ground};") == 1


@pytest.fixture(scope="module")
def browser(report: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The report in a browser."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report, encoding="utf-8")
    with opened(path) as page:
        yield page


def test_a_browser_loads_it_from_the_file_alone(browser: Browser) -> None:
    assert {url.partition(":")[0] for url in browser.requests()} == {"file", "data"}
    assert len([url for url in browser.requests() if url.startswith("file:")]) == 1


def test_a_browser_reports_no_errors(browser: Browser) -> None:
    assert not browser.complaints()
    assert browser.evaluate("document.compatMode") == "CSS1Compat"  # standards, not quirks


def test_a_browser_shows_every_image(browser: Browser) -> None:
    widths = browser.image_widths()
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


ROWS = "[...document.querySelectorAll('#score-table tbody tr')]"
COLUMN = ROWS + ".map(row => row.cells[{}].innerText)"


def click(browser: Browser, column: int) -> str | None:
    """Click a heading; how the table is sorted by it, for screen readers."""
    heading = f"document.querySelectorAll('#score-table thead th')[{column}]"
    browser.evaluate(f"{heading}.querySelector('button').click() ?? true")
    found: str | None = browser.evaluate(f"{heading}.getAttribute('aria-sort')")
    return found


def test_a_click_on_a_heading_sorts_the_table(browser: Browser, report: str) -> None:
    headings = browser.evaluate(
        "[...document.querySelectorAll('#score-table thead th')].map(each => each.textContent)"
    )
    mse = headings.index("test mse")
    column = COLUMN.format(mse)

    def means() -> list[str]:
        return [str(cell).split()[0] for cell in browser.evaluate(column)]

    assert means() == ["0.03050", "0.01100", "0.02000"]
    assert click(browser, mse) == "ascending"
    assert means() == ["0.01100", "0.02000", "0.03050"]
    assert click(browser, mse) == "descending"
    assert means() == ["0.03050", "0.02000", "0.01100"]
    assert click(browser, 0) == "ascending"  # words
    assert browser.evaluate(COLUMN.format(0)) == ["conv", "fc", "fc"]
    assert browser.evaluate("document.querySelectorAll('[aria-sort]').length") == 1
    assert "<button" not in report  # without a script, headings are no buttons


def test_a_point_of_a_chart_shows_its_value_while_it_is_pointed_at(browser: Browser) -> None:
    browser.call("Emulation.setEmulatedMedia", media="screen", features=[])
    shown = "getComputedStyle(document.querySelector('.spot span')).visibility"
    assert browser.evaluate(shown) == "hidden"
    place = "document.querySelector('.spot').getBoundingClientRect()"
    picture = "document.querySelector('.picture').getBoundingClientRect()"
    left, top = (browser.evaluate(f"{place}.{side} + 7 - {picture}.{side}") for side in ("x", "y"))
    width, height = (browser.evaluate(f"{picture}.{side}") for side in ("width", "height"))
    assert (left / width, top / height) == pytest.approx((0.25, 0.5), abs=0.01)
    browser.evaluate("document.querySelector('.spot').scrollIntoView({block: 'center'}) ?? true")
    x, y = (browser.evaluate(f"{place}.{side}") for side in ("x", "y"))
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + 7, y=y + 7)
    assert browser.evaluate(shown) == "visible"


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
