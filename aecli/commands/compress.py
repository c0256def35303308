"""Compress images to a few bits, compared with PCA, JPEG and PNG.

usage: aecli compress RUN [key=value ...]

Rounds each number of the code to one of 2^bits levels between the extremes of the training codes,
decodes what is left, and measures bits per image against mse and psnr. The bits are counted twice:
stored, with the codes packed at `bits` a number; and coded, as the entropy of the levels under
probabilities fitted to training codes, a bound that an arithmetic coder reaches within two bits for
all images together. PCA of the same size is quantised in the same way. JPEG and PNG are counted as
whole files, and without their headers and tables. What sender and receiver have beforehand, such as
the network's weights, is not counted. With several runs, shows all of them.

examples:
  aecli compress outputs/conv-z25/2026-11-21_10-15-00-123456
  aecli compress outputs/conv-z25/2026-11-21_10-15-00-123456 OTHER_RUN
  aecli compress outputs/conv-z25/2026-11-21_10-15-00-123456 bits=1,2,3,4,5,6 n=10000
"""

# Annotations are not postponed: the type of `Options.run` is looked up, and must not be a string.
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from aecli.cli import console
from aecli.cli.options import RunOptions, open_all, parse_options, some_runs
from aecli.errors.text import counted

if TYPE_CHECKING:
    from aecli.analysis.compress import Compressed
    from aecli.runs.trained import Trained

EXPLANATION = (
    "Fewer bits: coded, and so without the headers of JPEG. A lower mse: the 95 % interval of the "
    "mean difference, by a bootstrap over the images, lies below zero."
)


@dataclass
class Options(RunOptions):
    """How coarse the codes become, and on how many images that is measured."""

    run: list[str] = field(default_factory=list)
    """Folder of a finished run, the beginning of its name, or latest; and of others on the same
    images, such as with another latent size. A bare word means the same."""

    bits: str = "2,4,6,8"
    """Bits of each number of a code, from 1 to 12."""

    n: int | None = None
    """Number of images to measure on, drawn by seed; null: 1,000, or fewer if they are large."""

    seed: int = 0
    """Seed for drawing the images."""


def main(arguments: list[str]) -> None:
    """Compress images with the models of one or more runs, and save the results to the first.

    Raises:
        UsageError: a run is not finished or on other images, or bits or n is not valid.
        DataError, StorageError: images or files cannot be used.
    """
    options = parse_options("compress", Options, arguments)
    paths = some_runs("compress", options)

    from aecli.analysis import compress as analysis
    from aecli.analysis.denoise import check_same_images
    from aecli.runs.results import Results
    from aecli.runtime.progress import Bar

    bits = analysis.read_bits(options.bits)
    models = open_all(paths, options)
    check_same_images(models)
    analysis.check_codes(models)
    with Results.for_run(models[0].run, "compress", options.output) as results:
        with Bar("compressing", analysis.method_count(models, bits), "settings") as bar:
            result = analysis.compress(models, bits, options.n, options.seed, bar.advance)
        title = f"{result.count:,} of the {models[0].images_name}"
        results.figure("rates", analysis.rates_figure(title, result))
        results.figure("images", analysis.images_figure(title, result))
        results.numbers(analysis.as_json(result) | {"seed": options.seed})
    console.table(_table(title, result))
    console.bullets(analysis.findings(result))
    console.paragraph(EXPLANATION)
    if analysis.JPEG not in result.rates:
        console.warn("JPEG and PNG are left out: they store images with one channel or three")
    console.facts({"not counted": _not_counted(models), "results": str(results.folder)})


def _not_counted(models: list["Trained"]) -> str:
    """A note on what sender and receiver have beforehand."""
    sizes = [sum(weights.numel() for weights in each.model.parameters()) for each in models]
    parameters = ", ".join(f"{size:,}" for size in sizes)
    return f"the networks ({parameters} parameters), and the levels and their probabilities"


def _table(title: str, result: "Compressed") -> Table:
    """A row for each setting of each method."""
    table = console.new_table(f"{title}: bits per image")
    table.add_column("")
    for name in ("stored", "coded", "coded bits\nper pixel", "mse", "psnr (dB)"):
        table.add_column(name, justify="right")
    for method, rates in result.rates.items():
        table.add_section()
        table.add_row(Text(method, "bold" if method in result.models else ""))
        for rate in rates:
            table.add_row(
                f"  {_setting(method, rate.number)}",
                f"{rate.stored_bits:,.0f}",
                f"{rate.coded_bits:,.1f}",
                f"{rate.coded_bits / result.pixels:.3f}",
                f"{rate.mse:.6f}",
                f"{rate.psnr:.2f}" if rate.mse else "exact",
            )
    return table


def _setting(method: str, number: int) -> str:
    from aecli.analysis.compress import JPEG, PNG

    return {JPEG: f"quality {number}", PNG: "lossless"}.get(method, counted(number, "bit"))
