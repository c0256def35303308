"""What a trained model makes of images."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from rich.markup import escape
from rich.table import Table

from aecli.cli import console
from aecli.config import CorruptionConfig, TrainConfig
from aecli.evaluation.examination import (
    check_example_count,
    example_images,
    example_indices,
    reconstructed,
    reconstruction_figure,
)
from aecli.evaluation.metrics import image_mse, psnr
from aecli.figures import as_png
from aecli.runs.results import Results
from aecli.runs.trained import Trained

COMMAND = "reconstruct"


def reconstruct(trained: Trained, count: int, corrupt: bool) -> None:
    """Show originals, their corruption, what comes out of the model, and the error.

    With images of a person's own, every output is left as a PNG.

    Raises:
        UsageError: no image, or too many to be seen.
    """
    check_example_count(count)
    config = trained.config
    if not corrupt:
        config = replace(config, corruption=CorruptionConfig())
    numbers = example_indices(trained.images, count)
    shown = example_images(config, trained.images, count)
    with torch.inference_mode():
        outputs = trained.reconstruct(shown.inputs)
    names = trained.image_names(numbers)
    errors = dict(zip(names, image_mse(shown.pixels, outputs).tolist(), strict=True))
    some = "" if len(numbers) == len(trained.images) else f"{len(numbers)} of "
    title = f"{config.name} on {some}the {trained.images_name}"
    with Results(trained.run, COMMAND) as results:
        results.figure("reconstructions", reconstruction_figure(title, shown, {"output": outputs}))
        for name, png in _outputs(trained, config):
            results.file(f"outputs/{name}", png)
        mean = sum(errors.values()) / len(errors)
        results.numbers({"mse": mean, "images": list(errors), "mse_of_each": [*errors.values()]})
    console.table(_table(title, errors))
    console.facts({"results": str(results.folder)})


def _outputs(trained: Trained, config: TrainConfig) -> Iterator[tuple[str, bytes]]:
    """The output of every image that a person gave: the name of a file for it, and what is in it.

    The number in front keeps files of the same name in several folders apart.
    """
    if trained.own is None:
        return
    files = iter(enumerate(trained.own.files))
    for _, outputs in reconstructed(config, trained.reconstruct, trained.images):
        for output in outputs:
            number, file = next(files)
            yield f"{number:04}-{file.stem}.png", as_png(output)


def _table(title: str, errors: dict[str, float]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    table.add_column("image")
    for name in ("mse", "psnr (dB)"):
        table.add_column(name, justify="right")
    for name, mse in errors.items():
        table.add_row(escape(name), f"{mse:.6f}", f"{psnr(mse):.2f}")
    mean = sum(errors.values()) / len(errors)
    table.add_row("mean", f"{mean:.6f}", f"{psnr(mean):.2f}", style="bold")
    return table
