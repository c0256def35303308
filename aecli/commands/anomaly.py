"""Find images unlike the training images by their reconstruction error.

usage: aecli anomaly RUN [key=value ...]

Treats a large reconstruction error as a sign of an unknown kind of image. For a run trained on some
classes, data.classes=[3] or data.exclude_classes=[3], measures how well the error separates test
images of each other class from normal ones, those of the run's own classes: AUROC; average
precision (AP), which also depends on the number of images; and recall or true positive rate (TPR),
the share above the threshold. The baselines are PCA of the same latent size, an isolation forest
and a one-class SVM, both on images of equal contrast (pip install 'aecli[uses]'). With images of
your own, for any run, writes the error of each image to scores.csv, and whether it is above the
threshold. Images are not corrupted, even if the run was trained with a corruption.

shuffle=true also measures how far detection depends on the correlations between pixels: it shuffles
the pixels of each image by a different permutation, which leaves only its grey levels, and compares
the AUROC of the same detectors, of a network trained on shuffled images with the settings of the
run (which takes as long as the run), and of brightness alone.

examples:
  aecli anomaly outputs/conv-z25/2026-11-21_10-15-00-123456
  aecli anomaly outputs/conv-z25/2026-11-21_10-15-00-123456 fpr=0.01
  aecli anomaly outputs/conv-z25/2026-11-21_10-15-00-123456 shuffle=true
  aecli anomaly outputs/conv-z25/2026-11-21_10-15-00-123456 images=photos resize=true
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from aecli.cli import console
from aecli.cli.options import RunOptions, one_run, open_chosen, parse_options
from aecli.errors import UsageError

if TYPE_CHECKING:
    from aecli.analysis.anomaly import ErrorSummary
    from aecli.analysis.shuffled import ShuffledReport
    from aecli.data.own_images import OwnImages
    from aecli.evaluation.anomaly import DetectionReport, Threshold
    from aecli.runs.results import Results
    from aecli.runs.trained import Trained

CSV = "scores.csv"


@dataclass
class Options(RunOptions):
    """The threshold, and the seed."""

    fpr: float = 0.05
    """The false positive rate: the share of normal images that may count as anomalous, above 0 and
    below 1. The threshold is the error that this share of the run's validation images exceeds."""

    shuffle: bool = False
    """Also measure on images with shuffled pixels, and train a second network on such images."""

    seed: int = 0
    """Seed of the isolation forest, of the images that it and the SVM see if there are many, and of
    the shuffled pixels."""


def main(arguments: list[str]) -> None:
    """Score the user's images, or measure how well images of other classes are detected.

    Raises:
        UsageError: the run is not finished or knows every class, fpr or seed is not valid, or a
            library is not installed.
        DataError, StorageError: the run's images or files cannot be used.
    """
    options = parse_options("anomaly", Options, arguments)
    path = one_run("anomaly", options)

    from aecli.analysis.anomaly import check_validated, check_values

    if options.shuffle and options.images:
        raise UsageError("shuffle=true is for the run's test images: leave out images=")
    trained = open_chosen(path, options)
    check_values(options.fpr, options.seed)
    check_validated(trained)
    if trained.own:
        _score_own_images(trained, trained.own, options)
    else:
        _detect_other_classes(trained, options)


def _detect_other_classes(trained: Trained, options: Options) -> None:
    """Measure how well test images of other classes are detected, and save the results."""
    from aecli.analysis.anomaly import (
        extremes_figure,
        histogram_figure,
        report_as_json,
        roc_figure,
        score_other_classes,
    )
    from aecli.evaluation.anomaly import DetectionReport
    from aecli.runs.results import Results

    shuffled = None

    with Results.for_run(trained.run, "anomaly", options.output) as results:
        normal, others, threshold = score_other_classes(trained, options.fpr, options.seed)
        report = DetectionReport.from_scores(normal, others, threshold)
        title = f"{trained.config.name}, trained on {trained.data().name}"
        normal_images = f"{len(normal.split):,} normal test images"
        labels = {"normal": normal_images, "others": f"{len(others.split):,} of other classes"}
        results.figure(
            "errors", histogram_figure(f"{title}: errors", report.histogram, labels, threshold)
        )
        results.figure("roc", roc_figure(f"{title}: all other classes together", report))
        results.figure(
            "extremes",
            extremes_figure(f"{title}: largest and smallest errors", trained, normal, others),
        )
        latent, count = trained.config.latent, len(normal.split)
        settings = {"latent": latent, "seed": options.seed, "normal_images": count}
        numbers = report_as_json(report, settings)
        if options.shuffle:
            shuffled = _compare_shuffled(trained, title, options.seed, results)
            numbers["shuffled"] = shuffled.as_json()
        results.numbers(numbers)
    for table in _class_tables(f"{title}: test images of other classes", report):
        console.table(table)
    if shuffled:
        console.table(_shuffled_table(shuffled))
        console.bullets(shuffled.findings())
    rate = f"{100 * report.false_positive_rate:.2f} % of the {normal_images}"
    _print_facts(threshold, {"false positives": rate, "results": str(results.folder)})


def _compare_shuffled(trained: Trained, title: str, seed: int, results: Results) -> ShuffledReport:
    """Measure with shuffled pixels, and save the figures."""
    from aecli.analysis.shuffled import auroc_figure, compare_shuffled, images_figure
    from aecli.runtime.progress import Bar

    with Bar("training on shuffled images", trained.config.epochs, "epochs") as bar:
        report = compare_shuffled(trained, seed, bar.advance)
    results.figure("shuffled", auroc_figure(f"{title}: pixels in order and shuffled", report))
    results.figure("shuffled_images", images_figure(title, trained, report, seed))
    return report


def _shuffled_table(report: ShuffledReport) -> Table:
    """A row for each detector: its AUROC in each setting, with its interval."""
    from aecli.analysis.shuffled import LABELS, SETTINGS

    table = console.new_table("AUROC on all other classes together ± 95 % over their images")
    table.add_column("")
    for setting in report.auroc:
        table.add_column(SETTINGS[setting].replace(", ", ",\n"), justify="right")
    for number, (name, label) in enumerate(LABELS.items()):
        cells = [
            f"{each.value:.3f} ± {(each.high - each.low) / 2:.3f}"
            for each in (by_detector[name] for by_detector in report.auroc.values())
        ]
        table.add_row(label, *cells, style="" if number else "bold")
    return table


def _score_own_images(trained: Trained, own: OwnImages, options: Options) -> None:
    """Score the user's images, and save the results."""
    from aecli.analysis.anomaly import (
        ErrorSummary,
        histogram_figure,
        own_extremes_figure,
        score_own_images,
        scores_csv,
        summarise_folders,
        threshold_as_json,
    )
    from aecli.evaluation.anomaly import Histogram
    from aecli.runs.results import Results

    with Results.for_run(trained.run, "anomaly", options.output) as results:
        validation, scored, threshold = score_own_images(trained, own, options.fpr)
        histogram = Histogram.from_errors({"validation": validation.errors, "own": scored.errors})
        labels = {
            "validation": f"{threshold.images:,} validation images",
            "own": f"{len(own.files):,} images of your own",
        }
        summary = ErrorSummary.from_errors(scored.errors, threshold)
        folders = summarise_folders(scored, threshold)
        title = f"{trained.config.name}, trained on {trained.data().name}: {trained.images_name}"
        results.file(CSV, scores_csv(own, scored.errors, validation.errors, threshold))
        results.figure("errors", histogram_figure(title, histogram, labels, threshold))
        results.figure("extremes", own_extremes_figure(title, trained, scored))
        by_folder = {name: asdict(each) for name, each in folders.items()}
        numbers = {**asdict(summary), **threshold_as_json(threshold), "by_folder": by_folder}
        results.numbers({**numbers, "histogram": asdict(histogram)})
    console.table(_folder_table(title, folders, summary))
    folder = results.folder
    _print_facts(threshold, {"scores": str(folder / CSV), "results": str(folder)})


def _class_tables(title: str, report: DetectionReport) -> list[Table]:
    """AUROC and average precision: a row for each class; if there are several, also their mean and
    all images pooled."""
    auroc, precision = console.new_table(title), console.new_table("average precision (AP)")
    for table in (auroc, precision):
        table.add_column("class")
    for name in ("images", "TPR"):  # with recall, the table would be wider than 80 characters
        auroc.add_column(name, justify="right")
    for detector in ("", "PCA", "forest", "SVM"):
        auroc.add_column(f"AUROC\n{detector}", justify="right")
        precision.add_column(f"AP\n{detector}", justify="right")
    rows = [(Text(name), result, "") for name, result in report.classes.items()]
    if len(rows) > 1:
        rows += [(Text("mean"), report.mean, "bold"), (Text("all"), report.pooled, "")]
    for number, (label, result, style) in enumerate(rows):
        if 0 < number == len(report.classes):
            auroc.add_section()
            precision.add_section()
        found = result.detections.values()
        aurocs = [f"{each.auroc:.4f}" for each in found]
        auroc.add_row(label, f"{result.images:,}", f"{result.recall:.3f}", *aurocs, style=style)
        precision.add_row(label, *(f"{each.average_precision:.4f}" for each in found), style=style)
    return [auroc, precision]


def _folder_table(title: str, folders: dict[str, ErrorSummary], total: ErrorSummary) -> Table:
    """A row for each folder, and one for all images."""
    from aecli.data.images import NO_FOLDER

    table = console.new_table(title)
    table.add_column("")
    for name in ("images", "mean mse", "anomalous"):
        table.add_column(name, justify="right")
    for name, summary in folders.items():
        label = Text("in no folder" if name == NO_FOLDER else name)
        table.add_row(label, *_folder_cells(summary))
    table.add_row("all", *_folder_cells(total), style="bold")
    return table


def _folder_cells(summary: ErrorSummary) -> list[str]:
    return [f"{summary.images:,}", f"{summary.mse:.6f}", f"{100 * summary.anomalous:.1f} %"]


def _print_facts(limit: Threshold, facts: dict[str, str]) -> None:
    """Print the threshold, with a warning if it is uncertain, and `facts`."""
    if limit.fpr * limit.images < 1:
        console.warn(
            f"fpr={limit.fpr:g} of {limit.images:,} validation images is less than one image: the "
            f"threshold is their largest error, so which images exceed it is a matter of chance"
        )
    explained = (
        f"mse {limit.mse:.6f}, which {limit.above:,} of {limit.images:,} validation images exceed "
        f"(fpr={limit.fpr:g})"
    )
    console.facts({"threshold": explained, **facts})
