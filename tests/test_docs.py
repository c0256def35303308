"""The documentation: links lead somewhere, and commands, keys and module names are valid."""

import importlib.util
import json
import re
import shlex
import tomllib
from collections import Counter
from dataclasses import dataclass, fields
from functools import cache
from itertools import chain
from pathlib import Path
from unittest.mock import patch

import pytest

from aecli.cli.completion import OWN_KEYS, SCRIPTS
from aecli.cli.compose import compose, compose_sweep
from aecli.cli.engine import EXTRAS
from aecli.cli.help import SECTIONS, help_for
from aecli.cli.lookup import COMPOSED, LIST, command_names, docstring, module
from aecli.cli.options import RunOptions, one_run, parse_options, some_runs
from aecli.cli.override_checks import check_overrides
from aecli.cli.overrides import read_arguments
from aecli.cli.single_run import CHANGEABLE
from aecli.commands import data, train
from aecli.config import (
    SHORT_KEYS,
    TrainConfig,
    check_unread_keys,
    config_groups,
    field_docs,
)
from aecli.files.places import CONF_DIR
from aecli.lectures.script import read_lecture
from aecli.runs.directory import RunDirectory

PROJECT = Path(__file__).parent.parent
DOCS = PROJECT / "docs"
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
MAX_README_LINES = 220

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
ABSOLUTE = re.compile(r"[a-z]+:")
COMMAND = re.compile(r"(?:torchrun .*-m |(?:\S*/)?python3? -m |\S*/)?aecli (.+)")
KEY = re.compile(r"([a-z][\w./]*)=(\S*)")
OUR_PATH = re.compile(r"(?:aecli|conf|docs|tests)/[\w./-]*")
TARGET = re.compile(r"\bmake ([a-z.][\w./-]*)")


@dataclass(frozen=True)
class Code:
    """Code on a page."""

    page: Path
    text: str
    is_inline: bool

    def __str__(self) -> str:
        return f"{self.page.name}: {self.text}"


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", read(page))


def inline_code(text: str) -> list[str]:
    return [" ".join(code.split()) for code in INLINE.findall(text)]


def blocks(page: Path, language: str = "") -> list[str]:
    return [content for name, content in FENCE.findall(read(page)) if name == language]


def all_code() -> list[Code]:
    """Every inline code and every line of a block that names no language."""
    found = [Code(page, text, True) for page in PAGES for text in inline_code(prose(page))]
    lines = (
        Code(page, line, False)
        for page in PAGES
        for block in blocks(page)
        for line in block.replace("\\\n", " ").splitlines()
    )
    return list(dict.fromkeys([*found, *lines]))


def command(code: Code) -> str | None:
    """What follows `aecli` in a command; inline, `train latent=2` is one as well."""
    found = COMMAND.fullmatch(code.text)
    if found:
        return found[1]
    return code.text if code.is_inline and code.text.startswith("train ") else None


COMMANDS = list({command(code): code for code in all_code() if command(code)}.values())
LINKS = [
    (page, first or second)
    for page in PAGES
    for first, second in dict.fromkeys(LINK.findall(INLINE.sub("", prose(page))))
    if not ABSOLUTE.match(first or second)
]


@cache
def slugs(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in HEADING.findall(prose(page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


@cache
def known_keys() -> set[str]:
    """Every key that some command takes."""
    schemas = [TrainConfig] + [
        module(command).Options for command in command_names() if command not in COMPOSED
    ]
    return {
        *config_groups(),
        *EXTRAS,
        *chain.from_iterable(OWN_KEYS.values()),
        *SHORT_KEYS,
        *(field.name for schema in schemas for field in fields(schema)),
        *(
            f"{prefix}{field.name}"
            for prefix, schema in SECTIONS.values()
            for field in fields(schema)
        ),
    }


def check_train(arguments: list[str]) -> None:
    """Raise a UsageError if `aecli train` would refuse the line."""
    options = train._parse(arguments)
    check_overrides(options.overrides, options.multirun)
    if options.resume is not None:
        keys = {override.partition("=")[0] for override in options.overrides}
        assert all(key in CHANGEABLE or key.startswith("hydra") for key in keys)
    if options.multirun:
        configs = [job.config for job in compose_sweep(options.overrides).jobs or []]
    else:
        configs = [compose(options.overrides)]
    for config in configs:
        check_unread_keys(config)


def check_options(command: str, arguments: list[str]) -> None:
    """Raise a UsageError if another command would refuse the line. Paths need not exist."""
    options = parse_options(command, module(command).Options, arguments)
    if isinstance(options, RunOptions):
        several = command in ("denoise", "probe", "compress")
        with patch("aecli.cli.options.find_run", Path):
            assert some_runs(command, options) if several else one_run(command, options)


def check_lecture(name: str, *options: str) -> None:
    """Fail if there is no lecture of this name, nor could there be, or a slide is not one of it."""
    if name in (LIST, "NAME") or name.endswith(".yaml"):
        return
    slides = {slide.id for slide in read_lecture(name).slides}
    for key, _, value in (option.partition("=") for option in options):
        assert key != "part" or value == "ID,ID" or {*value.split(",")} <= slides


@pytest.mark.parametrize("code", COMMANDS, ids=str)
def test_commands_are_valid(code: Code) -> None:
    name, *arguments = shlex.split(command(code) or "", comments=True)
    if name in ("COMMAND", "--help", "--version"):
        return
    assert name in command_names()
    if "--help" in arguments:
        assert help_for(name)
    elif not arguments and code.is_inline:
        return  # which names the command
    elif name == "train":
        check_train(arguments)
    elif name in COMPOSED:
        overrides = read_arguments(arguments)
        overrides = data._with_data_set(overrides) if name == "data" else overrides
        own_keys = OWN_KEYS[name]
        overrides = [each for each in overrides if each.partition("=")[0] not in own_keys]
        check_overrides(overrides, multirun=False)
        compose(overrides)
    elif name == "lecture":
        check_options(name, arguments[1:])
        check_lecture(*arguments)
    elif name == "completion":
        assert arguments[0] in SCRIPTS
    else:
        check_options(name, arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_keys_and_choices_exist(page: Path) -> None:
    for code in set(inline_code(prose(page))) - {"key=value"}:
        words = [KEY.fullmatch(word) for word in code.split()]
        for key, value in (word.groups() for word in words if word) if all(words) else ():
            assert key in known_keys() or key.startswith("hydra."), code
            if key in config_groups() and value:
                assert value in config_groups()[key], code


@pytest.mark.parametrize(("page", "link"), LINKS, ids=lambda part: getattr(part, "name", part))
def test_links_lead_somewhere(page: Path, link: str) -> None:
    place, _, anchor = link.partition("#")
    target = (page.parent / place).resolve() if place else page
    assert target.exists()
    assert target.is_relative_to(PROJECT)
    if anchor:
        assert anchor in slugs(target)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_make_targets_exist(page: Path) -> None:
    makefile = read(PROJECT / "Makefile").replace("$(VENV)", ".venv")
    targets = set(re.findall(r"^([\w./-]+):", makefile, re.MULTILINE))
    for code in (each.text for each in all_code() if each.page == page):
        if OUR_PATH.fullmatch(code):
            assert (PROJECT / code).exists(), code
        assert targets.issuperset(TARGET.findall(code)), code


def test_every_picture_is_shown() -> None:
    shown = {(page.parent / link).resolve() for page, link in LINKS if link.endswith(".png")}
    assert shown == {path.resolve() for path in (DOCS / "images").rglob("*.png")}


def test_every_page_is_linked_from_the_readme() -> None:
    linked = {
        (page.parent / link.partition("#")[0]).resolve() for page, link in LINKS if page == PAGES[0]
    }
    assert linked >= set(PAGES[1:])


def test_the_readme_is_short() -> None:
    assert len(read(PAGES[0]).splitlines()) <= MAX_README_LINES


def test_the_readme_lists_every_command() -> None:
    rows = re.findall(r"^\| `aecli (\w+)", read(PAGES[0]), re.MULTILINE)
    assert sorted(rows) == sorted(command_names())


def test_a_command_is_described_in_the_same_words_everywhere() -> None:
    rows = dict(re.findall(r"^\| `aecli (\w+)[^`]*` \| (.*) \|$", read(PAGES[0]), re.MULTILINE))
    for name in command_names():
        summary, _ = docstring(name)
        text = rows[name].replace("`", "")
        assert text[0].upper() + text[1:] + "." == summary


def test_every_choice_and_every_key_is_documented_with_its_default() -> None:
    table = read(DOCS / "configuration.md")
    text = table + read(DOCS / "sweeps.md")
    for group, choices in config_groups().items():
        for choice in choices:
            assert f"`{choice}`" in text or f"{group}={choice}" in text, (group, choice)
    rows = [line.split("|")[1:4] for line in table.splitlines() if line.startswith("| `")]
    defaults = {key.strip(" `"): default.strip(" `") for key, _, default in rows}
    config = TrainConfig(name="a")
    for key in ("latent", "epochs", "batch_size", "lr", "weight_decay", "seed"):
        assert float(defaults[key]) == getattr(config, key)
    for key in field_docs(TrainConfig):
        assert f"`{key}`" in text, key


def test_the_table_of_keys_names_no_other_keys() -> None:
    _, _, table = read(DOCS / "configuration.md").partition("\n## Keys\n")
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert {key for cell in cells for key in inline_code(cell)} <= known_keys()


def package_rows() -> dict[str, str]:
    """Package or module -> its row in the list of the architecture."""
    return dict(
        re.findall(r"^\| `(\w+)/?` \| (.*) \|$", read(DOCS / "architecture.md"), re.MULTILINE)
    )


def test_the_architecture_lists_the_packages_in_the_order_of_their_imports() -> None:
    contracts = tomllib.loads(read(PROJECT / "pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (layers,) = (each["layers"] for each in contracts if each["type"] == "layers")
    assert list(package_rows()) == [layer for layer in layers if layer != "__main__"]


def test_the_architecture_names_modules_that_exist() -> None:
    rows, package = package_rows(), PROJECT / "aecli"
    named = [(room, name) for room, row in rows.items() for name in inline_code(row)]
    named += re.findall(rf"\b({'|'.join(rows)})/(\w+)", read(DOCS / "architecture.md"))
    for room, name in named:
        assert not name.isidentifier() or (package / room / f"{name}.py").exists(), (room, name)


def test_extending_names_what_is_in_the_code() -> None:
    files = [*(PROJECT / "aecli").rglob("*.py"), *CONF_DIR.rglob("*.yaml")]
    source = "\n".join(map(read, files))
    for code in inline_code(prose(DOCS / "extending.md")):
        name = code.removesuffix("()")
        assert not name.isidentifier() or re.search(rf"\b{name}\b", source), code


def test_the_example_of_a_command_works(run: RunDirectory, tmp_path: Path) -> None:
    (code,) = blocks(DOCS / "extending.md", "python")
    file = tmp_path / "brightness.py"
    file.write_text(code)
    spec = importlib.util.spec_from_file_location("brightness", file)
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    example.main([str(run.path), "n=7", "device=cpu"])
    numbers = json.loads((run.path / "brightness" / "numbers.json").read_text())
    assert 0 < numbers["outputs"] < 1
