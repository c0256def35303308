"""The wheel: installed somewhere else, started in an empty folder, it trains."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from aecli import __version__
from aecli.config import config_groups
from tests.conftest import TINY

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}"]
    subprocess.run([sys.executable, "-m", "pip", *build, str(PROJECT)], check=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_carries_the_configuration_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert "aecli/conf/train.yaml" in names
    for group, choices in config_groups().items():
        assert {f"aecli/conf/{group}/{choice}.yaml" for choice in choices} <= names
    assert {name.split("/")[0] for name in names} == {"aecli", f"aecli-{__version__}.dist-info"}


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another environment, in which the wheel is installed."""
    second = tmp_path_factory.mktemp("second") / "environment"
    venv.create(second)  # without pip: this environment's installs into it
    install = ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    python = second / "bin" / "python"
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install], check=True)
    # Borrow torch and the rest, but not this environment's aecli: what a .pth file adds comes last.
    (site_packages,) = second.glob("lib/python*/site-packages")
    (site_packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return second


def test_a_type_checker_sees_the_types_from_outside(environment: Path, tmp_path: Path) -> None:
    code = "from aecli.convolution.arithmetic import conv_output_size\n"
    code += "reveal_type(conv_output_size(28, kernel=3, stride=2, padding=1))\n"
    (tmp_path / "outside.py").write_text(code)
    # What aecli imports is not analysed: for torch that would take half a minute.
    options = "[mypy]\nfollow_imports = skip\n[mypy-aecli.*]\nfollow_imports = silent\n"
    (tmp_path / "mypy.ini").write_text(options)
    line = ["-m", "mypy", f"--python-executable={environment / 'bin' / 'python'}", "outside.py"]
    done = subprocess.run([sys.executable, *line], cwd=tmp_path, capture_output=True, text=True)
    revealed = done.stdout.splitlines()[0].replace("builtins.", "")  # as some versions write it
    assert revealed == 'outside.py:2: note: Revealed type is "int"'


def test_the_wheel_trains_in_an_empty_folder(
    environment: Path, data_dir: Path, tmp_path: Path
) -> None:
    python = environment / "bin" / "python"
    empty = tmp_path / "empty"
    empty.mkdir()
    variables = {**os.environ, "AECLI_DATA": str(data_dir)}
    variables.pop("PYTHONPATH", None)  # which may name the sources
    where = subprocess.run(
        [python, "-c", "import aecli; print(aecli.__file__)"],
        cwd=empty, env=variables, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(environment))
    line = [str(environment / "bin" / "aecli"), "train", "model=conv", "latent=2", *TINY]
    done = subprocess.run(line, cwd=empty, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (said,) = done.stderr.splitlines()  # of so short a training
    assert "is no better than the mean image's: try another lr" in said
    assert len(list(empty.glob("outputs/conv-z2-synthetic/*/summary.json"))) == 1
    assert [path.name for path in empty.iterdir()] == ["outputs"]
