"""Images at a higher resolution: by a trained model, and by the classical answers."""

from collections.abc import Iterator

import torch
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor

from aecli.baselines.restoration import MAX_NUMBERS, Restore, fit_enlarger
from aecli.cli import console
from aecli.config import CorruptionKind
from aecli.data.batches import ordered_batches, to_pixels
from aecli.data.corruption import enlarge, shrink
from aecli.errors import UsageError
from aecli.evaluation.examination import check_example_count, example_indices, stride_grid
from aecli.evaluation.metrics import EVALUATION_BATCH, Score, image_mse, measure, psnr
from aecli.figures import Row, image_grid
from aecli.runs.results import Results
from aecli.runs.trained import Trained
from aecli.training.experiment import score_as_json

COMMAND = "superres"
OUTPUT, BICUBIC, LINEAR = "autoencoder", "bicubic", "best linear"


def superres(trained: Trained, count: int) -> None:
    """Show images beside what is made of them at a lower resolution, and measure all of them.

    Raises:
        UsageError: the run was not trained for it, or no image or too many are asked for.
    """
    config = trained.config
    if config.corruption.name is not CorruptionKind.downsample or config.corruption.factor is None:
        raise UsageError(
            f"{trained.run.path} was not trained to raise resolution: train one with aecli train "
            f"corruption=downsample factor=2"
        )
    check_example_count(count)
    factor, images = config.corruption.factor, trained.images
    ways = contestants(trained, factor)
    grid = stride_grid(config.model)
    scores = {
        name: measure(restored(images.images, way, factor), grid).score()
        for name, way in ways.items()
    }
    title = f"{config.name} on the {trained.images_name}: {factor} times the resolution"
    shown = to_pixels(images.images[example_indices(images, count)])
    with Results(trained.run, COMMAND) as results:
        results.figure("resolution", _grid(title, shown, ways, factor))
        results.numbers(
            {
                **{f"mse_{_key(name)}": score.mse for name, score in scores.items()},
                **{f"psnr_{_key(name)}": score.psnr for name, score in scores.items()},
                "factor": factor,
                "scores": {_key(name): score_as_json(score) for name, score in scores.items()},
            }
        )
    console.table(_table(title, scores))
    console.facts({"results": str(results.folder)})


def contestants(trained: Trained, factor: int) -> dict[str, Restore]:
    """Ways from the small images (B, C, h, w) to large ones; the first is the model's."""
    _, height, width = trained.model.image_shape

    def bicubic(small: Tensor) -> Tensor:
        return enlarge(small, (height, width))

    ways: dict[str, Restore] = {
        OUTPUT: lambda small: trained.reconstruct(bicubic(small)),
        BICUBIC: bicubic,
    }
    if trained.images.images[0].numel() <= MAX_NUMBERS:
        ways[LINEAR] = fit_enlarger(trained.data().train.images, factor)
    return ways


def restored(images: Tensor, way: Restore, factor: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Pixels of uint8 `images` in batches, each with what is made of the small ones."""
    for pixels in ordered_batches(images, EVALUATION_BATCH):
        yield pixels, way(shrink(pixels, factor))


@torch.inference_mode()
def _grid(title: str, pixels: Tensor, ways: dict[str, Restore], factor: int) -> Figure:
    """Ground truth, the small images with pixels as large as they are, and all that is made."""
    small = shrink(pixels, factor)
    height, width = pixels.shape[-2:]
    squares = small.repeat_interleave(factor, -2).repeat_interleave(factor, -1)
    rows = [
        Row("ground truth", pixels),
        Row(f"at {small.shape[-2]}x{small.shape[-1]}", squares[..., :height, :width]),
    ]
    for name in (BICUBIC, LINEAR, OUTPUT):
        if name in ways:
            output = ways[name](small)
            captions = [f"{psnr(error):.1f}" for error in image_mse(pixels, output).tolist()]
            rows.append(Row(f"{name}, psnr in dB", output, captions=captions))
    return image_grid(title, rows)


def _key(name: str) -> str:
    return name.replace(" ", "_")


def _table(title: str, scores: dict[str, Score]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    table.add_column("")
    for name in ("mse", "psnr (dB)", "ssim"):
        table.add_column(name, justify="right")
    for name, score in scores.items():
        ssim = "" if score.ssim is None else f"{score.ssim:.4f}"
        style = "bold" * (name == OUTPUT)
        table.add_row(name, f"{score.mse:.6f}", f"{score.psnr:.2f}", ssim, style=style)
    return table
