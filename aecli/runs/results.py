"""What a command leaves beside a run: figures, their numbers, and both for TensorBoard."""

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
    """The folder of a command in a run directory, made anew; a context manager.

    It takes the place of the command's earlier results at the end, and only if nothing went wrong:
    until then everything lies beside them.
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
        self._scratch.chmod(0o755)  # that of a folder that is meant to be looked into
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self._scratch.rename(self.folder)

    def figure(self, name: str, figure: Figure) -> None:
        """A figure as PNG, as SVG, and in TensorBoard."""
        save(figure, self._scratch / name)
        self._events.image(f"{self._command}/{name}", to_array(figure))

    def file(self, name: str, content: bytes) -> None:
        """Any other file."""
        path = self._scratch / name
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, content)

    def numbers(self, numbers: dict[str, Any]) -> None:
        """What the figures show, as JSON; numbers at the top of it are scalars in TensorBoard."""
        self.file(NUMBERS, (json.dumps(numbers, indent=2) + "\n").encode())
        for name, number in numbers.items():
            if isinstance(number, float):
                self._events.scalar(f"{self._command}/{name}", number)
