"""Look up the commands of the command line by name; see `aecli/commands/__init__.py`."""

import ast
import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import cast

import aecli

PACKAGE = "aecli.commands"
COMPOSED = ("train", "data", "shapes")
"""Commands that take the keys of a run, from which its configuration is composed."""
REMOVE = "remove"
"""What follows `aecli runs` to remove some."""
LIST = "list"
"""What follows `aecli lecture` to see which there are."""


def command_names() -> tuple[str, ...]:
    """All commands, in the order of `aecli --help`."""
    return cast(tuple[str, ...], importlib.import_module(PACKAGE).COMMANDS)


def module(command: str) -> ModuleType:
    """The module of a command."""
    return importlib.import_module(f"{PACKAGE}.{command}")


def docstring(command: str) -> tuple[str, str]:
    """The summary and the rest of a command's docstring, read without importing its module."""
    source = Path(aecli.__path__[0], "commands", f"{command}.py").read_text(encoding="utf-8")
    text = ast.get_docstring(ast.parse(source))
    assert text is not None, "every command has a docstring"
    summary, _, body = inspect.cleandoc(text).partition("\n\n")
    return summary, body
