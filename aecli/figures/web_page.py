"""Self-contained HTML pages, which ask for nothing from outside and run one script of ours."""

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATE = ".html.j2"


def render(template: Path, **values: Any) -> str:
    """A page made from a Jinja template, such as walk.html.j2, and walk.js beside it.

    The template gets `values`, all of which are escaped, since names of folders and messages of
    errors can contain anything; the `script`; and its `script_digest`, by which the page's content
    security policy lets no other script run.
    """
    name = template.name.removesuffix(TEMPLATE)
    script = template.with_name(f"{name}.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    digest = hashlib.sha256(script.encode()).digest()
    return environment.get_template(template.name).render(
        script=Markup(script), script_digest=base64.b64encode(digest).decode(), **values
    )
