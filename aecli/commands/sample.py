"""Decode codes drawn from a prior, or from a density fitted to the training codes.

usage: aecli sample RUN|SWEEP ... [key=value ...]

Decodes codes drawn from a density and shows each image above its nearest training image. The
density is fitted to the codes of the training images; for a variational autoencoder
(regularizer=vae) it is the prior, the standard normal. Measures the Fréchet distance to the test
images on the logits of a linear classifier of pixels, which is the same for every density and every
run on the same images.

With several runs, or the folder of a sweep, puts all of them side by side: the test mse of their
reconstructions, and the Fréchet distances of samples and of images half way between the codes of
two test images. Sentences say what differs from the first, where several seeds allow that. Results
of a sweep go to its folder, and otherwise to that of the first run.

examples:
  aecli sample outputs/conv-z25/2026-11-21_10-15-00-123456
  aecli sample outputs/conv-z25/2026-11-21_10-15-00-123456 density=full n=64
  aecli sample outputs/conv-z25/2026-11-21_10-15-00-123456 density=gmm components=20
  aecli sample outputs/regularizer/2026-11-21_10-15-00-123456
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from aecli.cli import console
from aecli.cli.options import RunOptions, one_run, open_chosen, parse_options, some_runs
from aecli.errors import UsageError
from aecli.runs.discovery import is_sweep

if TYPE_CHECKING:
    from aecli.analysis.sample import Samples
    from aecli.analysis.sample_runs import SampledRuns
    from aecli.comparison.results import Comparison
    from aecli.runs.results import Results
    from aecli.runs.trained import Trained

FEW_IMAGES = 1000  # with fewer, mean and covariance depend mostly on the choice of images
WITHOUT_CLASSES = (
    "no Fréchet distance: it is measured with a classifier, and the images are all of one class"
)
SHAPES = {
    "prior": "the prior",
    "diagonal": "diagonal Gaussian",
    "full": "full Gaussian",
    "gmm": "mixture of {} Gaussians",
}
"""Density -> its name in titles."""


class Density(Enum):
    """Densities of codes."""

    prior = "prior"
    diagonal = "diagonal"
    full = "full"
    gmm = "gmm"


@dataclass
class Options(RunOptions):
    """Which density to fit, and how many images to show."""

    run: list[str] = field(default_factory=list)
    """Folder of a finished run, the beginning of its name, or latest; or of a sweep, or several
    runs. A bare word means the same."""

    n: int = 16
    """Images to show, 1 to 64; the distance to real images is always measured on as many images as
    the test set has."""

    density: Density | None = None
    """The standard normal (prior, for variational autoencoders only), or fitted to the codes: a
    Gaussian without correlations (diagonal), one with all of them (full), or a mixture of such full
    Gaussians (gmm; pip install 'aecli[uses]'). null: the prior if there is one, else diagonal; with
    several runs full, and the prior as well."""

    components: int = 10
    """Gaussians in the mixture with density=gmm."""

    seed: int = 0
    """Seed of the random codes, and of the initial mixture."""


def main(arguments: list[str]) -> None:
    """Sample images from a run, save them, and print how close they are to real images.

    Raises:
        UsageError: the run is not finished, or an option is not valid.
        DataError, StorageError: the run's images or files cannot be used.
    """
    options = parse_options("sample", Options, arguments)
    if options.density is not Density.gmm and options.components != Options.components:
        console.warn(f"components={options.components} is ignored: it is for density=gmm")
    sweeps = [Path(each) for each in options.run if is_sweep(Path(each))]
    if sweeps or len(options.run) > 1:
        _sample_several(options, sweeps)
        return
    path = one_run("sample", options)

    from aecli.analysis.sample import decoding_caveats, figure, sample
    from aecli.runs.results import Results

    trained = open_chosen(path, options)
    with Results.for_run(trained.run, "sample", options.output) as results:
        density, components = options.density and options.density.value, options.components
        samples = sample(trained, options.n, density, components, options.seed)
        shape = SHAPES[samples.density].format(components)
        title = f"{trained.config.name} on {trained.data().name}: samples, {shape}"
        results.figure("samples", figure(title, samples.images))
        settings = {
            "density": samples.density,
            "components": samples.components,
            "seed": options.seed,
        }
        results.numbers({**settings, **_numbers(samples)})
    console.table(_table(title, trained.images_kind, samples))
    for caveat in [*decoding_caveats(trained.config), *_caveats(trained, samples)]:
        console.warn(caveat)
    console.facts({"results": str(results.folder)})


def _sample_several(options: Options, sweeps: list[Path]) -> None:
    """Sample from several runs, and save and print how they compare."""
    for key in ("n", "images", "resize"):
        if getattr(options, key) != getattr(Options(), key):
            raise UsageError(f"{key}= is for a single run: leave it out, or give one run")
    single = [each for each in options.run if Path(each) not in sweeps]
    runs = some_runs("sample", replace(options, run=single)) if single else []

    from aecli.analysis import sample_runs as analysis
    from aecli.analysis.sample import decoding_caveats
    from aecli.comparison.gather import gather
    from aecli.runtime.progress import Bar

    comparisons = gather([*sweeps, *runs])
    if len(comparisons) > 1:
        raise UsageError(f"the runs are on several data sets: {', '.join(comparisons)}")
    (comparison,) = comparisons.values()
    with _results(options, sweeps, comparison) as results:
        density = options.density.value if options.density else "full"
        with Bar("sampling", len(comparison.results), "runs") as bar:
            found = analysis.sample_runs(
                comparison,
                lambda group, number: open_chosen(group.results[number].run.path, options),
                density,
                options.components,
                options.seed,
                bar.advance,
            )
        shape = SHAPES[density].format(options.components)
        title = f"samples on {comparison.data.name}, {shape}"
        results.figure("distances", analysis.chart(title, found))
        results.figure("samples", analysis.samples_figure(title, found))
        results.figure("halfway", analysis.steps_figure("from one test image to another", found))
        results.numbers(analysis.as_json(found) | {"seed": options.seed})
    console.table(_several_table(title, found))
    console.bullets(analysis.findings(found))
    caveats = [decoding_caveats(result.config) for result in comparison.results]
    for caveat in dict.fromkeys(chain.from_iterable(caveats)):
        console.warn(caveat)
    console.facts({"results": str(results.folder)})


def _results(options: Options, sweeps: list[Path], comparison: Comparison) -> Results:
    """In the folder of the only sweep, or of the first run."""
    from aecli.runs.results import Results

    if options.output is None and len(options.run) == len(sweeps) == 1:
        return Results(sweeps[0] / "sample", "sample")
    return Results.for_run(comparison.results[0].run, "sample", options.output)


def _several_table(title: str, found: SampledRuns) -> Table:
    """A row for each setting: what was measured, as mean and standard deviation over the seeds."""
    from aecli.analysis.sample_runs import QUANTITIES

    table = console.new_table(title)
    table.add_column("")
    table.add_column("latent", justify="right")
    for name in QUANTITIES.values():
        table.add_column(name, justify="right")
    for setting in found.settings:
        cells = []
        for quantity in QUANTITIES:
            if quantity not in setting.values:
                cells.append("")
                continue
            spread, digits = setting.spread(quantity), 5 if quantity == "mse" else 2
            error = "" if spread.std is None else f" ± {spread.std:.{digits}f}"
            cells.append(f"{spread.mean:.{digits}f}{error}")
        table.add_row(setting.family, f"{setting.latent:,}", *cells)
    return table


def _numbers(samples: Samples) -> dict[str, Any]:
    """Every number in the table and the figure."""
    return {
        **{f"frechet_{name}": distance for name, distance in samples.frechet.items()},
        **{f"nearest_mse_{name}": mse for name, mse in samples.nearest_mse.items()},
        "nearest": samples.images.indices.tolist(),
        "nearest_mse": samples.images.mse.tolist(),
    }


def _caveats(trained: Trained, samples: Samples) -> list[str]:
    """Limitations of the Fréchet distance."""
    if not samples.frechet:
        return [WITHOUT_CLASSES]
    count = len(trained.images)
    if trained.own and count < FEW_IMAGES:
        return [f"with only {count:,} images, the Fréchet distance comes out too large"]
    return []


def _table(title: str, real: str, samples: Samples) -> Table:
    """The samples above their references; `real` names the test images."""
    table = console.new_table(title)
    table.add_column("")
    table.add_column(f"Fréchet distance\nto the {real}", justify="right")
    table.add_column("mse to the nearest\ntraining image", justify="right")
    labels = {
        "samples": "samples",
        "reconstructions": f"reconstructions of {real}",
        "training": "training images",
        "test": real,
    }
    for name, label in labels.items():
        cells = (
            f"{samples.frechet[name]:.3f}" if name in samples.frechet else "",
            f"{samples.nearest_mse[name]:.6f}" if name in samples.nearest_mse else "",
        )
        if any(cells):
            table.add_row(label, *cells, style="bold" * (name == "samples"))
    return table
