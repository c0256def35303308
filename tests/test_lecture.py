"""Lectures: their scripts, what they assert, and what `aecli lecture` leaves behind."""

import html
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aecli.cli.completion import candidates
from aecli.config import config_groups
from aecli.errors import Interrupted, UsageError
from aecli.lectures.checks import Grid, Number, Results, Says, judge, numbers_below
from aecli.lectures.kit import Kit, SlideResult, make_kit
from aecli.lectures.lines import ELSEWHERE
from aecli.lectures.notebook import notebook
from aecli.lectures.script import Slide, lecture_names, read_lecture
from aecli.runs.directory import RunDirectory
from aecli.training import loop as training
from aecli.training.validation import validate
from tests.browser import opened
from tests.conftest import TINY, with_project
from tests.undrawn import undrawn

Aecli = Callable[..., int]

QUICK = shlex.join(TINY)
CONV = {
    "id": "convolution",
    "title": "A convolution",
    "rows": [1],
    "remark": "Four sums & <no> more.",
    "line": 'conv "input=[[1,2,3],[4,5,6],[7,8,9]]" "weight=[[0,1],[2,3]]" torch=false',
    "from": "input 3x3",
    "to": "W 4x9",
    "checks": [
        {"says": "floor((3 + 2*0 - 2) / 1) + 1 = 2"},
        {"grid": "output 2x2", "is": [[25, 31], [43, 49]]},
    ],
    "slip": "It has a slip.",
}
PICTURE = {
    "id": "overlap",
    "title": "An overlap",
    "rows": [2, 3],
    "remark": "Uneven.",
    "line": "conv input=2 kernel=3 stride=2 transposed=true animate=true torch=false",
    "show": ["overlap.png", "stamps.gif"],
}
TRAINED = {
    "id": "scores",
    "title": "Scores",
    "rows": [4],
    "remark": "Of a run.",
    "line": "evaluate {small}",
    "show": "{small}/figures/loss.svg",
    "checks": [
        {"file": "{small}/summary.json", "key": "epochs", "is": 1},
        {"file": "numbers.json", "key": "model.mse", "at_most": 0.001, "full": True},
    ],
}
WORDS = {"id": "outlook", "title": "Outlook", "rows": [5], "remark": "No more than words."}
RUNS = {"small": {"line": "model=fc latent=3", "quick": QUICK}}


def write(file: Path, *slides: dict[str, Any], **more: Any) -> str:
    """A script with these slides, as a file; returns its path."""
    script = {"title": "A lecture", "about": "Of tests.", "slides_from": "nobody", "runs": RUNS}
    file.write_text(json.dumps({**script, "slides": [*slides], **more}))
    return str(file)


def untrained() -> list[tuple[str, Slide]]:
    """The slides of all lectures whose commands need no runs, and no pictures of one's own."""
    slides = [(name, slide) for name in lecture_names() for slide in read_lecture(name).slides]
    quick = ("conv ", "upsample ", "shapes ", "data ")
    return [
        (name, slide)
        for name, slide in slides
        if (slide.line or "").startswith(quick) and "images=" not in (slide.line or "")
    ]


@pytest.mark.parametrize("name", lecture_names())
def test_every_lecture_is_valid(name: str) -> None:
    assert read_lecture(name).slides


@pytest.mark.parametrize(
    ("name", "slide"), untrained(), ids=lambda value: getattr(value, "id", value)
)
def test_what_needs_no_training_is_as_on_the_slide(
    name: str,
    slide: Slide,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.chdir(tmp_path)
    if "mnist" in (slide.line or "") and not (slide.line or "").startswith("shapes "):
        monkeypatch.setenv("AECLI_DATA", str(request.getfixturevalue("mnist_dir")))
    with undrawn():
        kit = make_kit(read_lecture(name), [slide], True, tmp_path, lambda _: None)
    assert [shown.failures for shown in kit.slides] == [[]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"title": 3}, "slide convolution: title: 3 is not of type str"),
        ({"remrak": "x"}, "slide convolution: there is no key 'remrak': did you mean remark?"),
        ({"rows": ["a"]}, "rows: give a list of integers"),
        ({"id": "A b"}, "slide 1: id: A b may have small letters, digits and dashes"),
        ({"line": "evaluate {conv}"}, "slide convolution: there is no run 'conv'; valid: small"),
        ({"line": "eval x"}, "slide convolution: line: there is no command 'eval'"),
        ({"line": 'conv "'}, 'slide convolution: line: conv " is not a command line'),
        ({"show": "../x.png"}, "show: ../x.png is no .png, .svg, .gif of the results"),
        ({"checks": [{"syas": "x"}]}, "slide convolution, check 1: a check has says, grid or file"),
        ({"checks": [{"grid": "x", "is": [["a"]]}]}, "is: give rows of numbers"),
        ({"checks": [{"file": "x", "key": "y"}]}, "give is, or at_least or at_most"),
        ({"checks": [{"says": "x", "full": 1}]}, "full: 1 is not of type bool"),
    ],
)
def test_a_mistake_in_a_script_names_file_and_slide(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    file = write(tmp_path / "mine.yaml", {**CONV, **change})
    with pytest.raises(UsageError) as raised:
        read_lecture(file)
    assert file in str(raised.value) and message in str(raised.value)


def test_the_script_in_the_documentation_is_valid(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs/lectures.md").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(page.partition("```yaml\n")[2].partition("```")[0])
    lecture = read_lecture(str(tmp_path / "mine.yaml"))
    assert [len(slide.checks) for slide in lecture.slides] == [2, 1]


def test_two_slides_of_one_name_are_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two slides have the id convolution"):
        read_lecture(write(tmp_path / "mine.yaml", CONV, CONV))


def test_numbers_are_found_below_their_heading() -> None:
    printed = "a 2x2   b 2x3\n  1 .     -1 (2) 0.5\n  3 4      4  5  6e1\n          x\n"
    assert numbers_below("a 2x2", printed) == [[1, 0], [3, 4]]
    assert numbers_below("b 2x3", printed) == [[-1, 2, 0.5], [4, 5, 60]]
    assert numbers_below("c", printed) == []


def test_a_check_says_how_far_it_is_off(tmp_path: Path) -> None:
    (tmp_path / "n.json").write_text('{"a": {"b": [1, 0.25]}, "unit": 0.05, "zero": 0}')
    results = Results("g\n  1 2\n", tmp_path, {})
    near = judge(Grid("g", [[1, 2.5]], within=0.5), results, quick=False)
    assert (near.holds, near.difference) == (True, 0.5)
    assert judge(Grid("g", [[1, 2.6]], within=0.5), results, quick=False).holds is False
    wrong_size = judge(Grid("g", [[1]]), results, quick=False)
    assert wrong_size.text == "'g' has 1x2 numbers in the printed text"
    assert judge(Number("n.json", "a.b.1", at_most=0.3), results, quick=False).holds is True
    assert judge(Number("n.json", "a.b.1", 0.2, within=0.01), results, quick=False).holds is False
    assert judge(Number("n.json", "a.b.1", 0.2, full=True), results, quick=True).holds is None
    assert "has no number at a.c" in judge(Number("n.json", "a.c", 1), results, quick=False).text
    ratio = Number("n.json", "a.b.1", at_least=3, per="unit")  # 0.25 / 0.05
    assert judge(ratio, results, quick=False).text == "a.b.1 / unit = 5, at least 3"
    assert judge(replace(ratio, at_least=6), results, quick=False).holds is False
    for unit, problem in {
        "a.c": "n.json has no number at a.c",
        "zero": "a.b.1 cannot be divided by zero, which is 0",
    }.items():
        assert judge(replace(ratio, per=unit), results, quick=False).text == problem
    assert judge(Number("m.json", "a", 1), results, quick=False).holds is False
    assert judge(Says("1   2"), results, quick=False).holds is True


def test_a_lecture_becomes_page_figures_and_notebook(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "mine.yaml", CONV, PICTURE, WORDS)
    folder = tmp_path / "outputs/lectures/mine"
    assert aecli("lecture", file) == 0
    printed = capsys.readouterr()
    assert "2 of 2 assertions on 1 slide hold" in printed.out
    assert "slide 2 of 3: An overlap" in printed.err
    figures = ["overlap-2.gif", "overlap.png", "overlap.svg"]
    assert sorted(path.name for path in (folder / "figures").iterdir()) == figures
    page = (folder / "index.html").read_text()
    assert "equal to the slide" in page and "It has a slip." in page
    assert "Four sums &amp; &lt;no&gt; more." in page
    text = html.unescape(page)
    assert (
        str(CONV["line"]) in text
        and "3*5 = 25" in text
        and "The convolution multiplies" not in text
    )
    # The next one replaces it as a whole.
    assert aecli("lecture", file, "part=outlook") == 0
    assert sorted(path.name for path in folder.iterdir() if path.name[0] != ".") == [
        *("index.html", "lecture.ipynb", "manifest.json")
    ]
    (folder / "index.html").write_text("mine")
    assert aecli("lecture", file, "part=outlook") == 5
    assert (folder / "index.html").read_text() == "mine"


def test_a_number_that_differs_fails(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = [{"grid": "output 2x2", "is": [[25, 31], [43, 50]]}]
    file = write(tmp_path / "mine.yaml", {**CONV, "checks": checks})
    assert aecli("lecture", file) == 1
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "aecli: 1 of 1 slides did not come out as they should",
        "convolution: output 2x2: difference 1",
    ]
    page = (tmp_path / "outputs/lectures/mine/index.html").read_text()
    assert "differs: output 2x2: difference 1" in page


def test_a_failing_command_is_reported_and_the_others_go_on(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {**PICTURE, "id": "wrong", "line": "conv input=2 kernel=0"}
    missing = {**PICTURE, "id": "missing", "show": "no.png"}
    file = write(tmp_path / "mine.yaml", wrong, missing, CONV)
    assert aecli("lecture", file) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[-2].startswith("wrong: kernel=0")
    assert errors[-1].startswith(
        "missing: no.png is not among the results of the command: overlap.png"
    )
    assert "equal to the slide" in (tmp_path / "outputs/lectures/mine/index.html").read_text()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ([], "lecture takes one name, not 0: give one of list"),
        (["nonsense"], "there is no lecture 'nonsense'"),
        (["FILE", "part=convolutoin"], "part=convolutoin: did you mean convolution?"),
        (["FILE", "patr=x"], "there is no key 'patr': did you mean part?"),
        (["missing.yaml"], "missing.yaml cannot be read"),
    ],
)
def test_mistakes_are_reported_in_one_line(
    line: list[str],
    message: str,
    aecli: Aecli,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = write(tmp_path / "mine.yaml", CONV)
    assert aecli("lecture", *(file if word == "FILE" else word for word in line)) in (2, 5)
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.undrawn("lecture", "train")
def test_a_run_of_the_same_configuration_is_found_whatever_its_name(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["model=fc", "latent=3", *TINY]
    assert aecli("train", *line, "name=mine", "hydra.run.dir=outputs/elsewhere") == 0
    assert aecli("train", *line, "seed=1", "hydra.run.dir=outputs/other") == 0
    capsys.readouterr()
    file = write(tmp_path / "mine.yaml", TRAINED)
    assert aecli("lecture", file, "quick=true") == 0
    printed = capsys.readouterr()
    assert "run small: found in outputs/elsewhere" in printed.err
    assert "1 of 1 assertion on 1 slide hold; 1 need the full training" in printed.out
    folder = tmp_path / "outputs/lectures/mine"
    assert "aecli evaluate outputs/elsewhere" in (folder / "index.html").read_text()
    assert not (folder / "runs").exists() and (folder / "figures/scores.svg").exists()


@pytest.mark.undrawn("lecture")
def test_an_interrupted_lecture_goes_on(
    aecli: Aecli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs = {"small": {"line": "model=fc latent=3", "quick": f"{QUICK} epochs=2"}}
    slide = {**TRAINED, "show": [], "checks": []}
    file = write(tmp_path / "mine.yaml", slide, runs=runs)
    folder, calls = tmp_path / "outputs/lectures/mine", []

    def interrupt(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise Interrupted
        return validate(*arguments)

    monkeypatch.setattr(training, "validate", interrupt)
    assert aecli("lecture", file, "quick=true") == 130
    assert "the same command continues the training runs" in capsys.readouterr().err
    assert not (folder / "index.html").exists()
    assert aecli("lecture", file, "quick=true") == 0
    (run,) = (folder / "runs").iterdir()
    assert run.name == "small-quick" and RunDirectory(run).finished_epochs() == 2
    assert len(calls) == 3  # the first epoch was not trained again
    assert aecli("lecture", file, "quick=true") == 0
    assert len(calls) == 3  # nor any, once it was finished


@pytest.mark.undrawn("lecture")
def test_a_sweep_is_trained_once(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = {"sizes": {"line": f"-m model=fc latent=2,3 {QUICK} compare=false"}}
    slide = {**WORDS, "line": "runs {sizes}", "checks": [{"says": "finished"}]}
    file = write(tmp_path / "mine.yaml", slide, runs=runs)
    assert aecli("lecture", file) == 0
    assert (tmp_path / "outputs/lectures/mine/runs/sizes/sweep.json").exists()
    assert "found" not in capsys.readouterr().err
    assert aecli("lecture", file) == 0
    assert "run sizes: found in outputs/lectures/mine/runs/sizes" in capsys.readouterr().err
    # A run of a sweep is a run.
    one = write(tmp_path / "one.yaml", TRAINED)
    assert aecli("lecture", one, "quick=true") == 0
    assert "run small: found in outputs/lectures/mine/runs/sizes/" in capsys.readouterr().err


def test_the_page_shows_sections_or_one_slide_a_screen(aecli: Aecli, tmp_path: Path) -> None:
    file = write(tmp_path / "mine.yaml", CONV, PICTURE, WORDS)
    assert aecli("lecture", file) == 0
    page = tmp_path / "outputs/lectures/mine/index.html"
    visible = "[...document.querySelectorAll('[data-slide]')].filter(s => s.offsetParent).length"
    with opened(page) as browser:
        assert browser.evaluate(visible) == 4
        browser.call(
            "Emulation.setDeviceMetricsOverride",
            **{"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True},
        )
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390
        assert all(browser.image_widths()) and len(browser.image_widths()) == 2
        browser.events.clear()
        browser.call("Page.navigate", url=f"{page.as_uri()}?slides")
        while not browser.happened("Page.loadEventFired"):
            browser.evaluate("0")
        current = "document.querySelector('.current').id"
        assert browser.evaluate(visible) == 1 and browser.evaluate(current) == "title"
        for key, place in [("ArrowRight", "convolution"), ("End", "outlook"), ("Home", "title")]:
            for kind in ("keyDown", "keyUp"):
                browser.call("Input.dispatchKeyEvent", type=kind, key=key)
            assert browser.evaluate(current) == place
        assert all(url.startswith((page.as_uri(), "data:")) for url in browser.requests())
        assert not browser.complaints()


def test_the_notebook_is_valid_and_its_lines_run(aecli: Aecli, tmp_path: Path) -> None:
    file = write(tmp_path / "mine.yaml", CONV, PICTURE, WORDS)
    assert aecli("lecture", file) == 0
    folder = tmp_path / "outputs/lectures/mine"
    content = json.loads((folder / "lecture.ipynb").read_bytes())
    # The required fields of the schema of nbformat 4.5.
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    assert content.keys() == {"cells", "metadata", "nbformat", "nbformat_minor"}
    names = [cell["id"] for cell in content["cells"]]
    assert len({*names}) == len(names)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in names)
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    for cell in content["cells"]:
        required = {"id", "cell_type", "metadata", "source"}
        required |= {"execution_count", "outputs"} if cell in code else set()
        assert cell.keys() == required
    for cell in code:
        compile("".join(line for line in cell["source"] if line[0] != "!"), "cell", "exec")
    lines = [cell for cell in code if cell["source"][0].startswith("!")]
    assert len(lines) == 2
    environment = with_project()
    for cell in lines:
        line = f'aecli() {{ {sys.executable} -m aecli "$@"; }}; {cell["source"][0][1:]}'
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path, env=environment, check=True, capture_output=True, text=True,
        )  # fmt: skip
        stored = "".join(cell["outputs"][0]["text"]).splitlines()
        assert done.stdout.strip("\n").splitlines()[:20] == stored[:20]
    pictures = [output for cell in code for output in cell["outputs"] if "data" in output]
    assert [sorted(each["data"])[0] for each in pictures] == ["image/png", "image/gif"]


def test_the_notebook_finds_its_folder_and_its_aecli(aecli: Aecli, tmp_path: Path) -> None:
    assert aecli("lecture", write(tmp_path / "mine.yaml", WORDS)) == 0
    folder = tmp_path / "outputs/lectures/mine"
    cells = json.loads((folder / "lecture.ipynb").read_bytes())["cells"]
    opening = "".join(cells[1]["source"])
    display = tmp_path / "IPython/display.py"
    display.parent.mkdir()
    display.write_text("SVG = Image = None")
    code = f"{opening}\n{opening}\nimport shutil\nprint(kit, Path.cwd(), shutil.which('aecli'))"
    python = tmp_path / "environment/bin/python"
    python.parent.mkdir(parents=True)
    (python.parent / "aecli").touch(0o755)
    code = f"import sys\nsys.executable = {str(python)!r}\n{code}"
    environment = with_project(PATH="/usr/bin:/bin")
    environment["PYTHONPATH"] += f":{tmp_path}"

    def run_in(cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run the first cell twice, as people do, and tell where it has led."""
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=cwd, env=environment, capture_output=True, text=True,
        )  # fmt: skip

    # Jupyter begins in the folder of the notebook; other programs, where they were started.
    for cwd in (folder, tmp_path):
        kit, home, program = run_in(cwd).stdout.split()
        assert (Path(kit).resolve(), Path(home)) == (folder, tmp_path)
        assert program == str(python.parent / "aecli")
    assert "start Jupyter in the folder of this notebook" in run_in(tmp_path / "IPython").stderr


def test_the_notebook_shows_what_jupyter_can_show(aecli: Aecli, tmp_path: Path) -> None:
    slide = {**CONV, "show": "overlap.svg", "remark": "0*1 + 1*2 of data_dir <b>", "slip": "a_b_c"}
    assert aecli("lecture", write(tmp_path / "mine.yaml", slide)) == 0
    folder = tmp_path / "outputs/lectures/mine"
    cells = {
        cell["id"]: cell for cell in json.loads((folder / "lecture.ipynb").read_bytes())["cells"]
    }
    # Plain text stays plain in Markdown.
    words = "".join(cells["convolution"]["source"])
    assert r"0\*1 + 1\*2 of data\_dir \<b\>" in words and r"a\_b\_c" in words
    # A notebook that Jupyter has not run itself shows no SVG.
    figure = cells["convolution-figure-1"]
    assert "convolution.png" in "".join(figure["source"])
    assert [*figure["outputs"][0]["data"]] == ["image/png", "text/plain"]


def test_the_notebook_has_the_printed_text_without_temporary_files(tmp_path: Path) -> None:
    lecture = read_lecture(write(tmp_path / "mine.yaml", CONV))
    shown = SlideResult(
        lecture.slides[0], "aecli compare", f"   live\nunits\nreport {ELSEWHERE}/a.html"
    )
    cells = json.loads(notebook(Kit(lecture, [shown], {}), tmp_path))["cells"]
    assert cells[-1]["outputs"][0]["text"] == ["   live\n", "units\n"]


def test_lectures_are_completed_and_are_not_choices_of_a_run() -> None:
    assert candidates("aecli lecture ") == [
        *("part=", "quick=", "output=", "list", *lecture_names())
    ]
    assert "lecture" not in config_groups()
    assert not [each for each in candidates("aecli train ") if each.startswith("lecture")]


def test_own_choices_may_not_be_lectures(
    aecli: Aecli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own/lecture").mkdir(parents=True)
    assert aecli("train", "--config-dir", "own", "epochs=1") == 2
    assert "own holds lecture, which is not a group of choices" in capsys.readouterr().err


def test_the_list_has_every_lecture(aecli: Aecli, capsys: pytest.CaptureFixture[str]) -> None:
    assert aecli("lecture", "list") == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in lecture_names())
