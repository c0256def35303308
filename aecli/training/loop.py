"""The training loop."""

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from aecli.config import Precision, Schedule, Target, TrainConfig
from aecli.data import Data
from aecli.data.batches import Normalisation, ordered_batches
from aecli.data.corruption import build_corruption
from aecli.errors import DivergenceError
from aecli.evaluation.checkerboard import CheckerboardAccumulator
from aecli.evaluation.metrics import evaluation_batch
from aecli.evaluation.scores import stride_grid
from aecli.evaluation.variation import VariationAccumulator, varying_pixels
from aecli.models import Autoencoder, build_model
from aecli.runs.directory import WEIGHTS, RunDirectory
from aecli.runs.records import EpochRecord, Validation
from aecli.runtime.device import training_arithmetic
from aecli.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from aecli.runtime.rng import EVALUATION, generator_for
from aecli.runtime.signals import StopRequest
from aecli.training.callback import Callback
from aecli.training.checkpointing import CheckpointScheduler
from aecli.training.objective import Objective
from aecli.training.state import TrainingState
from aecli.training.step import TrainingStep


def steps_per_epoch(config: TrainConfig, data: Data) -> int:
    """Number of batches per epoch; the last batch may be smaller."""
    return config.steps_per_epoch(len(data.train))


def new_model(config: TrainConfig, data: Data) -> Autoencoder:
    """A model initialised from `config.seed`, on the device of `data`."""
    torch.manual_seed(config.seed)
    model = build_model(config.model, config.upsample, data.image_shape)
    return model.to(data.train.images.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def forward_pass(config: TrainConfig, model: nn.Module) -> Callable[[Tensor], Tensor]:
    """The forward pass of a training step: `model` in the configured precision, maybe compiled."""
    forward: Callable[[Tensor], Tensor] = torch.compile(model) if config.compile else model
    if config.precision is Precision.float32:
        return forward

    def in_bf16(inputs: Tensor) -> Tensor:
        with torch.autocast(inputs.device.type, torch.bfloat16):
            return forward(inputs).float()

    return in_bf16


def train(config: TrainConfig, data: Data, state: TrainingState, callback: Callback) -> None:
    """Train from `state` to the end, then load the weights that are kept into the model.

    Raises:
        DivergenceError: the loss is no longer finite; the files are those of the previous epochs.
        Interrupted: Ctrl-C or SIGTERM, between two steps; a checkpoint has been saved.
    """
    group = state.group
    steps = steps_per_epoch(config, data)
    step = training_step(config, data, state)
    checkpoints = CheckpointScheduler(config, state, callback, steps)

    with StopRequest() as stop:

        def on_step_end() -> None:
            callback.on_step_end()
            checkpoints.on_step_end(stop)

        while not state.is_over(config):
            # 1. Train on every image once.
            train_loss = train_epoch(config, data, state, step, on_step_end)

            # 2. Validate.
            epoch, validation = state.epoch, None
            if state.must_validate(config):
                validation = validate(config, data, state.model, group)
            check_finite(train_loss, validation, config, state, callback.run)

            # 3. Keep the weights, if they are the best or the last are to be kept.
            if state.update_kept(config, validation.loss if validation else None):
                callback.on_new_weights()

            # 4. Record the epoch.
            lr = learning_rate(config, epochs_done(epoch, steps - 1, steps))
            state.end_epoch(
                EpochRecord.from_epoch(
                    epoch, train_loss, validation, lr, state.seconds, len(data.train)
                )
            )
            callback.on_epoch_end()

            # 5. Save a checkpoint if one is due.
            checkpoints.on_epoch_end(stop)
    state.model.load_state_dict(state.kept_weights)


def training_step(config: TrainConfig, data: Data, state: TrainingState) -> TrainingStep:
    """The training step, starting from `state`."""
    objective = Objective(config, state.model)
    forward = forward_pass(config, state.group.wrap_ddp(objective))
    return TrainingStep(
        config,
        data.train.images,
        state.model,
        forward,
        objective.loss,
        state.optimizer,
        state.loss_sum,
        state.group,
    )


def train_epoch(
    config: TrainConfig,
    data: Data,
    state: TrainingState,
    step: TrainingStep,
    on_step_end: Callable[[], None],
) -> float:
    """Train to the end of the current epoch; the mean loss over the whole epoch, in normalised
    units."""
    steps = steps_per_epoch(config, data)
    started = time.perf_counter() - state.seconds
    state.model.train()
    step.begin_epoch(state.epoch, state.step)
    with training_arithmetic(data.train.images.device, config.deterministic):
        while state.step < steps:
            step(learning_rate(config, epochs_done(state.epoch, state.step, steps)))
            state.step += 1
            state.seconds = time.perf_counter() - started
            on_step_end()
    state.group.broadcast_buffers(state.model)
    mean = state.group.all_gather(state.loss_sum).mean().item() / len(data.train)
    # The GPU has finished the last step by now. All ranks must agree when the time is up.
    seconds = torch.tensor(time.perf_counter() - started, dtype=torch.float64)
    state.group.all_reduce_max(seconds)
    state.seconds = seconds.item()
    return mean


def epochs_done(epoch: int, step: int, steps: int) -> float:
    """Epochs done before step `step` (from 0) of epoch `epoch` (from 1), as a fraction."""
    return ((epoch - 1) * steps + step) / steps


def learning_rate(config: TrainConfig, epochs: float) -> float:
    """The learning rate after `epochs` epochs, which may be fractional.

    It rises linearly during warm-up, then stays constant or decays to zero along half a cosine
    (Loshchilov and Hutter, "SGDR", 2017, without restarts).
    """
    warmup = config.optimizer.warmup_epochs
    if epochs < warmup:
        return config.lr * epochs / warmup
    if config.optimizer.schedule is Schedule.constant:
        return config.lr
    progress = (epochs - warmup) / (config.epochs - warmup)
    return config.lr * 0.5 * (1 + math.cos(math.pi * progress))


@torch.inference_mode()
def validate(
    config: TrainConfig, data: Data, model: Autoencoder, group: ProcessGroup = SINGLE_PROCESS
) -> Validation:
    """Evaluate `model` on the validation images, at least one; the ranks of `group` share the
    batches."""
    images = data.validation.images
    corrupt = build_corruption(config.corruption)
    normalisation = Normalisation(config.data.mean, config.data.std)
    noise = generator_for(config.seed, EVALUATION, images.device)
    objective = Objective(config, model)
    sums = torch.zeros(2, device=images.device)  # the loss, and squared errors of pixels
    grid = CheckerboardAccumulator(images.shape[1:], images.device)
    units = VariationAccumulator((model.latent,), images.device)
    output_pixels = VariationAccumulator(images.shape[1:], images.device)

    model.eval()
    for number, pixels in enumerate(ordered_batches(images, evaluation_batch(images))):
        inputs = corrupt(pixels, noise) if corrupt else pixels
        if not group.owns_batch(number):
            continue
        codes, scores = objective.reconstruct(normalisation.apply(inputs))
        outputs = objective.outputs(scores)
        target = inputs if config.corruption.target is Target.input else pixels
        sums[0] += objective.loss(scores, normalisation.apply(target), reduction="sum")
        reconstructed = normalisation.invert(outputs)
        sums[1] += (reconstructed - pixels).square().sum()
        grid.add(reconstructed)
        units.add(codes)
        output_pixels.add(outputs)
    for part in (sums, grid.pixels, grid.squares):
        group.all_reduce_sum(part)
    for ranges in (units, output_pixels):
        group.all_reduce_max(ranges.bounds)
    grid.count = len(images)
    loss, mse = (sums / images.numel()).tolist()
    return Validation(
        loss,
        mse,
        grid.score(stride_grid(config.model)),
        live_units=int(units.varies().sum()),
        constant_pixels=int((varying_pixels(images) & ~output_pixels.varies()).sum()),
    )


def check_finite(
    train_loss: float,
    validation: Validation | None,
    config: TrainConfig,
    state: TrainingState,
    run: RunDirectory,
) -> None:
    """Raise DivergenceError, with advice, if a loss is infinite or NaN."""
    losses = {"training": train_loss} | ({"validation": validation.loss} if validation else {})
    for name, loss in losses.items():
        if not math.isfinite(loss):
            kept = (
                f"the weights of epoch {state.kept_epoch} are kept in {run.working_path(WEIGHTS)}"
                if state.kept_epoch
                else "no earlier epoch was good, so no weights are kept"
            )
            raise DivergenceError(
                f"the {name} loss became {loss} in epoch {state.epoch}; {kept}. "
                f"Try a smaller lr (it is {config.lr:g}) or optimizer.clip_norm=1"
            )
