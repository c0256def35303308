"""Look up the verbs of the command line by name; see `aecli/commands/__init__.py`."""

import ast
import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import cast

import aecli

PACKAGE = "aecli.commands"


def verbs() -> tuple[str, ...]:
    """All verbs, in the order of `aecli --help`."""
    return cast(tuple[str, ...], importlib.import_module(PACKAGE).VERBS)


def module(verb: str) -> ModuleType:
    """The module of a verb."""
    return importlib.import_module(f"{PACKAGE}.{verb}")


def docstring(verb: str) -> tuple[str, str]:
    """The summary and the rest of a verb's docstring, read without importing its module."""
    source = Path(aecli.__path__[0], "commands", f"{verb}.py").read_text(encoding="utf-8")
    text = ast.get_docstring(ast.parse(source))
    assert text is not None, "every verb has a docstring"
    summary, _, body = inspect.cleandoc(text).partition("\n\n")
    return summary, body
