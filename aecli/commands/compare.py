"""`aecli compare`: runs side by side, as a table, figures, a report and in TensorBoard."""

from datetime import datetime
from pathlib import Path

from aecli.cli.options import CompareOptions, parse_options
from aecli.errors import UsageError


def main(arguments: list[str]) -> None:
    """Compare the runs that the command line names.

    Raises:
        UsageError: there are none, or they cannot be compared.
        StorageError: the comparison cannot be written.
    """
    options = parse_options("compare", CompareOptions, arguments)
    if not options.run:
        raise UsageError("compare what? Give run folders, or the folder of a sweep")
    folders = [Path(path) for path in options.run]

    # A mistake in the line is told without waiting for torch.
    from aecli.cli import console
    from aecli.comparison.compare import compare
    from aecli.comparison.write import FOLDER

    if options.output is not None:
        output = Path(options.output)
    elif len(folders) == 1:
        output = folders[0] / FOLDER
    else:
        output = Path("outputs", FOLDER, f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}")
    console.comparison(compare(folders, output, options.sort.value))
