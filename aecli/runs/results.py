"""Results that a command writes to a folder: figures, numbers, and TensorBoard events."""

import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from matplotlib.figure import Figure

from aecli.errors import StorageError, UsageError, storage_error
from aecli.figures import save
from aecli.files.documents import to_json
from aecli.files.storage import make_folder, writable_folder, write_atomically
from aecli.runs.directory import RunDirectory
from aecli.runs.lock import locked
from aecli.runs.owned import Manifest, OwnedFiles
from aecli.runs.tensorboard import EventsFile
from aecli.runtime.scratch import scratch_folder

NUMBERS = "numbers.json"
TAGS = "results"
"""The prefix of the tags of all commands; TensorBoard sorts by tag, and the losses come first."""


class Results:
    """A context manager that writes a command's results to a folder.

    Everything goes to a temporary folder, and takes the place of the command's earlier results at
    the end and only if no exception was raised. Other files in the folder stay. What can be checked
    before anything is computed is checked; if the results cannot be put in place in the end, they
    are kept next to it.

    What TensorBoard shows of the results in a run goes to the run's own folder: each folder with
    event files is a run to TensorBoard, and a training would be lost among those of its commands.
    """

    def __init__(self, folder: Path, command: str, run: RunDirectory | None = None) -> None:
        """
        Args:
            folder: the folder; it may hold earlier results, and files of others.
            command: names the results in TensorBoard.
            run: the run in whose folder TensorBoard is to find them; None: in `folder`.

        Raises:
            UsageError: the folder is a run, whose files would count as earlier results.
            StorageError: somebody has changed an earlier result, or the folder cannot be written.
        """
        self.folder = folder
        self._command = command
        self._files = OwnedFiles(folder)
        if RunDirectory(folder).exists():
            raise UsageError(f"output={folder} is a run: give a folder for the results alone")
        self._earlier = self._final()
        self._files.check_replaceable({*self._files.manifest(), NUMBERS})
        home = folder if folder.exists() else folder.parent
        writable_folder(home, "output")
        self._scratch = scratch_folder(home, folder.resolve().name)
        self._run = run
        self._shown: dict[str, bytes] = {}
        self._has_parts = False
        # Its name must come after those of the event files in the folder that it will be in.
        self._events = EventsFile(self._scratch, beside=run.path if run else folder)

    @classmethod
    def for_run(cls, run: RunDirectory, command: str, output: str | None = None) -> Self:
        """The results of a command about `run`, in the folder `output` or in one of the run's."""
        if output is not None:
            return cls(Path(output), command)
        return cls(run.path / command, command, run)

    @contextmanager
    def part(self, name: str) -> Iterator[Self]:
        """Results in a subfolder, with event files of their own; they are put in place with the
        others."""
        self._has_parts = True
        part = copy(self)
        part.folder, part._scratch = self.folder / name, self._scratch / name
        part._events = EventsFile(part._scratch, beside=part.folder)
        try:
            yield part
        finally:
            part._events.close()

    @property
    def path_in_tensorboard(self) -> str:
        """The path of the folder from where TensorBoard looks, with a slash, or nothing."""
        return "" if self._run is None else f"{self.folder.name}/"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._events.close()
            if error is None:
                self._publish()
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _publish(self) -> None:
        if self._has_parts:  # all events are in theirs
            self._events.path.unlink()
        if self._run is not None:
            self._shown[f"{self._events.path.name}.{self._command}"] = (
                self._events.path.read_bytes()
            )
            self._events.path.unlink()
        files = [path for path in self._scratch.rglob("*") if path.is_file()]
        names = [path.relative_to(self._scratch).as_posix() for path in files]
        try:
            make_folder(self.folder)
            with locked(self.folder):
                self._files.complete()
                self._check_unchanged()
                self._files.check_replaceable(names)
                if self._run is not None:
                    OwnedFiles(self._run.path).check_replaceable(self._shown)
                for name, path in self._files.stage_all(names).items():
                    (self._scratch / name).rename(path)
                self._files.publish(names)
        except (StorageError, OSError) as error:
            failure = storage_error(error) if isinstance(error, OSError) else error
            raise StorageError(f"{failure}; the new results are in {self._keep()}") from error
        if self._run is not None:
            self._show_in_tensorboard(self._run)

    def _show_in_tensorboard(self, run: RunDirectory) -> None:
        try:
            run.show_results(self._command, self._shown)
        except StorageError as error:
            raise StorageError(
                f"{error}; the results are in {self.folder}, and only TensorBoard lacks them"
            ) from error

    def _check_unchanged(self) -> None:
        """Check that no other command has written its results to the folder in the meantime.

        Raises:
            StorageError: one has.
        """
        if self._final() != self._earlier:
            raise StorageError(
                f"another command has written its results to {self.folder} since this one began, "
                f"so they are not replaced"
            )

    def _final(self) -> Manifest:
        """The results that are in the folder, by name."""
        manifest = self._files.manifest()
        return {name: known for name, known in manifest.items() if known is not None}

    def _keep(self) -> Path:
        """Give the temporary folder a name under which it stays."""
        if not any(self._scratch.iterdir()):  # all of them are there already
            return self._files.next
        for name, path in self._files.staged().items():
            path.rename(self._scratch / name)
        folder, here = self.folder.resolve(), self._scratch.parent
        parent = folder.parent if os.access(folder.parent, os.W_OK) else here
        kept = Path(tempfile.mkdtemp(prefix=f"{folder.name}-kept-", dir=parent))
        return self._scratch.rename(kept)

    def figure(self, name: str, figure: Figure, subfolder: str = "") -> Path:
        """Save a figure as PNG and SVG, and log it to TensorBoard.

        Returns:
            The path of the two until all results are complete, without suffix.
        """
        path = self._scratch / subfolder / name
        self._events.image(f"{TAGS}/{self._command}/{name}", save(figure, path))
        return path

    def band(self, tag: str, means: Mapping[int, tuple[float, float]]) -> list[str]:
        """Log a mean and the deviation to each side of it by step, as three scalars.

        Returns:
            Their tags, in the order of a "Margin" chart.
        """
        tags = [f"{tag}/{name}" for name in ("mean", "lower", "upper")]
        for step, (mean, deviation) in means.items():
            for name, value in zip(tags, (mean, mean - deviation, mean + deviation), strict=True):
                self._events.scalar(name, value, step)
        return tags

    def layout(self, charts: Mapping[str, Any]) -> None:
        """Set the layout of TensorBoard's "Custom scalars" page."""
        self._events.layout(charts)

    def file(self, name: str, content: bytes) -> None:
        """Save any other file."""
        path = self._scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)

    def file_for_tensorboard(self, name: str, content: bytes) -> None:
        """Save a file that TensorBoard looks for next to event files."""
        if self._run is None:
            self.file(name, content)
        else:
            self._shown[name] = content

    def numbers(self, numbers: dict[str, Any]) -> None:
        """Save the numbers behind the figures as JSON, and log top-level floats as scalars."""
        self.file(NUMBERS, to_json(numbers))
        for name, number in numbers.items():
            if isinstance(number, float) and math.isfinite(number):
                self._events.scalar(f"{TAGS}/{self._command}/{name}", number)
