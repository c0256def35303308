"""Scores of a model, measured apart from the pass over the images that a command makes."""

from aecli.baselines.contestants import Reconstruct
from aecli.config import TrainConfig
from aecli.data import Split
from aecli.evaluation.metrics import PerImageScores, Score, measure
from aecli.evaluation.scores import checkerboard_period, reconstructed


def per_image_scores(config: TrainConfig, reconstruct: Reconstruct, split: Split) -> PerImageScores:
    """The scores of each image of `split`, with the corruption used in training, if any."""
    return measure(reconstructed(config, reconstruct, split), checkerboard_period(config.model))


def score(config: TrainConfig, reconstruct: Reconstruct, split: Split) -> Score:
    """Their means. Every call draws the same noise."""
    return per_image_scores(config, reconstruct, split).score()
