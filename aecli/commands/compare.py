"""Put runs side by side and compare them with PCA: a table, figures, a report.

usage: aecli compare FOLDER ... [key=value ...]

Puts runs side by side; runs that differ only in their seed share a row, with mean and standard
deviation. Prints the table, and writes it as CSV and Markdown, the figures as PNG and SVG, a
self-contained report.html, and all of it for TensorBoard.

Errors on different images cannot be compared: if the runs are on several data sets, each has a
comparison of its own, in a subfolder of its name.

examples:
  aecli compare outputs/latent/2026-11-21_10-15-00-123456
  aecli compare outputs/latent outputs/latent_conv sort=mse
  aecli compare outputs data=mnist
"""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from aecli.cli.options import found, parse_options
from aecli.errors import UsageError
from aecli.files.places import dated_folder
from aecli.runs.lookup import find_folder


class SortKey(Enum):
    """Sort keys of the comparison table."""

    model = "model"
    latent = "latent"
    mse = "mse"
    """The mse of the validation images."""
    test_mse = "test_mse"
    sse = "sse"
    psnr = "psnr"
    ssim = "ssim"
    checkerboard = "checkerboard"
    ratio = "ratio"
    parameters = "parameters"
    seconds = "seconds"


@dataclass
class Options:
    """What to compare, and how."""

    run: list[str] = field(default_factory=list)
    """A run folder, or one that holds runs at any depth, such as a sweep folder; the beginning of
    its name, or latest. May be given several times; a bare word means the same."""

    sort: SortKey = SortKey.model
    """How to sort the table, best first; model: by model, upsampling and latent size; mse: by the
    validation mse."""

    data: str | None = None
    """Keep only runs on the data set of this name, such as mnist; null: all runs, with a comparison
    for each data set if they are on several."""

    kernel_pca: bool = False
    """Add the error of kernel PCA, a classical code that is not linear, at each latent size. It
    opens the images of the runs, takes some seconds a size, and needs scikit-learn."""

    output: str | None = None
    """Folder for the comparison; null: `compare` in the given folder or, for several folders, a new
    one below outputs/compare."""


def main(arguments: list[str]) -> None:
    """Compare the runs that the command line names.

    Raises:
        UsageError: there are no runs, or they cannot be compared.
        DataError: kernel PCA needs images that are not there, or may not be those of the runs.
        StorageError: the comparison cannot be written.
    """
    options = parse_options("compare", Options, arguments)
    if not options.run:
        raise UsageError("compare needs runs: give run folders, or the folder of a sweep")
    folders = [found(path, find_folder) for path in options.run]

    from aecli.cli import console
    from aecli.comparison.compare import compare
    from aecli.comparison.write import FOLDER
    from aecli.runtime.status import show_status

    if options.output is not None:
        output = Path(options.output)
    elif len(folders) == 1:
        output = folders[0] / FOLDER
    else:
        output = dated_folder(FOLDER)
    show_status("comparing the runs ...")
    sort, data = options.sort.value, options.data
    console.comparison(compare(folders, output, sort, data, options.kernel_pca))
