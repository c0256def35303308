"""The figures of a comparison: what each shows, and the caption that explains it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import TypeVar

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import pad

from aecli.baselines.kernel_pca import MAX_FITTED
from aecli.comparison.results import Comparison, Result, RunGroup
from aecli.comparison.table import MILLION, format_ppm
from aecli.config import plain
from aecli.config.wording import loss_label
from aecli.errors.text import listed
from aecli.evaluation.checkerboard import high_pass
from aecli.evaluation.metrics import image_mse
from aecli.evaluation.scores import checkerboard_period
from aecli.figures import (
    Curve,
    Point,
    Row,
    error_by_latent,
    error_scale,
    panels,
    score_by_family,
    study_losses,
)
from aecli.runs.records import by_epoch

MAX_FAMILIES = 8  # in figures on upsampling: one more than there are methods
MAX_LATENTS = 8  # of one family
MAX_SETTINGS = 12  # in a figure with images of each
IMAGES = 8  # in a panel of reconstructions
FOLLOWED_IMAGES = 3  # shown at several epochs

T = TypeVar("T")


@dataclass(frozen=True)
class Picture:
    """A figure that can be drawn once per theme."""

    name: str
    """The name of its files, without a suffix."""
    title: str
    """The heading above it."""
    caption: str
    """What it shows and how to read it, in a few sentences."""
    draw: Callable[[], Figure]
    """Make a new figure in the current theme. Images are read here and not kept."""


def pictures(comparison: Comparison) -> list[Picture]:
    """All figures of a comparison, from general to specific."""
    return [
        _mse_by_latent(comparison),
        _reconstructions(comparison),
        _loss(comparison),
        *_checkerboards(comparison),
        _epochs(comparison),
        _extremes(comparison),
    ]


def _loss(comparison: Comparison) -> Picture:
    loss = "the loss of every run, in the units that its model is trained in"
    lacking = [setting.label for setting in comparison.settings if setting.val_mse is None]
    caption = (
        f"There are no validation images, so the chart shows {loss}, on the training images. "
        if len(lacking) == len(comparison.settings)
        else f"Left: {loss}. Right: the mse of the validation images, in pixels from 0 to 1"
        f"{f', which {listed(lacking)} do not have' if lacking else ''}. "
    )
    caption += (
        "Of several seeds, the line is the mean and the band one standard deviation to each side."
    )
    configs = [setting.first.config for setting in comparison.settings]
    reasons = [
        *["scale their pixels differently"] * _differ((c.data.mean, c.data.std) for c in configs),
        *["minimise different losses"] * _differ(c.loss for c in configs),
        *["add different penalties"] * _differ(c.regularizer.name for c in configs),
    ]
    if reasons:
        caption += (
            f" The runs {listed(reasons)}, so their losses are in different units: compare runs "
            f"by the right-hand chart."
        )
    curves = [
        _curve(setting, result) for setting in comparison.settings for result in setting.results
    ]
    title, label = f"Training on {comparison.data}", loss_label(configs)
    return Picture("loss", "Loss by epoch", caption, partial(study_losses, title, curves, label))


def _differ(values: Iterable[object]) -> bool:
    return len({*values}) > 1


def _curve(setting: RunGroup, result: Result) -> Curve:
    return Curve(
        setting.label,
        family=setting.family,
        train=by_epoch(result.records, "train_loss"),
        validation=by_epoch(result.records, "val_loss"),
        mse=by_epoch(result.records, "val_mse"),
    )


def _mse_by_latent(comparison: Comparison) -> Picture:
    settings = comparison.settings
    caption = (
        "The test error of each kind of network by latent size; lower is better. "
        "Dashed: PCA with as many components; the curve is cut off where it is far below. "
        "Dotted: the mean image as the reconstruction of every image."
    )
    if any(len(setting.results) > 1 for setting in settings):
        caption += " The band is one standard deviation over the seeds to each side."
    if any(_inputs_of_pca(setting) != _inputs_of_pca(settings[0]) for setting in settings):
        family = settings[0].family
        settings = comparison.families[family]
        caption += (
            f" PCA and the mean image are measured as for {family}; for networks with other "
            f"inputs or training images they differ."
        )
    pca: dict[int, float] = {}
    for setting in settings:
        pca |= {**setting.first.pca_curve, setting.latent: setting.pca_mse}
    points = {
        family: [Point(each.latent, each.mse, each.spread("mse").std) for each in members]
        for family, members in comparison.families.items()
    }
    kernel_pca = {
        each.latent: each.kernel_pca_mse
        for each in comparison.settings
        if each.kernel_pca_mse is not None
    }
    if kernel_pca:
        caption += (
            f" Dash-dotted: kernel PCA of images without corruption, fitted to at most "
            f"{MAX_FITTED:,} training images."
        )
    mean_image = fmean(setting.first.mean_image_mse for setting in settings)
    title = f"Test error by latent size on {comparison.data}"
    draw = partial(error_by_latent, title, points, pca, mean_image, kernel_pca)
    return Picture("mse-by-latent", "Error by latent size", caption, draw)


def _inputs_of_pca(setting: RunGroup) -> tuple[object, ...]:
    """What the error of PCA depends on, besides the latent size."""
    config = setting.first.config
    return *plain(config.corruption).values(), config.data.train_size, config.data.val_size


def _reconstructions(comparison: Comparison) -> Picture:
    settings, families = comparison.settings, comparison.families
    if len(families) == 1:
        shown = _evenly_spaced(settings, MAX_LATENTS)
        note = _selection_note(len(shown), len(settings), "latent sizes, evenly spaced")
    else:
        shown, note = _best(settings)
    caption = (
        "Test images as reconstructed by each network, and by PCA from codes of the same size. "
        "Above each: its mse. Right: the absolute error, in the colours of the first row."
    )
    if len({_inputs_of_pca(setting) for setting in shown}) > 1:
        caption += " PCA is repeated where networks have other inputs or training images."
    title = f"Reconstructions on {comparison.data}"
    draw = partial(_draw_reconstructions, title, shown)
    return Picture("reconstructions", "Reconstructions", caption + note + _seed_note(shown), draw)


def _draw_reconstructions(title: str, settings: list[RunGroup]) -> Figure:
    """A row for each network, and below the networks of each latent size a row for PCA."""
    original = settings[0].first.run.load_images()["original"][:IMAGES]
    outputs = [Row("original", original)]
    errors = [error_scale("", original)]

    def add(label: str, images: Tensor) -> None:
        mse = [f"{error:.3f}" for error in image_mse(original, images).tolist()]
        outputs.append(Row(label, images, captions=mse))
        errors.append(Row("", abs(images - original), is_error=True))

    by_inputs: dict[tuple[object, ...], list[RunGroup]] = defaultdict(list)
    for setting in settings:
        by_inputs[_inputs_of_pca(setting)].append(setting)
    for members in by_inputs.values():
        corrupted = members[0].first.run.load_images().get("corrupted")
        if corrupted is not None:
            add("corrupted", corrupted[:IMAGES])
        for latent in sorted({setting.latent for setting in members}):
            pca: list[Tensor] = []
            for setting in (each for each in members if each.latent == latent):
                images = setting.first.run.load_images()
                add(setting.label, images["output"][:IMAGES])
                pca.append(images["pca"][:IMAGES])
            add(f"PCA, latent {latent}", pca[0])
    return panels(title, {"test images and reconstructions": outputs, "absolute error": errors})


def _checkerboards(comparison: Comparison) -> list[Picture]:
    """The patterns left by decoders that upsample; empty if there are no such decoders."""
    families = {
        name: [each for each in settings if each.checkerboard is not None]
        for name, settings in comparison.families.items()
        if settings[0].upsample is not None
    }
    families = {name: settings for name, settings in families.items() if settings}
    if not families:
        return []
    errors = [
        min((each.val_mse for each in found if each.val_mse is not None), default=None)
        for found in families.values()
    ]
    names, note = _chosen([*families], errors, MAX_FAMILIES, "families")
    shown = {name: families[name] for name in names}
    return [_checkerboard_scores(comparison, shown, note), _patterns(comparison, shown, note)]


def _checkerboard_scores(
    comparison: Comparison, families: dict[str, list[RunGroup]], note: str
) -> Picture:
    originals = next(iter(families.values()))[0].first.checkerboard_of_originals or 0.0
    caption = (
        "The share of the reconstructions' energy that repeats with the stride of the decoder, in "
        "parts per million: the pattern left by uneven overlap. Lower is better, down to the score "
        f"of the test images themselves ({format_ppm(originals)})."
    )
    points = {
        name: [
            Point(each.latent, score.mean, score.std)
            for each in settings
            if each.checkerboard is not None
            and (score := each.checkerboard.times(MILLION)).mean > 0  # the scale has no 0
        ]
        for name, settings in families.items()
    }
    title = f"Checkerboard score on {comparison.data}"
    draw = partial(
        score_by_family, title, "checkerboard score (ppm)", points, originals * MILLION,
        "test images",
    )  # fmt: skip
    return Picture("checkerboard", "Checkerboard score", caption + note, draw)


def _patterns(comparison: Comparison, families: dict[str, list[RunGroup]], note: str) -> Picture:
    caption = (
        "The mean of all reconstructions without its smooth part, all on one scale: the images "
        "differ and cancel out, and what the decoder leaves at the same pixels of every one "
        "remains. Grey is zero. Above each: the latent size, and the checkerboard score in parts "
        "per million."
        + note
        + _seed_note([setting for settings in families.values() for setting in settings])
    )
    title = f"Pattern common to all reconstructions on {comparison.data}"
    return Picture(
        "pattern", "Checkerboard pattern", caption, partial(_draw_patterns, title, families)
    )


def _padded_high_pass(mean: Tensor, period: int) -> Tensor:
    """The high-pass part of an image at its full size: 0 at the border, which has no average."""
    return pad(high_pass(mean, period), [period - 1] * 4)


def _draw_patterns(title: str, families: dict[str, list[RunGroup]]) -> Figure:
    patterns: dict[str, list[Tensor]] = {"test images": []}
    captions: dict[str, list[str]] = {"test images": []}
    for name, settings in families.items():
        patterns[name], captions[name] = [], []
        for setting in _evenly_spaced(settings, MAX_LATENTS):
            images, result = setting.first.run.load_images(), setting.first
            period = checkerboard_period(result.config.model)
            patterns[name].append(_padded_high_pass(images["mean/output"], period))
            captions[name].append(f"{setting.latent}: {format_ppm(result.checkerboard or 0.0)}")
            if not patterns["test images"]:
                patterns["test images"].append(_padded_high_pass(images["mean/original"], period))
                captions["test images"].append(format_ppm(result.checkerboard_of_originals or 0.0))
    largest = max(image.abs().max() for images in patterns.values() for image in images)
    rows = [
        # From black through grey, which is zero, to white.
        Row(name, torch.cat(images) / (2 * largest) + 0.5, captions=captions[name])
        for name, images in patterns.items()
    ]
    return panels(title, {"": rows})


def _epochs(comparison: Comparison) -> Picture:
    shown, note = _best(comparison.settings)
    caption = (
        "A few test images as reconstructed during training: the number above an image is the "
        "epoch after which it was made, and orig. is the original." + note + _seed_note(shown)
    )
    title = f"Reconstructions by epoch on {comparison.data}"
    return Picture(
        "epochs", "Reconstructions by epoch", caption, partial(_draw_epochs, title, shown)
    )


def _draw_epochs(title: str, settings: list[RunGroup]) -> Figure:
    grids: list[list[Row]] = [[] for _ in range(FOLLOWED_IMAGES)]
    for setting in settings:
        images = setting.first.run.load_images()
        epochs = sorted(int(key.partition("/")[2]) for key in images if key.startswith("epoch/"))
        stages = [*(images[f"epoch/{epoch}"] for epoch in epochs), images["original"]]
        captions = [*map(str, epochs), "orig."]
        for rows, progress in zip(grids, torch.stack(stages, dim=1), strict=False):
            rows.append(Row(setting.label, progress, captions=captions))
    if all(row.captions == grids[0][0].captions for row in grids[0]):
        grids = [[*rows[:1], *(row._replace(captions=()) for row in rows[1:])] for rows in grids]
    headings = [f"test image {number}, after epoch" for number in range(1, FOLLOWED_IMAGES + 1)]
    found = zip(headings, grids, strict=True)  # a small data set has fewer
    return panels(title, {heading: rows for heading, rows in found if rows})


def _extremes(comparison: Comparison) -> Picture:
    shown, note = _best(comparison.settings)
    caption = (
        "The test images that each network reconstructs best and worst, each with its mse, "
        "and below them the reconstructions." + note + _seed_note(shown)
    )
    title = f"Best and worst reconstructions on {comparison.data}"
    return Picture(
        "extremes", "Best and worst images", caption, partial(_draw_extremes, title, shown)
    )


def _draw_extremes(title: str, settings: list[RunGroup]) -> Figure:
    grids: dict[str, list[Row]] = {"best": [], "worst": []}
    for setting in settings:
        images = setting.first.run.load_images()
        for key, rows in grids.items():
            original, output = images[f"{key}/original"], images[f"{key}/output"]
            captions = [f"{mse:.2g}" for mse in image_mse(original, output).tolist()]
            rows.append(Row(setting.label, original, captions=captions))
            rows.append(Row("reconstruction", output))
    return panels(title, {f"{key} reconstructed": rows for key, rows in grids.items()})


def _best(settings: list[RunGroup]) -> tuple[list[RunGroup], str]:
    """At most `MAX_SETTINGS` of them, and a note for the caption if there are more."""
    return _chosen(settings, [each.val_mse for each in settings], MAX_SETTINGS, "settings")


def _chosen(
    items: list[T], errors: Sequence[float | None], limit: int, what: str
) -> tuple[list[T], str]:
    """At most `limit` items in their order, and a note for the caption if there are more.

    Those with the lowest validation error, if there is one of each: test images choose nothing.
    """
    known = [error for error in errors if error is not None]
    if len(known) < len(items):
        shown, how = _evenly_spaced(items, limit), "evenly spaced"
    else:
        ranked = sorted(range(len(items)), key=known.__getitem__)
        shown, how = (
            [items[n] for n in sorted(ranked[:limit])],
            "those with the lowest validation mse",
        )
    return shown, _selection_note(len(shown), len(items), f"{what}, {how}")


def _evenly_spaced(items: list[T], limit: int) -> list[T]:
    """At most `limit` items, evenly spaced, including the first and the last."""
    if len(items) <= limit:
        return items
    return [items[round(number * (len(items) - 1) / (limit - 1))] for number in range(limit)]


def _selection_note(shown: int, total: int, what: str) -> str:
    """A sentence for the caption if not everything is shown."""
    return f" Shown: {shown} of {total} {what}." if shown < total else ""


def _seed_note(settings: list[RunGroup]) -> str:
    several = any(len(setting.results) > 1 for setting in settings)
    return " With several seeds, the first is shown." if several else ""
