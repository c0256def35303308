"""The results of a comparison in sentences: the best setting first, caveats last."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import fmean

from aecli.comparison.results import COPY, Comparison, RunGroup, SkippedRun, by_family
from aecli.comparison.significance import (
    Difference,
    differences_between,
    differences_from_pca,
)
from aecli.comparison.table import best_setting, eligible, format_angle, format_mse, format_ppm
from aecli.errors.text import listed
from aecli.evaluation.metrics import is_exact
from aecli.evaluation.scores import UNPOOLING_BYPASSES_CODE
from aecli.runs.diagnosis import Finding, Symptom

# How much worse than the best a smaller code may be and still count as good enough.
TOLERANCE = 0.05

# Families with sentences of their own; if there are more, as after a search, only the best has.
MAX_FAMILIES = 6
MAX_NAMED = 3  # runs or settings in one sentence

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
    families = by_family(eligible(comparison.settings))
    sentences = []
    best = best_setting(comparison.settings)
    if len(families) > 1 and best is not None:
        sentences.append(_best_of_all(best, comparison.settings))
    named = families
    if len(families) > MAX_FAMILIES:
        named = {} if best is None else {best.family: families[best.family]}
    sentences += [sentence for each in named.items() for sentence in _smallest_size(*each)]
    sentences += _without_validation(comparison.settings)
    sentences += _against_pca(families, named)
    sentences += _exact_pca(eligible(comparison.settings))
    sentences += _checkerboard_scores(comparison.families)
    sentences += _unpooling_caveat(comparison.families)
    sentences += _diagnoses(comparison.settings)
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


def _best_of_all(best: RunGroup, settings: Sequence[RunGroup]) -> str:
    """The setting that validation chooses, and how its test error compares with all others."""
    candidates = eligible(settings)
    among = "" if len(candidates) == len(settings) else " that decode from the code alone"
    sentence = f"{best.label} has the lowest validation mse of all{among}; its test mse is "
    others = [each for each in candidates if each is not best]
    differences = differences_between(best, others)
    pairs = list(zip(others, differences, strict=True))
    lower = [other for other, each in pairs if each is not None and each.is_higher]
    similar = [
        other for other, each in pairs if each is None or not (each.is_lower or each.is_higher)
    ]
    clauses = []
    if lower:
        clauses.append(f"higher than that of {_labels(lower)}")
    if similar:
        clauses.append(f"not significantly different from that of {_labels(similar)}")
    if not clauses:
        return f"{sentence}{format_mse(best.mse)}, lower than that of every other."
    return f"{sentence}{format_mse(best.mse)}, which is {listed(clauses)}."


def _labels(settings: Sequence[RunGroup]) -> str:
    """The settings with the lowest test mse, and how many more there are."""
    ranked = sorted(settings, key=lambda each: each.mse)
    labels = [f"{each.label} ({format_mse(each.mse)})" for each in ranked[:MAX_NAMED]]
    more = len(ranked) - MAX_NAMED
    return listed([*labels, f"{more} more"] if more > 0 else labels)


def _smallest_size(family: str, settings: Sequence[RunGroup]) -> list[str]:
    """The size beyond which a larger code gains little on the validation images; empty if there is
    one size, or if a setting has no such images."""
    best, percent = best_setting(settings), f"{TOLERANCE:.0%}"
    if best is None or best.val_mse is None or len(settings) == 1:
        return []
    most = best.val_mse * (1 + TOLERANCE)
    good_enough = [each for each in settings if each.val_mse is not None and each.val_mse <= most]
    smallest = min(good_enough, key=lambda setting: setting.latent)
    if smallest.latent < best.latent:
        return [
            f"{family}: latent {smallest.latent} is the smallest size whose validation mse is "
            f"within {percent} of the lowest, at {best.latent}; their test mse is "
            f"{format_mse(smallest.mse)} and {format_mse(best.mse)}."
        ]
    others = (
        f"no smaller size is within {percent} of it"
        if best.latent > min(setting.latent for setting in settings)
        else "no larger size does better"
    )
    return [
        f"{family}: latent {best.latent} has the lowest validation mse, and {others}; its test "
        f"mse is {format_mse(best.mse)}."
    ]


def _without_validation(settings: Sequence[RunGroup]) -> list[str]:
    """Which runs have no validation images, so that none is called the best."""
    lacking = [setting for setting in settings if setting.val_mse is None]
    if not lacking:
        return []
    labels = [each.label for each in lacking[:MAX_NAMED]]
    more = [f"{len(lacking) - MAX_NAMED} more"] if len(lacking) > MAX_NAMED else []
    are_all = len(lacking) == len(settings) > 1
    which = "All runs" if are_all else f"The runs of {'; '.join([*labels, *more])}"
    choice = ""
    if len(settings) > 1:
        choice = ", so none is called the best: the test images have no part in any choice"
    return [f"{which} were trained without validation images{choice}."]


def _against_pca(
    families: dict[str, list[RunGroup]], named: dict[str, list[RunGroup]]
) -> list[str]:
    """How the networks compare with PCA: some families by name, and how many in all."""
    settings = [setting for members in families.values() for setting in members]
    differences = dict(zip(map(id, settings), differences_from_pca(settings), strict=True))
    sentences = [
        _linear_family(name, members)
        if all(each.is_linear for each in members)
        else _family_against_pca(name, members, [differences[id(each)] for each in members])
        for name, members in named.items()
    ]
    known = [each for each in differences.values() if each is not None]
    if len(families) > len(named):
        lower = sum(each.is_lower for each in known)
        sentences.append(
            f"{lower} of {len(settings)} settings beat PCA of the same size: see the table."
        )
    return sentences + _basis(known, len(differences) - len(known))


def _linear_family(family: str, settings: Sequence[RunGroup]) -> str:
    """A sentence on a linear family: PCA is the best linear code of the images that both are fitted
    to."""
    ratios = [each.ratio_to_pca for each in settings if not is_exact(each.pca_mse)]
    how = f"; its test mse is at most {max(ratios):.5g} times that of PCA" if ratios else ""
    angles = [each.angle_to_pca.mean for each in settings if each.angle_to_pca is not None]
    if angles:
        how += f", and its subspace is within {format_angle(max(angles))} of PCA's"
    return (
        f"{family} is linear, so on its training images it can do no better than PCA of the same "
        f"size{how}."
    )


def _family_against_pca(
    family: str, settings: Sequence[RunGroup], differences: Sequence[Difference | None]
) -> str:
    """The latent sizes at which the network beats PCA, loses to it, or is not significantly
    different."""
    similar = "is not significantly different from"
    latents: dict[str, list[int]] = {"beats": [], "loses to": [], similar: []}
    for setting, difference in zip(settings, differences, strict=True):
        if difference is not None and difference.is_lower:
            latents["beats"].append(setting.latent)
        elif difference is not None and difference.is_higher:
            latents["loses to"].append(setting.latent)
        else:
            latents[similar].append(setting.latent)
    clauses: list[str] = []
    for verb, sizes in latents.items():
        if sizes:
            baseline = "it at" if clauses else "PCA of the same size at latent"
            clauses.append(f"{verb} {baseline} {listed(sorted(sizes))}")
    return f"{family} {', and '.join(clauses)}."


def _basis(differences: Sequence[Difference], unknown: int) -> list[str]:
    """What these comparisons rest on."""
    seeds = sorted({each.seeds for each in differences})
    sentences = []
    if seeds and seeds[-1] > 1:
        counts = listed([count for count in seeds if count > 1])
        sentences.append(
            f"Differences are paired by seed and hold with 95% confidence, over n = {counts} seeds."
        )
    if seeds and seeds[0] == 1:
        which = "For settings with one seed, the" if len(seeds) > 1 else "With one seed each, the"
        sentences.append(
            f"{which} errors of the same test images are compared, with 95% confidence over the "
            f"images: another seed may change the result by a few per cent."
        )
    if unknown:
        sentences.append(
            f"{unknown} setting{'s have' if unknown > 1 else ' has'} one seed, trained by an "
            f"earlier version that kept no error of each image, so no difference can be shown."
        )
    return sentences


def _exact_pca(settings: Sequence[RunGroup]) -> list[str]:
    """Why networks lose to PCA where the code is no bottleneck; empty if none does."""
    latents = {
        each.latent
        for each in settings
        if is_exact(each.pca_mse) and each.compression <= 1 and each.mse > each.pca_mse
    }
    if not latents:
        return []
    return [
        f"At latent {listed(sorted(latents))} PCA reproduces every image exactly, "
        f"because the code is as large as the image."
    ]


def _diagnoses(settings: Sequence[RunGroup]) -> list[str]:
    """What could be better about the runs: one sentence for each kind of problem."""
    found: dict[Symptom, list[tuple[str, Finding]]] = defaultdict(list)
    for setting in settings:
        for result in setting.results:
            seed = f", seed {result.config.seed}" if len(setting.results) > 1 else ""
            for finding in result.diagnosis():
                found[finding.symptom].append((f"{setting.label}{seed}", finding))
    total = sum(len(setting.results) for setting in settings)
    return [_diagnosis(symptom, found[symptom], total) for symptom in Symptom if symptom in found]


def _diagnosis(symptom: Symptom, runs: Sequence[tuple[str, Finding]], total: int) -> str:
    if len(runs) == 1:
        label, finding = runs[0]
        return f"{label}: {finding.details}; {finding.advice}."
    labels = [label for label, _ in runs[:MAX_NAMED]]
    more = [f"{len(runs) - MAX_NAMED} more"] if len(runs) > MAX_NAMED else []
    advice = f"; {runs[0][1].advice}" if len({each.advice for _, each in runs}) == 1 else ""
    return f"{len(runs)} of {total} runs {symptom.value} ({'; '.join([*labels, *more])}){advice}."


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
    """The caveat for decoders whose input is more than the code."""
    unpooling = [name for name, settings in families.items() if settings[0].bypasses_code]
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
