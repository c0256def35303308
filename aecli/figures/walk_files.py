"""The steps of a layer as files: a GIF, an HTML page, and an SVG for each step."""

from pathlib import Path

from aecli.convolution.walk import Walk
from aecli.figures.walk import WalkFigure, gif
from aecli.figures.walk_page import walk_page
from aecli.files.storage import make_folder, write_atomically
from aecli.runtime.progress import Bar


def save_walk(title: str, walk: Walk, path: Path, command: str) -> None:
    """Write `path`.gif, `path`.html, and the steps into the folder `path`."""
    figure = WalkFigure(title, walk)
    images, steps = [], []
    with Bar("drawing", len(walk.frames), "steps") as bar:
        for number in range(len(walk.frames)):
            images.append(figure.image(number))
            steps.append(figure.svg(number))
            bar.advance()
    make_folder(path)
    for name, content in zip(walk.file_names, steps, strict=True):
        write_atomically(path / name, content)
    write_atomically(path.with_suffix(".html"), walk_page(title, walk, command).encode())
    write_atomically(path.with_suffix(".gif"), gif(images))
