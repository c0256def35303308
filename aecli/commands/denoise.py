"""Remove noise, compared with a linear denoiser and classical filters.

usage: aecli denoise RUN [key=value ...]

Adds noise of several kinds and strengths to images, and measures the psnr after denoising by the
model, by the best linear denoiser (Wiener), by a median filter, by non-local means and by total
variation, compared with no denoising. The filters' settings are chosen on validation images. With
several runs, shows the gain of the first over the others. With data=... or images=..., does the
same with images that the models were not trained for, in addition to the run's own test images, and
says where the first model is worse than another method. Every method stays fitted to the run's own
images, or tuned on them.

examples:
  aecli denoise outputs/conv-z25/2026-11-21_10-15-00-123456
  aecli denoise outputs/conv-z25/2026-11-21_10-15-00-123456 OTHER_RUN
  aecli denoise outputs/conv-z25/2026-11-21_10-15-00-123456 noise=gaussian strengths=0.1,0.3,0.5
  aecli denoise outputs/conv-z25/2026-11-21_10-15-00-123456 data=fashion_mnist
"""

# Annotations are not postponed: the type of `Options.run` is looked up, and must not be a string.
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from aecli.cli import console
from aecli.cli.options import RunOptions, open_all, parse_options, some_runs

if TYPE_CHECKING:
    from aecli.analysis.denoise import Denoised, Images
    from aecli.data.foreign import ForeignImages
    from aecli.runs.trained import Trained

EXPLANATION = (
    "Worse and better: the 95 % interval of the mean difference in mse, by a bootstrap over the "
    "images, lies on one side of zero. Where neither is said, chance may explain the difference."
)


class Noise(Enum):
    """Kinds of noise to add to the images."""

    gaussian = "gaussian"
    masking = "masking"
    salt_and_pepper = "salt_and_pepper"


@dataclass
class Options(RunOptions):
    """Which noise to remove, and how strong."""

    run: list[str] = field(default_factory=list)
    """Folder of a finished run, the beginning of its name, or latest; and of others to compare it
    with, such as one trained without noise. A bare word means the same."""

    noise: Noise | None = None
    """The kind: gaussian, masking or salt_and_pepper; null: all three."""

    strengths: str | None = None
    """Standard deviations for gaussian, shares of the pixels for masking and salt_and_pepper, as in
    0.1,0.5; null: several that suit the kind of noise."""

    data: str | None = None
    """Another data set, such as fashion_mnist, whose test images are shown with the run's own;
    null: none, or your own images."""

    n: int | None = None
    """Number of images to measure on, drawn by seed; null: 500, or fewer if they are large."""

    seed: int = 0
    """Seed for drawing the images and their noise."""


def main(arguments: list[str]) -> None:
    """Denoise images with the models of one or more runs, and save the results to the first.

    Raises:
        UsageError: a run is not finished or on other images, or strengths, data or n is not valid.
        DataError, StorageError: images or files cannot be used.
    """
    options = parse_options("denoise", Options, arguments)
    paths = some_runs("denoise", options)

    from aecli.analysis import denoise as analysis
    from aecli.analysis.denoise_findings import findings
    from aecli.runs.results import Results
    from aecli.runtime.progress import Bar

    models = open_all(paths, options)
    noise = options.noise.value if options.noise else None
    noises = analysis.choose_noises(noise, options.strengths)
    analysis.check_same_images(models)
    foreign = analysis.find_foreign(models[0], options.data, options.resize)
    with Results.for_run(models[0].run, "denoise", options.output) as results:
        images = analysis.draw_images(models[0], options.n, options.seed, foreign)
        with Bar(
            "denoising", len(noises) * analysis.method_count(models, images), "methods"
        ) as bar:
            denoised = [
                analysis.denoise(models, images, *each, options.seed, bar.advance)
                for each in noises
            ]
        names, n = analysis.names_with_noise(models), len(images.test)
        title = f"{models[0].config.name} on {n} of the {_images_name(models[0], foreign)}"
        sets = (models[0].data().name, foreign.name if foreign else "")
        results.figure("psnr", analysis.psnr_figure(title, denoised, names, sets))
        results.figure("images", analysis.images_figure(title, denoised, sets))
        by_images = analysis.side_by_side(denoised, sets)
        found = findings(by_images, names) if len(by_images) > 1 else []
        numbers = _numbers(denoised, names, n, options.seed)
        results.numbers(numbers | _numbers_beside(by_images, found))
    console.table(_table(title, by_images, names))
    if found:
        console.bullets(found)
        console.paragraph(EXPLANATION)
    if len(names) > 1:
        console.facts({f"model {number}": name for number, name in enumerate(names, 1)})
    for caveat in _caveats(models, images):
        console.warn(caveat)
    console.facts({"results": str(results.folder)})


def _caveats(models: list["Trained"], images: "Images") -> Iterator[str]:
    """Limitations of the results."""
    from aecli.baselines.restoration import MAX_NUMBERS
    from aecli.data.corruption import NOISES

    if not images.allow_linear:
        yield _no_linear_denoiser(images.test[0].numel(), MAX_NUMBERS)
    if not models[0].config.data.has_validation:
        yield (
            "the run has no validation images (data.val_size=0), so the settings of the filters "
            "are chosen on training images"
        )
    with_noise = [model.config.corruption.name in NOISES for model in models]
    if all(with_noise) or not any(with_noise):
        yield _second_run(all(with_noise))


def _images_name(model: "Trained", foreign: "ForeignImages | None") -> str:
    """The images that are denoised, in titles."""
    if foreign is None or model.own:
        return model.images_name
    return f"{len(foreign.split):,} test images of {foreign.name}, and as many of its own"


def _no_linear_denoiser(numbers: int, most: int) -> str:
    """Why there is none for images of `numbers` numbers."""
    return (
        f"no best linear denoiser: its matrix relates all {numbers:,} numbers of an image to one "
        f"another, and the limit is {most:,} numbers"
    )


def _second_run(with_noise: bool) -> str:
    """Suggest a run to compare with, where all models were trained with noise, or none was."""
    training = "without noise" if with_noise else "with noise (such as corruption=gaussian)"
    return (
        f"to see the effect of noise in training, compare with a run trained {training}: aecli "
        f"denoise RUN OTHER"
    )


def _numbers(denoised: list["Denoised"], names: list[str], n: int, seed: int) -> dict[str, Any]:
    """The psnr of the first model at the top level, then all results."""
    return {
        **{
            f"psnr_{result.kind.name}_{result.strength:g}": result.psnr[names[0]]
            for result in denoised
        },
        "n": n,
        "seed": seed,
        "settings": _settings(denoised),
    }


def _numbers_beside(sets: dict[str, list["Denoised"]], found: list[str]) -> dict[str, Any]:
    """The results on the run's own test images, if others are denoised as well."""
    if len(sets) == 1:
        return {}
    own, others = sets
    return {"images": others, "own_images": own, "own": _settings(sets[own]), "findings": found}


def _settings(denoised: list["Denoised"]) -> list[dict[str, Any]]:
    return [
        {
            "noise": result.kind.name,
            "strength": result.strength,
            "mse": result.mse,
            "psnr": result.psnr,
        }
        for result in denoised
    ]


def _table(title: str, sets: dict[str, list["Denoised"]], names: list[str]) -> Table:
    """The psnr of every method for each noise, and the gain of the first model over the others: a
    row for each of the `sets` of images, of which the first are the run's own if there are two."""
    denoised = next(iter(sets.values()))
    table = console.new_table(f"{title}: psnr (dB)")
    table.add_column("noise", no_wrap=True)
    headings = {name: f"model {number}" for number, name in enumerate(names, 1)}
    if len(names) == 1:
        headings = {name: name.replace(", ", ",\n") for name in names}
    for name in denoised[0].mse:
        heading = headings.get(name, name.replace(" ", "\n"))
        table.add_column(Text(heading), justify="right")
    for number in range(2, len(names) + 1):
        table.add_column(f"gain over {number}", justify="right")
    for noise in dict.fromkeys(result.noise for result in denoised):
        table.add_section()
        table.add_row(noise)
        for results in zip(*sets.values(), strict=True):
            for images, result in zip(("own", "other"), results, strict=False):
                if result.noise == noise:
                    label = f"  {result.strength:g}{f' {images}' if len(sets) > 1 else ''}"
                    table.add_row(label, *_cells(result.psnr, names))
    return table


def _cells(psnr: dict[str, float], names: list[str]) -> list[str]:
    """A row of the table, with the highest psnr in bold."""
    best = max(psnr.values())
    cells = [f"[bold]{each:.2f}[/]" if each == best else f"{each:.2f}" for each in psnr.values()]
    return [*cells, *(_gain(psnr[names[0]], psnr[name]) for name in names[1:])]


def _gain(first: float, other: float) -> str:
    """The difference of two psnr, which are both infinite if there is no error."""
    return "+0.00" if first == other else f"{first - other:+.2f}"
