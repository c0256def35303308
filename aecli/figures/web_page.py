"""Self-contained HTML pages, which load nothing from elsewhere and run no script but ours."""

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATE = ".html.j2"


def render(template: Path, libraries: Sequence[str] = (), **values: Any) -> str:
    """A page made from a Jinja template, such as walk.html.j2, and walk.js next to it.

    The template gets `values`, all of which are escaped, since names of folders and messages of
    errors can contain anything; the `script`, which begins with the files `libraries`; the `style`
    in walk.css, if there is one; and `script_digest` and `style_digest`, by which the page's
    content security policy lets no other script run, and no other style apply.
    """
    name = template.name.removesuffix(TEMPLATE)
    files = [template.with_name(file) for file in (*libraries, f"{name}.js")]
    script = "\n".join(file.read_text(encoding="utf-8") for file in files)
    sheet = template.with_name(f"{name}.css")
    style = sheet.read_text(encoding="utf-8") if sheet.exists() else ""
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(template.name).render(
        script=Markup(script),
        script_digest=_digest(script),
        style=Markup(style),
        style_digest=_digest(style),
        **values,
    )
    # Bytes of a name that are not UTF-8 are lone surrogates in Python, which cannot be written.
    return page.encode(errors="backslashreplace").decode()


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def as_json(content: Any) -> Markup:
    """Content for a script to read, as text that cannot close the element that contains it."""
    return Markup(json.dumps(content, separators=(",", ":")).replace("<", "\\u003c"))
