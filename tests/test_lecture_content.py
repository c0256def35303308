"""What the lectures' scripts cover, and what their lines name; nothing is trained or run here."""

import re
import shlex
from collections import Counter
from typing import Any

import pytest

from aecli.cli.lookup import command_names
from aecli.files.documents import parse_yaml
from aecli.files.places import CONF_DIR

ROWS = 175
"""What the five lectures show: systems, formulas, numbers, figures, claims and uses."""
OUTSIDE = {21, 95, 161}
"""Segmentation, variational and adversarial networks, and speech: said to lie outside."""
NAMES = (
    "autoencoders-on-mnist",
    "convolutional-autoencoders",
    "denoising-autoencoders",
    "transpose-convolution",
    "transposed-convolutions-and-autoencoders",
)
NO_TRAINING = {"conv", "upsample", "shapes", "data", "train"}


def lecture(name: str) -> dict[str, Any]:
    content = parse_yaml((CONF_DIR / "lecture" / f"{name}.yaml").read_bytes())
    assert isinstance(content, dict)
    return content


def slides(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = lecture(name)["slides"]
    return found


def test_the_lectures_are_these_five() -> None:
    assert sorted(file.stem for file in (CONF_DIR / "lecture").iterdir()) == sorted(NAMES)


def test_the_slides_cover_every_row_once() -> None:
    rows = [row for name in NAMES for slide in slides(name) for row in slide["rows"]]
    assert sorted(rows) == [*range(1, ROWS + 1)]


def test_only_rows_outside_the_subject_have_no_command() -> None:
    without = [slide for name in NAMES for slide in slides(name) if "line" not in slide]
    assert {row for slide in without for row in slide["rows"]} == OUTSIDE
    assert all("outside aecli" in slide["remark"] for slide in without)


@pytest.mark.parametrize("name", NAMES)
def test_slide_names_are_unique(name: str) -> None:
    names = [slide["id"] for slide in slides(name)]
    assert [each for each, n in Counter(names).items() if n > 1] == []
    assert [each for each in names if not re.fullmatch(r"[a-z0-9-]+", each)] == []


@pytest.mark.parametrize("name", NAMES)
def test_each_command_has_a_check(name: str) -> None:
    assert [slide["id"] for slide in slides(name) if "line" in slide and not slide["checks"]] == []


@pytest.mark.parametrize("name", NAMES)
def test_each_line_has_a_command_and_known_runs(name: str) -> None:
    runs = lecture(name)["runs"]
    used = set()
    for slide in slides(name):
        if "line" in slide:
            command, *words = shlex.split(slide["line"])
            assert command in command_names()
            # A run stands as a word of its own; braces elsewhere are those of a YAML mapping.
            named = {word[1:-1] for word in words if re.fullmatch(r"\{[\w-]+\}", word)}
            assert named <= set(runs)
            assert bool(named) is (command not in NO_TRAINING)
            used |= named
    assert used == set(runs)
