"""The results of a comparison in sentences: the best setting first, caveats last."""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from aecli.comparison.results import COPY, Comparison, RunGroup, SkippedRun, is_exact
from aecli.comparison.table import best_setting, format_mse, format_ppm
from aecli.config import Upsampling
from aecli.evaluation.scores import UNPOOLING_BYPASSES_CODE
from aecli.text import listed

# How much worse than the best a smaller code may be and still count as good enough.
TOLERANCE = 0.05

# Families with sentences of their own; if there are more, as after a search, only the best has.
MAX_FAMILIES = 6

# Status of a run that was left out -> verb for one run, and for several.
VERBS = {
    "failed": ("failed", "failed"),
    "interrupted": ("was interrupted", "were interrupted"),
    "not started": ("was not started", "were not started"),
    "damaged": ("is damaged", "are damaged"),
    "missing": ("was deleted or moved", "were deleted or moved"),
}


def findings(comparison: Comparison) -> list[str]:
    """The sentences to read before the numbers."""
    families = comparison.families
    sentences = []
    if len(families) > 1:
        sentences.append(_best_of_all(comparison.settings))
    if len(families) > MAX_FAMILIES:
        best = best_setting(_from_code_alone(comparison.settings)).family
        families = {best: families[best]}
    sentences += [_smallest_size(name, each) for name, each in families.items() if len(each) > 1]
    sentences += [_against_pca(name, each) for name, each in families.items()]
    if len(comparison.families) > MAX_FAMILIES:
        sentences.append(_share_that_beats_pca(comparison.settings))
    sentences += _exact_pca(comparison.settings)
    sentences += _checkerboard_scores(comparison.families)
    sentences += _unpooling_caveat(comparison.families)
    if all(len(set(setting.seeds)) == 1 for setting in comparison.settings):
        sentences.append(
            "Each setting was trained with one seed only: "
            "differences of a few per cent may be chance."
        )
    missing = [each for each in comparison.skipped if each.status != COPY]
    if missing:
        sentences.append(_missing_runs(missing, len(comparison.results)))
    copies = len(comparison.skipped) - len(missing)
    if copies:
        which = "1 folder holds a run" if copies == 1 else f"{copies} folders hold runs"
        sentences.append(f"{which} that others hold as well, which counts once; see below.")
    if comparison.data.name == "synthetic":
        sentences.append(
            "The images are synthetic digits drawn by aecli, not MNIST: "
            "their errors cannot be compared with errors on MNIST."
        )
    return sentences


def _mse(setting: RunGroup) -> float:
    return setting.spread("mse").mean


def _best_of_all(settings: Sequence[RunGroup]) -> str:
    candidates = _from_code_alone(settings)
    best = best_setting(candidates)
    among = (
        "of all" if len(candidates) == len(settings) else "of all that decode from the code alone"
    )
    return f"{best.label} has the best test mse {among} ({format_mse(_mse(best))})."


def _from_code_alone(settings: Sequence[RunGroup]) -> Sequence[RunGroup]:
    """The settings whose decoder gets only the code; all settings if there are none."""
    return [each for each in settings if not _unpools(each)] or settings


def _unpools(setting: RunGroup) -> bool:
    return setting.upsample == Upsampling.max_unpool.name


def _smallest_size(family: str, settings: Sequence[RunGroup]) -> str:
    """The size beyond which a larger code gains little."""
    best = best_setting(settings)
    figure, percent = format_mse(_mse(best)), f"{TOLERANCE:.0%}"
    good_enough = [each for each in settings if _mse(each) <= _mse(best) * (1 + TOLERANCE)]
    smallest = min(good_enough, key=lambda setting: setting.latent)
    if smallest.latent < best.latent:
        return (
            f"{family}: latent {smallest.latent} is the smallest size within {percent} "
            f"of the best test mse ({figure}, at {best.latent})."
        )
    others = (
        f"no smaller size is within {percent} of it"
        if best.latent > min(setting.latent for setting in settings)
        else "no larger size does better"
    )
    return f"{family}: latent {best.latent} has the best test mse ({figure}), and {others}."


def _against_pca(family: str, settings: Sequence[RunGroup]) -> str:
    """The latent sizes at which the network beats, loses to or ties with PCA."""
    outcomes = {
        "beats": [each.latent for each in settings if _mse(each) < each.pca_mse],
        "loses to": [each.latent for each in settings if _mse(each) > each.pca_mse],
        "ties with": [each.latent for each in settings if _mse(each) == each.pca_mse],
    }
    clauses: list[str] = []
    for verb, latents in outcomes.items():
        if latents:
            baseline = "it at" if clauses else "PCA of the same size at latent"
            clauses.append(f"{verb} {baseline} {listed(sorted(latents))}")
    return f"{family} {', and '.join(clauses)}."


def _share_that_beats_pca(settings: Sequence[RunGroup]) -> str:
    better = sum(_mse(each) < each.pca_mse for each in settings)
    return f"{better} of {len(settings)} settings beat PCA of the same size: see the table."


def _exact_pca(settings: Sequence[RunGroup]) -> list[str]:
    """Why networks lose to PCA where the code is no bottleneck; empty if none does."""
    latents = {
        each.latent
        for each in settings
        if is_exact(each.pca_mse) and each.compression <= 1 and _mse(each) > each.pca_mse
    }
    if not latents:
        return []
    return [
        f"At latent {listed(sorted(latents))} PCA reproduces every image exactly, "
        f"because the code is as large as the image."
    ]


def _checkerboard_scores(families: dict[str, list[RunGroup]]) -> list[str]:
    """Which upsampling has the lowest and the highest score; empty if there are not two."""
    scores = {
        name: fmean(each.checkerboard.mean for each in settings if each.checkerboard is not None)
        for name, settings in families.items()
        if settings[0].upsample is not None and settings[0].checkerboard is not None
    }
    if len(scores) < 2:
        return []
    least, most = min(scores, key=scores.__getitem__), max(scores, key=scores.__getitem__)
    several = any(len(families[name]) > 1 for name in scores)
    averaged = ", averaged over the latent sizes," if several else ""
    originals = families[least][0].first.checkerboard_of_originals or 0.0
    return [
        f"The checkerboard score{averaged} is lowest for {least} ({format_ppm(scores[least])} ppm) "
        f"and highest for {most} ({format_ppm(scores[most])} ppm); the test images themselves have "
        f"{format_ppm(originals)} ppm."
    ]


def _unpooling_caveat(families: dict[str, list[RunGroup]]) -> list[str]:
    """The caveat for decoders that get more than the code."""
    unpooling = [name for name, settings in families.items() if _unpools(settings[0])]
    if not unpooling:
        return []
    return [f"{listed(unpooling)}: {UNPOOLING_BYPASSES_CODE}."]


def _missing_runs(skipped: Sequence[SkippedRun], finished: int) -> str:
    counts = Counter(each.status for each in skipped)
    causes = [f"{count} {VERBS[status][count > 1]}" for status, count in counts.items()]
    verb = "is" if len(skipped) == 1 else "are"
    return (
        f"{len(skipped)} of {len(skipped) + finished} runs {verb} missing: "
        f"{listed(causes)}; see below."
    )
