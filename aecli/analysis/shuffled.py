"""Anomaly detection where pixels are not correlated: each image's pixels are shuffled.

The reconstruction error tells unknown images from known ones because the pixels of the known ones
depend on one another, and the network has learned how. A different permutation for each image
removes these dependencies, and leaves only how many pixels have each grey level, and so the
brightness.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from aecli.analysis.anomaly import DETECTORS, fit_detectors
from aecli.data import Data, Split
from aecli.data.batches import to_pixels
from aecli.data.shuffled import shuffle_split
from aecli.errors import DivergenceError
from aecli.evaluation.anomaly import Detector, ScoredImages
from aecli.evaluation.detection import AurocInterval, auroc_difference, auroc_interval
from aecli.figures import Row, interval_dots, panels
from aecli.models import Autoencoder
from aecli.runs.trained import Trained
from aecli.training.callback import Callback
from aecli.training.loop import new_model, train
from aecli.training.state import TrainingState

BRIGHTNESS = "brightness"
LABELS = {**DETECTORS, BRIGHTNESS: "brightness alone"}
ORDERED, SHUFFLED, REFITTED = "ordered", "shuffled", "refitted"
SETTINGS = {
    ORDERED: "images as they are",
    SHUFFLED: "pixels shuffled",
    REFITTED: "pixels shuffled, also in training",
}
"""Setting -> label. In all but the last, the detectors are fitted to images that are not
shuffled."""
SHOWN = 5  # images of each kind in the figure


@dataclass(frozen=True)
class ShuffledReport:
    """How well each detector does with the pixels in order, and with shuffled ones."""

    auroc: dict[str, dict[str, AurocInterval]]
    """Setting -> detector -> its AUROC on all other classes together."""
    change: dict[str, dict[str, AurocInterval]]
    """Setting but the first -> detector -> its AUROC minus that with the pixels in order."""
    retrained: Autoencoder
    """Trained on shuffled images, with the settings of the run."""

    def findings(self) -> list[str]:
        """What shuffling changes for the network, and how far brightness alone goes."""
        before = self.auroc[ORDERED]["model"].value
        sentences = []
        for setting, where in (
            (SHUFFLED, "On shuffled pixels"),
            (REFITTED, "Trained on shuffled pixels too"),
        ):
            after, change = self.auroc[setting]["model"], self.change[setting]["model"]
            verdict = "does not change significantly"
            if not change.low <= 0 <= change.high:
                verdict = "falls" if change.value < 0 else "rises"
            sentences.append(
                f"{where}, the AUROC of the autoencoder {verdict}: {before:.3f} to "
                f"{after.value:.3f} (difference {change.value:+.3f}, 95 % interval "
                f"{change.low:+.3f} to {change.high:+.3f})."
            )
        brightness = self.auroc[ORDERED][BRIGHTNESS].value
        sentences.append(
            "Shuffling keeps the grey levels of each image: the distance from the mean brightness "
            f"alone has an AUROC of {brightness:.3f}; 0.5 is chance, and below it the other "
            "classes have the lower scores."
        )
        return sentences

    def as_json(self) -> dict[str, Any]:
        tables = {"auroc": self.auroc, "difference": self.change}
        numbers: dict[str, Any] = {
            key: {
                setting: {name: each._asdict() for name, each in by_detector.items()}
                for setting, by_detector in table.items()
            }
            for key, table in tables.items()
        }
        return {**numbers, "findings": self.findings()}


class _EpochCallback(Callback):
    """Reports each epoch; nothing is saved."""

    def __init__(self, trained: Trained, on_epoch_end: Callable[[], None]) -> None:
        super().__init__(trained.run)
        self._report = on_epoch_end

    def on_epoch_end(self) -> None:
        self._report()


def compare_shuffled(
    trained: Trained, seed: int, on_epoch_end: Callable[[], None] = lambda: None
) -> ShuffledReport:
    """Detect images of other classes with and without shuffled pixels.

    Args:
        trained: a run on some of the classes.
        seed: of the permutations, and of the isolation forest.
        on_epoch_end: called after each epoch of the training on shuffled images.

    Raises:
        UsageError: a library is not installed.
        DivergenceError: the training on shuffled images diverged.
    """
    data, others = trained.data(), trained.test_of_other_classes()
    shuffled = replace(
        data,
        train=shuffle_split(data.train, seed),
        validation=shuffle_split(data.validation, seed + 1),
        test=shuffle_split(data.test, seed + 2),
    )
    shuffled_others = shuffle_split(others, seed + 3)
    retrained = replace(trained, model=train_again(trained, shuffled, on_epoch_end))
    detectors = {**fit_detectors(trained, data, seed), BRIGHTNESS: brightness_detector(data.train)}
    refitted = {
        **fit_detectors(retrained, shuffled, seed),
        BRIGHTNESS: brightness_detector(shuffled.train),
    }
    scores = {
        ORDERED: _score(detectors, data.test, others),
        SHUFFLED: _score(detectors, shuffled.test, shuffled_others),
        REFITTED: _score(refitted, shuffled.test, shuffled_others),
    }
    auroc = {
        setting: {name: auroc_interval(*pair) for name, pair in by_detector.items()}
        for setting, by_detector in scores.items()
    }
    change = {
        setting: {
            name: auroc_difference(pair, scores[ORDERED][name])
            for name, pair in scores[setting].items()
        }
        for setting in (SHUFFLED, REFITTED)
    }
    return ShuffledReport(auroc, change, retrained.model)


def train_again(trained: Trained, data: Data, on_epoch_end: Callable[[], None]) -> Autoencoder:
    """A network trained on other images with the settings and the seed of the run; not saved.

    Raises:
        DivergenceError: the training diverged.
    """
    state = TrainingState(trained.config, new_model(trained.config, data), {})
    try:
        train(trained.config, data, state, _EpochCallback(trained, on_epoch_end))
    except DivergenceError as error:
        raise DivergenceError(
            "the network trained on shuffled images diverged in its epoch "
            f"{state.epoch}: without shuffle=true the run itself is measured"
        ) from error
    return state.model.eval()


def brightness_detector(train: Split) -> Detector:
    """Score an image by how far the mean of its pixels is from that of the training images."""
    usual = _brightness(train).mean()
    return lambda split: (_brightness(split) - usual).abs()


def _brightness(split: Split) -> Tensor:
    """The mean pixel of each image, (N,)."""
    return split.images.flatten(1).float().mean(1).cpu() / 255


def _score(
    detectors: dict[str, Detector], normal: Split, others: Split
) -> dict[str, tuple[Tensor, Tensor]]:
    """Detector -> its scores of the normal images, and of the others."""
    both = [ScoredImages.from_detectors(detectors, split).scores for split in (normal, others)]
    return {name: (both[0][name], both[1][name]) for name in detectors}


def auroc_figure(title: str, report: ShuffledReport) -> Figure:
    """The AUROC of each detector in each setting, with its interval."""
    rows = {
        LABELS[detector]: {
            SETTINGS[setting]: report.auroc[setting][detector] for setting in report.auroc
        }
        for detector in LABELS
    }
    return interval_dots(title, "AUROC on all other classes", rows, 0.5, "chance")


@torch.inference_mode()
def images_figure(title: str, trained: Trained, report: ShuffledReport, seed: int) -> Figure:
    """Normal images and others, in order and shuffled, with their reconstructions."""
    data, others = trained.data(), trained.test_of_other_classes()
    retrained = replace(trained, model=report.retrained)
    grids = {}
    splits = (data.test, seed + 2), (others, seed + 3)
    for heading, (split, number) in zip(("normal", "other classes"), splits, strict=True):
        pixels = to_pixels(split[:SHOWN].images)
        shuffled = to_pixels(shuffle_split(split, number)[:SHOWN].images)
        grids[heading] = [
            Row("original", pixels),
            Row("reconstruction", trained.reconstruct(pixels)),
            Row("shuffled", shuffled),
            Row("reconstruction", trained.reconstruct(shuffled)),
            Row("by the network trained on shuffled images", retrained.reconstruct(shuffled)),
        ]
    return panels(title, grids)
