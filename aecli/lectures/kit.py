"""Run a lecture: run every command, and gather page, figures and notebook."""

import shlex
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from aecli.errors import AecliError, StorageError
from aecli.errors.text import counted
from aecli.files.storage import make_folder, read_file, write_atomically
from aecli.lectures.checks import Results, Verdict, judge
from aecli.lectures.lines import ELSEWHERE, run_line
from aecli.lectures.runs import Prepared, prepare
from aecli.lectures.script import PICTURES, Lecture, Slide
from aecli.runs.file_set import check_file_set, file_set
from aecli.runs.owned import OwnedFiles

PAGE, NOTEBOOK, FIGURES = "index.html", "lecture.ipynb", "figures"


@dataclass(frozen=True)
class Picture:
    """A picture of a slide."""

    file: str
    """Below the folder of the kit."""
    content: bytes
    is_shown: bool = True
    """Whether the page shows it; otherwise it is only a file for the lecturer's own slides: the
    same picture in another format."""

    @property
    def kind(self) -> str:
        """The suffix without its dot."""
        return Path(self.file).suffix.removeprefix(".")

    @property
    def media_type(self) -> str:
        return "image/svg+xml" if self.kind == "svg" else f"image/{self.kind}"

    @property
    def base64(self) -> str:
        return b64encode(self.content).decode()


@dataclass(frozen=True)
class SlideResult:
    """A slide with its results."""

    slide: Slide
    command: str
    """The command as one would type it; empty if the slide has none."""
    printed: str = ""
    pictures: tuple[Picture, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    error: AecliError | None = None

    @property
    def shown_pictures(self) -> list[Picture]:
        return [each for each in self.pictures if each.is_shown]

    @property
    def text(self) -> str:
        """The printed text, without the lines that name temporary files."""
        lines = (line for line in self.printed.splitlines() if ELSEWHERE not in line)
        return "\n".join(lines).rstrip()

    @property
    def shown_text(self) -> str:
        """The part of it that the slide asks for."""
        lines = self.text.splitlines()
        start, end = self.slide.start, self.slide.end
        first = next((n for n, line in enumerate(lines) if start and start in line), 0)
        after = (n for n, line in enumerate(lines) if end and n > first and end in line)
        return "\n".join(lines[first : next(after, len(lines))]).rstrip()

    @property
    def failures(self) -> list[str]:
        """The reasons why the slide is not as it should be, one sentence each."""
        if self.error is not None:
            return [str(self.error)]
        return [each.text for each in self.verdicts if each.holds is False]

    @cached_property
    def is_asserted(self) -> bool:
        return any(each.holds is not None for each in self.verdicts)


@dataclass(frozen=True)
class Kit:
    """A lecture that has been run."""

    lecture: Lecture
    slides: list[SlideResult]
    runs: dict[str, Prepared]

    @property
    def tally(self) -> str:
        """How many of the checks hold, in words."""
        verdicts = [each for shown in self.slides for each in shown.verdicts]
        asserted = [each for each in verdicts if each.holds is not None]
        holding = sum(each.holds is True for each in asserted)
        slides = sum(shown.is_asserted for shown in self.slides)
        places = f"{counted(len(asserted), 'assertion')} on {counted(slides, 'slide')}"
        text = f"{holding} of {places} hold"
        left = len(verdicts) - len(asserted)
        text += f"; {left} need the full training" if left else ""
        errors = sum(shown.error is not None for shown in self.slides)
        return text + (f"; {counted(errors, 'slide')} failed" if errors else "")


def make_kit(
    lecture: Lecture, slides: Sequence[Slide], quick: bool, work: Path, tell: Callable[[str], None]
) -> Kit:
    """Train what is missing, and run the commands of `slides`.

    An error in one of them is recorded, and the others go on.

    Args:
        quick: train briefly, and assert nothing that needs the full training.
        work: a folder for the results of the commands.
        tell: receives messages about the progress.
    """
    needed = {key for slide in slides for key in slide.runs}
    runs = {}
    for run in lecture.runs:
        if run.key in needed:
            tell(f"run {run.key}: aecli train {run.line}{f' {run.quick}' if quick else ''}")
            runs[run.key] = prepared = prepare(run, lecture.name, quick)
            if prepared.folder is not None and not prepared.is_new:
                tell(f"run {run.key}: found in {prepared.folder}")
    shown = []
    for number, slide in enumerate(slides):
        tell(f"slide {number + 1} of {len(slides)}: {slide.title}")
        shown.append(_show(slide, runs, quick, work / slide.id))
    return Kit(lecture, shown, runs)


def _show(slide: Slide, runs: dict[str, Prepared], quick: bool, folder: Path) -> SlideResult:
    """Run the command of one slide."""
    if slide.line is None:
        return SlideResult(slide, "")
    for key in slide.runs:
        if (error := runs[key].error) is not None:
            return SlideResult(slide, f"aecli {slide.line}", error=error)
    folders = {key: path for key in slide.runs if (path := runs[key].folder) is not None}
    command = f"aecli {slide.line_with(folders)}"
    ran = run_line(shlex.split(command)[1:], folder)
    if ran.error is not None:
        return SlideResult(slide, command, ran.printed, error=ran.error)
    results = Results(ran.printed, folder, folders)
    verdicts = tuple(judge(each, results, quick) for each in slide.checks)
    try:
        pictures = tuple(_pictures(slide, results))
    except StorageError as error:
        return SlideResult(slide, command, ran.printed, verdicts=verdicts, error=error)
    return SlideResult(slide, command, ran.printed, pictures, verdicts)


def _pictures(slide: Slide, results: Results) -> Iterator[Picture]:
    """The pictures of a slide, each also in the other format in which it was drawn.

    Raises:
        StorageError: one is not among the results.
    """
    for number, path in enumerate(slide.show):
        name = f"{FIGURES}/{slide.id}" + (f"-{number + 1}" if number else "")
        source = results.locate(path)
        if not source.is_file():
            found = sorted(
                file.relative_to(results.folder).as_posix()
                for file in results.folder.rglob("*")
                if file.suffix in PICTURES
            )
            raise StorageError(
                f"{path} is not among the results of the command: "
                f"{', '.join(found) or 'no pictures'}"
            )
        yield Picture(f"{name}{source.suffix}", read_file(source))
        for suffix in {".png", ".svg"} - {source.suffix}:
            if (other := source.with_suffix(suffix)).is_file():
                yield Picture(f"{name}{suffix}", read_file(other), is_shown=False)


def check_output(folder: Path, names: Sequence[str]) -> None:
    """Check, before anything is run, that a kit can be written to `folder`.

    Raises:
        UsageError: it is a run.
        StorageError: it cannot be written, or files that aecli did not write are in the way.
    """
    check_file_set(folder, {*OwnedFiles(folder).manifest(), *names})


def write_kit(folder: Path, files: dict[str, bytes]) -> None:
    """Replace all files of the kit that was in `folder`, at once.

    Raises:
        StorageError: files that aecli did not write are in the way; nothing has changed.
    """
    with file_set(folder) as new:
        for name, content in files.items():
            make_folder((new / name).parent)
            write_atomically(new / name, content)
