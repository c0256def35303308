"""Scores of a trained model, class by class, beside the baselines; its best and worst images."""

from collections import Counter
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table

from aecli.cli import console
from aecli.comparison.results import is_exact
from aecli.data import Split
from aecli.evaluation.examination import LABELS, Extremes, examine
from aecli.evaluation.metrics import PerImageScores, Score
from aecli.figures import Row, grouped_bars, panels
from aecli.runs.results import Results
from aecli.runs.trained import Trained
from aecli.training.experiment import score_as_json

COMMAND = "evaluate"
EVERYTHING = "all"
"""The row over all classes."""


def evaluate(trained: Trained) -> None:
    """Measure the images and leave what was found beside the run.

    Of the test images, the scores over all classes are those of the run's summary.
    """
    config, data = trained.config, trained.data()
    found = examine(config, data, trained.reconstruct)
    scores = {name: by_class(each, data.test) for name, each in found.measured.items()}
    title = f"{config.name} on the {trained.images_name}"
    with Results(trained.run, COMMAND) as results:
        results.figure("mse-by-class", _chart(title, scores))
        results.figure("extremes", _extremes(title, found.survey))
        results.numbers(_numbers(scores))
    console.table(_table(title, scores, data.test))
    console.facts({"results": str(results.folder)})


def by_class(measured: PerImageScores, split: Split) -> dict[str, Score]:
    """The score of all images and, where there are several classes, of those of each."""
    labels = split.labels.cpu()
    classes = labels.unique().tolist()
    apart = {split.class_name(label): measured.subset_score(labels == label) for label in classes}
    return {EVERYTHING: measured.score(), **(apart if len(classes) > 1 else {})}


def _chart(title: str, scores: dict[str, dict[str, Score]]) -> Figure:
    shown = {"model": LABELS["model"], "pca": LABELS["pca"]}
    groups = {
        row: {label: scores[name][row].mse for name, label in shown.items()}
        for row in scores["model"]
    }
    return grouped_bars(title, "mse (pixels in [0, 1])", groups)


def _extremes(title: str, seen: Extremes) -> Figure:
    return panels(
        title,
        {
            f"{end} reconstructed": [
                Row("original", examples.pixels, captions=[f"{m:.2g}" for m in examples.mse]),
                Row("output", examples.outputs),
            ]
            for end, examples in (("best", seen.best), ("worst", seen.worst))
        },
    )


def _numbers(scores: dict[str, dict[str, Score]]) -> dict[str, Any]:
    """The overall figures at the top, then every score of every contestant."""
    overall = score_as_json(scores["model"][EVERYTHING])
    return {
        **overall,
        "mse_pca": scores["pca"][EVERYTHING].mse,
        "by_class": {
            name: {row: score_as_json(score) for row, score in rows.items()}
            for name, rows in scores.items()
        },
    }


def _table(title: str, scores: dict[str, dict[str, Score]], split: Split) -> Table:
    """A row for each class; the model's scores, and PCA's mse beside them."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    table.add_column("class")
    for name in ("images", "mse", "PCA mse", "ratio to PCA", "sse", "psnr (dB)", "ssim"):
        table.add_column(name, justify="right")
    counts = Counter(map(split.class_name, split.labels.tolist()))
    for row, score in scores["model"].items():
        pca = scores["pca"][row].mse
        count = len(split) if row == EVERYTHING else counts[row]
        table.add_row(
            row,
            f"{count:,}",
            f"{score.mse:.6f}",
            f"{pca:.6f}",
            "inf" if is_exact(pca) else f"{score.mse / pca:.3f}",
            f"{score.sse:.3f}",
            f"{score.psnr:.2f}",
            "" if score.ssim is None else f"{score.ssim:.4f}",
            style="bold" if row == EVERYTHING else "",
        )
    return table
