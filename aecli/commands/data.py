"""Show a data set without training: images of each class, counts, mean and deviation.

usage: aecli data [NAME] [key=value ...]

Shows the images that aecli train would use with the same arguments: the first ones of each class as
a figure; how many there are for training, validation and test, also class by class; their size and
channels; the mean and the standard deviation of their pixels, for data.mean and data.std; where the
files are, and what was left out. A bare word such as mnist stands for data=mnist.

pca=2,4,8 also measures what a network has to beat: the error on the test images of PCA with that
many components, fitted to the training images. It is given unclipped, as in most of the literature,
and clipped to [0, 1], as all reconstructions are in the comparisons of aecli.

output=FOLDER is the folder for the figure (PNG and SVG), its numbers (JSON), and both for
TensorBoard; without it they are in a folder of the data set's name below outputs/data. Earlier
results of this command are replaced.

examples:
  aecli data mnist
  aecli data cifar10 "data.classes=[cat,dog]"
  aecli data folder path=photos image_size=64
  aecli data mnist data.val_size=0 keep=last pca=2,4,8,16,32
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from aecli.cli import console
from aecli.cli.compose import compose
from aecli.cli.naming import data_word
from aecli.cli.options import pop_value
from aecli.cli.override_checks import check_overrides
from aecli.cli.overrides import known_choices, override, parse_overrides, read_arguments
from aecli.cli.own_config import pop_config_dir
from aecli.config import FOLDER
from aecli.config.choices import SPLITS
from aecli.config.limits import expand_user
from aecli.errors import UsageError
from aecli.errors.text import escaped
from aecli.files.places import OUTPUTS

if TYPE_CHECKING:
    from aecli.analysis.data_sheet import PCAError, PixelStatistics
    from aecli.data import Data


def main(arguments: list[str]) -> None:
    """Show the images that the command line describes.

    Raises:
        UsageError: there is no such data set, or a key or a value is not valid.
        DataError, StorageError: the images cannot be used, or the figure cannot be written.
    """
    own, output = pop_config_dir(arguments), pop_value(arguments, "output")
    sizes = pop_value(arguments, "pca")
    if output == "":
        raise UsageError("output= has no value: give a folder, or leave output= out")
    overrides = _with_data_set([*own, *read_arguments(arguments)])
    check_overrides(overrides, multirun=False)
    config = compose(overrides)

    from aecli.analysis import data_sheet as analysis
    from aecli.data.loaded import load_cached_data
    from aecli.runs.results import Results
    from aecli.runtime.status import show_status

    data = load_cached_data(replace(config, device="cpu"))  # to count needs no GPU
    name = data_word(data.key, data.key, config.data.path)
    folder = Path(expand_user("output", output) if output else Path(OUTPUTS, "data", name))
    components = None if sizes is None else analysis.read_sizes(sizes, data)
    show_status("computing ...")
    with Results(folder, "data") as results:
        statistics, classes = analysis.pixel_statistics(data), analysis.class_counts(data)
        errors = analysis.pca_errors(data, components) if components else {}
        results.figure("images", analysis.sheet_figure(data))
        results.numbers(_numbers(data, statistics, classes, errors))
    if data.notice is not None:
        console.notice(data.notice)
    console.facts(_facts(data, statistics, classes))
    console.table(_split_table(data, statistics))
    if classes:
        console.table(_class_table(data, classes))
    if errors:
        console.table(_pca_table(data, errors))
    console.facts({"results": str(results.folder)})


def _with_data_set(overrides: list[str]) -> list[str]:
    """The overrides with data=NAME for the bare word NAME.

    Raises:
        UsageError: it is not a data set, or there are several.
    """
    words = [each for each in overrides if "=" not in each and not each.startswith(("-", "~"))]
    if not words:
        return overrides
    settings = [each for each in overrides if each not in words]
    given = [str(each.value()) for each in parse_overrides(settings) if each.key_or_group == "data"]
    if len(words) + len(given) > 1:
        names = ", ".join(map(escaped, [*words, *given]))
        raise UsageError(f"data shows one data set, not {len(words) + len(given)}: {names}")
    (word,) = words
    if word not in known_choices(settings)["data"] and Path(word).is_dir():
        path = escaped(word)
        raise UsageError(
            f"{path} is a folder, and none of the data sets by name: give aecli data {FOLDER} "
            f"path={path}"
        )
    return [override("data", word), *settings]


def _facts(
    data: Data, statistics: dict[str, PixelStatistics], classes: dict[str, dict[str, int]]
) -> dict[str, str]:
    """The facts about the images, in words."""
    from aecli.analysis.data_sheet import LEARNT

    channels, height, width = data.image_shape
    learnt = statistics[LEARNT]
    facts = {
        "data": data.name,
        "files": data.source,
        "images": f"{channels}x{height}x{width} (channels x height x width)",
        "classes": f"{len(classes):,}" if classes else "none",
        "pixels": f"mean {learnt.mean:.4f}, standard deviation {learnt.std:.4f} "
        f"({LEARNT}, in [0, 1])",
    }
    if channels > 1:
        means, stds = zip(*learnt.by_channel, strict=True)
        facts["by channel"] = f"mean {_numbers_text(means)}, standard deviation "
        facts["by channel"] += _numbers_text(stds)
    return facts


def _numbers_text(numbers: tuple[float, ...]) -> str:
    return ", ".join(f"{number:.4f}" for number in numbers)


def _split_table(data: Data, statistics: dict[str, PixelStatistics]) -> Table:
    """A row for each split."""
    table = console.new_table(f"{data.name}: pixels in [0, 1]")
    table.add_column("split")
    for heading in ("images", "mean", "standard deviation"):
        table.add_column(heading, justify="right")
    for name, each in statistics.items():
        table.add_row(name, f"{each.images:,}", f"{each.mean:.4f}", f"{each.std:.4f}")
    return table


def _class_table(data: Data, classes: dict[str, dict[str, int]]) -> Table:
    """A row for each class, with its images in each split."""
    table = console.new_table(f"{data.name}: images of each class")
    table.add_column("class")
    for name in SPLITS:
        table.add_column(name, justify="right")
    for name, counts in classes.items():
        table.add_row(Text(name), *(f"{counts[split]:,}" for split in SPLITS))
    return table


def _pca_table(data: Data, errors: dict[int, PCAError]) -> Table:
    """A row for each number of components."""
    table = console.new_table(f"{data.name}: PCA of the training images, on the test images")
    for heading in ("numbers", "mse", "sse", "mse, clipped", "sse, clipped"):
        table.add_column(heading, justify="right")
    for size, each in errors.items():
        clipped = f"{each.mse_clipped:.6f}", f"{each.sse_clipped:.2f}"
        table.add_row(f"{size:,}", f"{each.mse:.6f}", f"{each.sse:.2f}", *clipped)
    return table


def _numbers(
    data: Data,
    statistics: dict[str, PixelStatistics],
    classes: dict[str, dict[str, int]],
    errors: dict[int, PCAError],
) -> dict[str, Any]:
    """The mean and the deviation of all but the test images, then everything that is shown."""
    from aecli.analysis.data_sheet import LEARNT

    return {
        "mean": statistics[LEARNT].mean,
        "std": statistics[LEARNT].std,
        "data": data.name,
        "files": data.source,
        "notice": data.notice,
        "image_shape": list(data.image_shape),
        "splits": {name: asdict(each) for name, each in statistics.items()},
        "classes": classes,
        "pca": {str(size): asdict(each) for size, each in errors.items()},
    }
