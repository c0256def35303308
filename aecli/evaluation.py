"""A model held against images: pictures of its reconstructions, and its score beside baselines."""

from collections.abc import Callable

import torch
from matplotlib.figure import Figure
from torch import Tensor

from aecli.baselines import fit_pca
from aecli.config import TrainConfig
from aecli.corruption import build_corruption
from aecli.data import Data, Split
from aecli.data.batches import Normalisation, to_pixels
from aecli.figures import Row, image_grid
from aecli.metrics import Score, measure
from aecli.models import Autoencoder
from aecli.randomness import EVALUATION, generator_for

SHOWN_IMAGES = 10

Reconstruct = Callable[[Tensor], Tensor]
"""Pixels (B, C, H, W) -> pixels of the same shape, clipped to [0, 1]."""


def reconstruction(model: Autoencoder, config: TrainConfig) -> Reconstruct:
    """`model` as a function from pixels to pixels, whatever units it was trained in."""
    normalisation = Normalisation(config.data.mean, config.data.std)

    def reconstruct(pixels: Tensor) -> Tensor:
        return normalisation.invert(model.eval()(normalisation.apply(pixels)))

    return reconstruct


def baselines(config: TrainConfig, data: Data) -> dict[str, Reconstruct]:
    """What a model is held against; `LABELS` says what each is called."""
    pca = fit_pca(data.train.images)
    rivals: dict[str, Reconstruct] = {
        "pca": lambda pixels: pca.reconstruct(pixels, config.latent),
        "mean_image": lambda pixels: pca.reconstruct(pixels, 0),
    }
    if build_corruption(config.corruption) is not None:
        rivals["corrupted_input"] = lambda pixels: pixels
    return rivals


LABELS = {
    "model": "autoencoder",
    "pca": "PCA, same latent size",
    "mean_image": "mean image",
    "corrupted_input": "corrupted input as it is",
}


def score(config: TrainConfig, reconstruct: Reconstruct, split: Split) -> Score:
    """Score on `split`, with the corruption of training where there is one.

    The noise is the same at every call, so that scores differ by what is measured alone.
    """
    noise = generator_for(config.seed, EVALUATION, split.images.device)
    return measure(reconstruct, split.images, build_corruption(config.corruption), noise)


def shown_images(split: Split) -> Tensor:
    """The images that pictures show, uint8 (N, C, H, W): the first of each class, then others."""
    first_of_class = [
        int((split.labels == label).nonzero()[0]) for label in split.labels.unique().tolist()
    ]
    others = [index for index in range(len(split)) if index not in first_of_class]
    return split.images[(first_of_class + others)[:SHOWN_IMAGES]]


@torch.inference_mode()
def picture(
    title: str, config: TrainConfig, images: Tensor, reconstructions: dict[str, Reconstruct]
) -> Figure:
    """Originals, their corruption where there is one, and each reconstruction with its error.

    Args:
        title: over the picture.
        images: uint8 (N, C, H, W).
        reconstructions: label -> what makes the row.
    """
    pixels = to_pixels(images)
    rows, inputs = [Row("original", pixels)], pixels
    corrupt = build_corruption(config.corruption, shown=True)
    if corrupt is not None:
        inputs = corrupt(pixels, generator_for(config.seed, EVALUATION, images.device))
        rows.append(Row("corrupted", inputs))
    for label, reconstruct in reconstructions.items():
        output = reconstruct(inputs)
        rows += [Row(label, output), Row("absolute error", abs(output - pixels), is_error=True)]
    return image_grid(title, rows)
