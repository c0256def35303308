"""The pictures of one convolution: its overlap, and the layer at work."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aecli.cli.layer_text import describe, overlap_heading
from aecli.cli.number_grids import MAX_DRAWN, NOT_DRAWN
from aecli.convolution.layer import ConvLayer
from aecli.convolution.reference import overlap
from aecli.convolution.walk import View, Walk
from aecli.errors import UsageError
from aecli.errors.text import shape_text
from aecli.runs.file_set import check_file_set, file_set

FIGURE = "overlap"  # file name, without suffix


@dataclass(frozen=True)
class LayerPictures:
    """The pictures of a layer, and where they go."""

    layer: ConvLayer
    folder: Path
    view: View
    steps: Walk | None
    """The steps to animate; None: no animation."""

    @property
    def is_drawn(self) -> bool:
        """Whether the overlap can be drawn."""
        size, output_size = self.layer.size, self.layer.output_size
        sides = size + output_size + self.layer.settings.padded_input_size(size)
        return max(sides) <= MAX_DRAWN and len(size) <= 2

    def check(self) -> None:
        """Check, before anything is computed, that the pictures can be written.

        Raises:
            UsageError, StorageError: they cannot.
        """
        if self._names:
            check_file_set(self.folder, self._names)
        path = self.folder / self.view.value
        if self.steps and path.exists() and not path.is_dir():
            raise UsageError(f"{path} is not a folder: choose another with output=...")

    def draw(self, command: str) -> dict[str, str]:
        """Draw the pictures, in place of earlier ones of the same view.

        Args:
            command: the command that makes them again.

        Returns:
            The name of each kind of file, and its path.
        """
        if self._names:
            own = [FIGURE, self.view.value] if self.steps else [FIGURE]
            with file_set(self.folder, own) as folder:
                if self.is_drawn:
                    _draw(self.layer, folder)
                if self.steps:
                    _animate(self.layer, self.steps, folder / self.view.value, command)
        return self._places()

    @property
    def _names(self) -> list[str]:
        """The files, below the folder."""
        view, drawn = self.view.value, [f"{FIGURE}.png", f"{FIGURE}.svg"] * self.is_drawn
        if self.steps is None:
            return drawn
        steps = (f"{view}/{name}" for name in self.steps.file_names)
        return [*drawn, f"{view}.gif", f"{view}.html", *steps]

    def _places(self) -> dict[str, str]:
        places = {"figure": _why_not_drawn(self.layer)}
        if self.is_drawn:
            places["figure"] = str(self.folder / f"{FIGURE}.png")
        if self.steps is None:
            return places
        path, names = self.folder / self.view.value, self.steps.file_names
        return {
            **places,
            "animation": str(path.with_suffix(".gif")),
            "page": str(path.with_suffix(".html")),
            "steps": f"{path / names[0]} to {names[-1]}",
        }


def _why_not_drawn(layer: ConvLayer) -> str:
    if len(layer.size) > 2:
        return "none: three axes cannot be drawn"
    return NOT_DRAWN


def _draw(layer: ConvLayer, folder: Path) -> None:
    """Draw what the kernel moves over, and the overlap."""
    # Imported here, so that the numbers need not wait for matplotlib.
    from aecli.figures import overlap_figure, save

    settings = layer.settings
    surface = "zero-stuffed" if settings.transposed else "padded" if any(settings.padding) else ""
    pixels = layer.is_pixel()
    kernel = np.zeros(settings.extent, bool)
    kernel[tuple(slice(None, None, step) for step in settings.dilation)] = True
    figure = overlap_figure(
        describe(layer),
        (f"{surface} input {shape_text(pixels.shape)}".strip(), np.atleast_2d(pixels)),
        np.atleast_2d(kernel),
        (overlap_heading(settings), np.atleast_2d(overlap(settings, layer.size))),
    )
    save(figure, folder / FIGURE)


def _animate(layer: ConvLayer, steps: Walk, path: Path, command: str) -> None:
    """Draw the steps of a layer."""
    from aecli.figures.walk_files import save_walk

    which = f", image 1 of {len(layer.images)}" if len(layer.images) > 1 else ""
    save_walk(describe(layer) + which, steps, path, command)
