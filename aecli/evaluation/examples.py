"""The example images that figures show."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from aecli.config import TrainConfig
from aecli.data import Split
from aecli.data.batches import to_pixels
from aecli.data.corruption import build_corruption
from aecli.errors import UsageError
from aecli.evaluation.metrics import image_mse
from aecli.runtime.rng import EVALUATION, generator_for

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXAMPLE_IMAGES = 10
MAX_EXAMPLES = 24  # in a row; more would be too small to see
FOLLOWED_IMAGES = 9  # at several epochs
FOLLOWED_EPOCHS = 5


@dataclass(frozen=True)
class ExampleImages:
    """The images shown in figures."""

    pixels: Tensor  # (K, C, H, W) in [0, 1]
    inputs: Tensor  # (K, C, H, W) in [0, 1]: the same, or corrupted if there is a corruption

    @property
    def are_corrupted(self) -> bool:
        return self.inputs is not self.pixels


def check_example_count(count: int) -> None:
    """Raise a UsageError unless `count` images fit in a row."""
    if not 1 <= count <= MAX_EXAMPLES:
        raise UsageError(f"count={count} is not valid: give 1 to {MAX_EXAMPLES}")


def example_indices(split: Split, count: int) -> list[int]:
    """The first image of each class in `split`, then others, up to `count` in all."""
    first: dict[int, int] = {}
    for number, label in enumerate(split.labels.tolist()):
        first.setdefault(label, number)
    firsts = [first[label] for label in sorted(first)]
    others = set(range(len(split))).difference(firsts)
    return [*firsts, *sorted(others)][:count]


def example_images(config: TrainConfig, split: Split, count: int = EXAMPLE_IMAGES) -> ExampleImages:
    """`count` images of `split`, corrupted if the configuration has a corruption."""
    pixels = to_pixels(split.images[example_indices(split, count)])
    corrupt = build_corruption(config.corruption, for_examples=True)
    if corrupt is None:
        return ExampleImages(pixels, pixels)
    return ExampleImages(
        pixels, corrupt(pixels, generator_for(config.seed, EVALUATION, pixels.device))
    )


def reconstruction_figure(title: str, shown: ExampleImages, outputs: dict[str, Tensor]) -> "Figure":
    """Originals, corrupted inputs if any, and each reconstruction with its mse and its error.

    Args:
        title: of the figure.
        shown: the images.
        outputs: label -> their reconstruction, (K, C, H, W) in [0, 1].
    """
    from aecli.figures import Row, error_scale, image_grid  # training need not wait for matplotlib

    rows = [Row("original", shown.pixels)]
    if shown.are_corrupted:
        rows.append(Row("corrupted", shown.inputs))
    for label, output in outputs.items():
        pixels = shown.pixels.to(output.device)  # snapshots are on the CPU
        mse = [f"{error:.3f}" for error in image_mse(pixels, output).tolist()]
        rows.append(Row(f"{label}, mse", output, captions=mse))
        rows.append(Row("absolute error", abs(output - pixels), is_error=True))
    rows.append(error_scale("scale of errors", shown.pixels))
    return image_grid(title, rows)


def followed_epochs(epochs: Collection[int]) -> list[int]:
    """At most `FOLLOWED_EPOCHS` of `epochs`, evenly spaced, with the last among them.

    Of 1, 5, 10, 15, 20 and 25 these are all but the first.
    """
    wanted = (max(epochs) * part / FOLLOWED_EPOCHS for part in range(1, FOLLOWED_EPOCHS + 1))
    return sorted({min(epochs, key=lambda epoch: abs(epoch - place)) for place in wanted})


def epochs_figure(title: str, shown: ExampleImages, outputs: dict[int, Tensor]) -> "Figure":
    """The input of the network, and below it the output after some of the epochs.

    Args:
        title: of the figure.
        shown: the images.
        outputs: epoch -> their reconstruction after it, (K, C, H, W) in [0, 1].
    """
    from aecli.figures import Row, image_grid  # training need not wait for matplotlib

    rows = []
    for epoch in followed_epochs(outputs):
        rows.append(Row(f"epoch {epoch}: input", shown.inputs[:FOLLOWED_IMAGES]))
        rows.append(Row("output", outputs[epoch][:FOLLOWED_IMAGES]))
    return image_grid(title, rows)
