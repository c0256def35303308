"""Score a trained model class by class, compared with PCA.

usage: aecli evaluate RUN [key=value ...]

Scores a trained model on the test images, overall and by class, compared with PCA of the same
latent size, and shows the images that it reconstructs best and worst.

examples:
  aecli evaluate outputs/conv-z25/2026-11-21_10-15-00-123456
"""

from __future__ import annotations

from dataclasses import dataclass
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

    from aecli.analysis.evaluate import ALL_CLASSES, evaluate, extremes_figure, mse_figure
    from aecli.evaluation.metrics import score_as_json
    from aecli.runs.results import Results

    trained = open_chosen(path, options)
    evaluation = evaluate(trained)
    pca = evaluation.scores.get("pca")
    title = f"{trained.config.name} on the {trained.images_name}"
    with Results.for_run(trained.run, "evaluate", options.output) as results:
        results.figure("mse-by-class", mse_figure(title, evaluation.scores))
        results.figure("extremes", extremes_figure(title, evaluation.extremes))
        results.numbers(
            {
                **score_as_json(evaluation.scores["model"][ALL_CLASSES]),
                **({} if pca is None else {"mse_pca": pca[ALL_CLASSES].mse}),
                "by_class": {
                    name: {row: score_as_json(score) for row, score in rows.items()}
                    for name, rows in evaluation.scores.items()
                },
            }
        )
    console.table(_table(title, evaluation))
    console.facts({"results": str(results.folder)})


def _table(title: str, evaluation: Evaluation) -> Table:
    """A row for each class, the first over all of them: the model's scores, beside PCA's mse if it
    was measured."""
    pca, ratio = evaluation.scores.get("pca"), evaluation.ratio_to_pca
    table = console.new_table(title)
    table.add_column("class")
    for name in ("images", "mse", "PCA mse", "ratio to PCA", "sse", "psnr (dB)", "ssim"):
        table.add_column(name, justify="right")
    for number, (row, score) in enumerate(evaluation.scores["model"].items()):
        table.add_row(
            Text(row),
            f"{evaluation.sizes[row]:,}",
            f"{score.mse:.6f}",
            f"{pca[row].mse:.6f}" if pca else "",
            f"{ratio[row]:.3f}" if pca else "",
            f"{score.sse:.3f}",
            f"{score.psnr:.2f}",
            "" if score.ssim is None else f"{score.ssim:.4f}",
            style="" if number else "bold",
        )
    return table
