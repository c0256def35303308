"""The settings of a comparison as a table: one list of columns for every format."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aecli.baselines.kernel_pca import MAX_FITTED
from aecli.comparison.results import MeanStd, RunGroup
from aecli.errors.text import escape_markdown
from aecli.evaluation.metrics import is_exact
from aecli.evaluation.scores import UNPOOLING_BYPASSES_CODE
from aecli.files import documents

SIGNIFICANT_DIGITS = 4
MILLION = 1e6
PLUS_MINUS = " ± "

SEEDS = "n"
BYPASSES = " †"
"""Marks decoders whose input is more than the code."""
CLOSED_EARLY = " ‡"
"""Marks settings with a run that was closed before its training was over."""

NONE_CHOSEN = (
    "No row is bold: settings are chosen by their validation mse, and some runs have no validation "
    "images."
)

Value = str | float | None
"""A cell in CSV: a number with all its digits; None if there is no value."""


@dataclass(frozen=True)
class Column:
    """One column, in every format."""

    name: str
    """The heading, as displayed."""
    text: Callable[[RunGroup], str]
    """The cell, as displayed."""
    values: dict[str, Callable[[RunGroup], Value]]
    """Name in CSV -> cell; two for a mean and its standard deviation."""
    is_number: bool = True
    meaning: str = ""
    """An explanation of the quantity; empty if the name is enough."""


@dataclass(frozen=True)
class Row:
    """One setting, as displayed."""

    cells: list[str]
    """One per column."""
    is_best: bool
    """Whether it is the `best_setting` of several."""


SORT_KEYS: dict[str, Callable[[RunGroup], float | None]] = {
    "model": lambda setting: 0.0,  # all equal, which keeps the comparison's order
    "latent": lambda setting: setting.latent,
    "mse": lambda setting: setting.val_mse,
    "test_mse": lambda setting: setting.mse,
    "sse": lambda setting: setting.spread("sse").mean,
    "psnr": lambda setting: -setting.spread("psnr").mean,
    "ssim": lambda setting: None if setting.ssim is None else -setting.ssim.mean,
    "checkerboard": lambda setting: (
        None if setting.checkerboard is None else setting.checkerboard.mean
    ),
    "ratio": lambda setting: setting.ratio_to_pca,
    "parameters": lambda setting: setting.parameters,
    "seconds": lambda setting: setting.spread("seconds").mean,
}
"""Sort key -> a number that is smaller for settings that come first."""


def sort_settings(settings: Sequence[RunGroup], key: str) -> list[RunGroup]:
    """Sort by a key of `SORT_KEYS`, best first; settings without the quantity come last."""

    def rank(setting: RunGroup) -> tuple[bool, float]:
        number = SORT_KEYS[key](setting)
        return number is None, number or 0.0

    return sorted(settings, key=rank)


def eligible(settings: Sequence[RunGroup]) -> list[RunGroup]:
    """The settings about which claims may be made: their decoders get only the code."""
    return [setting for setting in settings if not setting.bypasses_code]


def best_setting(settings: Sequence[RunGroup]) -> RunGroup | None:
    """The eligible setting with the smallest validation mse; None if there is none, or if one of
    them has no validation images.

    Test images have no part in the choice, so their error says how good it is.
    """
    candidates = eligible(settings)
    errors = [each.val_mse for each in candidates if each.val_mse is not None]
    if not errors or len(errors) < len(candidates):
        return None
    return candidates[errors.index(min(errors))]


def columns(settings: Sequence[RunGroup]) -> list[Column]:
    """The columns that these settings need, in order."""
    shown = [_model(settings)]
    if any(setting.upsample for setting in settings):
        shown.append(
            Column(
                "upsampling",
                lambda setting: f"{setting.upsample or ''}{BYPASSES * setting.bypasses_code}",
                {"upsample": lambda setting: setting.upsample or ""},
                is_number=False,
            )
        )
    keys = dict.fromkeys(key for setting in settings for key in setting.differences)
    sizes = [*_sizes(settings), *([_LIVE_UNITS] if any(map(_has_dead_units, settings)) else [])]
    has_validation = any(each.validation is not None for each in settings)
    errors = _errors() if has_validation else _errors()[1:]
    return [*shown, *map(_difference, keys), *sizes, *errors, *_pca_and_time(settings)]


def rows(settings: Sequence[RunGroup], shown: Sequence[Column]) -> list[Row]:
    """One row of cells per setting."""
    best = best_setting(settings) if len(settings) > 1 else None
    return [Row([each.text(setting) for each in shown], setting is best) for setting in settings]


def notes(settings: Sequence[RunGroup]) -> list[str]:
    """Notes needed to read the cells of this table, one sentence each."""
    sentences = []
    if len(settings) > 1 and eligible(settings):
        has_best = best_setting(settings) is not None
        sentences.append("Bold: the smallest validation mse." if has_best else NONE_CHOSEN)
    if any(setting.bypasses_code for setting in settings):
        sentences.append(
            f"{BYPASSES.strip()}: {UNPOOLING_BYPASSES_CODE}. No claims are made about it."
        )
    if any(setting.is_closed_early for setting in settings):
        sentences.append(f"{CLOSED_EARLY.strip()}: closed before its training was over.")
    counts = _counts(settings)
    if counts[-1] > 1:
        number = f" = {counts[0]}" if len(counts) == 1 else ""
        sentences.append(f"±: the standard deviation over n{number} seeds.")
    if any(math.isinf(setting.ratio_to_pca) for setting in settings):
        sentences.append("A ratio of inf: PCA makes no error at that latent size.")
    if len({each.kernel_pca_mse is None for each in settings}) == 2:
        sentences.append(
            "No kernel PCA in a row: its inputs are corrupted, or its code is too large."
        )
    return sentences


def to_csv(settings: Sequence[RunGroup]) -> str:
    """CSV for programs: all digits, and standard deviations in columns of their own."""
    found = records(settings)
    return documents.to_csv([found[0], *(each.values() for each in found)])


def records(settings: Sequence[RunGroup]) -> list[dict[str, Value]]:
    """A row for each setting, of which there is at least one: column in CSV -> value."""
    cells = {name: cell for each in columns(settings) for name, cell in each.values.items()}
    return [{name: cell(setting) for name, cell in cells.items()} for setting in settings]


def to_markdown(settings: Sequence[RunGroup]) -> str:
    """A table in GitHub Markdown, with its notes."""
    shown = columns(settings)
    lines = [
        [escape_markdown(each.name) for each in shown],
        ["---:" if each.is_number else "---" for each in shown],
    ]
    for row in rows(settings, shown):
        cells = [escape_markdown(cell) for cell in row.cells]
        lines.append([f"**{cell}**" if row.is_best and cell else cell for cell in cells])
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return table + "".join(f"\n{sentence}\n" for sentence in notes(settings))


def format_ppm(share: float) -> str:
    """A share in parts per million, as in all tables and sentences."""
    return _ppm(MeanStd(share, None))


def format_mse(mse: float) -> str:
    """A mean squared error, as in all tables and sentences."""
    return _error(MeanStd(mse, None))


def format_angle(degrees: float) -> str:
    """An angle, as in all tables and sentences."""
    return f"{degrees:.1f}°"


def _text_column(name: str, key: str, value: Callable[[RunGroup], str]) -> Column:
    return Column(name, value, {key: value}, is_number=False)


def _model(settings: Sequence[RunGroup]) -> Column:
    values: dict[str, Callable[[RunGroup], Value]] = {"model": lambda setting: setting.model}
    if any(setting.is_closed_early for setting in settings):
        values["closed_early"] = lambda setting: sum(
            result.closed is not None for result in setting.results
        )
    return Column(
        "model",
        lambda setting: f"{setting.model}{CLOSED_EARLY * setting.is_closed_early}",
        values,
        is_number=False,
    )


def _difference(key: str) -> Column:
    return _text_column(key, key, lambda setting: setting.differences.get(key, ""))


def _counts(settings: Sequence[RunGroup]) -> list[int]:
    """The numbers of seeds, in increasing order."""
    return sorted({len(setting.seeds) for setting in settings})


_COUNT = Column(
    SEEDS, lambda each: str(len(each.seeds)), {}, meaning="number of seeds that were trained"
)


def _sizes(settings: Sequence[RunGroup]) -> list[Column]:
    """Columns for what a setting consists of."""
    return [
        Column(
            "latent",
            lambda each: str(each.latent),
            {
                "latent": lambda each: each.latent,
                "seeds": lambda each: " ".join(map(str, each.seeds)),
            },
        ),
        *([_COUNT] if len(_counts(settings)) > 1 else []),
        Column(
            "parameters",
            lambda each: f"{each.parameters:,}",
            {"parameters": lambda each: each.parameters},
        ),
        Column(
            "compression ratio",
            lambda each: f"{each.compression:.1f}",
            {"compression_ratio": lambda each: each.compression},
            meaning="values in an image per value of its code",
        ),
    ]


def _errors() -> list[Column]:
    """Columns for the errors: on the validation images, then the scores on the test images."""
    return [
        _measured(
            "validation mse", "validation_mse", lambda each: each.validation, _error,
            "squared error of pixels in [0, 1], averaged over all pixels and validation images: "
            "settings are chosen by it",
        ),
        _measured(
            "test mse", "test_mse", lambda each: each.spread("mse"), _error,
            "the same on the test images, which have no part in any choice",
        ),
        _measured(
            "sse", "test_sse", lambda each: each.spread("sse"), _error,
            "squared errors summed over the pixels of an image, averaged over the images",
        ),
        _measured(
            "psnr (dB)", "test_psnr", lambda each: each.spread("psnr"), lambda it: _fixed(it, 2),
            "peak signal-to-noise ratio, 10 log10(1 / mse)",
        ),
        _measured(
            "ssim", "test_ssim", lambda each: each.ssim, lambda it: _fixed(it, 4),
            "mean structural similarity (Wang et al., 2004), 1 for identical images",
        ),
        _measured(
            "checkerboard (ppm)", "test_checkerboard", lambda each: each.checkerboard, _ppm,
            "share of the outputs' energy that repeats with the decoder's stride, in parts per "
            "million: the pattern left by uneven overlap",
        ),
    ]  # fmt: skip


def _measured(
    name: str,
    key: str,
    spread: Callable[[RunGroup], MeanStd | None],
    text: Callable[[MeanStd], str],
    meaning: str,
) -> Column:
    """A column of means over the seeds, with their standard deviation."""

    def cell(setting: RunGroup) -> str:
        found = spread(setting)
        return "" if found is None else text(found)

    def mean(setting: RunGroup) -> Value:
        found = spread(setting)
        return None if found is None else found.mean

    def std(setting: RunGroup) -> Value:
        found = spread(setting)
        return None if found is None else found.std

    return Column(name, cell, {key: mean, f"{key}_std": std}, meaning=meaning)


def _has_dead_units(setting: RunGroup) -> bool:
    return any(units < setting.latent for units in setting.live_units or [])


def _distinct(units: list[int]) -> list[int]:
    return units if len(set(units)) > 1 else units[:1]


_LIVE_UNITS = Column(
    "live units",
    lambda each: ", ".join(map(str, _distinct(each.live_units or []))),
    {"live_units": lambda each: " ".join(map(str, each.live_units or []))},
    is_number=False,
    meaning="units of the code that vary from image to image, for each seed if they differ",
)


_ANGLE = _measured(
    "angle to PCA (°)", "angle_to_pca_degrees", lambda each: each.angle_to_pca,
    lambda angle: _fixed(angle, 1),
    "the largest principal angle between what a linear decoder can draw and the components of PCA",
)  # fmt: skip


_KERNEL_PCA = Column(
    "kernel PCA mse",
    lambda each: "" if each.kernel_pca_mse is None else format_mse(each.kernel_pca_mse),
    {"kernel_pca_mse": lambda each: each.kernel_pca_mse},
    meaning=f"test mse of kernel PCA with as many components, fitted to at most {MAX_FITTED:,} "
    f"training images",
)


def _pca_and_time(settings: Sequence[RunGroup]) -> list[Column]:
    """Columns for the comparison with PCA and for the training time."""
    has_linear = any(each.angle_to_pca is not None for each in settings)
    has_kernel_pca = any(each.kernel_pca_mse is not None for each in settings)
    return [
        Column(
            "PCA mse",
            lambda each: format_mse(each.pca_mse),
            {"pca_mse": lambda each: each.pca_mse},
            meaning="test mse of PCA with as many components as the latent size",
        ),
        Column(
            "ratio to PCA",
            lambda each: _significant(each.ratio_to_pca, 3),
            {"ratio_to_pca": lambda each: each.ratio_to_pca},
            meaning="test mse divided by the PCA mse: below 1 the network is better",
        ),
        *([_ANGLE] if has_linear else []),
        *([_KERNEL_PCA] if has_kernel_pca else []),
        Column(
            "training time",
            lambda each: f"{each.spread('seconds').mean:,.1f} s",
            {"training_seconds": lambda each: each.spread("seconds").mean},
        ),
    ]


def _error(spread: MeanStd) -> str:
    """Mean and deviation with as many decimals as the mean needs."""
    if is_exact(spread.mean):
        return "0"
    return _fixed(spread, _decimals(spread.mean, SIGNIFICANT_DIGITS))


def _ppm(spread: MeanStd) -> str:
    """A share in parts per million, to two significant digits and at most two decimals."""
    scaled = spread.times(MILLION)
    return _fixed(scaled, _decimals(max(scaled.mean, 0.1), 2))


def _fixed(spread: MeanStd, decimals: int) -> str:
    deviation = "" if spread.std is None else f"{PLUS_MINUS}{spread.std:,.{decimals}f}"
    return f"{spread.mean:,.{decimals}f}{deviation}"


def _significant(number: float, digits: int) -> str:
    return f"{number:,.{_decimals(number, digits)}f}" if math.isfinite(number) else "inf"


def _decimals(number: float, digits: int) -> int:
    """Decimals that show `digits` significant digits of `number`."""
    exponent = int(f"{number:.{digits - 1}e}".partition("e")[2])  # of the rounded number
    return max(0, digits - 1 - exponent)
