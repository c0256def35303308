"""The order of the modules: imports point down, and each library is named where it belongs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import aecli
from tests.conftest import TINY

PACKAGE = Path(aecli.__file__).parent

# From the ground up; a module may import from the lines above its own, and a package from itself.
LAYERS = [
    "errors arithmetic",
    "config files randomness signals arrays adam convolution",
    "distributed options checkpoints events lock",
    "device models data corruption run checkerboard conv_layer latent density detection neighbours",
    "metrics baselines classifier figures preparation projection",
    "evaluation tracking projector restoration",
    "step console",
    "training",
    "recording",
    "experiment composition help",
    "comparison number_grids trained results",
    "uses",
    "sweep",
    "commands",
    "cli",
    "__main__",
]
RANKS = {name: rank for rank, line in enumerate(LAYERS) for name in line.split()}


def imports(path: Path) -> set[str]:
    """The modules that a file imports, anywhere in it, with dots."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def part(path: Path) -> str:
    """The module or package right under aecli that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    own = part(path)
    for name in imports(path):
        words = name.split(".")
        if words[0] == "aecli" and words[1] in RANKS and words[1] != own:
            assert RANKS[words[1]] < RANKS[own], f"{own} imports {name}"


def test_commands_do_not_import_one_another() -> None:
    for path in (PACKAGE / "commands").glob("*.py"):
        assert not [name for name in imports(path) if name.startswith("aecli.commands")]


def test_one_module_knows_hydra() -> None:
    users = {path.name for path in MODULES if any(n.startswith("hydra") for n in imports(path))}
    assert users == {"composition.py"}


def test_below_the_configuration_there_are_only_dataclasses() -> None:
    users = {path.name for path in MODULES if any(n.startswith("omegaconf") for n in imports(path))}
    assert users == {"composition.py", "config.py", "help.py", "options.py"}


def test_models_know_only_tensors() -> None:
    for path in (PACKAGE / "models").glob("*.py"):
        own = {n.split(".")[1] for n in imports(path) if n.startswith("aecli.")}
        assert own <= {"arithmetic", "config", "errors", "models"}


@pytest.mark.parametrize(
    "line",
    [
        "--help",
        "--version",
        "train --help",
        "compare --help",
        "compare srt=mse",
        "shapes --help",
        "shapes image_size=0",
        "conv --help",
        "evaluate --help",
        "interpolate",
        "reconstruct here coutn=3",
        "probe --help",
        "probe here drwas=3",
        "sample",
        "sample here density=gaussian",
        "embed --help",
        "embed here map=foo",
        "export --help",
        "export here format=onxn",
        "anomaly --help",
        "anomaly here fpr=few",
        "conv input=2 kernel=3 stride=2 transposed=true",
        "nonsense",
    ],
)
def test_help_mistakes_and_arithmetic_do_not_wait_for_torch(line: str, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom aecli.cli import run\nrun(sys.argv[1:])\nsys.exit('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, *line.split()]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)


def test_the_first_step_waits_for_no_figure_and_no_baseline(data_dir: Path, tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom unittest.mock import patch\nimport aecli.recording\n"
        "from aecli.cli import run\n"
        "too_early = patch('aecli.recording.levels', side_effect=AssertionError)\n"
        "stop = lambda _: os._exit('matplotlib' in sys.modules)\n"
        "with too_early, patch('aecli.tracking.Tracker.step', stop):\n"
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
