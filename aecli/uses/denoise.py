"""Noise of several kinds and strengths, removed by trained models and by the classical answers."""

from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor
from tqdm import tqdm

from aecli.baselines.restoration import (
    MAX_NUMBERS,
    Restore,
    best_median,
    best_non_local_means,
    fit_denoiser,
)
from aecli.cli import console
from aecli.config import CorruptionKind, TrainConfig
from aecli.data import Split
from aecli.data.batches import to_pixels
from aecli.data.corruption import NOISES, noise_strength
from aecli.errors import UsageError
from aecli.evaluation.metrics import EVALUATION_BATCH, image_mse, psnr
from aecli.figures import Row, panels, psnr_by_strength
from aecli.runs.results import Results
from aecli.runs.trained import Trained

COMMAND = "denoise"
STRENGTHS = {
    CorruptionKind.gaussian: (0.1, 0.25, 0.5, 1.0),
    CorruptionKind.masking: (0.25, 0.5, 0.75),
    CorruptionKind.salt_and_pepper: (0.1, 0.25, 0.5),
}
"""What is tried unless something else is asked for."""
AXES = {
    CorruptionKind.gaussian: "standard deviation",
    CorruptionKind.masking: "share of the pixels",
    CorruptionKind.salt_and_pepper: "share of the pixels",
}
"""What the strength of each is."""
MAX_STRENGTHS = 12  # for each kind of noise
FITTED = 10_000  # training images by which the best linear denoiser is found
TUNED = 25  # validation images by which the filters' settings are chosen
SHOWN = 5  # images for each kind of noise
MAX_STD = 10.0  # beyond which a clipped pixel is black or white whatever it was
ORIGINAL, NOTHING = "original", "noisy"
LINEAR, MEDIAN, MEANS = "best linear", "median", "non-local means"


@dataclass(frozen=True)
class Material:
    """The images that an answer to noise is found by, and those that it is measured on."""

    fitted: Tensor  # (N, C, H, W) uint8, of the training images
    tuned: Tensor  # (N, C, H, W) in [0, 1], of the validation images
    measured: Tensor  # (N, C, H, W) in [0, 1]


@dataclass(frozen=True)
class Setting:
    """One noise of one strength, and what is left of it."""

    kind: CorruptionKind
    strength: float
    mse: dict[str, float]
    """What was done -> mean squared error of the images."""
    outputs: dict[str, Tensor]
    """What was done -> the images that are shown, (SHOWN, C, H, W)."""

    @property
    def psnr(self) -> dict[str, float]:
        """The same in dB."""
        return {name: psnr(mse) for name, mse in self.mse.items()}


def denoise(
    models: list[Trained], noise: str | None, strengths: str | None, n: int, seed: int
) -> None:
    """Measure what is left of noise, with several models and without any.

    Args:
        models: the first is what it is about; the results are left beside it.
        noise: one of NOISES by its name; None: all of them.
        strengths: numbers with commas between; None: those of STRENGTHS.
        n: images that are measured.
        seed: of the images and of their noise.

    Raises:
        UsageError: strengths or numbers that make no sense, or models of different images.
    """
    kinds = list(NOISES) if noise is None else [CorruptionKind[noise]]
    tried = [(kind, each) for kind in kinds for each in read_strengths(strengths, kind)]
    if n < 1:
        raise UsageError(f"n={n} is not valid: give 1 or more")
    check_same_images(models)
    first, names = models[0], model_names(models)
    material = material_of(first, n, seed)
    bar = tqdm(tried, desc="noises", leave=False, disable=None)
    with torch.inference_mode():
        settings = [measure(models, material, kind, each, seed) for kind, each in bar]
    title = f"{first.config.name} on {len(material.measured)} of the {first.images_name}"
    with Results(first.run, COMMAND) as results:
        results.figure("psnr", _chart(title, settings, names))
        results.figure("images", _grid(title, settings))
        results.numbers(_numbers(settings, names, len(material.measured), seed))
    console.table(_table(title, settings, names))
    if len(names) > 1:
        console.facts({f"model {number}": name for number, name in enumerate(names, 1)})
    for word in _words(models, material):
        console.warn(word)
    console.facts({"results": str(results.folder)})


def read_strengths(text: str | None, kind: CorruptionKind) -> tuple[float, ...]:
    """`0.1,0.5` as numbers, the smallest first.

    Raises:
        UsageError: it is something else, or no strength of this noise.
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
    """Models are held against one another on the images of the first.

    Raises:
        UsageError: another one was trained on other images.
    """
    first, *others = [model.run.load_summary()["data"] for model in models]
    for model, data in zip(models[1:], others, strict=True):
        if any(data[key] != first[key] for key in ("name", "image_shape")):
            raise UsageError(
                f"{model.run.path} was trained on {data['name']} and {models[0].run.path} on "
                f"{first['name']}: give runs on the same images"
            )


def material_of(trained: Trained, n: int, seed: int) -> Material:
    """Images drawn by seed, `n` of those that the command works on, or all if there are fewer."""
    data = trained.data()
    return Material(
        fitted=_drawn(data.train, FITTED, seed),
        tuned=to_pixels(_drawn(data.validation, TUNED, seed)),
        measured=to_pixels(_drawn(trained.images, n, seed)),
    )


def _drawn(split: Split, n: int, seed: int) -> Tensor:
    """uint8 images (N, C, H, W)."""
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    return split.images[order[:n].to(split.images.device)]


def model_names(models: list[Trained]) -> list[str]:
    """What each is called: its name, and what it saw in training."""
    names = [f"{model.config.name}, {trained_on(model.config)}" for model in models]
    return [
        name if names.count(name) == 1 else f"{name} ({number})"
        for number, name in enumerate(names, 1)
    ]


def trained_on(config: TrainConfig) -> str:
    """What the model saw in training."""
    kind = config.corruption.name
    if kind in NOISES:
        return f"{words(kind)} {noise_strength(config.corruption):g}"
    return "no noise" if kind is CorruptionKind.none else words(kind)


def words(kind: CorruptionKind) -> str:
    """A kind of noise as people write it."""
    return kind.name.replace("_", "-")


def measure(
    models: list[Trained], material: Material, kind: CorruptionKind, strength: float, seed: int
) -> Setting:
    """One noise on the images, and what everyone makes of it."""
    clean = material.measured
    noisy = NOISES[kind](clean, strength, torch.Generator(clean.device).manual_seed(seed))
    contestants: dict[str, Restore] = {NOTHING: lambda pixels: pixels}
    for name, model in zip(model_names(models), models, strict=True):
        contestants[name] = model.reconstruct
    contestants |= classical(material, kind, strength, seed)
    outputs = {
        name: torch.cat([each(batch) for batch in noisy.split(EVALUATION_BATCH)])
        for name, each in contestants.items()
    }
    mse = {name: image_mse(clean, each).double().mean().item() for name, each in outputs.items()}
    shown = {name: each[:SHOWN] for name, each in {ORIGINAL: clean, **outputs}.items()}
    return Setting(kind, strength, mse, shown)


def classical(
    material: Material, kind: CorruptionKind, strength: float, seed: int
) -> dict[str, Restore]:
    """What needs no network, fitted to training images and tuned on validation images."""
    clean = material.tuned
    noisy = NOISES[kind](clean, strength, torch.Generator(clean.device).manual_seed(seed + 1))
    found: dict[str, Restore] = {}
    if _has_linear(material):
        found[LINEAR] = fit_denoiser(material.fitted, kind, strength)
    found[MEDIAN] = best_median(noisy, clean)
    found[MEANS] = best_non_local_means(noisy, clean)
    return found


def _has_linear(material: Material) -> bool:
    return material.measured[0].numel() <= MAX_NUMBERS


def _words(models: list[Trained], material: Material) -> list[str]:
    """What must be known of the numbers, and what would say more."""
    said = []
    if not _has_linear(material):
        said.append(
            f"no best linear denoiser: it takes a matrix of all {material.measured[0].numel():,} "
            f"numbers of an image with all, and {MAX_NUMBERS:,} are the most"
        )
    noisy = [model.config.corruption.name in NOISES for model in models]
    if all(noisy) or not any(noisy):
        other = "without noise" if all(noisy) else "with noise, as by corruption=gaussian"
        said.append(
            f"beside a run that was trained {other}, aecli denoise RUN OTHER shows what noise in "
            f"training brings"
        )
    return said


def _chart(title: str, settings: list[Setting], names: list[str]) -> Figure:
    charts: dict[str, dict[str, dict[float, float]]] = {}
    for setting in settings:
        curves = charts.setdefault(f"{words(setting.kind)}: {AXES[setting.kind]}", {})
        for name, value in setting.psnr.items():
            curves.setdefault(name, {})[setting.strength] = value
    return psnr_by_strength(title, charts, names)


def _grid(title: str, settings: list[Setting]) -> Figure:
    """Of each kind of noise the strength in the middle."""
    shown = {}
    for kind in dict.fromkeys(setting.kind for setting in settings):
        its = [setting for setting in settings if setting.kind is kind]
        middle = its[len(its) // 2]
        shown[f"{words(kind)} {middle.strength:g}, psnr in dB"] = [
            Row(name, images, captions=_captions(middle, name))
            for name, images in middle.outputs.items()
        ]
    return panels(title, shown)


def _captions(setting: Setting, name: str) -> list[str]:
    """The psnr of each image."""
    if name == ORIGINAL:
        return []
    errors = image_mse(setting.outputs[ORIGINAL], setting.outputs[name]).tolist()
    return [f"{psnr(error):.1f}" for error in errors]


def _numbers(settings: list[Setting], names: list[str], n: int, seed: int) -> dict[str, Any]:
    """The first model's psnr at the top, then everything."""
    return {
        **{
            f"psnr_{setting.kind.name}_{setting.strength:g}": setting.psnr[names[0]]
            for setting in settings
        },
        "n": n,
        "seed": seed,
        "settings": [
            {
                "noise": setting.kind.name,
                "strength": setting.strength,
                "mse": setting.mse,
                "psnr": setting.psnr,
            }
            for setting in settings
        ],
    }


def _table(title: str, settings: list[Setting], names: list[str]) -> Table:
    """A row for each setting; psnr of all, and what the first model gains over the others."""
    table = Table(
        title=f"{title}: psnr (dB)", title_justify="left", title_style="bold", header_style="bold"
    )
    table.add_column("noise", no_wrap=True)
    headings = {name: f"model {number}" for number, name in enumerate(names, 1)}
    if len(names) == 1:
        headings = {name: name.replace(", ", ",\n") for name in names}
    for name in settings[0].mse:
        table.add_column(headings.get(name, name), justify="right")
    for number in range(2, len(names) + 1):
        table.add_column(f"gain over {number}", justify="right")
    for kind in dict.fromkeys(setting.kind for setting in settings):
        table.add_section()
        table.add_row(words(kind))
        for setting in (each for each in settings if each.kind is kind):
            table.add_row(f"  {setting.strength:g}", *_cells(setting.psnr, names))
    return table


def _cells(psnr: dict[str, float], names: list[str]) -> list[str]:
    """The best one is in bold."""
    best = max(psnr.values())
    cells = [f"[bold]{each:.2f}[/]" if each == best else f"{each:.2f}" for each in psnr.values()]
    return [*cells, *(f"{psnr[names[0]] - psnr[name]:+.2f}" for name in names[1:])]
