"""The consoles on stdout and stderr."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from aecli.errors.text import printable
from aecli.runtime.status import erase_status


class SafeConsole(Console):
    """A console on which no name, whatever it contains, controls the terminal."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))

    @contextmanager
    def of_width(self, width: int) -> Iterator[None]:
        """Print for a page of this width, whatever the width of the terminal."""
        before, self.width = self.width, width
        try:
            yield
        finally:
            self.width = before

    def print(self, *objects: Any, **options: Any) -> None:
        erase_status()
        super().print(*objects, **options)


out = SafeConsole(highlight=False)
err = SafeConsole(stderr=True, highlight=False)
