"""Images of a person's choice, and what a trained model makes of them."""

import torch
from rich.table import Table

from aecli import console
from aecli.errors import UsageError
from aecli.evaluation import picture, shown_images
from aecli.metrics import image_mse, psnr
from aecli.results import Results
from aecli.trained import Trained

COMMAND = "reconstruct"
MOST_IMAGES = 24  # in a row, beyond which they would be too small to see


def reconstruct(trained: Trained, count: int) -> None:
    """Show originals, their corruption, what comes out of the model, and the error.

    Raises:
        UsageError: no image, or too many to be seen.
    """
    if not 1 <= count <= MOST_IMAGES:
        raise UsageError(f"count={count} is not valid: give 1 to {MOST_IMAGES}")
    config, data = trained.config, trained.data()
    shown = shown_images(config, data.test, count)
    with torch.inference_mode():
        outputs = trained.reconstruct(shown.inputs)
    errors = image_mse(shown.pixels, outputs).tolist()
    title = f"{config.name} on {data.name}: test images"
    with Results(trained.run, COMMAND) as results:
        results.figure("reconstructions", picture(title, shown, {"output": outputs}))
        results.numbers({"mse": sum(errors) / len(errors), "mse_of_each": errors})
    console.table(_table(title, errors))
    console.facts({"results": str(results.folder)})


def _table(title: str, errors: list[float]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for name in ("image", "mse", "psnr (dB)"):
        table.add_column(name, justify="right")
    for number, mse in enumerate(errors, 1):
        table.add_row(str(number), f"{mse:.6f}", f"{psnr(mse):.2f}")
    mean = sum(errors) / len(errors)
    table.add_row("mean", f"{mean:.6f}", f"{psnr(mean):.2f}", style="bold")
    return table
