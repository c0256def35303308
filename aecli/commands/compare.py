"""`aecli compare`: runs side by side, as a table, figures, a report and in TensorBoard."""

from datetime import datetime
from pathlib import Path

from aecli.errors import UsageError
from aecli.options import CompareOptions, parse_options


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
    from aecli.comparison import compare

    compare(folders, _output(options, folders), options.sort)


def _output(options: CompareOptions, folders: list[Path]) -> Path:
    if options.output is not None:
        return Path(options.output)
    if len(folders) == 1:
        return folders[0] / "compare"
    return Path("outputs", "compare", f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}")
