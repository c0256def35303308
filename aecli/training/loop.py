"""The training loop."""

import math
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from aecli.config import Precision, RegularizerKind, Schedule, TrainConfig
from aecli.data import Data
from aecli.errors import DivergenceError
from aecli.models import Autoencoder, build_network
from aecli.runs.directory import WEIGHTS, RunDirectory
from aecli.runs.records import EpochRecord, Terms, Validation
from aecli.runtime.contention import one_core_per_thread
from aecli.runtime.device import training_arithmetic
from aecli.runtime.signals import StopRequest
from aecli.training.callback import Callback
from aecli.training.checkpointing import CheckpointScheduler
from aecli.training.objective import Objective, penalty_weight
from aecli.training.state import TrainingState
from aecli.training.step import TrainingStep
from aecli.training.validation import validate


def steps_per_epoch(config: TrainConfig, data: Data) -> int:
    """Number of batches per epoch; the last batch may be smaller."""
    return config.steps_per_epoch(len(data.train))


def new_model(config: TrainConfig, data: Data) -> Autoencoder:
    """A model initialised from `config.seed`, on the device of `data`."""
    torch.manual_seed(config.seed)
    model = build_network(config, data.image_shape)
    return model.to(data.train.images.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def forward_pass(config: TrainConfig, model: nn.Module) -> Callable[..., Any]:
    """The forward pass of a training step: `model` in the configured precision, maybe compiled."""
    forward: Callable[..., Any] = model
    if config.compile:
        # The compiler has to know what a part that is not compiled returns.
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")
        forward = torch.compile(model)
    if config.precision is Precision.float32:
        return forward

    def in_bf16(inputs: Tensor, *noise: Tensor) -> Any:
        with torch.autocast(inputs.device.type, torch.bfloat16):
            found = forward(inputs, *noise)
        if isinstance(found, tuple):
            return tuple(each.float() for each in found)
        return found.float()

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

    with StopRequest() as stop, computing_threads(config, data):

        def on_step_end() -> None:
            callback.on_step_end()
            checkpoints.on_step_end(stop)

        while not state.is_over(config):
            # 1. Train on every image once.
            train_loss = train_epoch(config, data, state, step, on_step_end)
            terms = training_terms(config, data, state, train_loss)
            train_loss = terms.total if terms else train_loss

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
                    epoch, train_loss, validation, lr, state.seconds, len(data.train), terms
                )
            )
            callback.on_epoch_end()

            # 5. Save a checkpoint if one is due.
            checkpoints.on_epoch_end(stop)
    state.model.load_state_dict(state.kept_weights)


def computing_threads(config: TrainConfig, data: Data) -> AbstractContextManager[None]:
    """Pins torch's threads to cores while it trains on the CPU, if there are two."""
    # A compiler starts processes, which would all be on the core of this thread.
    if data.train.images.device.type == "cpu" and not config.compile:
        return one_core_per_thread()
    return nullcontext()


def training_step(config: TrainConfig, data: Data, state: TrainingState) -> TrainingStep:
    """The training step, starting from `state`."""
    objective = Objective(config, state.model)
    forward = forward_pass(config, state.group.wrap_ddp(objective))
    return TrainingStep(
        config,
        data.train.images,
        state.model,
        forward,
        objective,
        state.optimizer,
        state.loss_sum,
        state.penalty_sum,
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
    units and without penalty."""
    steps = steps_per_epoch(config, data)
    started = time.perf_counter() - state.seconds
    state.model.train()
    step.begin_epoch(state.epoch, state.step)
    with training_arithmetic(data.train.images.device, config.deterministic):
        while state.step < steps:
            done = epochs_done(state.epoch, state.step, steps)
            step(learning_rate(config, done), warmup_factor(config, done))
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


def training_terms(
    config: TrainConfig, data: Data, state: TrainingState, loss: float
) -> Terms | None:
    """The mean `loss` over the current epoch, and that of the penalty; None without regulariser."""
    if config.regularizer.name is RegularizerKind.none:
        return None
    penalty = state.group.all_gather(state.penalty_sum).mean().item() / len(data.train)
    return Terms(loss, penalty, penalty_weight(config, data.image_shape))


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


def warmup_factor(config: TrainConfig, epochs: float) -> float:
    """The share of the penalty's weight that applies after `epochs` epochs, from 0 to 1."""
    warmup = config.regularizer.warmup
    return epochs / warmup if epochs < warmup else 1.0


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
