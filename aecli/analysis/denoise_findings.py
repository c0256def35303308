"""What a comparison of denoisers supports: where a model is better or worse than other methods."""

from collections import defaultdict
from collections.abc import Sequence

import torch

from aecli.analysis.denoise import NOISY, Denoised
from aecli.comparison.significance import MIN_IMAGES, TOO_FEW, Difference, bootstrap_over_images
from aecli.errors.text import listed

NAMES = {NOISY: "doing nothing"}
"""Names of methods in a sentence, where they differ from those in a table."""


def findings(sets: dict[str, list[Denoised]], models: Sequence[str]) -> list[str]:
    """A sentence for each set of images and kind of noise: where the first model is worse than
    another method, and where it is better.

    Args:
        sets: name of the images -> the results on them.
        models: names of the models; the first is compared with whatever is not a model.
    """
    sentences = []
    for images, results in sets.items():
        for noise in dict.fromkeys(result.noise for result in results):
            of_kind = [result for result in results if result.noise == noise]
            sentences.append(f"{images}, {noise} noise: {_sentence(of_kind, models)}")
    return sentences


def _sentence(results: list[Denoised], models: Sequence[str]) -> str:
    count = len(next(iter(results[0].errors.values())))
    if count < MIN_IMAGES:
        return TOO_FEW
    worse: dict[str, list[float]] = defaultdict(list)
    better: dict[str, list[float]] = defaultdict(list)
    for result in results:
        for method, difference in differences(result, models).items():
            if difference.is_higher:
                worse[method].append(result.strength)
            if difference.is_lower:
                better[method].append(result.strength)
    strengths = [result.strength for result in results]
    clauses = [*_clauses("worse", worse, strengths), *_clauses("better", better, strengths)]
    nothing = "not significantly different from any other method"
    return f"{models[0]} is {'; '.join(clauses) or nothing}"


def differences(result: Denoised, models: Sequence[str]) -> dict[str, Difference]:
    """The mse of the first model minus that of each method that is not a model, paired by image."""
    others = [name for name in result.errors if name not in models]
    first = result.errors[models[0]]
    paired = torch.stack([first - result.errors[name] for name in others])
    return dict(zip(others, bootstrap_over_images(paired), strict=True))


def _clauses(verdict: str, found: dict[str, list[float]], strengths: list[float]) -> list[str]:
    """One clause for the methods with the same strengths, as in `worse than median at 0.1`."""
    by_strengths: dict[tuple[float, ...], list[str]] = defaultdict(list)
    for method, some in found.items():
        by_strengths[tuple(some)].append(NAMES.get(method, method))
    return [
        f"{verdict} than {listed(methods)} at "
        + ("every strength" if [*some] == strengths else listed(f"{each:g}" for each in some))
        for some, methods in by_strengths.items()
    ]
