"""Names of files and classes that a terminal, a table or an encoding would read otherwise."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aecli.errors.text import escaped
from aecli.files.storage import natural_key
from aecli.runs.directory import RunDirectory

Aecli = Callable[..., int]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cats & dogs", "cats & dogs"),
        ("\u732b", "\u732b"),
        ("C:\\users", "C:\\users"),
        ("caf\udce9", "caf\\xe9"),
        ("caf\\xe9", "caf\\\\xe9"),
        ("\\\udce9", "\\\\\\xe9"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\tb\nc", "a\\x09b\\x0ac"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
    ],
)
def test_unprintable_characters_are_escaped(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_different_names_are_shown_differently() -> None:
    parts = ["\udce9", "\\xe9", "\\", "x", "\\\\", "\x80", "\udc80", "\\u0080", "a"]
    texts = {first + second + third for first in parts for second in parts for third in parts}
    assert len(set(map(escaped, texts))) == len(texts)


def test_the_natural_order_is_the_same_every_time() -> None:
    names = ["1", "01", "001", "1a", "01a", "a1", "a01"]
    ordered = sorted(names, key=natural_key)
    assert sorted(reversed(names), key=natural_key) == ordered
    assert ordered.index("01") < ordered.index("1") < ordered.index("1a")


# What YAML, rich, matplotlib, HTML or TSV would read otherwise, and what stands for all classes.
NAMES = ["all", "mean", "1", "01", "[red]x", "$\\frac$", "_y", "a&b", "a+b", "<b>", ":cat:", "a\tb",
         "caf\udce9", "\u03ba\u03b1\u03c4"]  # fmt: skip


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Five images of 16x16 in each class of NAMES, in a folder with an odd name, one of a file
    with an odd name."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "phot\udce9s"
    for name in NAMES:
        (folder / name).mkdir(parents=True)
        for number in range(5):
            pixels = Image.fromarray(rng.integers(0, 256, (16, 16), np.uint8))
            with open(folder / name / f"{number}\udce9.png", "wb") as file:
                pixels.save(file, "PNG")
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all names are Unicode")
def test_every_command_accepts_odd_names(
    odd: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["train", "data=folder", f"path='{odd.name}'", "epochs=1", "batch_size=16", "latent=3"]
    os.chdir(odd.parent)
    assert aecli(*line, "device=cpu", "hydra.run.dir=run") == 0
    summary = json.loads(Path("run/summary.json").read_text())
    assert summary["data"]["name"] == "folder:phot\\xe9s"
    assert Path(str(RunDirectory(Path("run")).load_config().data.path)).name == odd.name
    images = f"images={odd.name}"
    for command in ("evaluate", "embed", "reconstruct", "anomaly", "probe"):
        for own in ([], [images]):
            if command == "anomaly" and not own:
                continue
            assert aecli(command, "run", *own) == 0, (command, capsys.readouterr().err)
    shown = [name.replace("\t", "\\x09").replace("\udce9", "\\xe9") for name in NAMES]
    output = capsys.readouterr().out
    for name in shown:
        assert f" {name} " in output or f" {name}\n" in output, name
    numbers = json.loads(Path("run/evaluate/numbers.json").read_text())
    assert sorted(numbers["by_class"]["model"]) == sorted(shown)
    assert numbers["by_class"]["model"]["all"] != numbers["all"]["model"]
    folders = json.loads(Path("run/anomaly/numbers.json").read_text())["by_folder"]
    assert sorted(folders) == sorted(shown) and {each["images"] for each in folders.values()} == {5}
    metadata = Path("run/embed/projector/metadata.tsv").read_text().splitlines()
    assert {row.split("\t")[0] for row in metadata[1:]} == set(shown)
    assert len(metadata) == 1 + 5 * len(NAMES) and {row.count("\t") for row in metadata} == {1}
    assert b"phot\xe9s" in Path("run/anomaly/scores.csv").read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all names are Unicode")
def test_mistakes_with_odd_names_are_one_line(
    odd: Path, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    (odd / "caf\udce9" / "b\x1b\udce9.png").write_bytes(b"")
    for path, words in (
        (odd, "b\\x1b\\xe9.png: it is empty"),
        (odd / "caf\udce9" / "b\x1b\udce9.png", "is not a folder"),
        (odd.parent / "n\udce9", "path=" + str(odd.parent) + "/n\\xe9 is not a folder"),
    ):
        status = aecli("train", "data=folder", f"path='{path}'", "data.classes=[zebra]")
        errors = capsys.readouterr().err
        assert words in errors or status == 2
        assert errors.count("\n") == 1 and "\x1b" not in errors and "\udce9" not in errors
