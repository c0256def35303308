"""Denoising by trained models and by classical methods, for several kinds and levels of noise."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from aecli.analysis.subset import draw, image_count
from aecli.baselines.restoration import (
    MAX_NUMBERS,
    ImageMoments,
    Restore,
    best_median,
    best_non_local_means,
    best_total_variation,
    fit_denoiser,
    level_from_mean,
)
from aecli.config import CorruptionKind, Target, TrainConfig
from aecli.data.batches import to_pixels
from aecli.data.corruption import NOISES, noise_strength
from aecli.data.foreign import ForeignImages, fit_to, load_foreign
from aecli.errors import DataError, UsageError
from aecli.errors.text import distinct
from aecli.evaluation.metrics import EVALUATION_BATCH, image_mse, psnr
from aecli.figures import Row, panels, psnr_by_strength
from aecli.runs.records import DataFacts
from aecli.runs.trained import Trained

STRENGTHS = {
    CorruptionKind.gaussian: (0.1, 0.25, 0.5, 1.0),
    CorruptionKind.masking: (0.25, 0.5, 0.75),
    CorruptionKind.salt_and_pepper: (0.1, 0.25, 0.5),
}
"""The default strengths of each noise."""
AXES = {
    CorruptionKind.gaussian: "standard deviation",
    CorruptionKind.masking: "share of the pixels",
    CorruptionKind.salt_and_pepper: "share of the pixels",
}
"""Kind of noise -> the quantity that its strength is, as an axis label."""
MAX_STRENGTHS = 12  # for each kind of noise
TRAINING_IMAGES = 10_000  # to which the linear denoiser is fitted
# The filters' settings are chosen on squares of at most so many pixels a side, one from each of so
# many images: what these cost does not grow with the images.
VALIDATION_IMAGES, MAX_CROP = 25, 48
# Images to measure on unless a number is given: fewer if they have more values than this together,
# which non-local means takes half a minute for at all default strengths.
DEFAULT_IMAGES, MAX_VALUES = 500, 2**21
# Images for each kind of noise in a figure, and fewer where there are more panels than this.
SHOWN, SHOWN_MANY, MAX_PANELS = 5, 3, 3
MAX_STD = 10.0  # beyond which a clipped pixel is black or white, whatever its value was
ORIGINAL, NOISY = "original", "noisy"
LINEAR = "best linear"
FILTERS = {
    "median": best_median,
    "non-local means": best_non_local_means,
    "total variation": best_total_variation,
}
"""Name -> what chooses its settings."""


@dataclass(frozen=True)
class Images:
    """The images that the classical methods are fitted to, and those to denoise."""

    train: ImageMoments  # for the linear denoiser
    validation: Tensor  # (N, C, H, W) in [0, 1]: for the filters' settings
    test: Tensor  # (N, C, H, W) in [0, 1]
    own_test: Tensor | None = None
    """The run's own test images, where `test` are foreign ones: (N, C, H, W) in [0, 1]."""

    @property
    def allow_linear(self) -> bool:
        """Whether the images are small enough for a linear denoiser: see `MAX_NUMBERS`."""
        return self.test[0].numel() <= MAX_NUMBERS


@dataclass(frozen=True)
class Denoised:
    """The results of every method for one noise of one strength."""

    kind: CorruptionKind
    strength: float
    errors: dict[str, Tensor]
    """Method -> the mse of each image (N,); `NOISY` is the input itself."""
    outputs: dict[str, Tensor]
    """`ORIGINAL`, `NOISY` or method -> the first images, (SHOWN, C, H, W)."""
    own: "Denoised | None" = None
    """The results of the same methods on the run's own test images, if these are foreign."""

    @property
    def mse(self) -> dict[str, float]:
        """Method -> mean squared error over the images."""
        return {name: errors.mean().item() for name, errors in self.errors.items()}

    @property
    def psnr(self) -> dict[str, float]:
        """Method -> peak signal-to-noise ratio in dB."""
        return {name: psnr(mse) for name, mse in self.mse.items()}

    @property
    def noise(self) -> str:
        """The kind of noise, as in figures and tables."""
        return noise_name(self.kind)


def choose_noises(noise: str | None, strengths: str | None) -> list[tuple[CorruptionKind, float]]:
    """Every kind of noise with each of its strengths.

    Args:
        noise: the name of one of `NOISES`; None for all of them.
        strengths: comma-separated numbers; None for those in `STRENGTHS`.

    Raises:
        UsageError: a strength is not valid, or there are too many.
    """
    kinds = list(NOISES) if noise is None else [CorruptionKind[noise]]
    return [(kind, strength) for kind in kinds for strength in read_strengths(strengths, kind)]


def read_strengths(text: str | None, kind: CorruptionKind) -> tuple[float, ...]:
    """Parse strengths such as `0.1,0.5`, and sort them in ascending order.

    Raises:
        UsageError: they are not numbers, not valid for this noise, or too many.
    """
    if text is None:
        return STRENGTHS[kind]
    is_gaussian = kind is CorruptionKind.gaussian
    try:
        numbers = sorted({float(part) for part in text.split(",")})
    except ValueError:
        numbers = []
    most = MAX_STD if is_gaussian else 1.0
    if not numbers or not all(0 < each <= most for each in numbers):  # nor is NaN
        valid = "standard deviations" if is_gaussian else "shares of the pixels"
        raise UsageError(
            f"strengths={text} is not valid for {kind.name}: give {valid} above 0 and up to "
            f"{most:g}, as in 0.1,0.5"
        )
    if len(numbers) > MAX_STRENGTHS:
        raise UsageError(f"strengths={text} are too many: give at most {MAX_STRENGTHS}")
    return tuple(numbers)


def check_same_images(models: list[Trained]) -> None:
    """Check that all models have the test images of the first, which they denoise.

    Raises:
        UsageError: one of them has others, and may have been trained on those of the first.
    """
    first, *others = [DataFacts.from_summary(model.run.load_summary()) for model in models]
    for model, data in zip(models[1:], others, strict=True):
        if data.identity != first.identity:
            raise UsageError(
                f"{model.run.path} was trained on {data} and {models[0].run.path} on {first}, "
                f"whose test images are others: give runs on the same images"
            )


def find_foreign(trained: Trained, name: str | None, resize: bool) -> ForeignImages | None:
    """The images that are denoised in addition to the run's own test images: the user's, or those
    of the data set `name`; None if neither is given.

    Raises:
        UsageError: both are given, or the data set is that of the run, or there is no such data
            set.
        DataError: it cannot be loaded, or its images have another shape.
    """
    if name is None:
        return ForeignImages(trained.own.name, trained.own.split) if trained.own else None
    if trained.own:
        raise UsageError(f"data={name} and images= cannot both be given: leave one out")
    if name == trained.config.data.name:
        raise UsageError(
            f"data={name} is what {trained.run.path} was trained on, and its test images are used "
            f"anyway: leave it out, or name another data set"
        )
    return load_foreign(name, Path(trained.config.data_dir), trained.model.image_shape, resize)


def draw_images(
    trained: Trained, n: int | None, seed: int, foreign: ForeignImages | None = None
) -> Images:
    """Draw `n` of the images of `trained`, or all if there are fewer, and images to fit to.

    Args:
        n: None for `DEFAULT_IMAGES`, or fewer if they are large.
        foreign: images to draw from instead; as many of the run's own test images are then drawn
            for comparison, unless they cannot be used, in which case there is a warning.

    Raises:
        UsageError: `n` is less than 1.
    """
    data = trained.data()
    n = image_count(n, data.train, DEFAULT_IMAGES, MAX_VALUES)
    held_out = data.validation if trained.config.data.has_validation else data.train
    images = Images(
        train=ImageMoments(draw(data.train, TRAINING_IMAGES, seed).images),
        validation=_crop(to_pixels(draw(held_out, VALIDATION_IMAGES, seed).images), seed),
        test=to_pixels(draw(data.test, n, seed).images),
    )
    if foreign is None:
        return images
    drawn = fit_to(draw(foreign.split, n, seed).images, data.image_shape)
    images = replace(images, test=to_pixels(drawn.to(trained.device)))
    try:
        own_test = replace(trained, own=None).images
    except DataError as error:
        trained.warn(f"the run's own test images are left out: {error}")
        return images
    return replace(images, own_test=to_pixels(draw(own_test, n, seed).images))


def _crop(images: Tensor, seed: int) -> Tensor:
    """Cut images (N, C, H, W) to at most `MAX_CROP` rows and columns, each at a random place."""
    generator = torch.Generator().manual_seed(seed)
    for axis in (2, 3):
        spare = images.shape[axis] - MAX_CROP
        if spare > 0:
            starts = torch.randint(spare + 1, (len(images),), generator=generator).tolist()
            cut = [
                image.narrow(axis - 1, start, MAX_CROP)
                for image, start in zip(images, starts, strict=True)
            ]
            images = torch.stack(cut)
    return images


def names_with_noise(models: list[Trained]) -> list[str]:
    """Distinct names of the models: the name of each and the noise that it was trained with."""
    return distinct([f"{each.config.name}, {training_noise(each.config)}" for each in models])


def training_noise(config: TrainConfig) -> str:
    """The noise that a model was trained with, and its strength."""
    kind = config.corruption.name
    target = ", noisy target" if config.corruption.target is Target.input else ""
    if kind in NOISES:
        return f"{noise_name(kind)} {noise_strength(config.corruption):g}{target}"
    return "no noise" if kind is CorruptionKind.none else f"{noise_name(kind)}{target}"


def noise_name(kind: CorruptionKind) -> str:
    """The name of a noise in figures and tables."""
    return kind.name.replace("_", "-")


def method_count(models: list[Trained], images: Images) -> int:
    """How many methods `denoise` measures for a noise."""
    return 1 + len(models) + images.allow_linear + len(FILTERS)


@torch.inference_mode()
def denoise(
    models: list[Trained],
    images: Images,
    kind: CorruptionKind,
    strength: float,
    seed: int,
    on_method_end: Callable[[], None] = lambda: None,
) -> Denoised:
    """Add noise to the test images, and remove it with the models and the classical methods.

    All methods are fitted to the run's own images, or tuned on them, so foreign ones are new to
    each.

    Args:
        models: denoisers to compare.
        images: images to denoise, and images to fit the classical methods to.
        kind: one of `NOISES`.
        strength: its standard deviation, or the share of the pixels that it hits.
        seed: seed of the noise.
        on_method_end: called when a method is done.
    """
    methods: dict[str, Restore] = {NOISY: lambda pixels: pixels}
    for name, model in zip(names_with_noise(models), models, strict=True):
        methods[name] = model.reconstruct
    methods |= classical_methods(images, kind, strength, seed)
    sets = [each for each in (images.test, images.own_test) if each is not None]
    measured = [Denoised(kind, strength, {}, {ORIGINAL: clean[:SHOWN]}) for clean in sets]
    noisy = [
        NOISES[kind](clean, strength, torch.Generator(clean.device).manual_seed(seed))
        for clean in sets
    ]
    for name, restore in methods.items():
        for result, clean, inputs in zip(measured, sets, noisy, strict=True):
            outputs = torch.cat([restore(batch) for batch in inputs.split(EVALUATION_BATCH)])
            result.errors[name] = image_mse(clean, outputs).cpu().double()
            result.outputs[name] = outputs[:SHOWN]
        on_method_end()
    result, *own = measured
    return replace(result, own=own[0] if own else None)


def classical_methods(
    images: Images, kind: CorruptionKind, strength: float, seed: int
) -> dict[str, Restore]:
    """Methods without a network: fitted to training images or tuned on validation images, or on
    training images if there are none.

    The linear denoiser is left out if the images are too large for it.
    """
    clean = images.validation
    noisy = NOISES[kind](clean, strength, torch.Generator(clean.device).manual_seed(seed + 1))
    methods: dict[str, Restore] = {}
    if images.allow_linear:
        methods[LINEAR] = fit_denoiser(images.train, kind, strength)
    correct = level_from_mean(kind, strength)
    return methods | {name: best(noisy, clean, correct) for name, best in FILTERS.items()}


def side_by_side(
    results: list[Denoised], names: tuple[str, str] = ("", "")
) -> dict[str, list[Denoised]]:
    """The results by the images that they are on: the run's own test images, if they are measured,
    then the others; `names` are those of the two."""
    own = [result.own for result in results if result.own]
    return {names[0]: own, names[1]: results} if own else {"": results}


def psnr_figure(
    title: str, results: list[Denoised], models: list[str], names: tuple[str, str] = ("", "")
) -> Figure:
    """The psnr of every method against the strength, a chart for each kind of noise.

    `models` are the names of the models, as in `names_with_noise`; `names` as in `side_by_side`.
    """
    rows: dict[str, dict[str, dict[str, dict[float, float]]]] = {}
    for images, measured in side_by_side(results, names).items():
        charts = rows.setdefault(images, {})
        for result in measured:
            curves = charts.setdefault(f"{result.noise}: {AXES[result.kind]}", {})
            for name, value in result.psnr.items():
                curves.setdefault(name, {})[result.strength] = value
    return psnr_by_strength(title, rows, models)


def images_figure(title: str, results: list[Denoised], names: tuple[str, str] = ("", "")) -> Figure:
    """The outputs of every method at the middle strength of each kind of noise."""
    grids, sets = {}, side_by_side(results, names)
    kinds = dict.fromkeys(result.kind for result in results)
    shown = SHOWN if len(kinds) * len(sets) <= MAX_PANELS else SHOWN_MANY
    for kind in kinds:
        for images, measured in sets.items():
            of_kind = [result for result in measured if result.kind is kind]
            middle = of_kind[len(of_kind) // 2]
            noise = f"{middle.noise} {middle.strength:g}, psnr in dB"
            grids[f"{images}: {noise}" if images else noise] = [
                Row(name, outputs[:shown], captions=_captions(middle, name)[:shown])
                for name, outputs in middle.outputs.items()
            ]
    return panels(title, grids)


def _captions(result: Denoised, name: str) -> list[str]:
    """The psnr of each image; none for the originals."""
    if name == ORIGINAL:
        return []
    errors = image_mse(result.outputs[ORIGINAL], result.outputs[name]).tolist()
    return [f"{psnr(error):.1f}" for error in errors]
