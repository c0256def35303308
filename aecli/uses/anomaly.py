"""A large error as a sign of something that a model was not trained on."""

import csv
import io
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from aecli.baselines.pca import fit_pca
from aecli.cli import console
from aecli.config import CorruptionConfig
from aecli.data import Data, Split
from aecli.data.batches import to_pixels
from aecli.data.images import NO_FOLDER
from aecli.data.own_images import OwnImages
from aecli.errors import UsageError
from aecli.evaluation.detection import Detection, fit_forest, threshold, tpr_at_fpr
from aecli.evaluation.examination import EXTREMES, LABELS, Examples, reconstructed
from aecli.evaluation.metrics import Reconstruct, mse_of_each
from aecli.figures import Row, error_histogram, panels, roc_curves
from aecli.runs.results import Results
from aecli.runs.trained import Trained

COMMAND = "anomaly"
CSV = "scores.csv"
DETECTORS = {"model": LABELS["model"], "pca": LABELS["pca"], "forest": "isolation forest"}
"""What scores images, and what a person calls it. The threshold is one for the first."""
BINS = 60  # of a histogram
MIN_ERROR = 1e-12  # that has a place in it
RATES = torch.linspace(0, 1, 101, dtype=torch.float64).square()  # closest where curves are steep

Numbers = dict[str, int | float]

Detector = Callable[[Split], Tensor]
"""Images -> how anomalous each of them is (N,), on the CPU."""


@dataclass(frozen=True)
class Scored:
    """Images, and how anomalous each of them is."""

    split: Split
    scores: dict[str, Tensor]  # by detector, (N,) each

    @classmethod
    def by_detectors(cls, detectors: dict[str, Detector], split: Split) -> "Scored":
        return cls(split, {name: score(split) for name, score in detectors.items()})

    @property
    def errors(self) -> Tensor:
        """The mse of the model for each image, (N,)."""
        return self.scores["model"]

    def of_class(self, label: int) -> "Scored":
        which = self.split.labels == label
        scores = {name: each[which.cpu()] for name, each in self.scores.items()}
        return Scored(self.split[which], scores)

    def extremes(self, trained: Trained, most: bool) -> list[Row]:
        """The images with the largest errors, or with the smallest, above their outputs."""
        order = self.errors.argsort(descending=most, stable=True)[:EXTREMES]
        pixels = to_pixels(self.split.images[order.to(self.split.images.device)])
        with torch.inference_mode():
            found = Examples.from_outputs(pixels, trained.reconstruct(pixels))
        captions = [f"{mse:#.2g}" for mse in found.mse.tolist()]
        return [Row("original", pixels, captions=captions), Row("output", found.outputs)]


class Threshold(NamedTuple):
    """Where normal ends."""

    threshold: float
    """The mse above which an image is called anomalous."""
    fpr: float
    """The share of normal images for which that may be wrong."""
    above: int
    """How many validation images are."""
    images: int
    """Validation images in all."""

    @classmethod
    def from_errors(cls, errors: Tensor, fpr: float) -> "Threshold":
        """From the mse of validation images (N,): normal ones that nothing was fitted to."""
        found = threshold(errors, fpr)
        return cls(found, fpr, int((errors > found).sum()), len(errors))

    def share(self, errors: Tensor) -> float:
        """The share of `errors` (N,) that is above."""
        return int((errors > self.threshold).sum()) / len(errors)

    @property
    def explained(self) -> str:
        return (
            f"mse {self.threshold:.6f}, which {self.above:,} of {self.images:,} validation images "
            f"exceed (fpr={self.fpr:g})"
        )


@dataclass(frozen=True)
class ClassResult:
    """How well images that the model was not trained on are told from normal ones."""

    images: int
    recall: float
    """The share of them whose error is above the threshold."""
    detections: dict[str, Detection]
    """By detector."""

    @classmethod
    def from_scores(cls, normal: Scored, others: Scored, limit: Threshold) -> "ClassResult":
        detections = {
            name: Detection.from_scores(normal.scores[name], scores)
            for name, scores in others.scores.items()
        }
        return cls(len(others.split), limit.share(others.errors), detections)

    @classmethod
    def mean(cls, classes: list["ClassResult"]) -> "ClassResult":
        """Over classes, each counting the same."""
        detections = {
            name: Detection(
                statistics.fmean(each.detections[name].auroc for each in classes),
                statistics.fmean(each.detections[name].average_precision for each in classes),
            )
            for name in DETECTORS
        }
        images = sum(each.images for each in classes)
        return cls(images, statistics.fmean(each.recall for each in classes), detections)


@dataclass(frozen=True)
class Histogram:
    """How errors are spread."""

    edges: list[float]
    """Between which they are counted, in equal ratios."""
    shares: dict[str, list[float]]
    """What images -> the share of them between each two of the edges."""

    @classmethod
    def from_errors(cls, kinds: dict[str, Tensor]) -> "Histogram":
        """What images -> the mse of each, (N,)."""
        logs = {kind: mse.double().clamp(min=MIN_ERROR).log() for kind, mse in kinds.items()}
        everything = torch.cat(list(logs.values()))
        low, high = everything.min().item(), everything.max().item()
        edges = torch.linspace(low, high + 1e-6, BINS + 1, dtype=torch.float64)
        shares = {
            kind: (torch.histogram(each, edges).hist / len(each)).tolist()
            for kind, each in logs.items()
        }
        return cls(edges.exp().tolist(), shares)

    def figure(self, title: str, labels: dict[str, str], limit: Threshold) -> Figure:
        """Drawn; `labels` say what images these are."""
        groups = {labels[kind]: shares for kind, shares in self.shares.items()}
        level, label = max(limit.threshold, MIN_ERROR), f"threshold, {limit.threshold:.4g}"
        return error_histogram(title, self.edges, groups, level, label)


@dataclass(frozen=True)
class Findings:
    """What there is to say of images of other classes."""

    classes: dict[str, ClassResult]
    together: ClassResult
    """All of them, whatever their class."""
    limit: Threshold
    false_positive_rate: float
    """The share of normal test images whose error is above the threshold."""
    curves: dict[str, list[float]]
    """Detector -> the share of all of them that is found at each of RATES."""
    spread: Histogram

    @classmethod
    def from_scores(cls, normal: Scored, others: Scored, limit: Threshold) -> "Findings":
        labels = others.split.labels.unique().tolist()
        return cls(
            {
                others.split.class_name(label): ClassResult.from_scores(
                    normal, others.of_class(label), limit
                )
                for label in labels
            },
            ClassResult.from_scores(normal, others, limit),
            limit,
            limit.share(normal.errors),
            {
                name: tpr_at_fpr(RATES, normal.scores[name], scores).tolist()
                for name, scores in others.scores.items()
            },
            Histogram.from_errors({"normal": normal.errors, "others": others.errors}),
        )

    @property
    def mean(self) -> ClassResult:
        return ClassResult.mean(list(self.classes.values()))


def anomaly(trained: Trained, fpr: float, seed: int) -> None:
    """Look among a person's own images, or measure how well those of other classes are found.

    Raises:
        UsageError: a rate or a seed that makes no sense, a library that is not installed, or
            a run to which nothing is unknown.
    """
    if not 0 < fpr < 1:
        raise UsageError(f"fpr={fpr} is not valid: give a share above 0 and below 1, such as 0.05")
    if not 0 <= seed < 2**32:
        raise UsageError(f"seed={seed} is not valid: give a whole number from 0 to 4294967295")
    if trained.own:
        score_own(trained, trained.own, fpr)
    else:
        score_others(trained, fpr, seed)


def score_others(trained: Trained, fpr: float, seed: int) -> None:
    """Tell test images of classes that the run was not trained on from those of its own.

    Raises:
        UsageError: there are none, or a library is not installed.
    """
    data, split = trained.data(), trained.test_of_other_classes()
    if not len(split):
        raise UsageError(
            f"to {trained.run.path} no class is unknown: train a run on some classes, as in "
            f"aecli train data.classes=[3], or give images=..."
        )
    detectors = detectors_of(trained, data, seed)
    normal, others = (
        Scored.by_detectors(detectors, data.test),
        Scored.by_detectors(detectors, split),
    )
    findings = Findings.from_scores(
        normal, others, Threshold.from_errors(detectors["model"](data.validation), fpr)
    )
    title = f"{trained.config.name}, trained on {data.name}"
    kinds = {
        "normal": f"{len(data.test):,} normal test images",
        "others": f"{len(split):,} of other classes",
    }
    with Results(trained.run, COMMAND) as results:
        results.figure("errors", findings.spread.figure(f"{title}: errors", kinds, findings.limit))
        results.figure("roc", _roc(f"{title}: all other classes together", findings))
        results.figure(
            "extremes", _extremes(f"{title}: largest and smallest errors", trained, normal, others)
        )
        how = {"latent": trained.config.latent, "seed": seed, "normal_images": len(data.test)}
        results.numbers(_numbers(findings, how))
    console.table(_table(f"{title}: test images of other classes", findings))
    alarms = (
        f"{100 * findings.false_positive_rate:.2f} % of the {len(data.test):,} normal test images"
    )
    _conclude(findings.limit, {"false positives": alarms, "results": str(results.folder)})


def detectors_of(trained: Trained, data: Data, seed: int) -> dict[str, Detector]:
    """What scores images, by the keys of `DETECTORS`, fitted to the training images of the run.

    Raises:
        UsageError: a library is not installed.
    """
    forest = fit_forest(data.train.images.flatten(1), seed)
    latent = trained.config.latent
    pca = fit_pca(data.train.images, latent)
    return {
        "model": errors_of(trained, trained.reconstruct),
        "pca": errors_of(trained, lambda pixels: pca.reconstruct(pixels, latent)),
        "forest": lambda split: forest(split.images.flatten(1)),
    }


def errors_of(trained: Trained, reconstruct: Reconstruct) -> Detector:
    """The mse of each image. It goes in undamaged: a score should not depend on a draw of noise."""
    config = replace(trained.config, corruption=CorruptionConfig())
    return lambda split: mse_of_each(reconstructed(config, reconstruct, split))


def score_own(trained: Trained, own: OwnImages, fpr: float) -> None:
    """Write the error of each of a person's own images, and whether it is above the threshold."""
    data, detectors = trained.data(), {"model": errors_of(trained, trained.reconstruct)}
    normal, found = (
        Scored.by_detectors(detectors, data.validation),
        Scored.by_detectors(detectors, own.split),
    )
    limit = Threshold.from_errors(normal.errors, fpr)
    spread = Histogram.from_errors({"validation": normal.errors, "own": found.errors})
    kinds = {
        "validation": f"{limit.images:,} validation images",
        "own": f"{len(own.files):,} images of your own",
    }
    folders = own_rows(found, limit)
    title = f"{trained.config.name}, trained on {data.name}: {trained.images_name}"
    with Results(trained.run, COMMAND) as results:
        results.file(CSV, scores_csv(own, found.errors, normal.errors, limit))
        results.figure("errors", spread.figure(title, kinds, limit))
        results.figure("extremes", _own_extremes(title, trained, found))
        results.numbers(
            {
                **own_row(found.errors, limit),
                **_limits(limit),
                "by_folder": folders,
                "histogram": asdict(spread),
            }
        )
    console.table(_own_table(title, folders, own_row(found.errors, limit)))
    _conclude(limit, {"scores": str(results.folder / CSV), "results": str(results.folder)})


def own_rows(found: Scored, limit: Threshold) -> dict[str, Numbers]:
    """For the images of each folder, where there are several."""
    labels = found.split.labels.unique().tolist()
    if len(labels) == 1:
        return {}
    name = found.split.class_name
    return {name(label): own_row(found.of_class(label).errors, limit) for label in labels}


def own_row(errors: Tensor, limit: Threshold) -> Numbers:
    """Of images with these `errors` (N,): how many, how large these are, what share is above."""
    mse = errors.double().mean().item()
    return {"images": len(errors), "mse": mse, "anomalous": limit.share(errors)}


def scores_csv(own: OwnImages, errors: Tensor, normal: Tensor, limit: Threshold) -> bytes:
    """A line for each image, the largest of the `errors` (N,) first.

    Beside the error stands the share of the `normal` ones (M,) that are smaller. Names are written
    as they are, whatever bytes they are made of, so that a program finds the files.
    """
    smaller = torch.searchsorted(normal.sort().values, errors) / len(normal)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["file", "mse", "anomalous", "validation_images_below"])
    for number in errors.argsort(descending=True, stable=True).tolist():
        mse, share = errors[number].item(), smaller[number].item()
        verdict = "true" if mse > limit.threshold else "false"
        writer.writerow([own.files[number], mse, verdict, f"{share:.4f}"])
    return file.getvalue().encode("utf-8", "surrogateescape")


def _roc(title: str, findings: Findings) -> Figure:
    found = findings.together
    curves = {
        f"{DETECTORS[name]}: AUROC {found.detections[name].auroc:.4f}": curve
        for name, curve in findings.curves.items()
    }
    return roc_curves(title, RATES.tolist(), curves, findings.false_positive_rate, found.recall)


def _extremes(title: str, trained: Trained, normal: Scored, others: Scored) -> Figure:
    return panels(
        title,
        {
            "other classes, largest mse": others.extremes(trained, most=True),
            "other classes, smallest mse": others.extremes(trained, most=False),
            "normal images, largest mse": normal.extremes(trained, most=True),
        },
    )


def _own_extremes(title: str, trained: Trained, found: Scored) -> Figure:
    return panels(
        title,
        {
            "largest mse": found.extremes(trained, most=True),
            "smallest mse": found.extremes(trained, most=False),
        },
    )


def _numbers(findings: Findings, how: dict[str, Any]) -> dict[str, Any]:
    """The means over the classes at the top, then everything."""
    means = {}
    for name, detection in findings.mean.detections.items():
        suffix = "" if name == "model" else f"_{name}"
        means[f"auroc{suffix}"] = detection.auroc
        means[f"average_precision{suffix}"] = detection.average_precision
    return {
        **means,
        "recall": findings.mean.recall,
        **_limits(findings.limit),
        "fpr_measured": findings.false_positive_rate,
        **how,
        "by_class": {name: asdict(found) for name, found in findings.classes.items()},
        "all": asdict(findings.together),
        "roc": {"false_positive_rate": RATES.tolist(), "recall": findings.curves},
        "histogram": asdict(findings.spread),
    }


def _limits(limit: Threshold) -> dict[str, Any]:
    return {
        "threshold": limit.threshold, "fpr": limit.fpr, "validation_images": limit.images,
    }  # fmt: skip


def _table(title: str, findings: Findings) -> Table:
    """A row for each class and, where there are several, their mean and all images together."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    table.add_column("class")
    for name in ("images", "recall"):
        table.add_column(name, justify="right")
    for measure in ("AUROC", "AP"):
        for rival in ("", "PCA", "forest"):
            table.add_column(f"{measure}\n{rival}", justify="right")
    for name, found in findings.classes.items():
        table.add_row(escape(name), *_cells(found))
    if len(findings.classes) > 1:
        table.add_section()
        table.add_row("mean", *_cells(findings.mean), style="bold")
        table.add_row("all", *_cells(findings.together))
    return table


def _cells(found: ClassResult) -> list[str]:
    detections = found.detections.values()
    return [
        f"{found.images:,}",
        f"{found.recall:.3f}",
        *(f"{each.auroc:.4f}" for each in detections),
        *(f"{each.average_precision:.4f}" for each in detections),
    ]


def _own_table(title: str, folders: dict[str, Numbers], everything: Numbers) -> Table:
    """A row for each folder, and one for all images."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    table.add_column("")
    for name in ("images", "mean mse", "anomalous"):
        table.add_column(name, justify="right")
    for name, row in folders.items():
        table.add_row("in no folder" if name == NO_FOLDER else escape(name), *_own_cells(row))
    table.add_row("all", *_own_cells(everything), style="bold")
    return table


def _own_cells(row: Numbers) -> list[str]:
    return [f"{row['images']:,}", f"{row['mse']:.6f}", f"{100 * row['anomalous']:.1f} %"]


def _conclude(limit: Threshold, facts: dict[str, str]) -> None:
    """Where the threshold lies, and what must be known of it."""
    if limit.fpr * limit.images < 1:
        console.warn(
            f"fpr={limit.fpr:g} of {limit.images:,} validation images is less than one image: the "
            f"threshold is the largest error of them, and what exceeds it a matter of chance"
        )
    console.facts({"threshold": limit.explained, **facts})
