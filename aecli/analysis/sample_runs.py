"""Several runs side by side: reconstructions, samples, and images half way between two others."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from aecli.analysis.sample import (
    PRIOR,
    RealImages,
    check_components,
    choose_density,
    density_of,
)
from aecli.comparison.results import Comparison, MeanStd, RunGroup
from aecli.comparison.significance import over_pairs
from aecli.data import Data
from aecli.data.batches import ordered_batches, to_pixels
from aecli.errors import UsageError
from aecli.errors.text import listed
from aecli.evaluation.metrics import EVALUATION_BATCH
from aecli.figures import Point, Quantity, Row, panels, quantities_by_latent
from aecli.latent.interpolation import straight
from aecli.latent.linear_probe import has_classes
from aecli.runs.trained import Trained

SHOWN = 4  # samples per setting in the figure
STEPS = 5  # from one image to another in the figure
PLAIN = "plain"
MSE, SAMPLES, HALFWAY = "mse", "samples", "halfway"
QUANTITIES = {
    MSE: "test mse of reconstructions",
    SAMPLES: "Fréchet distance of samples",
    HALFWAY: "Fréchet distance half way",
}
"""What is measured -> what axes and tables call it."""


@dataclass(frozen=True)
class SampledGroup:
    """Runs that differ only by seed, drawn from in one way."""

    family: str
    """The label, which names the density if it is the prior and there are also fitted ones."""
    latent: int
    values: dict[str, dict[int, float]]
    """What is measured, a key of `QUANTITIES` -> seed -> value."""
    samples: Tensor  # (K, C, H, W): of the first seed
    steps: Tensor | None = None  # (S, C, H, W): from one image to another, of the first seed

    def spread(self, quantity: str) -> MeanStd:
        """The mean over the seeds, and the standard deviation if there are several."""
        return MeanStd.from_values([*self.values[quantity].values()])


@dataclass(frozen=True)
class SampledRuns:
    """The images that the decoders of several runs make of codes that they have not seen."""

    density: str
    """The density that was fitted to the codes, or "prior"."""
    ends: Tensor  # (2, C, H, W): the test images between which `SampledGroup.steps` lead
    training: float
    """Fréchet distance to the test images of as many training images."""
    settings: list[SampledGroup]

    def families(self, quantity: str) -> dict[str, list[SampledGroup]]:
        """Family -> its settings by latent size, where this was measured."""
        found: dict[str, list[SampledGroup]] = {}
        for setting in self.settings:
            if quantity in setting.values:
                found.setdefault(setting.family, []).append(setting)
        return found


class _Sampler:
    """Measures run after run on the same data set, with the same draws."""

    def __init__(self, data: Data, density: str, components: int, seed: int) -> None:
        if not has_classes(data.train):
            raise UsageError(
                f"the images of {data.name} are all of one class, and the Fréchet distance of "
                f"several runs is measured with a classifier: sample from one run at a time"
            )
        check_components(density, components, data)
        self.density = density
        self._data, self._components, self._seed = data, components, seed
        self._real = RealImages.fit(data)
        generator = torch.Generator().manual_seed(seed)
        self._partners = torch.randperm(len(data.test), generator=generator)
        images = data.train.images[: len(data.test)]
        self.training = self._real.distance(ordered_batches(images, EVALUATION_BATCH))
        self.ends = to_pixels(data.test.images[[int(self._partners[0]), int(self._partners[1])]])

    def samples(self, trained: Trained, density: str) -> tuple[float, Tensor]:
        """The Fréchet distance of as many samples as there are test images, and the first ones."""
        mixture = density_of(trained, self._data, density, self._components, self._seed)
        generator = torch.Generator().manual_seed(self._seed)
        codes = mixture.draw(len(self._data.test), generator).to(trained.device)
        return self._distance(trained, codes), trained.decode(codes[:SHOWN])

    def halfway(self, trained: Trained) -> float:
        """The Fréchet distance of images half way between the codes of two test images."""
        codes = trained.codes(self._data.test.images)
        return self._distance(trained, (codes + codes[self._partners.to(codes.device)]) / 2)

    def steps(self, trained: Trained) -> Tensor:
        """Images decoded on the straight line between two codes, (S, C, H, W)."""
        first, last = trained.encode(self.ends).split(1)
        return trained.decode(straight(first, last, STEPS)[0])

    def _distance(self, trained: Trained, codes: Tensor) -> float:
        batches = (trained.decode(batch) for batch in codes.split(EVALUATION_BATCH))
        return self._real.distance(batches)


def sample_runs(
    comparison: Comparison,
    trained: Callable[[RunGroup, int], Trained],
    density: str,
    components: int,
    seed: int,
    advance: Callable[[], None],
) -> SampledRuns:
    """Sample from all runs of a comparison, on one data set.

    Args:
        comparison: the runs.
        trained: opens the run with this number of a setting.
        density: as in `choose_density`. A variational autoencoder is sampled from its prior too.
        components: Gaussians in a mixture; other densities ignore it.
        seed: of the draws, and of the initial mixture.
        advance: is called after each run.

    Raises:
        UsageError: the images are of one class, or a code has no prior and that is the density.
    """
    sampler: _Sampler | None = None
    settings: list[SampledGroup] = []
    names = short_names(list(comparison.families))
    for group in sorted(comparison.settings, key=lambda each: names[each.family] != PLAIN):
        runs = []
        for number in range(len(group.results)):
            opened = trained(group, number)
            if sampler is None:
                sampler = _Sampler(opened.data(), density, components, seed)
            runs.append(_measure(sampler, opened))
            advance()
        settings += _settings(group, names[group.family], runs, density)
    assert sampler is not None, "a comparison has runs"
    return SampledRuns(density, sampler.ends, sampler.training, settings)


@dataclass(frozen=True)
class _RunScores:
    """One run."""

    samples: dict[str, tuple[float, Tensor]]
    """Density -> Fréchet distance, and the first samples."""
    halfway: float
    steps: Tensor


@torch.inference_mode()
def _measure(sampler: _Sampler, trained: Trained) -> _RunScores:
    densities = {choose_density(trained, sampler.density)}
    if trained.config.has_gaussian_code:
        densities.add(PRIOR)
    samples = {each: sampler.samples(trained, each) for each in densities}
    return _RunScores(samples, sampler.halfway(trained), sampler.steps(trained))


def _settings(
    group: RunGroup, family: str, runs: Sequence[_RunScores], density: str
) -> Iterator[SampledGroup]:
    """The runs of a group, once for each density; measurements without a density belong to the
    first."""
    seeds = group.seeds
    first = runs[0]
    yield SampledGroup(
        family,
        group.latent,
        {
            MSE: dict(zip(seeds, [result.mse for result in group.results], strict=True)),
            SAMPLES: dict(zip(seeds, [run.samples[density][0] for run in runs], strict=True)),
            HALFWAY: dict(zip(seeds, [run.halfway for run in runs], strict=True)),
        },
        first.samples[density][1],
        first.steps,
    )
    if PRIOR in first.samples and density != PRIOR:
        distances = dict(zip(seeds, [run.samples[PRIOR][0] for run in runs], strict=True))
        yield SampledGroup(
            f"{family}, prior", group.latent, {SAMPLES: distances}, first.samples[PRIOR][1]
        )


def short_names(families: Sequence[str]) -> dict[str, str]:
    """Names without the words that all share, and without those for what is switched off; "plain"
    if nothing is left. The full names if the short ones would not be distinct."""
    words = {family: family.split(", ") for family in families}
    shared = set.intersection(*map(set, words.values()))
    names = {
        family: ", ".join(w for w in each if w not in shared and not w.startswith("no ")) or PLAIN
        for family, each in words.items()
    }
    return (
        names
        if len(set(names.values())) == len(families) > 1
        else {each: each for each in families}
    )


def findings(result: SampledRuns) -> list[str]:
    """How each family compares with the first, where there are several seeds; empty if there is
    only one family."""
    if len(result.families(SAMPLES)) < 2:
        return []
    sentences = []
    for quantity, name in QUANTITIES.items():
        families = result.families(quantity)
        reference, *others = families
        by_latent = {each.latent: each for each in families[reference]}
        clauses = [
            f"{other} {clause}"
            for other in others
            if (clause := _compare(families[other], by_latent, quantity))
        ]
        if clauses:
            sentences.append(
                f"{name[0].upper()}{name[1:]}, compared with {reference}: {'; '.join(clauses)}."
            )
    seeds = {len(each.values[SAMPLES]) for each in result.settings} - {1}
    if not sentences:
        return [
            "No claims are made about the differences, which need several seeds: train with "
            "seed=0,1,2."
        ]
    return [
        *sentences,
        f"Differences are paired by seed and hold with 95% confidence, over n = "
        f"{listed(sorted(seeds))} seeds.",
    ]


def _compare(
    settings: Sequence[SampledGroup], references: dict[int, SampledGroup], quantity: str
) -> str:
    """The sizes at which a family is lower, higher, or not significantly different; empty if there
    are not several seeds."""
    similar = "is not significantly different"
    latents: dict[str, list[int]] = {"is lower": [], "is higher": [], similar: []}
    for setting in settings:
        reference = references.get(setting.latent)
        ours = setting.values[quantity]
        theirs = {} if reference is None else reference.values[quantity]
        seeds = sorted(ours.keys() & theirs.keys())
        if len(seeds) < 2:
            continue
        found = over_pairs([ours[seed] - theirs[seed] for seed in seeds])
        verdict = "is lower" if found.is_lower else "is higher" if found.is_higher else None
        latents[verdict or similar].append(setting.latent)
    clauses = [
        f"{verdict} at latent {listed(sorted(sizes))}"
        for verdict, sizes in latents.items()
        if sizes
    ]
    return listed(clauses) if clauses else ""


def chart(title: str, result: SampledRuns) -> Figure:
    """What is measured, by latent size."""
    return quantities_by_latent(
        title,
        [
            Quantity(
                name,
                {
                    family: [
                        Point(each.latent, *_mean_std(each.spread(quantity))) for each in settings
                    ]
                    for family, settings in result.families(quantity).items()
                },
                None if quantity == MSE else result.training,
            )
            for quantity, name in QUANTITIES.items()
        ],
        "training images",
    )


def _mean_std(spread: MeanStd) -> tuple[float, float | None]:
    return spread.mean, spread.std


def samples_figure(title: str, result: SampledRuns) -> Figure:
    """Samples of every family, a panel for each latent size."""
    families = result.families(SAMPLES)
    return _panels(
        title, {name: {s.latent: s.samples for s in of} for name, of in families.items()}
    )


def steps_figure(title: str, result: SampledRuns) -> Figure:
    """Straight lines between the codes of the same two images, a panel for each latent size."""
    families = result.families(HALFWAY)
    by_family = {
        name: {s.latent: s.steps for s in of if s.steps is not None}
        for name, of in families.items()
    }
    return _panels(title, by_family)


def _panels(title: str, families: dict[str, dict[int, Tensor]]) -> Figure:
    """A row for each family; a size that it lacks is left blank."""
    sizes = sorted({size for images in families.values() for size in images})
    like = next(iter(next(iter(families.values())).values()))
    return panels(
        title,
        {
            f"latent {size}": [
                Row(name, images.get(size, torch.ones_like(like)))
                for name, images in families.items()
            ]
            for size in sizes
        },
    )


def as_json(result: SampledRuns) -> dict[str, Any]:
    """Every number of the figures."""
    return {
        "density": result.density,
        "frechet_training": result.training,
        "settings": [
            {"family": each.family, "latent": each.latent, **each.values}
            for each in result.settings
        ],
        "findings": findings(result),
    }
