"""A lecture as a Jupyter notebook: its lines as cells, with their outputs."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aecli import __version__
from aecli.documents import to_json
from aecli.lectures.kit import Kit, Picture, Shown

Cell = dict[str, Any]


def notebook(kit: Kit, folder: Path) -> bytes:
    """The notebook, in nbformat 4.5.

    Args:
        folder: where it will lie, with the figures.
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
    text = f"# {lecture.title}\n\n{lecture.about}\n\nAfter the slides of {lecture.slides_from}."
    yield _markdown("opening", text)
    # The lines name runs and data from the folder in which the lecture was made.
    root = os.path.relpath(Path.cwd(), folder.resolve())
    code = (
        "import os\nfrom pathlib import Path\n\nfrom IPython.display import SVG, Image\n\n"
        'if "kit" not in globals():\n    kit = Path.cwd()  # the folder of this notebook\n'
        f"os.chdir(kit / {root!r})  # from where the lines below are run"
    )
    yield _code("folder", code, [])


def _slide_cells(number: int, shown: Shown) -> Iterator[Cell]:
    slide = shown.slide
    text = f"## {number}. {slide.title}\n\n{slide.remark}"
    if slide.slip:
        text += f"\n\n**The slide errs:** {slide.slip}"
    yield _markdown(slide.id, text)
    if not shown.command:
        return
    printed = shown.printed + (f"\naecli: {shown.error}" if shown.error else "")
    stream = {"output_type": "stream", "name": "stdout", "text": _lines(printed.strip() + "\n")}
    yield _code(f"{slide.id}-line", f"!{shown.command}", [stream])
    for place, picture in enumerate(shown.shown_pictures):
        yield _picture_cell(f"{slide.id}-figure-{place + 1}", picture)


def _picture_cell(name: str, picture: Picture) -> Cell:
    """A cell that shows a picture; run again, it shows the one beside the notebook."""
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


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)
