"""Run all commands of a lecture: a page for teaching, figures, a notebook.

usage: aecli lecture list
       aecli lecture NAME [key=value ...]

A lecture is a list of slides: each has a command, and the numbers that its result must have. The
command trains the runs that the slides need, or finds finished ones of the same configuration below
outputs; runs every command; and checks the numbers. NAME is one of the lectures of aecli lecture
list, or a YAML file of your own. With quick=true, what only the full training reaches is not
checked.

It writes to outputs/lectures/NAME, or to output: index.html, a page with everything in it, of which
index.html?slides shows one slide a screen; the pictures in figures, named after the slides; and
lecture.ipynb, a notebook of the same commands. They replace earlier ones once all are complete. If
it is interrupted, the same command continues the training runs.

The exit status is 1 if a number differs, and that of the error if a command fails.

examples:
  aecli lecture list
  aecli lecture autoencoders-on-mnist quick=true
  aecli lecture transpose-convolution part=stamps,zeros-between
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from aecli.cli import console
from aecli.cli.lookup import LIST
from aecli.cli.options import parse_options
from aecli.errors import AecliError, Interrupted, UsageError
from aecli.errors.text import suggest
from aecli.files.places import OUTPUTS
from aecli.lectures.script import Lecture, Slide, lecture_names, read_lecture

if TYPE_CHECKING:
    from aecli.lectures.kit import Kit


@dataclass
class Options:
    """Which part of a lecture, and where to."""

    part: str | None = None
    """The slides to run, by their ids, with commas between; null: all."""

    quick: bool = False
    """Train only briefly, for a rehearsal: minutes in all."""

    output: str | None = None
    """Folder for the page, the figures and the notebook; null: outputs/lectures/NAME."""


def main(arguments: list[str]) -> None:
    """Run a lecture, or list all.

    Raises:
        UsageError: there is no such lecture or slide.
        AecliError: a number differs, a command failed, or the results cannot be written.
    """
    words = [each for each in arguments if "=" not in each and not each.startswith("-")]
    options = parse_options("lecture", Options, [each for each in arguments if each not in words])
    if len(words) != 1:
        valid = ", ".join([LIST, *lecture_names()])
        raise UsageError(f"lecture takes one name, not {len(words)}: give one of {valid}")
    (name,) = words
    if name == LIST:
        _list()
        return
    lecture = read_lecture(name)
    slides = _chosen(lecture, options.part)
    folder = Path(options.output or Path(OUTPUTS, "lectures", lecture.name))
    command = f"aecli lecture {shlex.join(arguments)}"
    kit = _make(lecture, slides, options.quick, folder, command)
    _report(kit, folder)


def _list() -> None:
    table = console.new_table("lectures")
    for heading in ("name", "slides", "title"):
        table.add_column(heading, justify="right" if heading == "slides" else "left")
    for lecture in map(read_lecture, lecture_names()):
        table.add_row(lecture.name, str(len(lecture.slides)), Text(lecture.title))
    console.table(table)


def _chosen(lecture: Lecture, part: str | None) -> list[Slide]:
    """The slides to run, in their order.

    Raises:
        UsageError: there is no slide of a given id.
    """
    known = [slide.id for slide in lecture.slides]
    names = known if part is None else part.split(",")
    for name in names:
        if name not in known:
            raise UsageError(f"part={name}: {suggest(name, known)}")
    return [slide for slide in lecture.slides if slide.id in names]


def _make(
    lecture: Lecture, slides: Sequence[Slide], quick: bool, folder: Path, command: str
) -> "Kit":
    """Run the slides, and write the results."""
    from aecli.lectures.kit import NOTEBOOK, PAGE, check_output, make_kit, write_kit
    from aecli.lectures.notebook import notebook
    from aecli.lectures.page import page
    from aecli.runtime.scratch import temporary_folder

    check_output(folder, [PAGE, NOTEBOOK])
    try:
        with temporary_folder(folder, "work") as work:
            kit = make_kit(lecture, slides, quick, work, console.warn)
    except KeyboardInterrupt as interruption:
        raise Interrupted.saying(
            "interrupted: nothing was written; the same command continues the training runs",
            interruption,
        ) from None
    pictures = [picture for shown in kit.slides for picture in shown.pictures]
    write_kit(
        folder,
        {
            PAGE: page(kit, quick, command).encode(),
            NOTEBOOK: notebook(kit, folder),
            **{picture.file: picture.content for picture in pictures},
        },
    )
    return kit


def _report(kit: "Kit", folder: Path) -> None:
    """Say what was checked, and where the results are.

    Raises:
        AecliError: a check does not hold, or a command failed.
    """
    from aecli.lectures.kit import NOTEBOOK, PAGE

    facts = {"checked": kit.tally, "page": str(folder / PAGE), "notebook": str(folder / NOTEBOOK)}
    console.facts(facts)
    bad = [shown for shown in kit.slides if shown.failures]
    if not bad:
        return
    lines = [f"{each.slide.id}: {failure}" for each in bad for failure in each.failures]
    errors = [each.error for each in bad if each.error is not None]
    count = f"{len(bad)} of {len(kit.slides)} slides"
    failure = AecliError(f"{count} did not come out as they should", lines)
    failure.status = errors[0].status if errors else AecliError.status
    raise failure
