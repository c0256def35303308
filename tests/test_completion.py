"""Completion in a shell: what it offers, how soon, and that the shells understand the scripts."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from aecli.cli.completion import SCRIPTS, candidates
from aecli.cli.lookup import COMPOSED, command_names, module
from aecli.config import MODEL_CONFIGS, SHORT_KEYS, TrainConfig, config_groups
from tests.conftest import with_project

Aecli = Callable[..., int]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("aecli tr", ["train"]),
        ("aecli help conv", ["conv"]),
        ("aecli completion f", ["fish"]),
        ("aecli train mod", ["model=", "model.widths=", "model.activation="]),
        ("aecli train latent=3 model=d", ["model=deep", "model=denoising"]),
        ("aecli train -m model=fc,de", ["model=fc,deep", "model=fc,denoising"]),
        ("aecli train sweep=lat", ["sweep=latent", "sweep=latent_conv", "sweep=latent_deep"]),
        ("aecli train precision=b", ["precision=bf16"]),
        ("aecli train model.bottleneck=l", ["model.bottleneck=linear"]),
        ("aecli train log=", ["log=bar", "log=lines"]),
        ("aecli train fin", ["finish="]),
        ("aecli train --d", ["--dry-run"]),
        ("aecli evaluate --d", []),
        ("aecli data fas", ["fashion_mnist"]),
        ("aecli data mnist fa", []),
        ("aecli data mnist outpu", ["output_dir=", "output="]),
        ("aecli data --", ["--config-dir"]),
        ("aecli shapes figure=", ["figure=true", "figure=false"]),
        ("aecli conv view=", ["view=direct", "view=stamps", "view=zero_inserted"]),
        ("aecli conv order=", ["order=rows", "order=columns"]),
        ("aecli evaluate resize=", ["resize=true", "resize=false"]),
        ("aecli denoise noise=g", ["noise=gaussian"]),
        ("aecli denoise data=f", ["data=fashion_mnist"]),
        ("aecli nonsense x", []),
    ],
)
def test_what_is_offered(line: str, expected: list[str]) -> None:
    assert candidates(line)[: len(expected)] == expected


def test_every_key_is_offered() -> None:
    offered = set(candidates("aecli train "))
    for name in config_groups():
        assert f"{name}=" in offered
    for name in {field.name for field in fields(TrainConfig)} - {*config_groups(), "checkpoint"}:
        assert f"{name}=" in offered
    for schema in MODEL_CONFIGS.values():
        for each in {field.name for field in fields(schema)} - {"name", "kind", "latent"}:
            assert f"model.{each}=" in offered
    assert {f"{key}=" for key in SHORT_KEYS} <= offered
    for command in {*command_names()} - {*COMPOSED, "completion"}:
        keys = {f"{field.name}=" for field in fields(module(command).Options)}
        assert keys <= set(candidates(f"aecli {command} "))


def test_runs_are_offered_the_newest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    times = {"conv-z5/1": 200, "conv-z5/2": 300, "conv-z5/3": 100, "conv-z5/4": 200}
    times["latent/3/0-fc-z5"] = 9
    for name, seconds in times.items():
        folder = tmp_path / "outputs" / name
        folder.mkdir(parents=True)
        (folder / "config.yaml").touch()
        os.utime(folder, (seconds, seconds))
    offered = [name for name in candidates("aecli evaluate outputs/c") if name[-1] != "/"]
    assert offered == [f"outputs/conv-z5/{number}" for number in (2, 1, 4, 3)]
    assert "resume=outputs/latent/3/0-fc-z5" in candidates("aecli train resume=outputs/l")
    assert candidates("aecli train path=out") == ["path=outputs/"]


def test_no_library_is_imported() -> None:
    code = (
        "import sys\nfrom aecli.cli.main import run\n"
        "run(['completion', 'words', 'aecli train model='])\n"
        "sys.exit(bool({'torch', 'hydra', 'omegaconf', 'yaml', 'rich', 'numpy'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=with_project()
    )
    assert done.stdout.split() == [f"model={name}" for name in config_groups()["model"]]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "mod"], ["model=", "model."]),
        (["train", "model", "=", "f"], ["fc "]),
        (["train", "-m", "model", "=", "fc,c"], ["fc,conv "]),
        (["ev"], ["evaluate "]),
    ],
)
def test_bash_completes(words: list[str], expected: list[str], tmp_path: Path) -> None:
    program = _program(tmp_path)
    line = " ".join(["aecli", *words]).replace(" = ", "=")
    script = f"""
{SCRIPTS["bash"]}
COMP_WORDS=({program} {" ".join(words)})
COMP_CWORD={len(words)}
COMP_LINE='{line}'
COMP_POINT={len(line)}
_aecli
printf '%s\\n' "${{COMPREPLY[@]}}"
complete -p aecli
"""
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        check=True,
        capture_output=True,
        text=True,
        env=with_project(),
    )
    *replies, declared = done.stdout.splitlines()
    assert replies[0] == expected[0]
    assert all(any(each.startswith(start) for start in expected) for each in replies)
    assert declared == "complete -o nospace -F _aecli aecli"


LINES = pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("aecli train mod", ["model=", "model.widths="]),
        ("aecli train -m model=fc,c", ["model=fc,conv"]),
        ("aecli ev", ["evaluate"]),
    ],
)


def _program(folder: Path) -> Path:
    """An executable called `aecli`."""
    program = folder / "aecli"
    program.write_text(f'#!/bin/bash\nexec {sys.executable} -m aecli "$@"\n')
    program.chmod(0o755)
    return program


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
@LINES
def test_zsh_completes(line: str, expected: list[str], tmp_path: Path) -> None:
    words = [str(_program(tmp_path)), *line.split()[1:]]
    script = f"""
compadd() {{ while [[ $1 != -- ]]; do shift; done; shift; (( $# )) && print -l -- $@ }}
compdef() {{ }}
{SCRIPTS["zsh"]}
words=({" ".join(words)})
CURRENT={len(words)}
_aecli
true
"""
    assert set(expected) <= set(_replies(["zsh", "-f", "-c", script]))


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@LINES
def test_fish_completes(line: str, expected: list[str], tmp_path: Path) -> None:
    folder = _program(tmp_path).parent
    script = f"set PATH {folder} $PATH\n{SCRIPTS['fish']}complete -C '{line}'"
    assert set(expected) <= set(_replies(["fish", "--no-config", "-c", script]))


def _replies(command: list[str]) -> list[str]:
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=with_project())
    return done.stdout.splitlines()


def test_an_unknown_shell_is_refused(aecli: Aecli, capsys: pytest.CaptureFixture[str]) -> None:
    assert aecli("completion", "csh") == 2
    assert "there is no completion for 'csh': did you mean zsh?" in capsys.readouterr().err
    assert aecli("completion") == 2
    assert "give one of bash, zsh, fish" in capsys.readouterr().err
    assert aecli("completion", "fish") == 0
    assert capsys.readouterr().out == SCRIPTS["fish"]
