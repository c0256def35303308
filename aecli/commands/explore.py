"""Make a web page in which the network itself runs: move a code, draw a digit.

usage: aecli explore RUN ... [key=value ...]

Writes one HTML file that contains the trained network and runs it in any browser, offline and
without Python. Its views: the codes of test images as a map, with the image that is decoded at the
pointer (latent=2), or with sliders along the directions of largest variance; the way from one image
to another, through codes and through pixels; and a sheet to draw on, with the code, the
reconstruction, PCA's, the error and the mse as you draw. Runs with a corruption also have a slider
or a switch for it, and show what the encoder sees.

With several runs on the same test images, or with a sweep, the same drawing goes through all of
them; PCA is then that of the training images of the first.
The page of a sweep lies in its folder, that of several runs in a new one below outputs/explore.

examples:
  aecli explore outputs/conv-z25/2026-11-21_10-15-00-123456
  aecli explore outputs/latent/2026-11-21_10-15-00-123456
  aecli explore latest n=200
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aecli.cli import console
from aecli.cli.options import RunOptions, found, open_all, parse_options
from aecli.errors import UsageError
from aecli.files.places import dated_folder
from aecli.runs.discovery import runs_below
from aecli.runs.lookup import find_folder

if TYPE_CHECKING:
    from aecli.runs.directory import RunDirectory
    from aecli.runs.results import Results
    from aecli.runs.trained import Trained

FOLDER, PAGE = "explore", "index.html"


@dataclass
class Options(RunOptions):
    """How many images the page holds."""

    n: int | None = None
    """Images to pick from, drawn at random; null: 400, or fewer if they are large."""

    seed: int = 0
    """Seed of the images that are drawn."""


def main(arguments: list[str]) -> None:
    """Write the page of one or more runs.

    Raises:
        UsageError: a run is not finished, the runs are on different images, or n is not valid.
        DataError, StorageError: images or files cannot be used.
    """
    options = parse_options("explore", Options, arguments)
    if not options.run:
        raise UsageError("explore takes the folder of a finished run or of a sweep: give one")
    folders = [found(text, find_folder) for text in options.run]
    runs = [run for folder in folders for run in _finished(folder)]
    paths = list({run.path.resolve(): run.path for run in runs}.values())

    from aecli.analysis.explore.content import check_count, check_runs, describe
    from aecli.analysis.explore.page import explore_page

    check_count(options.n)
    models = open_all(paths, options)
    check_runs(models)
    with _results(folders, models, options) as results:
        content = describe(models, options.n, options.seed)
        command = shlex.join(["aecli", "explore", *arguments])
        page = explore_page(_title(models), content, command).encode()
        results.file(PAGE, page)
        results.numbers(
            {
                "bytes": len(page),
                "images": len(content.values["images"]["names"]),
                "runs": {
                    str(model.run.path): described["network"]["precision"]
                    for model, described in zip(models, content.values["runs"], strict=True)
                },
            }
        )
    size = f"{len(page) / 1000:,.0f} kB"
    console.facts({"page": f"{results.folder / PAGE} ({size}); open it in a browser"})


def _finished(folder: Path) -> list[RunDirectory]:
    """The finished runs below `folder`; if none is, the first run, whose opening then says why.

    Raises:
        UsageError: there are none.
    """
    from aecli.runs.directory import Status

    runs = runs_below(folder)
    finished = [run for run in runs if run.status is Status.finished]
    if len(runs) == 1 or not finished:
        return runs[:1]  # opening it reports what is missing
    if len(finished) < len(runs):
        console.warn(f"{len(runs) - len(finished)} of {len(runs)} runs are not finished")
    return finished


def _results(folders: list[Path], models: list[Trained], options: Options) -> Results:
    """Where the page goes: to `output` or the run, to the given folder of runs, or to a new
    folder."""
    from aecli.runs.results import Results

    if len(models) == 1 or options.output is not None:
        return Results.for_run(models[0].run, FOLDER, options.output)
    if len(folders) == 1:
        return Results(folders[0] / FOLDER, FOLDER)
    return Results(dated_folder(FOLDER), FOLDER)


def _title(models: list[Trained]) -> str:
    """The heading of the page."""
    first, data = models[0].config, models[0].data().name
    if len(models) == 1:
        return f"{first.name}, trained on {data}"
    return f"{len(models)} networks, trained on {data}"
