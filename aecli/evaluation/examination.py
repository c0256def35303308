"""A model held against images: pictures of its reconstructions, and its score beside baselines."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from aecli.baselines.pca import fit_pca
from aecli.config import ConvConfig, ModelConfig, TrainConfig
from aecli.data import Data, Split
from aecli.data.batches import Normalisation, to_pixels
from aecli.data.corruption import build_corruption
from aecli.errors import UsageError
from aecli.evaluation.checkerboard import CheckerboardAccumulator
from aecli.evaluation.metrics import (
    PerImageScores,
    Reconstruct,
    Score,
    ScoreAccumulator,
    SSIMWindows,
    corrupted_batches,
    image_mse,
    measure,
)
from aecli.models import Autoencoder
from aecli.runtime.rng import EVALUATION, generator_for

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXAMPLE_IMAGES = 10
MAX_EXAMPLES = 24  # in a row, beyond which they would be too small to see
EXTREMES = 5  # of the best and of the worst reconstructed images
COMMON_STRIDE = 2


def make_reconstruct_fn(model: Autoencoder, config: TrainConfig) -> Reconstruct:
    """`model` as a function from pixels to pixels, whatever units it was trained in."""
    normalisation = Normalisation(config.data.mean, config.data.std)

    def reconstruct(pixels: Tensor) -> Tensor:
        return normalisation.invert(model.eval()(normalisation.apply(pixels)))

    return reconstruct


def baselines(config: TrainConfig, data: Data) -> dict[str, Reconstruct]:
    """What a model is held against; `LABELS` says what each is called."""
    pca = fit_pca(data.train.images, config.latent)
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


UNPOOLING_BYPASSES_CODE = (
    "the places of the maxima reach the decoder past the code, so the error is not that of a code "
    "of the latent size"
)
"""What must be known of a decoder that unpools when it is held against a baseline."""


def score(config: TrainConfig, reconstruct: Reconstruct, split: Split) -> Score:
    """Score on `split`, with the corruption of training where there is one.

    The noise is the same at every call, so that scores differ by what is measured alone.
    """
    return measured(config, reconstruct, split).score()


def measured(config: TrainConfig, reconstruct: Reconstruct, split: Split) -> PerImageScores:
    """What the score is made of: each image of `split` by itself."""
    return measure(reconstructed(config, reconstruct, split), stride_grid(config.model))


def stride_grid(model: ModelConfig) -> int:
    """The period, in pixels, at which a decoder may leave a pattern in its output.

    That is the stride of the layer that enlarges last; what the ones before it leave is blurred by
    the layers behind them. A model that does not stride is measured at the commonest one.
    """
    strides = [layer.stride for layer in model.layers] if isinstance(model, ConvConfig) else []
    return next((stride for stride in strides if stride > 1), COMMON_STRIDE)


def pca_curve_sizes(config: TrainConfig, data: Data) -> list[int]:
    """The latent sizes of PCA's curve: the powers of two below the size of an image.

    It ends where there are no more components: with few images, and with many large ones.
    """
    pca, pixels_per_image = fit_pca(data.train.images, config.latent), data.train.images[0].numel()
    most = min(pixels_per_image - 1, len(pca.components))
    return [2**power for power in range(most.bit_length()) if 2**power <= most]


@dataclass(frozen=True)
class Levels:
    """What stays the same while a model is trained: lines beside its curves."""

    mse: dict[str, float]
    """Of each baseline, by the names of `LABELS`."""

    checkerboard: float | None
    """The score of the images themselves."""


@torch.inference_mode()
def levels(config: TrainConfig, data: Data) -> Levels:
    """Hold the baselines against the validation images, in one pass over them."""
    rivals, split = baselines(config, data), data.validation
    errors: dict[str, list[Tensor]] = {name: [] for name in rivals}
    originals = CheckerboardAccumulator(split.images.shape[1:], split.images.device)
    for pixels, inputs in corrupted(config, split):
        originals.add(pixels)
        for name, reconstruct in rivals.items():
            errors[name].append(image_mse(pixels, reconstruct(inputs)))
    return Levels(
        {name: _mean(each) for name, each in errors.items()},
        originals.score(stride_grid(config.model)),
    )


@dataclass(frozen=True)
class Examination:
    """What one pass over a split tells of a model and of its baselines."""

    measured: dict[str, PerImageScores]
    """Of each contestant, by the names of `LABELS`; the model is the first."""

    survey: "Extremes"
    """Of the model."""

    checkerboard_of_originals: float | None

    pca_curve: dict[int, float]
    """Latent size -> mse of PCA."""

    @property
    def scores(self) -> dict[str, Score]:
        return {name: each.score() for name, each in self.measured.items()}


@torch.inference_mode()
def examine(
    config: TrainConfig, data: Data, reconstruct: Reconstruct, sizes: Sequence[int] = ()
) -> Examination:
    """Hold a model and its baselines against the test images, in one pass over them.

    Args:
        config: of the model.
        data: what it was trained on, and the test images.
        reconstruct: the model.
        sizes: latent sizes at which PCA is measured as well.
    """
    split, grid = data.test, stride_grid(config.model)
    place = split.images.shape[1:], split.images.device
    pca, largest = fit_pca(data.train.images, config.latent), max(sizes, default=0)
    contestants = {"model": reconstruct, **baselines(config, data)}
    measurements = {name: ScoreAccumulator(*place) for name in contestants}
    seen, originals = _ExtremesAccumulator(*place), CheckerboardAccumulator(*place)
    curve: dict[int, list[Tensor]] = {size: [] for size in sizes}
    for pixels, inputs in corrupted(config, split):  # (B, C, H, W) each
        originals.add(pixels)
        windows = SSIMWindows.from_pixels(pixels)
        for name, contestant in contestants.items():
            outputs = contestant(inputs)
            errors = measurements[name].add(pixels, windows, outputs)
            if name == "model":
                seen.add(Examples(pixels, outputs, errors))
        codes = pca.encode(inputs, largest)
        for size in sizes:
            outputs = pca.decode(codes[:, :size]).reshape(pixels.shape)
            curve[size].append(image_mse(pixels, outputs))
    return Examination(
        {name: each.measured(grid) for name, each in measurements.items()},
        seen.survey(),
        originals.score(grid),
        {size: _mean(each) for size, each in curve.items()},
    )


def _mean(errors: list[Tensor]) -> float:
    """Over all images, of the mse of each."""
    return torch.cat(errors).double().mean().item()


@dataclass(frozen=True)
class Examples:
    """Some images, what became of them, and how far that is off."""

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
    """What stands out of all images of a split, and what they have in common."""

    best: Examples
    """Those with the smallest error, the smallest first."""
    worst: Examples
    """Those with the largest error, the largest first."""
    mean: Examples
    """The mean image, the mean of the outputs, and how far these two are apart."""


class _ExtremesAccumulator:
    """Keeps what a survey shows, of all batches that have come."""

    def __init__(self, image_shape: torch.Size, device: torch.device) -> None:
        self._kept: Examples | None = None  # the best and the worst so far, by rising error
        self._sums = [CheckerboardAccumulator(image_shape, device) for _ in range(2)]

    def add(self, examples: Examples) -> None:
        pool = examples if self._kept is None else self._kept.joined(examples)
        order = pool.mse.argsort(stable=True)
        self._kept = pool[torch.cat([order[:EXTREMES], order[EXTREMES:][-EXTREMES:]])]
        for total, images in zip(self._sums, (examples.pixels, examples.outputs), strict=True):
            total.add(images)

    def survey(self) -> Extremes:
        kept = self._kept
        assert kept is not None, "a split has images"
        last_first = torch.arange(len(kept.mse) - 1, -1, -1, device=kept.mse.device)
        mean = Examples.from_outputs(*(total.mean().unsqueeze(0) for total in self._sums))
        return Extremes(kept[:EXTREMES], kept[last_first][:EXTREMES], mean)


def corrupted(config: TrainConfig, split: Split) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of all images of `split` as they lie, (B, C, H, W) each: as they are, and as an
    encoder sees them. The noise is the same at every call."""
    noise = generator_for(config.seed, EVALUATION, split.images.device)
    return corrupted_batches(split.images, build_corruption(config.corruption), noise)


def reconstructed(
    config: TrainConfig, reconstruct: Reconstruct, split: Split
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of all images of `split` with their reconstructions, from the same inputs."""
    for pixels, inputs in corrupted(config, split):
        yield pixels, reconstruct(inputs)


@dataclass(frozen=True)
class ExampleImages:
    """The images that pictures show."""

    pixels: Tensor  # (K, C, H, W) in [0, 1]
    inputs: Tensor  # (K, C, H, W) in [0, 1]: the same, or damaged where there is a corruption

    @property
    def are_corrupted(self) -> bool:
        return self.inputs is not self.pixels


def check_example_count(count: int) -> None:
    """Raise a UsageError unless so many images can be seen in a row."""
    if not 1 <= count <= MAX_EXAMPLES:
        raise UsageError(f"count={count} is not valid: give 1 to {MAX_EXAMPLES}")


def example_indices(split: Split, count: int) -> list[int]:
    """The first image of each class in `split`, then others, `count` of them if there are."""
    first: dict[int, int] = {}
    for number, label in enumerate(split.labels.tolist()):
        first.setdefault(label, number)
    firsts = [first[label] for label in sorted(first)]
    others = set(range(len(split))).difference(firsts)
    return [*firsts, *sorted(others)][:count]


def example_images(config: TrainConfig, split: Split, count: int = EXAMPLE_IMAGES) -> ExampleImages:
    """`count` images of `split`, damaged where the configuration has a corruption."""
    pixels = to_pixels(split.images[example_indices(split, count)])
    corrupt = build_corruption(config.corruption, shown=True)
    if corrupt is None:
        return ExampleImages(pixels, pixels)
    return ExampleImages(
        pixels, corrupt(pixels, generator_for(config.seed, EVALUATION, pixels.device))
    )


def reconstruction_figure(title: str, shown: ExampleImages, outputs: dict[str, Tensor]) -> "Figure":
    """Originals, their corruption where there is one, and each reconstruction with its error.

    Args:
        title: over the picture.
        shown: the images.
        outputs: label -> their reconstruction, (K, C, H, W) in [0, 1].
    """
    from aecli.figures import Row, image_grid  # training starts without waiting for matplotlib

    rows = [Row("original", shown.pixels)]
    if shown.are_corrupted:
        rows.append(Row("corrupted", shown.inputs))
    for label, output in outputs.items():
        error = abs(output - shown.pixels.to(output.device))  # a checkpoint's are on the CPU
        rows += [Row(label, output), Row("absolute error", error, is_error=True)]
    return image_grid(title, rows)
