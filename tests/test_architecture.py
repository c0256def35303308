"""What is imported when, and what is written nowhere; pyproject.toml has the order of the rooms."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import aecli
from aecli.commands import COMMANDS
from tests.conftest import TINY

PACKAGE = Path(aecli.__file__).parent

MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def test_every_module_in_commands_is_listed() -> None:
    files = {path.stem for path in (PACKAGE / "commands").glob("*.py")}
    assert files == {"__init__", *COMMANDS}


@pytest.mark.parametrize(
    "line",
    [
        "--help",
        "--version",
        *(f"{command} --help" for command in COMMANDS),
        "compare srt=mse",
        "shapes image_size=0",
        "data mnits",
        "interpolate",
        "reconstruct here coutn=3",
        "probe here drwas=3",
        "sample",
        "sample here density=gaussian",
        "embed here map=foo",
        "export here format=onxn",
        "anomaly here fpr=few",
        "conv input=2 kernel=3 stride=2 transposed=true torch=false",
        "upsample input=2 method=bicubic",
        "upsample images=photo.png factor=0",
        "nonsense",
    ],
)
def test_help_mistakes_and_arithmetic_do_not_import_torch(line: str, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom aecli.cli.main import run\nrun(sys.argv[1:])\n"
        "sys.exit('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, *line.split()]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)


def test_the_first_step_imports_no_figures_baselines_or_compiler(
    data_dir: Path, tmp_path: Path
) -> None:
    code = (
        "import os, sys\nfrom unittest.mock import patch\nimport aecli.training.recorder\n"
        "from aecli.cli.main import run\n"
        "reference_scores = 'aecli.training.recorder.reference_scores'\n"
        "too_early = patch(reference_scores, side_effect=AssertionError)\n"
        "stop = lambda _: os._exit(bool({'matplotlib', 'torch._dynamo'} & {*sys.modules}))\n"
        "with too_early, patch('aecli.runs.tracker.Tracker.step', stop):\n"
        "    run(sys.argv[1:])\n"
        "sys.exit('there was no step')"
    )
    line = ["train", *TINY, f"data_dir={data_dir}"]
    command = [sys.executable, "-c", code, *line]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)


def test_nothing_in_the_package_knows_the_size_of_mnist() -> None:
    allowed = {"synthetic.py"}  # draws digits of a size of its own
    for path in MODULES:
        numbers = {
            node.value
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, int)
        }
        assert path.name in allowed or not numbers & {28, 784}, path


def modules(package: Path) -> set[str]:
    """The names of what a package holds: its modules and packages."""
    files = {path.stem for path in package.glob("*.py") if not path.stem.startswith("__")}
    return files | {path.parent.name for path in package.glob("*/__init__.py")}


def test_the_first_floor_has_at_most_20_rooms() -> None:
    assert len(modules(PACKAGE)) <= 20


def test_the_documentation_names_every_module() -> None:
    """Where it names modules of a package at all, and not only a single one of them."""
    page = Path(__file__).parents[1] / "docs" / "architecture.md"
    text = page.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)/` \| (.*) \|$", text, re.MULTILINE))
    assert rows.keys() == modules(PACKAGE)
    for name, contents in rows.items():
        there, named = modules(PACKAGE / name), {*re.findall(r"`(\w+)/?`", contents)}
        assert len(named & there) < 2 or named == there, name


@pytest.mark.parametrize("kind", ["py", "js", "css", "j2"])
def test_a_file_has_at_most_400_lines(kind: str) -> None:
    for path in sorted(PACKAGE.rglob(f"*.{kind}")):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path


def test_the_body_of_a_function_has_at_most_40_lines() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                if body:
                    end = body[-1].end_lineno or 0
                    assert end - body[0].lineno < 40, f"{path}: {node.name}"
