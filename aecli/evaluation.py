"""A model held against images: pictures of its reconstructions, and its score beside baselines."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from aecli.baselines import fit_pca
from aecli.checkerboard import GridSums
from aecli.config import ConvConfig, ModelConfig, TrainConfig
from aecli.corruption import build_corruption
from aecli.data import Data, Split
from aecli.data.batches import Normalisation, ordered_batches, to_pixels
from aecli.errors import UsageError
from aecli.metrics import (
    EVALUATION_BATCH,
    Measured,
    Reconstruct,
    Score,
    image_mse,
    mean_squared_error,
    measure,
    reconstructed_batches,
)
from aecli.models import Autoencoder
from aecli.randomness import EVALUATION, generator_for

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_IMAGES = 10
MOST_SHOWN = 24  # in a row, beyond which they would be too small to see
EXTREMES = 5  # of the best and of the worst reconstructed images
COMMON_STRIDE = 2


def reconstruction(model: Autoencoder, config: TrainConfig) -> Reconstruct:
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


PAST_THE_CODE = (
    "the places of the maxima reach the decoder past the code, so the error is not that of a code "
    "of the latent size"
)
"""What must be known of a decoder that unpools when it is held against a baseline."""


def score(config: TrainConfig, reconstruct: Reconstruct, split: Split) -> Score:
    """Score on `split`, with the corruption of training where there is one.

    The noise is the same at every call, so that scores differ by what is measured alone.
    """
    return measured(config, reconstruct, split).score()


def measured(config: TrainConfig, reconstruct: Reconstruct, split: Split) -> Measured:
    """What the score is made of: each image of `split` by itself."""
    return measure(reconstructed(config, reconstruct, split), stride_grid(config.model))


def stride_grid(model: ModelConfig) -> int:
    """The period, in pixels, at which a decoder may leave a pattern in its output.

    That is the stride of the layer that enlarges last; what the ones before it leave is blurred by
    the layers behind them. A model that does not stride is measured at the commonest one.
    """
    strides = [layer.stride for layer in model.layers] if isinstance(model, ConvConfig) else []
    return next((stride for stride in strides if stride > 1), COMMON_STRIDE)


def checkerboard_of_originals(config: TrainConfig, split: Split) -> float | None:
    """The checkerboard score that the images of `split` have themselves."""
    sums = GridSums(split.images.shape[1:], split.images.device)
    for pixels in ordered_batches(split.images, EVALUATION_BATCH):
        sums.add(pixels)
    return sums.score(stride_grid(config.model))


def mse(config: TrainConfig, reconstruct: Reconstruct, split: Split) -> float:
    """The `mse` of the score alone, in a third of the time."""
    return mean_squared_error(reconstructed(config, reconstruct, split))


def pca_curve(config: TrainConfig, data: Data) -> dict[int, float]:
    """Latent size -> test mse of PCA, at the powers of two below the size of an image.

    It ends where there are no more components: with few images, and with many large ones.
    """
    pca, pixels_per_image = fit_pca(data.train.images, config.latent), data.train.images[0].numel()
    most = min(pixels_per_image - 1, len(pca.components))
    sizes = [2**power for power in range(most.bit_length()) if 2**power <= most]
    return {
        size: mse(config, lambda pixels, size=size: pca.reconstruct(pixels, size), data.test)  # type: ignore[misc]
        for size in sizes
    }


@dataclass(frozen=True)
class Examples:
    """Some images, what became of them, and how far that is off."""

    pixels: Tensor  # (K, C, H, W) in [0, 1]
    outputs: Tensor  # (K, C, H, W) in [0, 1]
    mse: Tensor  # (K,)

    @classmethod
    def of(cls, pixels: Tensor, outputs: Tensor) -> "Examples":
        return cls(pixels, outputs, image_mse(pixels, outputs))

    def __getitem__(self, index: slice | Tensor) -> "Examples":
        return Examples(self.pixels[index], self.outputs[index], self.mse[index])

    def joined(self, other: "Examples") -> "Examples":
        pixels = torch.cat([self.pixels, other.pixels])
        outputs = torch.cat([self.outputs, other.outputs])
        return Examples(pixels, outputs, torch.cat([self.mse, other.mse]))


@dataclass(frozen=True)
class Survey:
    """What stands out of all images of a split, and what they have in common."""

    best: Examples
    """Those with the smallest error, the smallest first."""
    worst: Examples
    """Those with the largest error, the largest first."""
    mean: Examples
    """The mean image, the mean of the outputs, and how far these two are apart."""


@torch.inference_mode()
def survey(config: TrainConfig, reconstruct: Reconstruct, split: Split) -> Survey:
    """Look at every reconstruction of `split`."""
    kept: Examples | None = None  # the best and the worst so far, by rising error
    sums = [GridSums(split.images.shape[1:], split.images.device) for _ in range(2)]
    for batch in reconstructed(config, reconstruct, split):
        examples = Examples.of(*batch)
        pool = examples if kept is None else kept.joined(examples)
        order = pool.mse.argsort(stable=True)
        kept = pool[torch.cat([order[:EXTREMES], order[EXTREMES:][-EXTREMES:]])]
        for total, images in zip(sums, batch, strict=True):
            total.add(images)
    assert kept is not None, "a split has images"
    last_first = torch.arange(len(kept.mse) - 1, -1, -1, device=kept.mse.device)
    mean = Examples.of(*(total.mean().unsqueeze(0) for total in sums))
    return Survey(kept[:EXTREMES], kept[last_first][:EXTREMES], mean)


def reconstructed(
    config: TrainConfig, reconstruct: Reconstruct, split: Split
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of all images of `split` with their reconstructions, the noise always the same."""
    noise = generator_for(config.seed, EVALUATION, split.images.device)
    corrupt = build_corruption(config.corruption)
    return reconstructed_batches(reconstruct, split.images, corrupt, noise)


@dataclass(frozen=True)
class Shown:
    """The images that pictures show."""

    pixels: Tensor  # (K, C, H, W) in [0, 1]
    inputs: Tensor  # (K, C, H, W) in [0, 1]: the same, or damaged where there is a corruption

    @property
    def are_corrupted(self) -> bool:
        return self.inputs is not self.pixels


def check_shown(count: int) -> None:
    """Raise a UsageError unless so many images can be seen in a row."""
    if not 1 <= count <= MOST_SHOWN:
        raise UsageError(f"count={count} is not valid: give 1 to {MOST_SHOWN}")


def shown_numbers(split: Split, count: int) -> list[int]:
    """The first image of each class in `split`, then others, `count` of them if there are."""
    first: dict[int, int] = {}
    for number, label in enumerate(split.labels.tolist()):
        first.setdefault(label, number)
    firsts = [first[label] for label in sorted(first)]
    others = set(range(len(split))).difference(firsts)
    return [*firsts, *sorted(others)][:count]


def shown_images(config: TrainConfig, split: Split, count: int = SHOWN_IMAGES) -> Shown:
    """`count` images of `split`, damaged where the configuration has a corruption."""
    pixels = to_pixels(split.images[shown_numbers(split, count)])
    corrupt = build_corruption(config.corruption, shown=True)
    if corrupt is None:
        return Shown(pixels, pixels)
    return Shown(pixels, corrupt(pixels, generator_for(config.seed, EVALUATION, pixels.device)))


def picture(title: str, shown: Shown, outputs: dict[str, Tensor]) -> "Figure":
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
