"""Results that a command writes to a run directory: figures, numbers, and TensorBoard events."""

import json
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from matplotlib.figure import Figure

from aecli.figures import save, to_array
from aecli.files import write_atomically
from aecli.runs.directory import RunDirectory
from aecli.runs.tensorboard import EventsFile

NUMBERS = "numbers.json"


class Results:
    """A context manager that writes a command's results to a subfolder of a run directory.

    Everything goes to a temporary folder, which replaces the command's earlier results at the end
    and only if no exception was raised.
    """

    def __init__(self, run: RunDirectory, command: str) -> None:
        self.folder = run.path / command
        self._command = command
        self._scratch = Path(tempfile.mkdtemp(prefix=f".{command}.", dir=run.path))
        self._events = EventsFile(self._scratch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._events.close()
        if error is not None:
            shutil.rmtree(self._scratch)
            return
        self._scratch.chmod(0o755)  # mkdtemp makes it private
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self._scratch.rename(self.folder)

    def figure(self, name: str, figure: Figure) -> None:
        """Save a figure as PNG and SVG, and log it to TensorBoard."""
        save(figure, self._scratch / name)
        self._events.image(f"{self._command}/{name}", to_array(figure))

    def file(self, name: str, content: bytes) -> None:
        """Save any other file."""
        path = self._scratch / name
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, content)

    def numbers(self, numbers: dict[str, Any]) -> None:
        """Save the numbers behind the figures as JSON, and log top-level floats as scalars."""
        self.file(NUMBERS, (json.dumps(numbers, indent=2) + "\n").encode())
        for name, number in numbers.items():
            if isinstance(number, float):
                self._events.scalar(f"{self._command}/{name}", number)
