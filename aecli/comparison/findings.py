"""What a comparison says, in sentences: the best first, and what to beware of last."""

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean

from aecli.comparison.results import Comparison, RunGroup, SkippedRun, is_exact
from aecli.comparison.table import best_setting, format_mse, format_ppm
from aecli.config import Upsampling
from aecli.evaluation.examination import UNPOOLING_BYPASSES_CODE

# How much worse than the best a smaller code may be and still count as good enough.
WITHIN = 0.05

# Families that have sentences of their own; where there are more, as after a search, the best has.
MAX_FAMILIES = 6

# Status of a run that was left out -> how it is told of one, and of several.
VERBS = {
    "failed": ("failed", "failed"),
    "interrupted": ("was interrupted", "were interrupted"),
    "not started": ("was not started", "were not started"),
    "damaged": ("is damaged", "are damaged"),
}


def findings(comparison: Comparison) -> list[str]:
    """The sentences that a reader wants before the numbers."""
    families = comparison.families
    sentences = []
    if len(families) > 1:
        sentences.append(_best_of_all(comparison.settings))
    if len(families) > MAX_FAMILIES:
        best = best_setting(_by_the_code(comparison.settings)).family
        families = {best: families[best]}
    sentences += [_smallest_size(name, each) for name, each in families.items() if len(each) > 1]
    sentences += [_against_pca(name, each) for name, each in families.items()]
    if len(comparison.families) > MAX_FAMILIES:
        sentences.append(_share_that_beats_pca(comparison.settings))
    sentences += _where_pca_is_exact(comparison.settings)
    sentences += _checkerboards(comparison.families)
    sentences += _past_the_code(comparison.families)
    if all(len(set(setting.seeds)) == 1 for setting in comparison.settings):
        sentences.append(
            "Each setting was trained with one seed only: "
            "differences of a few per cent may be chance."
        )
    if comparison.skipped:
        sentences.append(_missing(comparison.skipped, len(comparison.results)))
    if comparison.data.name == "synthetic":
        sentences.append(
            "The images are digits that aecli drew itself: these are not MNIST, "
            "and errors on MNIST cannot be compared with them."
        )
    return sentences


def listed(words: Iterable[object]) -> str:
    """As in: 5, 25 and 125."""
    *most, last = map(str, words)
    return f"{', '.join(most)} and {last}" if most else last


def _mse(setting: RunGroup) -> float:
    return setting.spread("mse").mean


def _best_of_all(settings: Sequence[RunGroup]) -> str:
    candidates = _by_the_code(settings)
    best = best_setting(candidates)
    among = "of all" if len(candidates) == len(settings) else "of all that decode by the code alone"
    return f"{best.label} has the best test mse {among} ({format_mse(_mse(best))})."


def _by_the_code(settings: Sequence[RunGroup]) -> Sequence[RunGroup]:
    """Those whose decoder gets nothing but the code; all where there are no such."""
    return [each for each in settings if not _unpools(each)] or settings


def _unpools(setting: RunGroup) -> bool:
    return setting.upsample == Upsampling.max_unpool.name


def _smallest_size(family: str, settings: Sequence[RunGroup]) -> str:
    """The size beyond which a larger code gains little."""
    best = best_setting(settings)
    figure, percent = format_mse(_mse(best)), f"{WITHIN:.0%}"
    good_enough = [each for each in settings if _mse(each) <= _mse(best) * (1 + WITHIN)]
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
    """At which sizes the network is worth its training."""
    outcomes = {
        "beats": [each.latent for each in settings if _mse(each) < each.pca_mse],
        "loses to": [each.latent for each in settings if _mse(each) > each.pca_mse],
        "ties with": [each.latent for each in settings if _mse(each) == each.pca_mse],
    }
    clauses: list[str] = []
    for verb, latents in outcomes.items():
        if latents:
            rival = "it at" if clauses else "PCA of the same size at latent"
            clauses.append(f"{verb} {rival} {listed(sorted(latents))}")
    return f"{family} {', and '.join(clauses)}."


def _share_that_beats_pca(settings: Sequence[RunGroup]) -> str:
    better = sum(_mse(each) < each.pca_mse for each in settings)
    return f"{better} of {len(settings)} settings beat PCA of the same size: see the table."


def _where_pca_is_exact(settings: Sequence[RunGroup]) -> list[str]:
    """Why a network loses to PCA where the code is no bottleneck; nothing where it does not."""
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


def _checkerboards(families: dict[str, list[RunGroup]]) -> list[str]:
    """Which way of enlarging leaves the least and the most; nothing where there is one only."""
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


def _past_the_code(families: dict[str, list[RunGroup]]) -> list[str]:
    """Where the code is not all that the decoder gets."""
    unpooling = [name for name, settings in families.items() if _unpools(settings[0])]
    if not unpooling:
        return []
    return [f"{listed(unpooling)}: {UNPOOLING_BYPASSES_CODE}."]


def _missing(skipped: Sequence[SkippedRun], finished: int) -> str:
    counts = Counter(each.status for each in skipped)
    causes = [f"{count} {VERBS[status][count > 1]}" for status, count in counts.items()]
    verb = "is" if len(skipped) == 1 else "are"
    return (
        f"{len(skipped)} of {len(skipped) + finished} runs {verb} missing: "
        f"{listed(causes)}; see below."
    )
