"""Super-resolution by a trained model, by bicubic interpolation and by a linear map."""

from collections.abc import Iterator

import torch
from matplotlib.figure import Figure
from torch import Tensor

from aecli.baselines.restoration import MAX_NUMBERS, Restore, fit_upscaler
from aecli.config import CorruptionKind
from aecli.data import Split
from aecli.data.batches import ordered_batches, to_pixels
from aecli.data.corruption import enlarge, shrink
from aecli.errors import UsageError
from aecli.evaluation.examples import check_example_count, example_indices
from aecli.evaluation.metrics import EVALUATION_BATCH, Score, image_mse, measure, psnr
from aecli.evaluation.scores import checkerboard_period
from aecli.figures import Row, image_grid
from aecli.runs.trained import Trained

MODEL, BICUBIC, LINEAR = "autoencoder", "bicubic", "best linear"

Methods = dict[str, Restore]
"""Name -> function from low-resolution pixels (B, C, h, w) to pixels (B, C, H, W) in [0, 1]."""


def training_factor(trained: Trained) -> int:
    """The factor by which the run's inputs were downsampled.

    Raises:
        UsageError: the run was not trained with corruption=downsample.
    """
    corruption = trained.config.corruption
    if corruption.name is not CorruptionKind.downsample or corruption.factor is None:
        raise UsageError(
            f"{trained.run.path} was not trained to raise resolution: train one with aecli train "
            f"corruption=downsample factor=2"
        )
    return corruption.factor


def example_pixels(split: Split, count: int) -> Tensor:
    """Up to `count` images for a figure, (K, C, H, W) in [0, 1]: the first of each class first.

    Raises:
        UsageError: `count` is 0 or too large for a figure.
    """
    check_example_count(count)
    return to_pixels(split.images[example_indices(split, count)])


def upscaling_methods(trained: Trained, factor: int) -> Methods:
    """The model first, then the baselines.

    The linear map is the one with the smallest mse on the training images. It is left out if the
    images have more than `MAX_NUMBERS` numbers, or the training images are not those of the run.
    """
    _, height, width = trained.model.image_shape

    def bicubic(small: Tensor) -> Tensor:
        return enlarge(small, (height, width))

    methods: Methods = {
        MODEL: lambda small: trained.reconstruct(bicubic(small)),
        BICUBIC: bicubic,
    }
    is_small = trained.images.images[0].numel() <= MAX_NUMBERS
    if is_small and trained.has_training_images:
        methods[LINEAR] = fit_upscaler(trained.data().train.images, factor)
    return methods


def score_methods(trained: Trained, methods: Methods, factor: int) -> dict[str, Score]:
    """The score of each method on all images of `trained`."""
    images, grid = trained.images.images, checkerboard_period(trained.config.model)
    return {
        name: measure(upscaled(images, upscale, factor), grid).score()
        for name, upscale in methods.items()
    }


def upscaled(images: Tensor, upscale: Restore, factor: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of pixels of uint8 `images` (N, C, H, W), each shrunk by `factor` and upscaled."""
    for pixels in ordered_batches(images, EVALUATION_BATCH):
        yield pixels, upscale(shrink(pixels, factor))


@torch.inference_mode()
def figure(title: str, pixels: Tensor, methods: Methods, factor: int) -> Figure:
    """Originals, their low-resolution versions in larger pixels, and the output of each method."""
    small = shrink(pixels, factor)
    height, width = pixels.shape[-2:]
    squares = small.repeat_interleave(factor, -2).repeat_interleave(factor, -1)
    rows = [
        Row("ground truth", pixels),
        Row(f"at {small.shape[-2]}x{small.shape[-1]}", squares[..., :height, :width]),
    ]
    for name in (BICUBIC, LINEAR, MODEL):
        if name in methods:
            output = methods[name](small)
            captions = [f"{psnr(mse):.1f}" for mse in image_mse(pixels, output).tolist()]
            rows.append(Row(f"{name}, psnr in dB", output, captions=captions))
    return image_grid(title, rows)
