"""Penalties on the code: by hand, against torch's own derivatives, and within the objective."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jacobian
from torch.distributions import Bernoulli, Normal, kl_divergence

from aecli.cli.compose import compose
from aecli.config import RegularizerConfig, RegularizerKind, check_objective, check_unread_keys
from aecli.data.batches import to_pixels
from aecli.errors import UsageError
from aecli.evaluation.variation import ActivityAccumulator
from aecli.models import Autoencoder, linear
from aecli.models.linear import Linear
from aecli.models.regularizers import REGULARIZERS
from aecli.models.regularizers.contractive import JacobianNorm
from aecli.models.regularizers.sparse import rate_divergence
from aecli.models.regularizers.vae import gaussian_divergence
from aecli.training.loop import new_model, warmup_factor
from aecli.training.objective import Objective, evaluation_noise
from aecli.training.validation import validate
from tests.test_conf import some_data
from tests.test_training import trained, weights

PIXELS = 28 * 28
CPU = torch.device("cpu")


def network(*line: str) -> Autoencoder:
    return new_model(compose(["latent=3", "device=cpu", *line]), some_data()).eval()


def some_pixels() -> Tensor:
    return to_pixels(some_data().train.images[:6])


def penalty_of(
    name: str, model: Autoencoder, noise: Tensor | None = None, rate: float | None = None
) -> float:
    config = RegularizerConfig(RegularizerKind[name], activity=rate)
    regularizer = REGULARIZERS[config.name](config, model)
    _, penalty = regularizer(model, some_pixels(), noise, [])
    return penalty.item()


def test_every_kind_has_a_class() -> None:
    assert {RegularizerKind.none, *REGULARIZERS} == {*RegularizerKind}


# KL(N(m, s^2) || N(0, 1)) = (m^2 + s^2 - 1 - log s^2) / 2.
@pytest.mark.parametrize(
    ("mean", "variance", "expected"),
    [(0, 1, 0), (1, 1, 0.5), (0, 4, (3 - math.log(4)) / 2), (-3, 0.5, (8.5 - math.log(0.5)) / 2)],
)
def test_the_divergence_of_a_gaussian(mean: float, variance: float, expected: float) -> None:
    means, log_variances = torch.tensor([[mean]]), torch.tensor([[math.log(variance)]])
    found = gaussian_divergence(means.float(), log_variances)
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_the_divergence_of_a_code_is_the_sum_over_its_numbers() -> None:
    means, log_variances = torch.randn(5, 4), torch.randn(5, 4)
    posterior = Normal(means, (log_variances / 2).exp())
    expected = kl_divergence(posterior, Normal(0.0, 1.0)).sum(1)
    assert torch.allclose(gaussian_divergence(means, log_variances), expected, atol=1e-6)


@pytest.mark.parametrize("model", ["fc", "conv", "denoising"])
def test_a_gaussian_code_is_drawn_and_encoding_gives_its_mean(model: str) -> None:
    built = network(f"model={model}", "regularizer=vae")
    pixels = some_pixels()
    mean, log_variance = built.encode_distribution(pixels, [])
    assert mean.shape == log_variance.shape == (6, 3)
    assert torch.equal(built.encode(pixels), mean)
    regularizer = REGULARIZERS[RegularizerKind.vae](RegularizerConfig(), built)
    noise = torch.randn(6, 3)
    codes, _ = regularizer(built, pixels, noise, [])
    assert torch.allclose(codes, mean + noise * (log_variance / 2).exp())
    codes, _ = regularizer(built, pixels, torch.zeros(6, 3), [])
    assert torch.allclose(codes, mean)


def test_l2_is_half_the_square_of_the_code() -> None:
    model = network("model=fc")
    codes = model.encode(some_pixels())
    by_hand = sum(sum(number**2 for number in code) / 2 for code in codes.tolist()) / 6
    assert penalty_of("l2", model) == pytest.approx(by_hand, rel=1e-5)


def test_sparse_is_the_sum_of_absolute_values_or_the_divergence_from_a_rate() -> None:
    model = network("model=fc", "model.code_activation=sigmoid")
    codes = model.encode(some_pixels())
    absolute = sum(sum(map(abs, code)) for code in codes.tolist()) / 6
    assert penalty_of("sparse", model) == pytest.approx(absolute, rel=1e-5)
    divergence = sum(
        0.1 * math.log(0.1 / on) + 0.9 * math.log(0.9 / (1 - on)) for on in codes.mean(0).tolist()
    )
    assert penalty_of("sparse", model, rate=0.1) == pytest.approx(divergence, rel=1e-4)


def test_a_unit_that_is_never_active_has_a_finite_divergence() -> None:
    found = rate_divergence(0.05, torch.tensor([0.0, 0.05, 1.0]))
    assert found.isfinite().all() and found[1].item() == pytest.approx(0.0, abs=1e-7)
    assert found[0] > 0.4 and found[2] > 5


def squared_jacobian(model: Autoencoder) -> float:
    """Mean over the images of |J|^2, from torch."""
    found = [jacobian(model.encode, each.unsqueeze(0)).square().sum() for each in some_pixels()]
    return float(torch.stack(found).mean())


ONE_LAYER = [
    *(f"fc,model.code_activation={kind}" for kind in ("identity", "relu", "tanh", "sigmoid")),
    "conv,model.layers=[],model.code_activation=tanh",
    "conv,model.layers=[],model.bottleneck=linear,model.code_activation=sigmoid",
]
SEVERAL_LAYERS = [
    "fc,model.widths=[20],model.code_activation=sigmoid",
    "fc,model.code_activation=leaky_relu",
    "conv",
    "conv,upsample=max_unpool",
    "denoising",
]


@pytest.mark.parametrize("line", ONE_LAYER)
def test_contractive_is_exact_for_one_layer(line: str) -> None:
    model = network(*f"model={line}".split(","))
    assert not JacobianNorm(RegularizerConfig(), model).is_random
    assert penalty_of("contractive", model) == pytest.approx(squared_jacobian(model), rel=1e-4)


@pytest.mark.parametrize("line", SEVERAL_LAYERS)
def test_contractive_is_unbiased_for_several_layers(line: str) -> None:
    model = network(*f"model={line}".split(","))
    assert JacobianNorm(RegularizerConfig(), model).is_random
    # |v^T J|^2 for v along each axis adds up to |J|^2, and so does its mean over normal v.
    along_axes = sum(penalty_of("contractive", model, axis.expand(6, 3)) for axis in torch.eye(3))
    exact = squared_jacobian(model)
    assert along_axes == pytest.approx(exact, rel=1e-4)
    generator = torch.Generator().manual_seed(0)
    draws = torch.tensor(
        [
            penalty_of("contractive", model, torch.randn(6, 3, generator=generator))
            for _ in range(300)
        ]
    )
    standard_error = draws.std().item() / math.sqrt(len(draws))
    assert draws.mean().item() == pytest.approx(exact, abs=5 * standard_error)
    assert standard_error < 0.1 * exact


@pytest.mark.parametrize("line", [*ONE_LAYER, *SEVERAL_LAYERS])
def test_contractive_trains_the_encoder_with_second_derivatives(line: str) -> None:
    model = network(*f"model={line}".split(","))
    regularizer = JacobianNorm(RegularizerConfig(), model)
    noises = [axis.expand(6, 3) for axis in torch.eye(3)] if regularizer.is_random else [None]
    penalties = [regularizer(model, some_pixels(), noise, [])[1] for noise in noises]
    exact = [
        jacobian(model.encode, each.unsqueeze(0), create_graph=True).square().sum()
        for each in some_pixels()
    ]
    weights = [each for each in model.encoder.parameters() if each.dim() > 1]
    ours = torch.autograd.grad(torch.stack(penalties).sum(), weights)
    theirs = torch.autograd.grad(torch.stack(exact).mean(), weights)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-5 * other.abs().max().item())


def test_second_derivatives_of_our_linear_layer_are_those_of_torchs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(linear, "_is_intel", lambda: False)  # where it is torch's own
    found = []
    for kind in (Linear, torch.nn.Linear):
        torch.manual_seed(0)
        layer, rows = kind(784, 64), torch.randn(5, 784).requires_grad_()
        (first,) = torch.autograd.grad(layer(rows).tanh().sum(), rows, create_graph=True)
        first.square().sum().backward()
        assert layer.weight.grad is not None and rows.grad is not None
        found.append((first.detach(), layer.weight.grad, layer.bias.grad, rows.grad))
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def bound_by_hand(model: Autoencoder, noise: Tensor, variance: float | None) -> Tensor:
    """The negative evidence lower bound of each image (B,), from torch's distributions."""
    pixels = some_pixels()
    mean, log_variance = model.encode_distribution(pixels, [])
    deviation = (log_variance / 2).exp()
    outputs = model.decode(mean + noise * deviation)
    pixel = (
        Bernoulli(outputs, validate_args=False)
        if variance is None
        else Normal(outputs, math.sqrt(variance))
    )
    likelihood = pixel.log_prob(pixels).sum((1, 2, 3))
    divergence = kl_divergence(Normal(mean, deviation), Normal(0.0, 1.0)).sum(1)
    return divergence - likelihood  # type: ignore[no-any-return]


@pytest.mark.parametrize("model", ["fc", "conv"])
def test_bce_and_the_divergence_are_the_negative_bound(model: str) -> None:
    config = compose(["latent=3", f"model={model}", "regularizer=vae", "loss=bce"])
    built, noise = network(f"model={model}", "regularizer=vae"), torch.randn(6, 3)
    objective = Objective(config, built)
    scores, penalty = objective.regularized(some_pixels(), noise)
    total = objective.loss(scores, some_pixels()) + objective.penalty_weight * penalty
    expected = bound_by_hand(built, noise, None).mean().item()
    assert total.item() * PIXELS == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("variance", [0.5, 0.05])
def test_mse_and_beta_are_the_negative_bound_of_a_gaussian_of_half_that_variance(
    variance: float,
) -> None:
    beta = 2 * variance
    line = ["latent=3", "model=fc", "regularizer=vae", f"regularizer.beta={beta}"]
    built, noise = network(*line), torch.randn(6, 3)
    objective = Objective(compose(line), built)
    scores, penalty = objective.regularized(some_pixels(), noise)
    total = objective.loss(scores, some_pixels()) + objective.penalty_weight * penalty
    # sse + beta KL = 2 s^2 (negative bound - the logarithm of the normal's constant)
    constant = PIXELS / 2 * math.log(2 * math.pi * variance)
    expected = 2 * variance * (bound_by_hand(built, noise, variance).mean().item() - constant)
    assert total.item() * PIXELS == pytest.approx(expected, rel=1e-4)


def test_validation_is_the_bound_of_all_images_and_mse_that_of_their_means() -> None:
    line = ["latent=3", "model=fc", "regularizer=vae", "loss=bce", "device=cpu"]
    config, data, model = compose(line), some_data(), network(*line)
    found = validate(config, data, model)
    pixels = to_pixels(data.validation.images)
    objective = Objective(config, model)
    noise = evaluation_noise(objective, config, 0, pixels)
    assert noise is not None and noise.shape == (8, 3)
    scores, penalty = objective.regularized(pixels, noise)
    loss = objective.loss(scores, pixels).item()
    assert found.terms is not None
    assert found.terms.reconstruction == pytest.approx(loss, rel=1e-5)
    assert found.terms.penalty == pytest.approx(penalty.item(), rel=1e-5)
    assert found.loss == pytest.approx(loss + penalty.item() / PIXELS, rel=1e-5)
    with torch.no_grad():
        mse = (model(pixels) - pixels).square().mean().item()
    assert found.mse == pytest.approx(mse, rel=1e-5)
    assert validate(config, data, model) == found  # the same noise


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("l2", []),
        ("sparse", []),
        ("sparse", ["regularizer.activity=0.1", "model.code_activation=sigmoid"]),
        ("contractive", []),
        ("contractive", ["model.widths=[16]"]),
        ("vae", ["loss=bce"]),
    ],
)
def test_both_terms_of_the_objective_are_recorded(
    name: str, line: list[str], tmp_path: Path
) -> None:
    line = ["model=fc", "epochs=3", "lr=0.01", f"regularizer={name}", "regularizer.beta=3", *line]
    _, state, _ = trained(tmp_path, *line)
    for record in state.records:
        assert record.train_reconstruction is not None and record.train_penalty is not None
        assert record.val_reconstruction is not None and record.val_penalty is not None
        total = record.train_reconstruction + 3 * record.train_penalty / PIXELS
        assert record.train_loss == pytest.approx(total)
        total = record.val_reconstruction + 3 * record.val_penalty / PIXELS
        assert record.val_loss == pytest.approx(total)
        assert (record.active_units is None) == (name != "vae")


@pytest.mark.parametrize("name", ["l2", "sparse", "contractive", "vae"])
def test_a_heavier_penalty_is_a_smaller_one(name: str) -> None:
    config = compose(["model=fc", "latent=3", f"regularizer={name}"])
    pixels, noise = some_pixels(), torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    penalties = []
    for weight in (0.0, 1.0):
        model = new_model(config, some_data())
        objective, optimizer = Objective(config, model), torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(100):
            scores, penalty = objective.regularized(pixels, noise)
            optimizer.zero_grad()
            (objective.loss(scores, pixels) + weight * penalty).backward()
            optimizer.step()
        penalties.append(penalty.item())
    assert penalties[1] < 0.2 * penalties[0]


def test_the_weight_rises_over_the_warm_up() -> None:
    config = compose(["regularizer=vae", "regularizer.warmup=4", "regularizer.beta=2"])
    assert [warmup_factor(config, epochs) for epochs in (0, 1, 3, 4, 9)] == [0, 0.25, 0.75, 1, 1]
    assert warmup_factor(compose(["regularizer=vae"]), 0) == 1


def test_a_rate_is_validated_over_all_images_and_not_batch_by_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = ["model=fc", "latent=3", "model.code_activation=sigmoid", "device=cpu"]
    line += ["regularizer=sparse", "regularizer.activity=0.1"]
    config, data, model = compose(line), some_data(), network(*line)
    with torch.no_grad():
        activities = model.encode(to_pixels(data.validation.images)).mean(0).tolist()
    by_hand = sum(0.1 * math.log(0.1 / on) + 0.9 * math.log(0.9 / (1 - on)) for on in activities)
    for size in (1, 3, 8):  # of 8 images
        monkeypatch.setattr("aecli.training.validation.evaluation_batch", lambda _, size=size: size)
        found = validate(config, data, model)
        assert found.terms is not None
        assert found.terms.penalty == pytest.approx(by_hand, rel=1e-5)
        total = found.terms.reconstruction + by_hand / PIXELS
        assert found.loss == pytest.approx(total, rel=1e-5)


def test_the_first_step_of_a_warm_up_ignores_the_penalty(tmp_path: Path) -> None:
    line = ["model=fc", "epochs=1", "batch_size=32", "regularizer=l2"]
    warm, _, _ = trained(tmp_path / "a", *line, "regularizer.beta=1000", "regularizer.warmup=5")
    plain, _, _ = trained(tmp_path / "b", *line, "regularizer.beta=0")
    heavy, _, _ = trained(tmp_path / "c", *line, "regularizer.beta=1000")
    states = [each.state_dict()["encoder.1.weight"] for each in (warm, plain, heavy)]
    assert torch.equal(states[0], states[1]) and not torch.equal(states[0], states[2])


def test_active_units_are_those_whose_means_vary() -> None:
    accumulator = ActivityAccumulator(3, CPU)
    # Variances over the four images: 1.25, 0.0025, and 0 of a large mean.
    units = torch.tensor([[0.0, 0.0, 50.0], [1.0, 0.1, 50.0], [2.0, 0.0, 50.0], [3.0, 0.1, 50.0]])
    for batch in units.split(2):
        accumulator.add(batch)
    assert accumulator.count(4) == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (["regularizer=vae", "model.code_activation=relu"], "model.code_activation=identity"),
        (["regularizer=sparse", "regularizer.activity=0.1"], "model.code_activation=sigmoid"),
        (["regularizer=l2", "regularizer.activity=0.1"], "regularizer=sparse"),
        (["regularizer.beta=2"], "regularizer=vae"),
        (["regularizer.warmup=2"], "regularizer=vae"),
    ],
)
def test_incompatible_options_are_refused(line: list[str], reason: str) -> None:
    config = compose(["model=fc", *line])
    with pytest.raises(UsageError, match=reason):
        check_unread_keys(config)
        check_objective(config)


@pytest.mark.parametrize(
    "value",
    [
        "regularizer.beta=-1",
        "regularizer.beta=nan",
        "regularizer.activity=1",
        "regularizer.activity=0",
    ],
)
def test_values_out_of_range_are_refused(value: str) -> None:
    with pytest.raises(UsageError, match="is not valid"):
        compose(["regularizer=sparse", "model.code_activation=sigmoid", value])


def test_a_gaussian_code_of_the_denoising_model_has_no_activation() -> None:
    config = compose(["model=denoising", "regularizer=vae"])
    check_objective(config)
    assert config.model.code_activation.name == "identity"


@pytest.mark.parametrize("name", ["vae", "contractive"])
def test_compiled_steps_equal_eager_ones(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ["model=conv", "epochs=1", f"regularizer={name}"]
    plain, _, _ = trained(tmp_path / "a", *line)
    compile = torch.compile
    # All of it but for the code that is written, derivatives among it.
    monkeypatch.setattr(torch, "compile", lambda module: compile(module, backend="aot_eager"))
    compiled, _, _ = trained(tmp_path / "b", *line, "compile=true")
    assert torch.allclose(weights(plain), weights(compiled), atol=1e-6)
