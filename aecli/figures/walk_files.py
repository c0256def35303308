"""The steps of a layer as files: a GIF, an HTML page, and an SVG for each step."""

from pathlib import Path

from aecli.convolution.walk import Walk
from aecli.figures.walk import WalkFigure, gif
from aecli.figures.walk_page import walk_page
from aecli.files import make_folder, write_atomically
from aecli.runtime.progress import Bar


def save_walk(title: str, walk: Walk, path: Path, command: str) -> dict[str, str]:
    """Write `path`.gif, `path`.html, and the steps into the folder `path`.

    Returns:
        The name of each kind of file, and where it lies.
    """
    figure = WalkFigure(title, walk)
    images, steps = [], []
    with Bar("drawing", len(walk.frames), "steps") as bar:
        for number in range(len(walk.frames)):
            images.append(figure.image(number))
            steps.append(figure.svg(number))
            bar.advance()
    # Written only now: interrupted, the drawing leaves nothing.
    make_folder(path)
    for name, content in zip(walk.file_names, steps, strict=True):
        write_atomically(path / name, content)
    page, animation = path.with_suffix(".html"), path.with_suffix(".gif")
    write_atomically(page, walk_page(title, walk, command).encode())
    write_atomically(animation, gif(images))
    files = f"{path / walk.file_names[0]} to {walk.file_names[-1]}"
    return {"animation": str(animation), "page": str(page), "steps": files}
