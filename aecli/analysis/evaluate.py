"""Test scores of a trained model and of the baselines, overall and by class."""

from collections import Counter
from dataclasses import dataclass

from matplotlib.figure import Figure

from aecli.baselines.contestants import LABELS
from aecli.comparison.results import is_exact
from aecli.data import Split
from aecli.evaluation.examination import Extremes, examine, examine_alone
from aecli.evaluation.metrics import PerImageScores, Score
from aecli.figures import Row, grouped_bars, panels
from aecli.runs.trained import Trained

ALL_CLASSES = "all"
"""Key of the score over all classes."""

Scores = dict[str, dict[str, Score]]
"""Model or baseline, by the names of `LABELS` -> class, as in `scores_by_class` -> score."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model and its baselines, and the model's extremes."""

    scores: Scores
    sizes: dict[str, int]
    """Class -> number of images, as in `class_sizes`."""
    extremes: Extremes
    """The images that the model reconstructs best and worst."""

    @property
    def ratio_to_pca(self) -> dict[str, float]:
        """Class -> mse of the model / mse of PCA; infinite if the error of PCA is only rounding.
        Empty without PCA."""
        if "pca" not in self.scores:
            return {}
        pca = {name: score.mse for name, score in self.scores["pca"].items()}
        return {
            name: float("inf") if is_exact(pca[name]) else score.mse / pca[name]
            for name, score in self.scores["model"].items()
        }


def evaluate(trained: Trained) -> Evaluation:
    """Score the model and its baselines on the images of `trained`.

    On the test images, the scores over all classes are those in the run's summary. Baselines are
    left out if the images that they would be fitted to are not those that the model was trained on.
    """
    config, images = trained.config, trained.images
    if trained.has_training_images:
        examination = examine(config, trained.data(), trained.reconstruct)
    else:
        examination = examine_alone(config, images, trained.reconstruct)
    scores = {
        name: scores_by_class(measured, images) for name, measured in examination.measured.items()
    }
    return Evaluation(scores, class_sizes(images), examination.extremes)


def scores_by_class(measured: PerImageScores, split: Split) -> dict[str, Score]:
    """The score over all classes and, if there are several, the score of each class."""
    labels = split.labels.cpu()
    classes = labels.unique().tolist()
    by_class = {
        split.class_name(label): measured.subset_score(labels == label) for label in classes
    }
    return {ALL_CLASSES: measured.score(), **(by_class if len(classes) > 1 else {})}


def class_sizes(split: Split) -> dict[str, int]:
    """The number of images in each class, and in all of them."""
    return {**Counter(map(split.class_name, split.labels.tolist())), ALL_CLASSES: len(split)}


def mse_figure(title: str, scores: Scores) -> Figure:
    """The mse of the model and of PCA, if measured, as bars, a group for each class."""
    labels = {name: LABELS[name] for name in ("model", "pca") if name in scores}
    groups = {
        row: {label: scores[name][row].mse for name, label in labels.items()}
        for row in scores["model"]
    }
    return grouped_bars(title, "mse (pixels in [0, 1])", groups)


def extremes_figure(title: str, extremes: Extremes) -> Figure:
    """The best and the worst reconstructions, with the mse above each image."""
    return panels(
        title,
        {
            f"{end} reconstructed": [
                Row("original", examples.pixels, captions=[f"{mse:.2g}" for mse in examples.mse]),
                Row("output", examples.outputs),
            ]
            for end, examples in (("best", extremes.best), ("worst", extremes.worst))
        },
    )
