"""`aecli robust`: a classifier under noise and under attack, with and without an autoencoder."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aecli.analysis import robust
from aecli.analysis.robust import (
    ALONE,
    AWARE,
    FGSM,
    MODEL,
    NOISE,
    PCA,
    PGD,
    SYSTEMS,
    Robustness,
    Threat,
    defences,
    findings,
    labelled_data,
    measure,
    read_eps,
)
from aecli.baselines.pca import pca_of
from aecli.config import CorruptionKind
from aecli.data import Split
from aecli.data.batches import to_pixels
from aecli.errors import UsageError
from aecli.evaluation.attacks import clip_straight_through, fgsm, pgd
from aecli.evaluation.classifier import (
    AveragePool,
    accuracy_interval,
    step_count,
    train_classifier,
)
from aecli.runs.directory import RunDirectory
from aecli.runs.trained import Trained, open_run

Aecli = Callable[..., int]


@pytest.fixture
def trained(finished: Path) -> Trained:
    return open_run(finished, device="cpu")


def linear(weights: list[float]) -> Callable[[Tensor], Tensor]:
    """Two classes: the second if the weighted sum of the pixels is above 0."""

    def classify(pixels: Tensor) -> Tensor:
        score = pixels.flatten(1) @ torch.tensor(weights)
        return torch.stack([-score, score], 1)

    return classify


def test_fgsm_moves_each_pixel_by_eps_against_its_weight() -> None:
    pixels = torch.tensor([0.5, 0.5, 0.05, 0.5]).reshape(1, 1, 2, 2)
    classify = linear([1.0, -2.0, 3.0, 0.0])
    against_second = fgsm(classify, pixels, torch.tensor([1]), 0.1)
    assert against_second.flatten().tolist() == pytest.approx([0.4, 0.6, 0.0, 0.5])  # clipped
    against_first = fgsm(classify, pixels, torch.tensor([0]), 0.1)
    assert against_first.flatten().tolist() == pytest.approx([0.6, 0.4, 0.15, 0.5])


@pytest.mark.parametrize("eps", [0.05, 0.3])
def test_pgd_stays_in_its_range_and_finds_the_worst_corner_of_a_linear_classifier(
    eps: float,
) -> None:
    pixels = torch.rand(20, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    classify, labels = linear([1.0, -2.0, 3.0, -0.5]), torch.ones(20).long()
    start = torch.Generator().manual_seed
    found = pgd(classify, pixels, labels, eps, start(0))
    assert (found - pixels).abs().max() <= eps + 1e-6
    assert found.min() >= 0 and found.max() <= 1
    assert torch.allclose(found, fgsm(classify, pixels, labels, eps), atol=1e-6)
    assert torch.equal(found, pgd(classify, pixels, labels, eps, start(0)))


def test_pgd_finds_what_one_step_does_not() -> None:
    """A valley of the score on the way that the gradient points: a large step jumps over it."""

    def classify(pixels: Tensor) -> Tensor:
        x = pixels.flatten(1)[:, :1]
        score = (x - 0.6).square() - 0.001  # below 0, the wrong class, only near 0.6
        return torch.cat([-score, score], 1) * 100

    pixels, label = torch.full((1, 1, 1, 1), 0.5), torch.tensor([1])
    assert classify(fgsm(classify, pixels, label, 0.3)).argmax() == 1
    generator = torch.Generator().manual_seed(0)
    assert classify(pgd(classify, pixels, label, 0.3, generator, steps=100)).argmax() == 0


def test_the_gradient_passes_a_clip() -> None:
    values = torch.tensor([-0.5, 0.5, 1.5], requires_grad=True)
    clipped = clip_straight_through(values)
    assert clipped.tolist() == [0, 0.5, 1]
    clipped.sum().backward()
    assert values.grad is not None and values.grad.tolist() == [1, 1, 1]


def test_wilsons_interval() -> None:
    # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I.
    for correct, n, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605),
                                  (0, 20, 0.0, 0.1611), (29, 29, 0.8830, 1.0)):  # fmt: skip
        mask = torch.arange(n) < correct
        found = accuracy_interval(mask)
        assert found.value == pytest.approx(correct / n)
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)
        assert found.low <= found.value <= found.high


def test_a_classifier_learns_and_its_seed_gives_the_same_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels = torch.arange(300) % 3
    images = torch.zeros(300, 1, 12, 12, dtype=torch.uint8)
    for label in range(3):
        images[labels == label, :, 4 * label : 4 * label + 4] = 200
    ends: list[None] = []
    state = torch.get_rng_state()
    monkeypatch.setattr("aecli.evaluation.classifier.EPOCHS", 20)
    split = Split(images, labels)
    first = train_classifier(split, 3, 0, lambda: ends.append(None))
    assert len(ends) == step_count(300) == 20 * 3
    assert torch.equal(torch.get_rng_state(), state)
    again, other = (train_classifier(split, 3, seed) for seed in (0, 1))
    pixels = to_pixels(images)
    assert torch.equal(first(pixels), again(pixels)) and not torch.equal(
        first(pixels), other(pixels)
    )
    assert (first(pixels).argmax(1) == labels).all()


@pytest.mark.parametrize("size", [(4, 4), (7, 10), (3, 13), (1, 2)])
def test_the_pooled_cells_are_those_of_torch(size: tuple[int, int]) -> None:
    maps = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(AveragePool(4, *size)(maps), F.adaptive_avg_pool2d(maps, 4), atol=1e-6)


def test_what_is_in_front_is_the_model_and_pca_as_everywhere(trained: Trained) -> None:
    data = labelled_data(trained, 20, 0)
    pixels, latent = to_pixels(data.test.images), trained.config.latent
    in_front = defences(trained, data)
    assert torch.allclose(in_front[MODEL](pixels), trained.reconstruct(pixels), atol=1e-6)
    expected = pca_of(data.train, latent).reconstruct(pixels, latent)
    assert torch.allclose(in_front[PCA](pixels), expected, atol=1e-5)


def test_the_units_of_the_model_are_respected(trained: Trained) -> None:
    config = replace(trained.config, data=replace(trained.config.data, mean=0.3, std=2.0))
    other = replace(trained, config=config)
    data = labelled_data(trained, 5, 0)
    pixels = to_pixels(data.test.images)
    assert torch.allclose(
        defences(other, data)[MODEL](pixels), other.reconstruct(pixels), atol=1e-6
    )


def test_an_attacker_who_knows_is_never_weaker(trained: Trained) -> None:
    data = labelled_data(trained, 40, 0)
    classify = robust.classifier(data, 0, lambda: None)
    threats = [Threat(NOISE, 0.5), Threat(FGSM, 0.1), Threat(PGD, 0.1)]
    ends: list[None] = []
    result = measure(trained, data, classify, threats, 0, lambda: ends.append(None))
    assert len(ends) == 3 and list(result.correct) == threats
    assert set(result.correct[threats[0]]) == {ALONE, MODEL, PCA}
    for threat in threats[1:]:
        found = result.correct[threat]
        assert set(found) == set(SYSTEMS)
        for name in (MODEL, PCA):
            assert not (found[f"{name}, {AWARE}"] & ~found[name]).any()
    clean, attacked = result.clean[ALONE], result.correct[threats[2]][ALONE]
    assert attacked.sum() <= clean.sum()
    labels = [row.label for row in result.rows]
    assert labels == [
        "original", "gaussian 0.5", MODEL, "PGD 0.1", MODEL, "PGD 0.1, attacker knows", MODEL,
    ]  # fmt: skip


def test_an_attacker_who_knows_may_use_the_attack_on_the_classifier_alone(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = labelled_data(trained, 40, 0)
    classify = linear(392 * [1.0] + 392 * [-1.0])  # is the upper half the brighter one?
    answers = classify(to_pixels(data.test.images)).argmax(1)  # all of which are called right
    data = replace(data, test=replace(data.test, labels=answers))
    attack = robust._attack

    def blind(threat: Threat, system: object, pixels: Tensor, labels: Tensor, seed: int) -> Tensor:
        return attack(threat, classify, pixels, labels, seed) if system is classify else pixels

    monkeypatch.setattr(robust, "_attack", blind)
    monkeypatch.setattr(robust, "defences", lambda *_: dict.fromkeys((MODEL, PCA), lambda x: x))
    threats = [Threat(NOISE, 0.5), Threat(PGD, 0.5)]
    found = measure(trained, data, classify, threats, 0).correct[threats[1]]
    assert found[ALONE].sum() < 40
    for name in (MODEL, PCA):
        assert torch.equal(found[f"{name}, {AWARE}"], found[ALONE])


def test_a_classifier_that_is_always_right_withstands_everything(trained: Trained) -> None:
    data = labelled_data(trained, 30, 0)
    data = replace(data, test=replace(data.test, labels=torch.zeros(30, dtype=torch.int64)))

    class Constant(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            score = pixels.flatten(1).sum(1, keepdim=True)
            return torch.cat([score + 1, score], 1)

    result = measure(trained, data, Constant(), [Threat(NOISE, 1.0), Threat(PGD, 1.0)], 0)
    assert all(each.all() for found in result.correct.values() for each in found.values())


def test_the_command_says_how_accurate_each_system_is(
    run: RunDirectory, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    before = run.weights_file.read_bytes()
    line = ["eps=0.2,0.1", "strengths=0.5", "n=30", "device=cpu"]
    assert aecli("robust", str(run.path), *line) == 0
    numbers = json.loads((run.path / "robust/numbers.json").read_text())
    threats = [(each["threat"], each["strength"]) for each in numbers["threats"]]
    assert threats == [
        ("gaussian", 0.5), ("FGSM", 0.1), ("FGSM", 0.2), ("PGD", 0.1), ("PGD", 0.2),
    ]  # fmt: skip
    assert numbers["n"] == 30
    assert numbers["clean"][ALONE]["value"] == numbers["accuracy_alone"]
    captured = capsys.readouterr()
    assert all(" ".join(each.split()) in " ".join(captured.out.split())
               for each in numbers["findings"])  # fmt: skip
    assert f"{100 * numbers['accuracy_alone']:.1f}±" in captured.out
    for figure in ("accuracy", "images"):
        assert (run.path / f"robust/{figure}.png").stat().st_size > 1000
    assert run.weights_file.read_bytes() == before


def test_a_sentence_says_what_the_images_support() -> None:
    right, wrong = torch.ones(40).bool(), torch.zeros(40).bool()
    mixed = torch.arange(40) % 2 == 0
    clean = {ALONE: right, MODEL: mixed, PCA: right}
    correct = {
        Threat(NOISE, 0.1): {ALONE: right, MODEL: mixed},
        Threat(NOISE, 0.5): {ALONE: wrong, MODEL: right},
        Threat(PGD, 0.1): {ALONE: mixed, MODEL: mixed, f"{MODEL}, {AWARE}": wrong},
    }
    result = Robustness(clean, correct, CorruptionKind.gaussian, [])
    assert findings(result) == [
        "images as they are: accuracy with the autoencoder is lower, 50.0 % instead of 100.0 %",
        "gaussian noise: accuracy with the autoencoder is higher at 0.5 and lower at 0.1",
        "PGD, attacker does not know: accuracy with the autoencoder is not significantly "
        "different from the accuracy without it",
        "PGD, attacker knows: accuracy with the autoencoder is lower at 0.1",
    ]
    few = replace(result, clean={name: each[:5] for name, each in clean.items()})
    assert findings(few) == ["no claims are made for fewer than 20 images"]


@pytest.mark.parametrize("text", ["", "0", "-0.1", "1.5", "nan", "a", "0.1;0.2"])
def test_an_invalid_eps_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="^eps=.* is not valid: give up to 12 numbers above 0"):
        read_eps(text)
    assert read_eps("0.3, 0.1,0.3") == (0.1, 0.3)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["n=0"], "n=0 is not valid"),
        (["eps=2"], "eps=2 is not valid"),
        (["strengths=x"], "strengths=x is not valid for gaussian"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing(
    line: list[str],
    words: str,
    run: RunDirectory,
    aecli: Aecli,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert aecli("robust", str(run.path), *line) == 2
    errors = capsys.readouterr().err
    assert words in errors and errors.count("\n") == 1
    assert not (run.path / "robust").exists()


def test_images_of_one_class_are_refused(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robust, "has_classes", lambda _: False)
    with pytest.raises(UsageError, match="are all of one class, and a classifier tells classes"):
        labelled_data(trained, 5, 0)
