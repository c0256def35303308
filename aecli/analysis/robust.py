"""A classifier with and without an autoencoder in front of it, under noise and under attack."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from aecli.analysis.denoise import AXES, noise_name, read_strengths
from aecli.analysis.probe import match_labels
from aecli.analysis.subset import draw, image_count
from aecli.baselines.contestants import LABELS as BASELINE_LABELS
from aecli.baselines.pca import pca_of
from aecli.comparison.significance import MIN_IMAGES, TOO_FEW, Difference, bootstrap_over_images
from aecli.config import CorruptionKind
from aecli.data import Data
from aecli.data.batches import Normalisation, to_pixels
from aecli.data.corruption import NOISES
from aecli.errors import UsageError
from aecli.errors.text import listed, shortened
from aecli.evaluation.attacks import Classify, clip_straight_through, fgsm, pgd
from aecli.evaluation.classifier import (
    AccuracyInterval,
    accuracy_interval,
    step_count,
    train_classifier,
)
from aecli.figures import Row, accuracy_by_strength, image_grid
from aecli.latent.linear_probe import class_count, has_classes
from aecli.runs.trained import Trained
from aecli.runtime.device import keep_freed_memory

DEFAULT_EPS = (0.05, 0.1, 0.2, 0.3)
MAX_STRENGTHS = 12
DEFAULT_IMAGES, MAX_VALUES = 300, 2**20  # fewer than so many if they have more values than this
ATTACK_BATCH = 100  # images; more at a time are slower on a CPU
SHOWN = 8  # images in the figure
MAX_CAPTION = 8  # characters of a class name

ALONE, MODEL, PCA = "classifier alone", BASELINE_LABELS["model"], "PCA"
"""What is in front of the classifier, if anything."""
AWARE = "attacker knows"
"""Added to the name of a system whose attacker follows the gradient through all of it."""
SYSTEMS = (ALONE, MODEL, f"{MODEL}, {AWARE}", PCA, f"{PCA}, {AWARE}")
UNDECIDED = "not significantly different from the accuracy without it"
NOISE, FGSM, PGD = "noise", "FGSM", "PGD"

Defence = Callable[[Tensor], Tensor]
"""Pixels (B, C, H, W) -> what the classifier sees, with a gradient for the attacker."""


class Threat(NamedTuple):
    """What is done to the images."""

    kind: str
    """`NOISE`, `FGSM` or `PGD`."""
    strength: float


@dataclass(frozen=True)
class Robustness:
    """How many images are classified correctly, by threat and by system."""

    clean: dict[str, Tensor]
    """System -> mask (N,) of the images as they are that are classified correctly."""
    correct: dict[Threat, dict[str, Tensor]]
    """The same for every threat. If the attacker knows what is in front, an image counts as correct
    only if it also withstands the attack on the classifier alone."""
    noise: CorruptionKind
    rows: list[Row]
    """Some images, captioned with the class that the classifier takes each for."""

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.clean[ALONE])


def read_eps(text: str | None) -> tuple[float, ...]:
    """Parse `0.1,0.3`: the largest change of a pixel, in ascending order; None for `DEFAULT_EPS`.

    Raises:
        UsageError: they are not numbers above 0 and up to 1, or too many.
    """
    if text is None:
        return DEFAULT_EPS
    try:
        found = sorted({float(part) for part in text.split(",")})
    except ValueError:
        found = []
    if not found or not all(0 < each <= 1 for each in found) or len(found) > MAX_STRENGTHS:
        raise UsageError(
            f"eps={shortened(text)} is not valid: give up to {MAX_STRENGTHS} numbers above 0 and "
            f"up to 1, as in 0.1,0.3"
        )
    return tuple(found)


def choose_threats(trained: Trained, strengths: str | None, eps: str | None) -> list[Threat]:
    """Noise of the kind that the run was trained with, else Gaussian, and both attacks.

    Raises:
        UsageError: a strength or an eps is not valid.
    """
    noises = read_strengths(strengths, noise_kind(trained))
    attacks = [Threat(kind, each) for kind in (FGSM, PGD) for each in read_eps(eps)]
    return [*(Threat(NOISE, each) for each in noises), *attacks]


def noise_kind(trained: Trained) -> CorruptionKind:
    """The noise that the run was trained with, or Gaussian noise."""
    kind = trained.config.corruption.name
    return kind if kind in NOISES else CorruptionKind.gaussian


def labelled_data(trained: Trained, n: int | None, seed: int) -> Data:
    """The run's data, with `n` of its images, drawn by `seed`, as test images.

    Args:
        n: None for `DEFAULT_IMAGES`, or fewer if they are large.

    Raises:
        UsageError: `n` is less than 1, or all images are of one class.
        DataError: the user's own images are of other classes than the training images.
    """
    data = trained.data()
    n = image_count(n, data.train, DEFAULT_IMAGES, MAX_VALUES)
    if not has_classes(data.train):
        raise UsageError(
            f"the images of {data.name} are all of one class, and a classifier tells classes "
            f"apart: give a run on images with labels"
        )
    test = match_labels(data.test, data.train) if trained.own else data.test
    return replace(data, test=draw(test, n, seed))


def training_steps(data: Data) -> int:
    """How many steps `classifier` takes."""
    return step_count(len(data.train))


def classifier(data: Data, seed: int, on_step_end: Callable[[], None]) -> Classify:
    """Train a classifier on the run's training images and their labels."""
    classes = max(class_count(data.train), class_count(data.test))
    return train_classifier(data.train, classes, seed, on_step_end)


def defences(trained: Trained, data: Data) -> dict[str, Defence]:
    """The autoencoder, and PCA of the same size, with gradients through their clipping."""
    normalisation = Normalisation(trained.config.data.mean, trained.config.data.std)
    pca, latent = pca_of(data.train, trained.config.latent), trained.config.latent
    model = trained.model.requires_grad_(False)
    # Tensors made in inference mode cannot take part in a gradient; a copy of them can.
    mean, components = pca.mean.clone(), pca.components[:latent].clone()

    def by_model(pixels: Tensor) -> Tensor:
        outputs = model(normalisation.apply(pixels))
        return clip_straight_through(outputs * normalisation.std + normalisation.mean)

    def by_pca(pixels: Tensor) -> Tensor:
        flat = (pixels.flatten(1) - mean) @ components.T @ components + mean
        return clip_straight_through(flat.reshape(pixels.shape))

    return {MODEL: by_model, PCA: by_pca}


def measure(
    trained: Trained,
    data: Data,
    classify: Classify,
    threats: list[Threat],
    seed: int,
    on_threat_end: Callable[[], None] = lambda: None,
) -> Robustness:
    """Classify the test images of `data` with nothing, the autoencoder and PCA in front.

    Args:
        trained: the autoencoder.
        data: as from `labelled_data`.
        classify: the classifier.
        threats: as from `choose_threats`.
        seed: of the noise, and of the random start of PGD.
        on_threat_end: called after each threat.
    """
    keep_freed_memory()
    kind, pixels, labels = noise_kind(trained), to_pixels(data.test.images), data.test.labels
    systems: dict[str, Classify] = {ALONE: classify}
    for name, defence in defences(trained, data).items():
        systems[name] = partial(_defended, defence, classify)
    clean = {name: _correct(system, pixels, labels) for name, system in systems.items()}
    correct: dict[Threat, dict[str, Tensor]] = {}
    changed: dict[Threat, dict[str, Tensor]] = {}
    for threat in threats:
        if threat.kind == NOISE:
            generator = torch.Generator(pixels.device).manual_seed(seed)
            changed[threat] = {ALONE: NOISES[kind](pixels, threat.strength, generator)}
        else:
            changed[threat] = {
                name: _attack(threat, system, pixels, labels, seed)
                for name, system in systems.items()
            }
        found = {
            name: _correct(system, changed[threat][ALONE], labels)
            for name, system in systems.items()
        }
        for name, attacked in changed[threat].items():
            if name != ALONE:
                through_both = _correct(systems[name], attacked, labels)
                found[f"{name}, {AWARE}"] = through_both & found[name]
        correct[threat] = found
        on_threat_end()
    shown = _example_rows(trained, data, classify, changed)
    return Robustness(clean, correct, kind, shown)


def _defended(defence: Defence, classify: Classify, pixels: Tensor) -> Tensor:
    return classify(defence(pixels))


def _attack(threat: Threat, system: Classify, pixels: Tensor, labels: Tensor, seed: int) -> Tensor:
    """The images, changed so that `system` fails on them."""
    generator = torch.Generator(pixels.device).manual_seed(seed)
    parts = []
    for batch, truth in zip(pixels.split(ATTACK_BATCH), labels.split(ATTACK_BATCH), strict=True):
        if threat.kind == FGSM:
            parts.append(fgsm(system, batch, truth, threat.strength))
        else:
            parts.append(pgd(system, batch, truth, threat.strength, generator))
    return torch.cat(parts)


@torch.no_grad()
def _correct(system: Classify, pixels: Tensor, labels: Tensor) -> Tensor:
    """Whether each image is classified correctly: a mask (N,) on the CPU."""
    parts = [system(batch).argmax(1) for batch in pixels.split(ATTACK_BATCH)]
    return (torch.cat(parts) == labels).cpu()


@torch.no_grad()
def _example_rows(
    trained: Trained, data: Data, classify: Classify, changed: dict[Threat, dict[str, Tensor]]
) -> list[Row]:
    """Images as they are, and at the middle strength of noise and of PGD, each followed by its
    reconstruction."""
    shown = [("original", to_pixels(data.test.images[:SHOWN]))]
    for kind, name in ((NOISE, noise_name(noise_kind(trained))), (PGD, PGD)):
        threats = [threat for threat in changed if threat.kind == kind]
        threat = threats[len(threats) // 2]
        for target, images in changed[threat].items():
            if target != PCA:
                suffix = "" if target == ALONE else f", {AWARE}"
                shown.append((f"{name} {threat.strength:g}{suffix}", images[:SHOWN]))
                shown.append((MODEL, trained.reconstruct(images[:SHOWN])))
    return [
        Row(
            label,
            images,
            captions=[
                data.test.class_name(each)[:MAX_CAPTION]
                for each in classify(images).argmax(1).tolist()
            ],
        )
        for label, images in shown
    ]


def accuracies(result: Robustness) -> dict[Threat, dict[str, AccuracyInterval]]:
    """Threat -> system -> the share of the images that it classifies correctly."""
    return {
        threat: {name: accuracy_interval(each) for name, each in by_system.items()}
        for threat, by_system in result.correct.items()
    }


def threat_name(threat: Threat, noise: CorruptionKind) -> str:
    """The name of a threat in tables."""
    return f"{noise_name(noise) if threat.kind == NOISE else threat.kind} {threat.strength:g}"


def findings(result: Robustness) -> list[str]:
    """Where the autoencoder in front changes the accuracy significantly."""
    if result.count < MIN_IMAGES:
        return [TOO_FEW]
    (clean,) = differences([result.clean], MODEL)
    before, after = (100 * result.clean[name].double().mean().item() for name in (ALONE, MODEL))
    verdict = "lower" if clean.is_lower else "higher" if clean.is_higher else UNDECIDED
    sentences = [
        f"images as they are: accuracy with the autoencoder is {verdict}, {after:.1f} % instead of "
        f"{before:.1f} %"
    ]
    for kind in (NOISE, FGSM, PGD):
        for system in (MODEL, f"{MODEL}, {AWARE}"):
            some = {each: found for each, found in result.correct.items() if each.kind == kind}
            if not any(system in found for found in some.values()):
                continue  # noise does not depend on the system
            clauses = _clauses(some, system)
            knows = AWARE if AWARE in system else "attacker does not know"
            noise = f"{noise_name(result.noise)} noise"
            sentences.append(f"{noise if kind == NOISE else f'{kind}, {knows}'}: {clauses}")
    return sentences


def _clauses(correct: dict[Threat, dict[str, Tensor]], system: str) -> str:
    """Where `system` is right more often than the classifier alone, and where less often."""
    strengths: dict[str, list[str]] = {"higher": [], "lower": []}
    for threat, found in zip(correct, differences([*correct.values()], system), strict=True):
        if found.is_higher or found.is_lower:
            strengths["higher" if found.is_higher else "lower"].append(f"{threat.strength:g}")
    clauses = [f"{verdict} at {listed(some)}" for verdict, some in strengths.items() if some]
    return f"accuracy with the autoencoder is {' and '.join(clauses) or UNDECIDED}"


def differences(correct: list[dict[str, Tensor]], system: str) -> list[Difference]:
    """The accuracy of `system` minus that of the classifier alone, paired by image."""
    paired = [each[system].double() - each[ALONE].double() for each in correct]
    return bootstrap_over_images(torch.stack(paired))


def accuracy_figure(title: str, result: Robustness) -> Figure:
    """Accuracy by strength, a chart for noise and for each attack; 0 is the images as they are."""
    labels = {
        NOISE: f"{noise_name(result.noise)} noise: {AXES[result.noise]}",
        FGSM: "FGSM: largest change of a pixel",
        PGD: "PGD: largest change of a pixel",
    }
    charts: dict[str, dict[str, dict[float, AccuracyInterval]]] = {}
    for threat, by_system in accuracies(result).items():
        chart = charts.setdefault(labels[threat.kind], {})
        for name, accuracy in by_system.items():
            clean = accuracy_interval(result.clean[name.removesuffix(f", {AWARE}")])
            chart.setdefault(_label(name), {0.0: clean})[threat.strength] = accuracy
    return accuracy_by_strength(title, charts, [_label(MODEL), _label(f"{MODEL}, {AWARE}")])


def _label(system: str) -> str:
    """The name of a system in figures."""
    front, _, knows = system.partition(", ")
    return system if system == ALONE else f"{front} in front{f', {knows}' if knows else ''}"


def images_figure(title: str, result: Robustness) -> Figure:
    """Some images, and the class that the classifier takes each for."""
    return image_grid(f"{title}: the class that each is taken for", result.rows)


def as_json(result: Robustness) -> dict[str, Any]:
    """All accuracies with their intervals, the most informative first."""
    clean = {name: accuracy_interval(each)._asdict() for name, each in result.clean.items()}
    threats = [
        {
            "threat": threat_name(threat, result.noise).partition(" ")[0],
            "strength": threat.strength,
            "accuracy": {name: each._asdict() for name, each in by_system.items()},
        }
        for threat, by_system in accuracies(result).items()
    ]
    return {
        "accuracy_alone": clean[ALONE]["value"],
        "accuracy_autoencoder": clean[MODEL]["value"],
        "n": result.count,
        "clean": clean,
        "threats": threats,
        "findings": findings(result),
    }
