"""Use an autoencoder to defend a classifier against noise and adversarial attacks.

usage: aecli robust RUN [key=value ...]

Trains a small convolutional classifier on the run's training images and their labels, and
classifies test images with and without the autoencoder in front: under noise of the kind that the
run was trained with, else Gaussian, and under two attacks, FGSM and PGD, which change no pixel by
more than eps. The baseline is PCA of the same size in front. The attacker either does not know what
is in front, and attacks the classifier alone, or knows, and follows the gradient through both: an
image then counts as correct only if it withstands both attacks. Accuracies come with 95 % intervals
over the test images; the classifier is not saved.

examples:
  aecli robust outputs/conv-z25/2026-11-21_10-15-00-123456
  aecli robust outputs/conv-z25/2026-11-21_10-15-00-123456 eps=0.1,0.3 strengths=0.5 n=2000
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from aecli.cli import console
from aecli.cli.options import RunOptions, one_run, open_chosen, parse_options

if TYPE_CHECKING:
    from aecli.analysis.robust import Robustness
    from aecli.evaluation.classifier import AccuracyInterval

EXPLANATION = (
    "Higher and lower: the 95 % interval of the difference, by a bootstrap over the images, lies "
    "on one side of zero. Accuracies under attack are upper bounds: a stronger attacker may find "
    "more."
)


@dataclass
class Options(RunOptions):
    """How strong the noise and the attacks are."""

    eps: str | None = None
    """The largest change of a pixel in [0, 1] by an attack, as in 0.1,0.3; null: 0.05, 0.1, 0.2
    and 0.3."""

    strengths: str | None = None
    """Strengths of the noise: standard deviations for gaussian, else shares of the pixels, as in
    0.1,0.5; null: several that suit the kind of noise."""

    n: int | None = None
    """Number of test images, drawn by seed; null: 300, or fewer if they are large."""

    seed: int = 0
    """Seed of the classifier, of the images, of the noise and of the start of PGD."""


def main(arguments: list[str]) -> None:
    """Classify images under noise and attacks with and without a run's model in front.

    Raises:
        UsageError: the run is not finished, its images are all of one class, or an option is not
            valid.
        DataError, StorageError: the run's images or files cannot be used.
    """
    options = parse_options("robust", Options, arguments)
    path = one_run("robust", options)

    from aecli.analysis import robust as analysis
    from aecli.runs.results import Results
    from aecli.runtime.progress import Bar

    trained = open_chosen(path, options)
    threats = analysis.choose_threats(trained, options.strengths, options.eps)
    with Results.for_run(trained.run, "robust", options.output) as results:
        data = analysis.labelled_data(trained, options.n, options.seed)
        with Bar("training a classifier", analysis.training_steps(data), "steps") as bar:
            classify = analysis.classifier(data, options.seed, bar.advance)
        with Bar("attacking", len(threats), "threats") as bar:
            result = analysis.measure(trained, data, classify, threats, options.seed, bar.advance)
        title = f"{trained.config.name} on {result.count:,} of the {trained.images_name}"
        results.figure("accuracy", analysis.accuracy_figure(title, result))
        results.figure("images", analysis.images_figure(title, result))
        results.numbers(analysis.as_json(result) | {"seed": options.seed})
    console.table(_table(title, result))
    console.bullets(analysis.findings(result))
    console.paragraph(EXPLANATION)
    console.facts({"results": str(results.folder)})


def _table(title: str, result: Robustness) -> Table:
    """A row for each threat, a column for each system: the accuracy and its interval, in %."""
    from aecli.analysis.robust import SYSTEMS, accuracies, threat_name
    from aecli.evaluation.classifier import accuracy_interval

    table = console.new_table(f"{title}: accuracy in %, ± half its 95 % interval")
    table.add_column("", no_wrap=True)
    for name in SYSTEMS:
        _, _, knows = name.partition(", ")
        table.add_column(Text(f"same, {knows}" if knows else name), justify="right")
    clean = {name: accuracy_interval(each) for name, each in result.clean.items()}
    table.add_row("as they are", *_cells(clean, SYSTEMS))
    kind = None
    for threat, by_system in accuracies(result).items():
        if threat.kind != kind:
            kind = threat.kind
            table.add_section()
        table.add_row(threat_name(threat, result.noise), *_cells(by_system, SYSTEMS))
    return table


def _cells(found: dict[str, AccuracyInterval], systems: Sequence[str]) -> list[str]:
    """The accuracy of each system; empty for one whose attacker knows it where there is none."""
    return [
        f"{100 * each.value:.1f}±{50 * (each.high - each.low):.1f}" if each else ""
        for each in map(found.get, systems)
    ]
