"""A model and its baselines measured on a split, in one pass over its images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aecli.baselines.contestants import Reconstruct, baselines
from aecli.baselines.pca import PCA, pca_of
from aecli.config import ConvConfig, ModelConfig, TrainConfig
from aecli.data import Data, Split
from aecli.data.batches import Normalisation
from aecli.data.corruption import build_corruption
from aecli.evaluation.checkerboard import CheckerboardAccumulator
from aecli.evaluation.metrics import (
    PerImageScores,
    Score,
    ScoreAccumulator,
    SSIMWindows,
    corrupted_batches,
    image_mse,
)
from aecli.models import Autoencoder
from aecli.runtime.rng import EVALUATION, generator_for

EXTREMES = 5  # images kept as the best and as the worst reconstructed
DEFAULT_STRIDE = 2


def make_reconstruct_fn(model: Autoencoder, config: TrainConfig) -> Reconstruct:
    """Wrap `model` as a function from pixels to pixels, whatever units it was trained in."""
    normalisation = Normalisation(config.data.mean, config.data.std)

    def reconstruct(pixels: Tensor) -> Tensor:
        return normalisation.invert(model.eval()(normalisation.apply(pixels)))

    return reconstruct


UNPOOLING_BYPASSES_CODE = (
    "the max-pooling indices bypass the code, so the error is not that of a code of the latent size"
)
"""The caveat where a decoder with max-unpooling is compared with a baseline."""


def checkerboard_period(model: ModelConfig) -> int:
    """The period, in pixels, at which a decoder may leave a pattern in its output.

    That is the stride of the last layer that upsamples; the patterns of earlier ones are blurred
    by the layers after them. A model without strides is measured at the most common stride.
    """
    strides = [layer.stride for layer in model.layers] if isinstance(model, ConvConfig) else []
    return next((stride for stride in strides if stride > 1), DEFAULT_STRIDE)


def pca_curve_sizes(config: TrainConfig, data: Data) -> list[int]:
    """The latent sizes of the PCA curve: the powers of two below the size of an image.

    The curve ends early if there are fewer components: with few images, or with many large ones.
    """
    pca, pixels_per_image = pca_of(data.train, config.latent), data.train.images[0].numel()
    largest = min(pixels_per_image - 1, len(pca.components))
    return [2**power for power in range(largest.bit_length()) if 2**power <= largest]


@dataclass(frozen=True)
class ReferenceScores:
    """Reference values that are constant during training: lines in its charts."""

    mse: dict[str, float]
    """The mse of each baseline, keyed as in `LABELS`; empty without validation images."""

    checkerboard: float | None
    """The score of the original images."""


@torch.inference_mode()
def reference_scores(config: TrainConfig, data: Data) -> ReferenceScores:
    """Measure the baselines on the validation images, in one pass over them."""
    if not config.data.has_validation:
        return ReferenceScores({}, None)
    functions, split = baselines(config, data), data.validation
    errors: dict[str, list[Tensor]] = {name: [] for name in functions}
    originals = CheckerboardAccumulator(split.images.shape[1:], split.images.device)
    for pixels, inputs in corrupted(config, split):
        originals.add(pixels)
        for name, reconstruct in functions.items():
            errors[name].append(image_mse(pixels, reconstruct(inputs)))
    return ReferenceScores(
        {name: _mean(each) for name, each in errors.items()},
        originals.score(checkerboard_period(config.model)),
    )


@dataclass(frozen=True)
class SplitScores:
    """The results of one pass over a split, for a model and its baselines."""

    measured: dict[str, PerImageScores]
    """The scores of the model, which comes first, and of each baseline, if any, keyed as in
    `LABELS`."""

    extremes: "Extremes"
    """The extremes of the model."""

    checkerboard_of_originals: float | None

    pca_curve: dict[int, float]
    """Latent size -> mse of PCA."""

    @property
    def scores(self) -> dict[str, Score]:
        return {name: each.score() for name, each in self.measured.items()}


@torch.inference_mode()
def score_test_split(
    config: TrainConfig, data: Data, reconstruct: Reconstruct, sizes: Sequence[int] = ()
) -> SplitScores:
    """Measure a model and its baselines on the test images, in one pass over them.

    Args:
        config: the model's configuration.
        data: its training data and the test images.
        reconstruct: the model.
        sizes: latent sizes at which PCA is measured as well.
    """
    functions = {"model": reconstruct, **baselines(config, data)}
    return _score_split(config, data.test, functions, pca_of(data.train, config.latent), sizes)


@torch.inference_mode()
def score_alone(config: TrainConfig, split: Split, reconstruct: Reconstruct) -> SplitScores:
    """Measure a model without baselines, whose training images may not be available."""
    return _score_split(config, split, {"model": reconstruct}, None, ())


def _score_split(
    config: TrainConfig,
    split: Split,
    functions: dict[str, Reconstruct],
    pca: PCA | None,
    sizes: Sequence[int],
) -> SplitScores:
    grid, largest = checkerboard_period(config.model), max(sizes, default=0)
    layout = split.images.shape[1:], split.images.device
    accumulators = {name: ScoreAccumulator(*layout) for name in functions}
    extremes, originals = _ExtremesAccumulator(*layout), CheckerboardAccumulator(*layout)
    curve: dict[int, list[Tensor]] = {size: [] for size in sizes}
    for pixels, inputs in corrupted(config, split):  # (B, C, H, W) each
        originals.add(pixels)
        windows = SSIMWindows.from_pixels(pixels)
        for name, function in functions.items():
            outputs = function(inputs)
            errors = accumulators[name].add(pixels, windows, outputs)
            if name == "model":
                extremes.add(Examples(pixels, outputs, errors))
        if pca is not None:
            codes = pca.encode(inputs, largest)
            for size in sizes:
                outputs = pca.decode(codes[:, :size]).reshape(pixels.shape)
                curve[size].append(image_mse(pixels, outputs))
    return SplitScores(
        {name: each.measured(grid) for name, each in accumulators.items()},
        extremes.extremes(),
        originals.score(grid),
        {size: _mean(each) for size, each in curve.items()},
    )


def _mean(errors: list[Tensor]) -> float:
    """Mean over all images, from a tensor (B,) with the mse of each image for every batch."""
    return torch.cat(errors).double().mean().item()


@dataclass(frozen=True)
class Examples:
    """Some images, their reconstructions, and the error of each."""

    pixels: Tensor  # (K, C, H, W) in [0, 1]
    outputs: Tensor  # (K, C, H, W) in [0, 1]
    mse: Tensor  # (K,)

    @classmethod
    def from_outputs(cls, pixels: Tensor, outputs: Tensor) -> "Examples":
        return cls(pixels, outputs, image_mse(pixels, outputs))

    def __getitem__(self, index: slice | Tensor) -> "Examples":
        return Examples(self.pixels[index], self.outputs[index], self.mse[index])

    def joined(self, other: "Examples") -> "Examples":
        pixels = torch.cat([self.pixels, other.pixels])
        outputs = torch.cat([self.outputs, other.outputs])
        return Examples(pixels, outputs, torch.cat([self.mse, other.mse]))


@dataclass(frozen=True)
class Extremes:
    """The best and the worst reconstructed images of a split, and the means over all."""

    best: Examples
    """Those with the smallest error, smallest first."""
    worst: Examples
    """Those with the largest error, largest first."""
    mean: Examples
    """The mean image, the mean output, and the mse between the two."""


class _ExtremesAccumulator:
    """Collects `Extremes` batch by batch."""

    def __init__(self, image_shape: torch.Size, device: torch.device) -> None:
        self._kept: Examples | None = None  # the best and the worst so far, by increasing error
        self._sums = [CheckerboardAccumulator(image_shape, device) for _ in range(2)]

    def add(self, examples: Examples) -> None:
        pool = examples if self._kept is None else self._kept.joined(examples)
        order = pool.mse.argsort(stable=True)
        self._kept = pool[torch.cat([order[:EXTREMES], order[EXTREMES:][-EXTREMES:]])]
        for total, images in zip(self._sums, (examples.pixels, examples.outputs), strict=True):
            total.add(images)

    def extremes(self) -> Extremes:
        kept = self._kept
        assert kept is not None, "a split has images"
        last_first = torch.arange(len(kept.mse) - 1, -1, -1, device=kept.mse.device)
        mean = Examples.from_outputs(*(total.mean().unsqueeze(0) for total in self._sums))
        return Extremes(kept[:EXTREMES], kept[last_first][:EXTREMES], mean)


def corrupted(config: TrainConfig, split: Split) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of all images of `split` in order, (B, C, H, W) each: the clean pixels and the
    encoder's input. Every call draws the same noise."""
    noise = generator_for(config.seed, EVALUATION, split.images.device)
    return corrupted_batches(split.images, build_corruption(config.corruption), noise)


def reconstructed(
    config: TrainConfig, reconstruct: Reconstruct, split: Split
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of all images of `split`, each with the reconstructions of the encoder's inputs."""
    for pixels, inputs in corrupted(config, split):
        yield pixels, reconstruct(inputs)
