"""Compare runs: load them, group them, and write the comparison."""

import shlex
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from aecli.comparison.findings import findings
from aecli.comparison.gather import gather
from aecli.comparison.results import Comparison, RunGroup
from aecli.comparison.table import sort_settings
from aecli.comparison.write import FOLDER, REPORT, write
from aecli.errors import UsageError
from aecli.runs.results import Results


@dataclass(frozen=True)
class Compared:
    """A comparison that has been written."""

    comparison: Comparison
    settings: list[RunGroup]
    """In the order of the table."""
    findings: list[str]
    """The results in sentences."""
    report: Path
    name: str
    """Name of the data set; also the folder of this comparison's files if there are several."""


def compare(
    folders: list[Path],
    output: Path,
    sort: str = "model",
    data: str | None = None,
    kernel_pca: bool = False,
) -> list[Compared]:
    """Compare all runs below `folders` and write the comparison to the folder `output`.

    Errors on different images cannot be compared, so if the runs are on several data sets, each has
    a comparison of its own, in a subfolder.

    Args:
        folders: folders of runs, or that hold runs.
        output: takes the place of what an earlier comparison has written there.
        sort: a key of `SORT_KEYS`.
        data: keep only runs on the data set of this name; None for all.
        kernel_pca: see `aecli.comparison.classical.with_kernel_pca`.

    Raises:
        UsageError: there are none, kernel PCA cannot be compared with them, or scikit-learn is not
            installed.
        DataError: the images that kernel PCA needs cannot be loaded, have changed, or are not known
            to be those of the run.
        StorageError, OSError: the comparison cannot be written, or a file that aecli did not write
            is in the way.
    """
    comparisons = gather(folders, data)
    if kernel_pca:
        from aecli.comparison.classical import with_kernel_pca  # needs models and data

        comparisons = {name: with_kernel_pca(each) for name, each in comparisons.items()}
        settings = [setting for each in comparisons.values() for setting in each.settings]
        if all(setting.kernel_pca_mse is None for setting in settings):
            raise UsageError(
                "kernel PCA cannot be compared with these runs, because their inputs are "
                "corrupted, or their codes too large: leave kernel_pca out"
            )
    chosen = [] if data is None else [f"data={data}"]
    chosen += ["kernel_pca=true"] if kernel_pca else []
    command = ["aecli", "compare", *map(str, folders), *chosen, f"sort={sort}", f"output={output}"]
    compared = []
    for name, comparison in comparisons.items():
        folder = output / name if len(comparisons) > 1 else output
        table = sort_settings(comparison.settings, sort)
        compared.append(Compared(comparison, table, findings(comparison), folder / REPORT, name))
    with Results(output, FOLDER) as results:
        for each in compared:
            with results.part(each.name) if len(compared) > 1 else nullcontext(results) as part:
                write(each.comparison, each.findings, each.settings, part, shlex.join(command))
    return compared
