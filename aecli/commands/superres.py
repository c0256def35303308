"""Raise the resolution of images, compared with bicubic interpolation.

usage: aecli superres RUN [key=value ...]

Needs a run that was trained with corruption=downsample. Shows images at the lower resolution and as
upscaled by bicubic interpolation, by the best linear function of the low-resolution image, and by
the model; scores all three on all images. The linear function is left out, with a notice, if the
training images are no longer those that the run was trained on.

examples:
  aecli superres outputs/conv-z25/2026-11-21_10-15-00-123456
  aecli superres outputs/conv-z25/2026-11-21_10-15-00-123456 count=12
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from aecli.cli import console
from aecli.cli.options import RunOptions, one_run, open_chosen, parse_options

if TYPE_CHECKING:
    from aecli.evaluation.metrics import Score


@dataclass
class Options(RunOptions):
    """How many images to show."""

    count: int = 10
    """Number of images in the figure: the first of each class, then others; scores are over all
    images."""


def main(arguments: list[str]) -> None:
    """Upscale images with a run's model and with baselines, and save the figure and the scores.

    Raises:
        UsageError: the run is unfinished or has another corruption, or `count` is not valid.
        DataError, StorageError: the run's images or files cannot be used.
    """
    options = parse_options("superres", Options, arguments)
    path = one_run("superres", options)

    from aecli.analysis.superres import (
        example_pixels,
        figure,
        score_methods,
        training_factor,
        upscaling_methods,
    )
    from aecli.runs.results import Results

    trained = open_chosen(path, options)
    with Results.for_run(trained.run, "superres", options.output) as results:
        factor = training_factor(trained)
        examples = example_pixels(trained.images, options.count)
        methods = upscaling_methods(trained, factor)
        scores = score_methods(trained, methods, factor)
        by_key = {name.replace(" ", "_"): score for name, score in scores.items()}
        title = f"{trained.config.name} on the {trained.images_name}: {factor} times the resolution"
        results.figure("resolution", figure(title, examples, methods, factor))
        results.numbers(
            {
                **{f"mse_{key}": score.mse for key, score in by_key.items()},
                **{f"psnr_{key}": score.psnr for key, score in by_key.items()},
                "factor": factor,
                "scores": {key: asdict(score) for key, score in by_key.items()},
            }
        )
    console.table(_table(title, scores))
    console.facts({"results": str(results.folder)})


def _table(title: str, scores: dict[str, Score]) -> Table:
    """A row for each method, the model first."""
    table = console.new_table(title)
    table.add_column("")
    for name in ("mse", "psnr (dB)", "ssim"):
        table.add_column(name, justify="right")
    for number, (name, score) in enumerate(scores.items()):
        ssim = "" if score.ssim is None else f"{score.ssim:.4f}"
        style = "" if number else "bold"
        table.add_row(name, f"{score.mse:.6f}", f"{score.psnr:.2f}", ssim, style=style)
    return table
