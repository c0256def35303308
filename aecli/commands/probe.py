"""Classify by the codes, beside PCA codes and pixels.

usage: aecli probe RUN [key=value ...]

Trains a linear classifier on the codes, with few labels and with all, and compares its accuracy on
the test images with that of the same classifier on as many principal components and on pixels.

examples:
  aecli probe outputs/conv-z25/2026-11-21_10-15-00-123456
  aecli probe outputs/conv-z25/2026-11-21_10-15-00-123456 labels=1,10,100,1000 draws=10
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table

from aecli.cli import console
from aecli.cli.options import RunOptions, one_run, open_chosen, parse_options

if TYPE_CHECKING:
    from aecli.analysis.probe import Probe


@dataclass
class Options(RunOptions):
    """How many labels the classifier is trained with."""

    labels: str | None = None
    """Labelled images per class, as in 10,100; all labels are always used as well. null: 10 and
    100, where every class has more."""

    draws: int = 5
    """Random sets of labelled images for each number of labels, at least 1; accuracy is shown as
    the mean and standard deviation over them."""

    seed: int = 0
    """Seed of these sets."""


def main(arguments: list[str]) -> None:
    """Train linear classifiers on a run's codes and the baselines, and save their accuracy.

    Raises:
        UsageError: the run is not finished, its images are all of one class, or an option is not
            valid.
        DataError, StorageError: the run's images or files cannot be used.
    """
    options = parse_options("probe", Options, arguments)
    path = one_run("probe", options)

    from aecli.analysis.probe import feature_names, figure, probe
    from aecli.runs.results import Results

    trained = open_chosen(path, options)
    with Results.for_run(trained.run, "probe", options.output) as results:
        result = probe(trained, options.labels, options.draws, options.seed)
        latent = trained.config.latent
        title = f"{trained.config.name}: linear classifier on the {trained.images_name}"
        results.figure("accuracy", figure(title, result.accuracies, latent))
        settings = {
            "latent": latent,
            "labels_per_class": result.per_class,
            "draws": options.draws,
            "seed": options.seed,
        }
        results.numbers(_numbers(result, settings))
    console.table(_table(title, list(feature_names(latent).values()), result))
    console.facts({"results": str(results.folder)})


def _numbers(result: Probe, settings: dict[str, Any]) -> dict[str, Any]:
    """The accuracies with all labels first, then everything."""
    return {
        **{f"accuracy_{kind}": each[-1].mean for kind, each in result.accuracies.items()},
        **settings,
        "by_labels": {
            kind: [accuracy._asdict() for accuracy in each]
            for kind, each in result.accuracies.items()
        },
    }


def _table(title: str, features: list[str], result: Probe) -> Table:
    """A row for each number of labels."""
    table = console.new_table(f"{title}; accuracy")
    table.add_column("labels")
    for name in features:
        table.add_column(name, justify="right")
    amounts = [*(f"{count:,} per class" for count in result.per_class), "all"]
    for amount, *accuracies in zip(amounts, *result.accuracies.values(), strict=True):
        cells = (
            f"{each.mean:.4f}" if each.std is None else f"{each.mean:.4f} ± {each.std:.4f}"
            for each in accuracies
        )
        label = f"{accuracies[0].labels:,}: {amount}"
        table.add_row(label, *cells, style="bold" * (amount == "all"))
    return table
