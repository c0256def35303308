"""Show images, their reconstructions and the errors.

usage: aecli reconstruct RUN [key=value ...]

Shows test images, their corrupted versions if the run was trained with a corruption, the model's
reconstructions and their absolute errors. With images of your own, saves every reconstruction as a
PNG.

examples:
  aecli reconstruct outputs/conv-z25/2026-11-21_10-15-00-123456
  aecli reconstruct outputs/conv-z25/2026-11-21_10-15-00-123456 count=20
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from aecli.cli import console
from aecli.cli.options import RunOptions, one_run, open_chosen, parse_options

if TYPE_CHECKING:
    from aecli.analysis.reconstruct import Reconstructions


@dataclass
class Options(RunOptions):
    """Which images to reconstruct, and from what."""

    count: int = 10
    """Number of images in the figure: the first of each class, then others."""

    corrupt: bool = True
    """Apply the corruption that the run was trained with, if any; false: reconstruct the images as
    they are."""


def main(arguments: list[str]) -> None:
    """Reconstruct images with a run's model, and save the figure and the errors.

    Raises:
        UsageError: the run is not finished, or the number of images is not valid.
        DataError, StorageError: the run's images or files cannot be used.
    """
    options = parse_options("reconstruct", Options, arguments)
    path = one_run("reconstruct", options)

    from aecli.analysis.reconstruct import figure, output_files, reconstruct
    from aecli.runs.results import Results

    trained = open_chosen(path, options)
    with Results.for_run(trained.run, "reconstruct", options.output) as results:
        reconstructions = reconstruct(trained, options.count, options.corrupt)
        shown, images = len(reconstructions.outputs), len(trained.images)
        subset = "" if shown == images else f"{shown} of "
        title = f"{trained.config.name} on {subset}the {trained.images_name}"
        results.figure("reconstructions", figure(title, reconstructions))
        for name, png in output_files(trained, options.corrupt):
            results.file(f"outputs/{name}", png)
        results.numbers(
            {
                "mse": reconstructions.mean_mse,
                "images": list(reconstructions.mse),
                "mse_of_each": list(reconstructions.mse.values()),
            }
        )
    console.table(_table(title, reconstructions))
    console.facts({"results": str(results.folder)})


def _table(title: str, reconstructions: Reconstructions) -> Table:
    """A row for each image, then the mean."""
    table = console.new_table(title)
    table.add_column("image")
    for name in ("mse", "psnr (dB)"):
        table.add_column(name, justify="right")
    for name, psnr in reconstructions.psnr.items():
        table.add_row(Text(name), f"{reconstructions.mse[name]:.6f}", f"{psnr:.2f}")
    mean_mse, mean_psnr = reconstructions.mean_mse, reconstructions.mean_psnr
    table.add_row("mean", f"{mean_mse:.6f}", f"{mean_psnr:.2f}", style="bold")
    return table
