"""The loop: what it computes, what it keeps, and when it stops."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aecli.cli.compose import compose
from aecli.config import OptimizerConfig, Precision, Schedule, TrainConfig
from aecli.data import Data
from aecli.data.batches import to_pixels
from aecli.errors import DivergenceError
from aecli.models import Autoencoder
from aecli.runs.directory import RunDirectory
from aecli.runs.tracker import Tracker
from aecli.runtime.rng import generator_for, reseed
from aecli.training.callback import Callback
from aecli.training.loop import (
    forward_pass,
    learning_rate,
    new_model,
    steps_per_epoch,
    train,
    train_epoch,
    training_step,
)
from aecli.training.optimizer import Adam
from aecli.training.recorder import Recorder, snapshot_epochs
from aecli.training.state import Best, TrainingState
from aecli.training.validation import validate
from tests.test_conf import some_data

CPU = ["device=cpu", "batch_size=16", "latent=4"]


def trained(folder: Path, *overrides: str) -> tuple[Autoencoder, TrainingState, RunDirectory]:
    """Train on 32 images of noise, two steps an epoch."""
    folder.mkdir(exist_ok=True)
    config, run = compose([*CPU, *overrides]), RunDirectory(folder)
    data, device = some_data(), torch.device(config.device)
    parts = ("train", "validation", "test")
    data = replace(data, **{part: getattr(data, part).to(device) for part in parts})
    state = TrainingState(config, new_model(config, data), data.fingerprints)
    steps = steps_per_epoch(config, data)
    with Tracker(run, config.epochs, steps) as tracker:
        train(config, data, state, Recorder(config, data, state, run, tracker, print))
        return state.model, state, run


def weights(model: torch.nn.Module) -> Tensor:
    return torch.cat([tensor.flatten().float() for tensor in model.state_dict().values()])


@pytest.mark.parametrize("model", ["fc", "conv", "denoising"])
def test_a_seed_repeats_to_the_bit(model: str, tmp_path: Path) -> None:
    first, _, one = trained(tmp_path / "a", f"model={model}", "epochs=2")
    torch.rand(100)  # whatever else draws from the global generator does not matter
    second, _, other = trained(tmp_path / "b", f"model={model}", "epochs=2")
    assert torch.equal(weights(first), weights(second))
    assert one.weights_file.read_bytes() == other.weights_file.read_bytes()


def test_another_seed_gives_other_weights_and_another_order(tmp_path: Path) -> None:
    _, first, _ = trained(tmp_path / "a", "model=fc", "epochs=1", "seed=0")
    _, second, _ = trained(tmp_path / "b", "model=fc", "epochs=1", "seed=1")
    assert first.records[0].train_loss != second.records[0].train_loss


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    _, result, _ = trained(tmp_path, "model=fc", "epochs=30", "lr=0.01", "latent=32")
    assert result.records[-1].train_loss < 0.8 * result.records[0].train_loss


@pytest.mark.parametrize("model", ["fc", "denoising"])
def test_the_loop_is_adam_on_shuffled_batches(model: str, tmp_path: Path) -> None:
    line = [f"model={model}", "epochs=2", "data.mean=0.1", "data.std=0.5"]
    trained_model, result, _ = trained(tmp_path, *line)
    config, data = compose([*CPU, *line]), some_data()
    images = data.train.images.float() / 255
    reference = new_model(config, data).train()
    optimizer = torch.optim.Adam(reference.parameters(), lr=1e-3, weight_decay=1e-5)
    for epoch in (1, 2):
        order = torch.randperm(32, generator=generator_for(0, epoch, torch.device("cpu")))
        noise = torch.Generator()
        losses = []
        for step, batch in enumerate((order[:16], order[16:])):
            clean = images[batch]
            seen = clean
            if model == "denoising":
                reseed(noise, 0, epoch, step)
                damage = torch.randn(clean.shape, generator=noise)
                seen = (clean + 0.1 * damage).clamp(0, 1)
            loss = ((reference((seen - 0.1) / 0.5) - (clean - 0.1) / 0.5) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert result.records[epoch - 1].train_loss == pytest.approx(sum(losses) / 2, rel=1e-4)
    # A step moves a weight by about 1e-3, up or down by a gradient that may be all but zero, and a
    # pixel that rounding takes across the kink of an activation moves whole layers a little: hold
    # the distance of most weights against the way that they have come. A decay that is missing is
    # 1.6 % of it, a rate that is 0.2 % too large 1.1 %.
    come = (weights(new_model(config, data)) - weights(reference)).abs().mean()
    assert (weights(trained_model) - weights(reference)).abs().median() < 2e-3 * come


def test_the_first_step_is_adams(tmp_path: Path) -> None:
    # With no weight decay Adam's first step moves every weight with a gradient by lr (Kingma and
    # Ba, 2015: the bias corrections cancel), whatever the gradient's size.
    config = compose([*CPU, "model=fc", "epochs=1", "batch_size=32", "lr=0.001", "weight_decay=0"])
    data = some_data()
    before = weights(new_model(config, data))
    state = TrainingState(config, new_model(config, data), data.fingerprints)
    train(config, data, state, Callback(RunDirectory(tmp_path)))
    steps = (weights(state.model) - before).abs()
    assert steps.max().item() == pytest.approx(0.001, rel=1e-2)
    assert steps.median().item() == pytest.approx(0.001, rel=1e-2)


def test_gradients_are_clipped_to_the_norm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    original = Adam.step

    def step(optimizer: Adam) -> None:
        gradients = [each.grad for each in optimizer.parameters if each.grad is not None]
        norms.append(torch.nn.utils.get_total_norm(gradients).item())
        original(optimizer)

    monkeypatch.setattr(Adam, "step", step)
    trained(tmp_path, "model=fc", "epochs=1", "optimizer.clip_norm=1e-3")
    assert norms == pytest.approx([1e-3, 1e-3], rel=1e-3)


def schedule(**options: object) -> TrainConfig:
    config = compose(["epochs=10", "lr=0.1"])
    return replace(config, optimizer=OptimizerConfig(**options))  # type: ignore[arg-type]


def test_a_constant_learning_rate_is_constant() -> None:
    assert {learning_rate(schedule(), epoch) for epoch in (0, 0.5, 9.9)} == {0.1}


def test_the_cosine_falls_from_lr_to_zero() -> None:
    config = schedule(schedule=Schedule.cosine)
    assert learning_rate(config, 0) == pytest.approx(0.1)
    assert learning_rate(config, 5) == pytest.approx(0.05)
    assert learning_rate(config, 10) == pytest.approx(0, abs=1e-12)


def test_the_warm_up_rises_from_zero_and_then_the_schedule_begins() -> None:
    config = schedule(schedule=Schedule.cosine, warmup_epochs=2.0)
    assert learning_rate(config, 0) == 0
    assert learning_rate(config, 1) == pytest.approx(0.05)
    assert learning_rate(config, 2) == pytest.approx(0.1)
    assert learning_rate(config, 6) == pytest.approx(0.05)
    assert learning_rate(config, 10) == pytest.approx(0, abs=1e-12)


def test_validation_measures_the_model_in_both_units() -> None:
    # A model that answers black: its mse is the mean square of the pixels, its loss that of the
    # normalised pixels, (x - mean) / std against (0 - mean) / std.
    config = compose([*CPU, "model=fc", "data.mean=0.25", "data.std=0.5"])
    data = some_data()

    class Black(Autoencoder):
        def encode(self, images: Tensor) -> Tensor:
            return images.flatten(1)[:, :4]

        def decode(self, codes: Tensor) -> Tensor:
            return torch.full((len(codes), *data.image_shape), -0.5)

    validation = validate(config, data, Black(data.image_shape, 4))
    expected = to_pixels(data.validation.images).square().mean().item()
    assert validation.mse == pytest.approx(expected, rel=1e-5)
    assert validation.loss == pytest.approx(expected / 0.25, rel=1e-5)
    assert validation.checkerboard == 0  # black all over


def test_validation_counts_units_and_pixels_that_never_vary() -> None:
    config = compose(["model=fc", "latent=4", "model.code_activation=relu"])
    data = some_data()
    model = new_model(config, data)
    varied = data.validation.images.amax(0) > data.validation.images.amin(0)
    biases, outputs = model.encoder[1].bias, model.decoder[0].weight
    assert isinstance(biases, Tensor) and isinstance(outputs, Tensor)
    with torch.no_grad():
        biases.fill_(5.0)  # above zero for every image
    found = validate(config, data, model)
    assert (found.live_units, found.constant_pixels) == (4, 0)
    with torch.no_grad():
        biases[[0, 2]] = -100.0  # below zero for every image, so ReLU gives 0
        outputs[:10] = 0.0
    found = validate(config, data, model)
    assert (found.live_units, found.constant_pixels) == (2, int(varied.flatten()[:10].sum()))


def test_validation_every_k_epochs_and_at_both_ends(tmp_path: Path) -> None:
    _, result, run = trained(tmp_path, "model=fc", "epochs=8", "val_every=3")
    validated = [record.epoch for record in result.records if record.val_loss is not None]
    assert validated == [1, 3, 6, 8]
    lines = [json.loads(line) for line in run.metrics_file.read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 9))
    assert [line["epoch"] for line in lines if line["val_mse"] is not None] == validated


def test_an_improvement_must_exceed_min_delta() -> None:
    best = Best()
    assert best.update(1.0, 1, min_delta=0.1)
    assert not best.update(0.95, 2, min_delta=0.1)
    assert best.update(0.85, 3, min_delta=0.1)
    assert (best.loss, best.epoch, best.stale_validations) == (0.85, 3, 0)


def test_the_epoch_in_which_the_time_runs_out_is_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10**6, 7))  # every look at it takes seven seconds
    monkeypatch.setattr("aecli.training.loop.time.perf_counter", lambda: float(next(clock)))
    _, state, _ = trained(tmp_path, "epochs=9", "minutes=0.5")
    seconds = [record.seconds for record in state.records]
    assert len(seconds) < 9
    assert sum(seconds) >= 30 > sum(seconds[:-1])


def test_patience_counts_validations_without_improvement() -> None:
    best = Best()
    for epoch, loss in enumerate([1.0, 1.1, 0.9, 1.0, 1.0], start=1):
        best.update(loss, epoch, min_delta=0.0)
    assert best.stale_validations == 2
    assert best.is_exhausted(2)
    assert not best.is_exhausted(3)
    assert not best.is_exhausted(None)


def test_the_best_epoch_is_the_one_with_the_smallest_validation_loss(tmp_path: Path) -> None:
    # In the model's units, which here are four times those of the mse in pixels.
    _, result, _ = trained(tmp_path, "model=fc", "epochs=3", "data.std=0.5")
    losses = [record.val_loss for record in result.records if record.val_loss is not None]
    assert result.best.loss == min(losses)
    assert result.records[-1].val_mse != pytest.approx(losses[-1], rel=0.5)


def test_training_stops_early_and_keeps_the_best_weights(tmp_path: Path) -> None:
    # No epoch can improve by as much as min_delta, so the first is the best.
    _, _, one = trained(tmp_path / "one", "model=fc", "epochs=1")
    _, result, many = trained(
        tmp_path / "many", "model=fc", "epochs=50", "patience=3", "min_delta=10"
    )
    assert len(result.records) == 4
    assert result.best.epoch == 1
    assert many.weights_file.read_bytes() == one.weights_file.read_bytes()
    assert len(newest(many)["records"]) == 4


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, good = trained(tmp_path / "good", "model=fc", "epochs=2")

    def explode(config: TrainConfig, epochs_done: float) -> float:
        return math.nan if epochs_done >= 2 else config.lr

    monkeypatch.setattr("aecli.training.loop.learning_rate", explode)
    with pytest.raises(DivergenceError, match=r"training loss became nan in epoch 3; .*epoch 2"):
        trained(tmp_path / "bad", "model=fc", "epochs=5")
    bad = RunDirectory(tmp_path / "bad")
    assert bad.weights_file.read_bytes() == good.weights_file.read_bytes()
    assert len(newest(bad)["records"]) == 2
    assert bad.finished_epochs() == 2


def newest(run: RunDirectory) -> dict[str, Any]:
    """The state in the newest checkpoint of a run, which is sound."""
    state, problems = run.checkpoints.newest()
    assert state is not None and problems == []
    return state


def test_a_checkpoint_holds_what_the_next_epoch_needs(tmp_path: Path) -> None:
    _, result, run = trained(tmp_path, "model=fc", "epochs=3", "lr=0.1")
    state = newest(run)
    assert [record["epoch"] for record in state["records"]] == [1, 2, 3]
    assert state["optimizer"]["state"][0]["step"] == 3 * 2
    assert state["best"] == asdict(result.best)
    for name, tensor in result.kept_weights.items():
        assert torch.equal(tensor, state["best_weights"][name])


def test_pictures_are_of_the_first_the_last_and_some_between() -> None:
    assert snapshot_epochs(25) == {1, 5, 10, 15, 20, 25}  # as in the lecture
    assert snapshot_epochs(1) == {1}
    assert snapshot_epochs(3) == {1, 2, 3}
    assert len(snapshot_epochs(10_000)) == 6


def test_the_denoising_loss_compares_with_the_clean_image() -> None:
    # The identity leaves the noise in: its loss is the variance of the (unclipped) noise. Against
    # the noisy image it would be 0.
    config = compose([*CPU, "model=denoising", "corruption.noise_std=0.1"])
    grey = torch.full((64, 1, 28, 28), 128, dtype=torch.uint8)
    split = replace(some_data().train, images=grey, labels=torch.zeros(64, dtype=torch.int64))
    data = Data("grey", "grey", "grey", "a test", None, split, split, split)

    class Identity(Autoencoder):
        def encode(self, images: Tensor) -> Tensor:
            return images.flatten(1)

        def decode(self, codes: Tensor) -> Tensor:
            images: Tensor = codes.unflatten(1, data.image_shape)
            return images

    validation = validate(config, data, Identity(data.image_shape, 784))
    assert validation.loss == pytest.approx(0.01, rel=0.02)
    assert validation.mse == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize("model", ["fc", "conv", "denoising", "deep"])
def test_bf16_is_as_close_as_its_eight_bits_allow(model: str) -> None:
    config, data = compose([*CPU, f"model={model}"]), some_data()
    network, pixels = new_model(config, data), to_pixels(data.train.images)
    in_bf16 = forward_pass(replace(config, precision=Precision.bf16), network)
    difference = in_bf16(pixels) - forward_pass(config, network)(pixels)
    # Of outputs near 1/2, whose last bit is worth 1/512; rounding adds up over the layers.
    assert 0 < difference.square().mean().sqrt() < 4 / 512


def test_training_in_bf16_keeps_weights_and_validation_exact(tmp_path: Path) -> None:
    exact, _, _ = trained(tmp_path / "a", "model=fc", "epochs=1")
    rounded, training, _ = trained(tmp_path / "b", "model=fc", "epochs=1", "precision=bf16")
    assert {each.dtype for each in rounded.parameters()} == {torch.float32}
    assert not torch.equal(weights(exact), weights(rounded))
    config, data = compose([*CPU, "model=fc", "precision=bf16"]), some_data()
    again = validate(replace(config, precision=Precision.float32), data, rounded)
    assert training.records[-1].val_loss == again.loss


def test_a_step_computes_in_the_precision_that_was_asked_for() -> None:
    seen = []

    class Layer(torch.nn.Linear):
        def forward(self, inputs: Tensor) -> Tensor:
            seen.append(super().forward(inputs).dtype)
            return super().forward(inputs)

    model = Layer(3, 3)
    for precision, expected in (("float32", torch.float32), ("bf16", torch.bfloat16)):
        forward = forward_pass(compose([f"precision={precision}"]), model)
        assert forward(torch.ones(2, 3)).dtype is torch.float32
        assert seen.pop() is expected


def test_a_compiled_model_takes_the_same_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, _, _ = trained(tmp_path / "a", "model=conv", "epochs=2")
    compiled = []
    compile = torch.compile

    def compile_without_a_compiler(objective: torch.nn.Module) -> Any:
        compiled.append(objective)
        return compile(objective, backend="eager")  # all of it but for the code that is written

    monkeypatch.setattr(torch, "compile", compile_without_a_compiler)
    model, _, _ = trained(tmp_path / "b", "model=conv", "epochs=2", "compile=true")
    assert [objective.model for objective in compiled] == [model]
    assert torch.allclose(weights(plain), weights(model), atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("model", ["fc", "conv", "denoising"])
def test_on_a_gpu_compiled_steps_match_eager_ones(model: str, tmp_path: Path) -> None:
    line = [f"model={model}", "epochs=3", "device=cuda"]
    plain, one, _ = trained(tmp_path / "plain", *line)
    compiled, other, _ = trained(tmp_path / "compiled", *line, "compile=true")
    # Other kernels round otherwise, and Adam takes a gradient that is all but zero for a step.
    come = (
        weights(new_model(compose([*CPU, *line[:1]]), some_data())) - weights(plain).cpu()
    ).abs()
    difference = (weights(compiled) - weights(plain)).abs()
    assert difference.median().item() < 0.05 * come.mean().item()
    losses = [record.train_loss for record in one.records]
    first, *_, last = (record.train_loss for record in other.records)
    assert first == pytest.approx(losses[0], rel=1e-3)
    assert last == pytest.approx(losses[-1], rel=1e-2)  # differences of rounding grow


@pytest.mark.parametrize("upsample", ["transposed", "nearest", "max_unpool"])
def test_batch_normalisation_takes_a_last_batch_of_one_image_on_a_map_of_one_pixel(
    upsample: str,
) -> None:
    data = some_data((1, 4, 4))  # two strides of 2 leave one pixel
    size = len(data.train) - 1
    line = [*CPU, "model=denoising", f"upsample={upsample}", "latent=2", f"batch_size={size}"]
    config = compose(line)
    state = TrainingState(config, new_model(config, data), data.fingerprints)
    loss = train_epoch(config, data, state, training_step(config, data, state), lambda: None)
    assert math.isfinite(loss) and state.step == 2
