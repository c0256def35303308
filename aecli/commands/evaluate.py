"""Score a trained model class by class, compared with PCA.

usage: aecli evaluate RUN [key=value ...]

Scores a trained model on the test images, overall and by class, compared with PCA of the same
latent size, and shows the images that it reconstructs best and worst. PCA is left out, and that is
said, if the training images are no longer those that the run was trained on.

Of a linear network it also measures the angles between its subspace and that of PCA.

Of images=... of your own it says which the run was trained or validated on.

examples:
  aecli evaluate outputs/conv-z25/2026-11-21_10-15-00-123456
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from aecli.cli import console
from aecli.cli.options import RunOptions, one_run, open_chosen, parse_options

if TYPE_CHECKING:
    from aecli.analysis.evaluate import Evaluation


@dataclass
class Options(RunOptions):
    """Which run to evaluate, and on which images."""


def main(arguments: list[str]) -> None:
    """Score a run's model by class, and save and print the scores.

    Raises:
        UsageError: the run is not finished.
        DataError, StorageError: the run's images or files cannot be used.
    """
    options = parse_options("evaluate", Options, arguments)
    path = one_run("evaluate", options)

    from aecli.analysis.evaluate import evaluate, extremes_figure, mse_figure
    from aecli.runs.results import Results

    trained = open_chosen(path, options)
    with Results.for_run(trained.run, "evaluate", options.output) as results:
        evaluation = evaluate(trained)
        pca, angles = evaluation.overall.get("pca"), evaluation.angles_to_pca
        title = f"{trained.config.name} on the {trained.images_name}"
        results.figure("mse-by-class", mse_figure(title, evaluation.rows))
        results.figure("extremes", extremes_figure(title, evaluation.extremes))
        results.numbers(
            {
                **asdict(evaluation.overall["model"]),
                **({} if pca is None else {"mse_pca": pca.mse}),
                **({} if angles is None else {"angles_to_pca": angles}),
                "used_in_training": {
                    name: trained.image_names(numbers)
                    for name, numbers in trained.used_in_training.items()
                },
                "all": {name: asdict(each) for name, each in evaluation.overall.items()},
                "by_class": {
                    name: {label: asdict(score) for label, score in scores.items()}
                    for name, scores in evaluation.by_class.items()
                },
            }
        )
    console.table(_table(title, evaluation))
    if angles is not None:
        console.facts({"subspace": console.describe_angles(angles)})
    console.facts({"results": str(results.folder)})


def _table(title: str, evaluation: Evaluation) -> Table:
    """A row for each class, the first over all of them: the model's scores, beside PCA's mse if it
    was measured."""
    table = console.new_table(title)
    table.add_column("class")
    for name in ("images", "mse", "PCA mse", "ratio to PCA", "sse", "psnr (dB)", "ssim"):
        table.add_column(name, justify="right")
    for number, row in enumerate(evaluation.rows):
        score = row.model
        table.add_row(
            Text(row.label),
            f"{row.images:,}",
            f"{score.mse:.6f}",
            "" if row.pca is None else f"{row.pca.mse:.6f}",
            "" if row.ratio_to_pca is None else f"{row.ratio_to_pca:.3f}",
            f"{score.sse:.3f}",
            f"{score.psnr:.2f}",
            "" if score.ssim is None else f"{score.ssim:.4f}",
            style="" if number else "bold",
            end_section=not number,
        )
    return table
