"""Reconstructions of images by a trained model."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from matplotlib.figure import Figure
from torch import Tensor

from aecli.baselines.contestants import LABELS, baselines
from aecli.config import CorruptionConfig, TrainConfig
from aecli.evaluation.examples import (
    ExampleImages,
    check_example_count,
    example_images,
    example_indices,
    reconstruction_figure,
)
from aecli.evaluation.metrics import image_mse, psnr
from aecli.evaluation.scores import reconstructed
from aecli.figures import as_png
from aecli.runs.trained import Trained


@dataclass(frozen=True)
class Reconstructions:
    """K images and their reconstructions."""

    examples: ExampleImages
    outputs: Tensor  # (K, C, H, W) in [0, 1]
    pca: Tensor | None
    """The same by PCA of the same size; None for the user's own images, and without the images that
    the run was trained on."""
    mse: dict[str, float]
    """Name of the image -> mean squared error of its reconstruction."""

    @property
    def psnr(self) -> dict[str, float]:
        """Name of the image -> peak signal-to-noise ratio in dB."""
        return {name: psnr(mse) for name, mse in self.mse.items()}

    @property
    def mean_mse(self) -> float:
        return sum(self.mse.values()) / len(self.mse)

    @property
    def mean_psnr(self) -> float:
        """The psnr in dB of the mean mse."""
        return psnr(self.mean_mse)


def reconstruct(trained: Trained, count: int, corrupt: bool) -> Reconstructions:
    """Reconstruct up to `count` images: the first of each class, then others.

    Args:
        trained: the run.
        count: number of images.
        corrupt: apply the corruption that the run was trained with, if any.

    Raises:
        UsageError: `count` is 0 or too large for a figure.
    """
    check_example_count(count)
    numbers = example_indices(trained.images, count)
    examples = example_images(_config(trained, corrupt), trained.images, count)
    with torch.inference_mode():
        outputs = trained.reconstruct(examples.inputs)
        pca = _by_pca(trained, examples.inputs)
    names = trained.image_names(numbers)
    errors = image_mse(examples.pixels, outputs).tolist()
    return Reconstructions(examples, outputs, pca, dict(zip(names, errors, strict=True)))


def _by_pca(trained: Trained, inputs: Tensor) -> Tensor | None:
    # For the user's own images the data set is not needed, and may not be there.
    if trained.own is not None or not trained.has_training_images:
        return None
    return baselines(trained.config, trained.data())["pca"](inputs)


def output_files(trained: Trained, corrupt: bool) -> Iterator[tuple[str, bytes]]:
    """Reconstruct each of the user's images, if any: the name and the content of a PNG file.

    The number at the start of a name distinguishes files of the same name in different folders.
    """
    if trained.own is None:
        return
    files = iter(enumerate(trained.own.files))
    config = _config(trained, corrupt)
    for _, outputs in reconstructed(config, trained.reconstruct, trained.images):
        for output in outputs:
            number, file = next(files)
            yield f"{number:04}-{file.stem}.png", as_png(output)


def _config(trained: Trained, corrupt: bool) -> TrainConfig:
    """The run's configuration, without its corruption unless `corrupt`."""
    return trained.config if corrupt else replace(trained.config, corruption=CorruptionConfig())


def figure(title: str, reconstructions: Reconstructions) -> Figure:
    """Originals, their corrupted versions if any, the reconstructions by the model and by PCA if
    there is one, and their absolute errors."""
    shown = {"model": reconstructions.outputs, "pca": reconstructions.pca}
    rows = {LABELS[name]: images for name, images in shown.items() if images is not None}
    return reconstruction_figure(title, reconstructions.examples, rows)
