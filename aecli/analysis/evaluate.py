"""Test scores of a trained model and of the baselines, overall and by class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from aecli.baselines.contestants import LABELS
from aecli.baselines.pca import pca_of
from aecli.config import Loss, Upsampling
from aecli.data import Split
from aecli.data.batches import to_pixels
from aecli.data.corruption import binarize
from aecli.errors import UsageError
from aecli.evaluation.likelihood import (
    Likelihood,
    bernoulli_log_likelihood,
    importance_weighted,
)
from aecli.evaluation.linear import angles_to_pca, is_linear
from aecli.evaluation.metrics import PerImageScores, Score, is_exact
from aecli.evaluation.scores import Extremes, score_alone, score_test_split
from aecli.figures import Row, grouped_bars, panels
from aecli.runs.trained import Trained

LIKELIHOOD_SEED = 0
"""Seed for binarising the pixels, and for drawing the codes."""
ALL_CLASSES = "all"
"""Label of the score over all classes; a class may have the same name."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model and its baselines, and the model's extremes."""

    overall: dict[str, Score]
    """Model or baseline, by the names of `LABELS` -> its score over all classes."""
    by_class: dict[str, dict[str, Score]]
    """Model or baseline -> class -> score, as in `scores_by_class`."""
    sizes: dict[str, int]
    """Class -> number of images."""
    extremes: Extremes
    """The images that the model reconstructs best and worst."""
    angles_to_pca: list[float] | None
    """In degrees, the largest first; None if the network is not linear, or PCA was not fitted."""

    @property
    def rows(self) -> list[EvaluationRow]:
        """Over all classes, then of each class if there are several."""
        model, pca = self.by_class["model"], self.by_class.get("pca", {})
        total = sum(self.sizes.values())
        return [
            EvaluationRow(ALL_CLASSES, total, self.overall["model"], self.overall.get("pca")),
            *(EvaluationRow(name, self.sizes[name], model[name], pca.get(name)) for name in model),
        ]


class EvaluationRow(NamedTuple):
    """The model's score on some images, and PCA's."""

    label: str
    images: int
    model: Score
    pca: Score | None
    """None if it was not measured."""

    @property
    def ratio_to_pca(self) -> float | None:
        """mse of the model / mse of PCA; infinite if the error of PCA is only rounding."""
        if self.pca is None:
            return None
        return float("inf") if is_exact(self.pca.mse) else self.model.mse / self.pca.mse


def evaluate(trained: Trained) -> Evaluation:
    """Score the model and its baselines on the images of `trained`.

    On the test images, the scores over all classes are those in the run's summary. Baselines are
    left out if the images that they would be fitted to are not those that the model was trained on.
    """
    config, images = trained.config, trained.images
    angles = None
    if trained.has_training_images:
        data = trained.data()
        scores = score_test_split(config, data, trained.reconstruct)
        if is_linear(config):
            angles = angles_to_pca(trained.model, pca_of(data.train, config.latent))
    else:
        scores = score_alone(config, images, trained.reconstruct)
    measured = scores.measured
    return Evaluation(
        {name: each.score() for name, each in measured.items()},
        {name: scores_by_class(each, images) for name, each in measured.items()},
        Counter(map(images.class_name, images.labels.tolist())),
        scores.extremes,
        angles,
    )


def check_likelihood(trained: Trained, samples: int) -> None:
    """Check that the likelihood can be estimated with so many `samples`.

    Raises:
        UsageError: it cannot.
    """
    if samples < 1:
        raise UsageError(f"likelihood={samples} is not valid: give 1 or more, as in 5000")
    config = trained.config
    if not config.has_gaussian_code or config.loss is not Loss.bce:
        raise UsageError(
            f"likelihood={samples} needs a run with regularizer=vae loss=bce, and this one has "
            f"regularizer={config.regularizer.name.name} loss={config.loss.name}: leave "
            f"likelihood out, or give another run"
        )
    if config.upsample.name is Upsampling.max_unpool:
        raise UsageError(
            f"likelihood={samples} needs a decoder that draws from the code alone, and that of "
            f"{trained.run.path} also gets the positions of the maxima: leave likelihood out, or "
            f"give a run without upsample=max_unpool"
        )


@torch.inference_mode()
def likelihood(trained: Trained, samples: int, advance: Callable[[int], None]) -> Likelihood:
    """Estimate the likelihood of the images of `trained`, binarised, with so many codes each.

    The pixels are drawn once, with their grey values as probabilities, and are the same for every
    run. `advance` is called after each batch with the number of its images.
    """
    model, device = trained.model, trained.device

    def decoder(images: Tensor, codes: Tensor) -> Tensor:
        logits = model.run_decoder(codes.flatten(0, 1), [], to_logits=True)
        return bernoulli_log_likelihood(images, logits.unflatten(0, codes.shape[:2]))

    # On the CPU: a GPU would draw other pixels.
    pixels = torch.Generator().manual_seed(LIKELIHOOD_SEED)
    images = binarize(to_pixels(trained.images.images.cpu()), pixels).to(device)
    return importance_weighted(
        images,
        lambda batch: model.encode_distribution(batch, []),
        decoder,
        samples,
        torch.Generator(device).manual_seed(LIKELIHOOD_SEED),
        advance,
    )


def scores_by_class(measured: PerImageScores, split: Split) -> dict[str, Score]:
    """The score of each class; empty if there is only one."""
    labels = split.labels.cpu()
    classes = labels.unique().tolist()
    if len(classes) == 1:
        return {}
    return {split.class_name(label): measured.subset_score(labels == label) for label in classes}


def mse_figure(title: str, rows: list[EvaluationRow]) -> Figure:
    """The mse of the model and of PCA, if measured, as bars, a group for each row."""
    groups = []
    for row in rows:
        scores = {"model": row.model} if row.pca is None else {"model": row.model, "pca": row.pca}
        groups.append((row.label, {LABELS[name]: each.mse for name, each in scores.items()}))
    return grouped_bars(title, "mse (pixels in [0, 1])", groups)


def extremes_figure(title: str, extremes: Extremes) -> Figure:
    """The best and the worst reconstructions, with the mse above each image."""
    return panels(
        title,
        {
            f"{end} reconstructed": [
                Row("original", examples.pixels, captions=[f"{mse:.2g}" for mse in examples.mse]),
                Row("reconstruction", examples.outputs),
            ]
            for end, examples in (("best", extremes.best), ("worst", extremes.worst))
        },
    )
