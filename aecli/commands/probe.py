"""Classify by the codes, compared with PCA codes and pixels.

usage: aecli probe RUN [OTHER ...] [key=value ...]

Trains a linear classifier on the codes, with few labels and with all, and compares its accuracy on
the test images with that of the same classifier on as many principal components and on pixels. With
several runs on the same images, says whether the codes of the first are better features than those
of each other one.

examples:
  aecli probe outputs/conv-z25/2026-11-21_10-15-00-123456
  aecli probe outputs/conv-z25/2026-11-21_10-15-00-123456 labels=1,10,100,1000 draws=10
  aecli probe outputs/denoising-z32/2026-11-21_10-15-00-123456 OTHER_RUN
"""

# Annotations are not postponed: the type of `Options.run` is looked up, and must not be a string.
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.table import Table

from aecli.cli import console
from aecli.cli.options import RunOptions, open_all, parse_options, some_runs
from aecli.errors.text import listed

if TYPE_CHECKING:
    from aecli.analysis.probe import Probe


@dataclass
class Options(RunOptions):
    """How many labels the classifier is trained with."""

    run: list[str] = field(default_factory=list)
    """Folder of a finished run, the beginning of its name, or latest; and of others to compare it
    with, such as one trained without noise. A bare word means the same."""

    labels: str | None = None
    """Labelled images per class, as in 10,100; all labels are always used as well. null: 10 and
    100, where every class has more."""

    draws: int = 5
    """Random sets of labelled images for each number of labels, at least 1; accuracy is shown as
    the mean and standard deviation over them."""

    seed: int = 0
    """Seed of these sets."""


def main(arguments: list[str]) -> None:
    """Train linear classifiers on the codes of runs and the baselines, and save their accuracy.

    Raises:
        UsageError: a run is not finished or on other images, its images are all of one class, or an
            option is not valid.
        DataError, StorageError: the images or files of a run cannot be used.
    """
    options = parse_options("probe", Options, arguments)
    paths = some_runs("probe", options)

    from aecli.analysis import probe as analysis
    from aecli.runs.results import Results

    models = open_all(paths, options)
    analysis.check_same_data(models)
    first = models[0]
    with Results.for_run(first.run, "probe", options.output) as results:
        result = analysis.probe(first, options.labels, options.draws, options.seed, models[1:])
        names = [first.config.name] if len(models) == 1 else analysis.numbered_names(models)
        subject = first.config.name if len(models) == 1 else f"{len(models)} models"
        title = f"{subject}: linear classifier on the {first.images_name}"
        latents = [model.config.latent for model in models]
        results.figure("accuracy", analysis.figure(title, result, models))
        settings = {
            "latent": latents[0],
            "labels_per_class": result.per_class,
            "draws": options.draws,
            "seed": options.seed,
            "models": [
                {"name": name, "run": str(model.run.path), "latent": model.config.latent}
                for name, model in zip(names, models, strict=True)
            ],
        }
        claims = analysis.claims(result, len(models))
        results.numbers({**_numbers(result, settings), "findings": claims})
    features = list(analysis.feature_names(*latents).values())
    console.table(_table(title, features, result, options.draws))
    if len(models) > 1:
        console.facts({"model": "\n".join(names)})
        console.bullets(claims)
        if len(set(latents)) > 1:
            console.warn(
                f"the codes have {listed(latents)} numbers, and larger ones tend to classify "
                f"better whatever the training: give runs with the same latent to compare that"
            )
    console.facts({"results": str(results.folder)})


def _numbers(result: "Probe", settings: dict[str, Any]) -> dict[str, Any]:
    """The accuracies with all labels first, then everything."""
    return {
        **{f"accuracy_{kind}": each[-1].mean for kind, each in result.accuracies.items()},
        **settings,
        "by_labels": {
            kind: [accuracy._asdict() for accuracy in each]
            for kind, each in result.accuracies.items()
        },
    }


def _table(title: str, features: list[str], result: "Probe", draws: int) -> Table:
    """A row for each number of labels, and one for the intervals with all of them."""
    over = f", ± standard deviation over {draws} draws" if draws > 1 and result.per_class else ""
    table = console.new_table(f"{title}; accuracy{over}")
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
    bounds = (each[-1].interval or (0.0, 1.0) for each in result.accuracies.values())
    table.add_row("95 % interval", *(f"{low:.4f}-{high:.4f}" for low, high in bounds))
    return table
