"""What is minimised: the losses by hand, where they are refused, and what they leave alone."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from aecli.cli.compose import compose
from aecli.config import Activation, Loss, check_objective
from aecli.data.batches import to_pixels
from aecli.errors import UsageError
from aecli.training.loop import new_model
from aecli.training.objective import LOSSES, Objective
from aecli.training.validation import validate
from tests.test_conf import some_data
from tests.test_training import trained, weights

SCORES, TARGETS = torch.tensor([[0.5, -1.0]]), torch.tensor([[1.0, 0.25]])


def softplus(number: float) -> float:
    return math.log1p(math.exp(number))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (Loss.mse, (0.5**2 + 1.25**2) / 2),
        (Loss.l1, (0.5 + 1.25) / 2),
        # -t log p - (1 - t) log(1 - p) for p = 1 / (1 + exp(-s)), so softplus(s) - t s.
        (Loss.bce, (softplus(0.5) - 0.5 + softplus(-1.0) + 0.25) / 2),
    ],
)
def test_losses_are_those_of_a_calculation_by_hand(loss: Loss, expected: float) -> None:
    assert LOSSES[loss](SCORES, TARGETS).item() == pytest.approx(expected, rel=1e-6)


def test_bce_of_an_output_is_its_negative_log_likelihood() -> None:
    outputs = torch.sigmoid(SCORES)
    likelihood = TARGETS * outputs.log() + (1 - TARGETS) * (1 - outputs).log()
    assert LOSSES[Loss.bce](SCORES, TARGETS).item() == pytest.approx(-likelihood.mean().item())


def test_bce_stays_exact_where_a_sigmoid_rounds_to_one() -> None:
    logits = torch.tensor([30.0], requires_grad=True)
    loss = LOSSES[Loss.bce](logits, torch.tensor([0.0]))
    loss.backward()
    assert loss.item() == pytest.approx(30.0)
    assert logits.grad is not None and logits.grad.item() == pytest.approx(1.0)


MODELS = ["fc", "conv", "denoising", "deep", "conv,upsample=max_unpool", "fc,model.widths=[8]"]


@pytest.mark.parametrize("hidden", ["relu", "sigmoid"])
@pytest.mark.parametrize("model", MODELS)
def test_the_scores_of_bce_are_the_logits_of_the_outputs(model: str, hidden: str) -> None:
    line = [f"model={model}".split(","), [f"model.activation={hidden}"]]
    config = compose([*sum(line, []), "latent=3", "loss=bce", "model.output_activation=sigmoid"])
    data = some_data()
    network, pixels = new_model(config, data).eval(), to_pixels(data.train.images)
    objective = Objective(config, network)
    assert torch.allclose(objective.outputs(objective(pixels)), network(pixels), atol=1e-6)
    assert (objective(pixels) - network(pixels)).abs().max() > 0.1  # so they are not the outputs


@pytest.mark.parametrize("loss", ["bce", "l1"])
def test_a_loss_is_minimised_and_recorded_in_its_unit(loss: str, tmp_path: Path) -> None:
    line = ["model=fc", "epochs=20", "lr=0.01", "latent=32", f"loss={loss}"]
    model, state, _ = trained(tmp_path, *line)
    assert state.records[-1].train_loss < 0.95 * state.records[0].train_loss
    config, data = compose([*line, "device=cpu"]), some_data()
    pixels = to_pixels(data.validation.images)
    outputs = model.eval()(pixels)
    by_hand = {
        "bce": -(pixels * outputs.log() + (1 - pixels) * (1 - outputs).log()).mean(),
        "l1": (outputs - pixels).abs().mean(),
    }
    kept = state.records[state.kept_epoch - 1]
    assert kept.val_loss == pytest.approx(by_hand[loss].item(), rel=1e-4)
    assert kept.val_mse == pytest.approx((outputs - pixels).square().mean().item(), rel=1e-4)
    assert validate(config, data, model).loss == pytest.approx(kept.val_loss, rel=1e-6)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (["model=deep"], "model.output_activation=sigmoid"),
        (["model=conv", "model.output_activation=relu"], "model.output_activation=sigmoid"),
        (["model=fc", "data.mean=0.1307", "data.std=0.3081"], "data.mean=0 data.std=1"),
    ],
)
def test_bce_needs_outputs_and_pixels_that_are_probabilities(line: list[str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        check_objective(compose([*line, "loss=bce"]))
    check_objective(compose([*line, "loss=l1"]))


def test_every_output_that_is_refused_is_described() -> None:
    config = compose(["model=fc", "loss=bce"])
    for activation in Activation:
        model = replace(config.model, output_activation=activation)
        changed = replace(config, model=model)
        if activation is Activation.sigmoid:
            check_objective(changed)
        else:
            with pytest.raises(UsageError, match="outputs in"):
                check_objective(changed)


@pytest.mark.parametrize("extra", [["precision=bf16"], ["compile=true"]], ids=" ".join)
def test_bce_trains_in_every_precision(
    extra: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", lambda module: module)
    line = ["model=conv", "epochs=1", "loss=bce"]
    plain, _, _ = trained(tmp_path / "a", *line)
    other, state, _ = trained(tmp_path / "b", *line, *extra)
    assert math.isfinite(state.records[-1].train_loss)
    assert relative_difference(weights(plain), weights(other)) < 0.02


def relative_difference(first: Tensor, second: Tensor) -> float:
    return float((first - second).norm() / first.norm())


def test_unpooling_is_validated_with_the_switches_that_it_is_trained_with() -> None:
    config, data = compose(["model=conv", "upsample=max_unpool", "latent=3"]), some_data()
    model = new_model(config, data)
    pixels = to_pixels(data.validation.images)
    with torch.no_grad():
        expected = (model.eval()(pixels) - pixels).square().mean().item()
    assert validate(config, data, model).mse == pytest.approx(expected, rel=1e-5)
