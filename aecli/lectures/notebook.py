"""A lecture as a Jupyter notebook: its commands as cells, with their outputs."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from aecli import __version__
from aecli.files.documents import to_json
from aecli.lectures.kit import NOTEBOOK, Kit, Picture, SlideResult

Cell = dict[str, Any]

OPENING = """\
import os
import sys
from pathlib import Path

from IPython.display import SVG, Image

places = Path.cwd(), Path.cwd() / {inner!r}
kit = next((each for each in places if (each / {notebook!r}).exists()), None)
assert kit, "start Jupyter in the folder of this notebook"
os.chdir(kit / {root!r})  # from where the lines below are run

# They are run by the aecli that is installed with this kernel.
os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])"""
"""The first cell, which may be run again."""


def notebook(kit: Kit, folder: Path) -> bytes:
    """The notebook, in nbformat 4.5.

    Args:
        folder: the folder that it will be in, with the figures.
    """
    cells = [*_opening(kit, folder)]
    for number, shown in enumerate(kit.slides):
        cells += _slide_cells(number + 1, shown)
    for count, cell in enumerate(each for each in cells if each["cell_type"] == "code"):
        cell["execution_count"] = count + 1
        for output in cell["outputs"]:
            if output["output_type"] == "execute_result":
                output["execution_count"] = count + 1
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}, "aecli": __version__}
    return to_json({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def _opening(kit: Kit, folder: Path) -> Iterator[Cell]:
    lecture = kit.lecture
    title, about, slides_from = map(_literal, (lecture.title, lecture.about, lecture.slides_from))
    text = f"# {title}\n\n{about}\n\nAfter the slides of {slides_from}."
    yield _markdown("opening", text)
    # The commands name runs and data relative to the folder in which the lecture was made.
    inner = os.path.relpath(folder.resolve())
    root = os.path.relpath(Path.cwd(), folder.resolve())
    code = OPENING.format(notebook=NOTEBOOK, inner=inner, root=root)
    yield _code("folder", code, [])


def _slide_cells(number: int, shown: SlideResult) -> Iterator[Cell]:
    slide = shown.slide
    text = f"## {number}. {_literal(slide.title)}\n\n{_literal(slide.remark)}"
    if slide.slip:
        text += f"\n\n**Error on the slide:** {_literal(slide.slip)}"
    yield _markdown(slide.id, text)
    if not shown.command:
        return
    printed = shown.text + (f"\naecli: {shown.error}" if shown.error else "")
    lines = _lines(printed.strip("\n") + "\n")
    stream = {"output_type": "stream", "name": "stdout", "text": lines}
    yield _code(f"{slide.id}-line", f"!{shown.command}", [stream])
    for place, picture in enumerate(shown.shown_pictures):
        yield _picture_cell(f"{slide.id}-figure-{place + 1}", _as_pixels(picture, shown.pictures))


def _as_pixels(picture: Picture, pictures: Iterable[Picture]) -> Picture:
    """The same picture as PNG, if there is one: Jupyter shows no SVG that it has not drawn."""
    name = str(PurePosixPath(picture.file).with_suffix(".png"))
    return next((each for each in pictures if each.file == name), picture)


def _picture_cell(name: str, picture: Picture) -> Cell:
    """A cell that shows a picture; run again, it shows the one next to the notebook."""
    kind = "SVG" if picture.kind == "svg" else "Image"
    content = picture.content.decode() if picture.kind == "svg" else picture.base64
    output = {
        "output_type": "execute_result",
        "data": {picture.media_type: content, "text/plain": [f"<{kind}>"]},
        "metadata": {},
    }
    return _code(name, f"{kind}(filename=str(kit / {picture.file!r}))", [output])


def _markdown(name: str, text: str) -> Cell:
    return {"cell_type": "markdown", "id": name[:64], "metadata": {}, "source": _lines(text)}


def _code(name: str, text: str, outputs: list[Any]) -> Cell:
    cell: Cell = {"cell_type": "code", "id": name[:64], "metadata": {}, "execution_count": None}
    return {**cell, "source": _lines(text), "outputs": outputs}


def _literal(text: str) -> str:
    """Plain text escaped for Markdown, which would turn the asterisks of 0*1 + 1*2 into italics."""
    return re.sub(r"([\\`*_\[\]<>#|$~])", r"\\\1", text)


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)
