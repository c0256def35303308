"""The training loop."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Adam

from aecli.checkerboard import GridSums
from aecli.config import Precision, Schedule, TrainConfig
from aecli.corruption import build_corruption
from aecli.data import Data
from aecli.data.batches import Normalisation, ordered_batches, shuffled_batches
from aecli.errors import DataError, DivergenceError
from aecli.evaluation import (
    baselines,
    checkerboard_of_originals,
    mse,
    picture,
    reconstruction,
    shown_images,
    stride_grid,
)
from aecli.metrics import EVALUATION_BATCH
from aecli.models import Autoencoder, build_model
from aecli.randomness import EVALUATION, generator_for, reseed
from aecli.run import RunDirectory
from aecli.signals import StopRequest
from aecli.tracking import EpochRecord, Tracker, Validation

# Pictures per run, the first epoch's and the last's among them. TensorBoard keeps ten of a tag.
PICTURES = 6


@dataclass
class Best:
    """The best epoch so far, and how long it has not been beaten."""

    loss: float = math.inf
    epoch: int = 0
    stale_validations: int = 0

    def improves(self, loss: float, epoch: int, delta: float) -> bool:
        """Take note of a validation; True where it beats the best by more than `delta`."""
        if loss < self.loss - delta:
            self.loss, self.epoch, self.stale_validations = loss, epoch, 0
            return True
        self.stale_validations += 1
        return False

    def is_exhausted(self, patience: int | None) -> bool:
        """Whether `patience` validations in a row brought no improvement."""
        return patience is not None and self.stale_validations >= patience


class TrainingState:
    """How far a training is: all that its further steps depend on besides the configuration.

    Batch order and noise are drawn anew for every epoch and step, so they have no state to keep.
    """

    def __init__(self, config: TrainConfig, model: Autoencoder, images: int) -> None:
        """At the beginning; `images` are there to train on."""
        self.model, self.images = model, images
        self.optimizer = Adam(
            model.parameters(), config.lr, weight_decay=config.weight_decay, fused=True
        )
        self.best, self.best_weights = Best(), _copied(model.state_dict())
        self.records: list[EpochRecord] = []
        self.snapshots: dict[int, Tensor] = {}
        """Epoch -> the shown images as the model then reconstructed them."""
        self.step = 0
        """Batches of the current epoch that have been seen."""
        # Summed on the device: asking for a number at every step would make the device wait for it.
        self.loss_sum = torch.zeros((), device=next(model.parameters()).device)
        """Over the images of the current epoch."""
        self.seconds = 0.0
        """Of training in the current epoch."""

    @property
    def epoch(self) -> int:
        """The current one, from 1 on."""
        return len(self.records) + 1

    def is_over(self, config: TrainConfig) -> bool:
        """Whether all epochs are done, or validation has not improved for long enough."""
        return self.epoch > config.epochs or self.best.is_exhausted(config.patience)

    def end_epoch(self, record: EpochRecord) -> None:
        self.records.append(record)
        self.step, self.seconds = 0, 0.0
        self.loss_sum.zero_()

    def keep_best(self) -> None:
        """The current weights are the best so far."""
        self.best_weights = _copied(self.model.state_dict())

    def saved(self) -> dict[str, Any]:
        """What `restore` takes."""
        return {
            "images": self.images,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": asdict(self.best),
            "best_weights": self.best_weights,
            "records": [asdict(record) for record in self.records],
            "snapshots": self.snapshots,
            "step": self.step,
            "loss_sum": self.loss_sum,
            "seconds": self.seconds,
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from what `saved` has returned.

        Raises:
            DataError: it has been trained on another number of images.
        """
        if saved["images"] != self.images:
            raise DataError(
                f"there are {self.images:,} training images, and the run was begun with "
                f"{saved['images']:,}: give the data_dir=... in which those are"
            )
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.best, self.best_weights = Best(**saved["best"]), saved["best_weights"]
        self.records = [EpochRecord(**record) for record in saved["records"]]
        self.snapshots = saved["snapshots"]
        self.step, self.seconds = saved["step"], saved["seconds"]
        self.loss_sum.copy_(saved["loss_sum"])


def _copied(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in weights.items()}


class Keeper:
    """Writes a training's state to disk where that is due."""

    def __init__(
        self, config: TrainConfig, state: TrainingState, run: RunDirectory, steps: int
    ) -> None:
        self._config, self._state, self._run, self._steps = config, state, run, steps
        self._written = self._position
        self._due = self._next_due()

    def between_steps(self, stop: StopRequest) -> None:
        """Where an epoch may be left: a checkpoint after so many minutes, or before stopping."""
        if stop.is_pending or time.monotonic() >= self._due:
            self._write()
            stop.check()

    def between_epochs(self, stop: StopRequest) -> None:
        """The same, with a checkpoint after so many epochs and after the last."""
        epochs = len(self._state.records)
        if epochs % self._config.checkpoint.epochs == 0 or self._state.is_over(self._config):
            self._write()
        self.between_steps(stop)

    @property
    def _position(self) -> int:
        """A number that grows with every step, and once more at the end of every epoch."""
        return len(self._state.records) * (self._steps + 1) + self._state.step

    def _write(self) -> None:
        if self._position != self._written:
            self._run.save_checkpoint(self._position, self._state.saved())
            self._written = self._position
        self._due = self._next_due()

    def _next_due(self) -> float:
        return time.monotonic() + 60 * self._config.checkpoint.minutes


def steps_per_epoch(config: TrainConfig, data: Data) -> int:
    """Batches in one pass over the training images; the last may be smaller."""
    return math.ceil(len(data.train) / config.batch_size)


def new_model(config: TrainConfig, data: Data) -> Autoencoder:
    """A model with the weights that `config.seed` draws, on the device of `data`."""
    torch.manual_seed(config.seed)
    model = build_model(config.model, config.upsample, data.image_shape)
    return model.to(data.train.images.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def forward_pass(config: TrainConfig, model: Autoencoder) -> Callable[[Tensor], Tensor]:
    """What a training step calls: `model`, in the precision and by the code that were asked for."""
    forward: Callable[[Tensor], Tensor] = torch.compile(model) if config.compile else model
    if config.precision is Precision.float32:
        return forward

    def in_bf16(inputs: Tensor) -> Tensor:
        with torch.autocast(inputs.device.type, torch.bfloat16):
            return forward(inputs).float()

    return in_bf16


def train(
    config: TrainConfig,
    data: Data,
    state: TrainingState,
    run: RunDirectory,
    tracker: Tracker,
) -> None:
    """Train from `state` on, to the end, and put the weights of the best epoch into the model.

    Raises:
        DivergenceError: the loss is no longer finite; the files are those of the epochs before.
        Interrupted: Ctrl-C or SIGTERM, between two steps; a checkpoint has been written.
    """
    forward = forward_pass(config, state.model)
    levels = {
        "mse/pca": mse(config, baselines(config, data)["pca"], data.validation),
        "checkerboard/originals": checkerboard_of_originals(config, data.validation),
    }
    shown = shown_images(config, data.test)

    def log(record: EpochRecord) -> None:
        tracker.epoch(record, levels)
        if record.epoch in state.snapshots:
            title = f"{config.name} on {data.name}, epoch {record.epoch}"
            outputs = {"output": state.snapshots[record.epoch]}
            tracker.figure("reconstructions", picture(title, shown, outputs), record.epoch)

    if state.records:
        log(state.records[-1])  # what was logged of it and of later epochs does not count
    keeper = Keeper(config, state, run, steps_per_epoch(config, data))

    with StopRequest() as stop:
        while not state.is_over(config):
            # 1. See every training image once.
            train_loss = train_epoch(
                config, data, state, forward, tracker, lambda: keeper.between_steps(stop)
            )

            # 2. Hold the model against the validation images.
            epoch = state.epoch
            is_validated = epoch % config.val_every == 0 or epoch in (1, config.epochs)
            validation = validate(config, data, state.model) if is_validated else None
            check_finite(train_loss, validation, config, state, run)

            # 3. Keep the best weights.
            if validation and state.best.improves(validation.loss, epoch, config.delta):
                state.keep_best()
                run.save_weights(state.best_weights)

            # 4. Log.
            lr = state.optimizer.param_groups[0]["lr"]
            state.end_epoch(
                EpochRecord.of(epoch, train_loss, validation, lr, state.seconds, len(data.train))
            )
            if state.is_over(config) or epoch in picture_epochs(config.epochs):
                with torch.inference_mode():
                    state.snapshots[epoch] = reconstruction(state.model, config)(shown.inputs)
            log(state.records[-1])

            # 5. Keep all that is needed to go on from here.
            keeper.between_epochs(stop)
    state.model.load_state_dict(state.best_weights)


def train_epoch(
    config: TrainConfig,
    data: Data,
    state: TrainingState,
    forward: Callable[[Tensor], Tensor],
    tracker: Tracker,
    between_steps: Callable[[], None],
) -> float:
    """What is left of one pass over the training images; the mean loss over all of it, in the
    units the model is trained in."""
    images, optimizer, epoch = data.train.images, state.optimizer, state.epoch
    corrupt = build_corruption(config.corruption)
    normalise = Normalisation(config.data.mean, config.data.std).apply
    order = generator_for(config.seed, epoch, torch.device("cpu"))
    noise = torch.Generator(images.device)
    steps = steps_per_epoch(config, data)
    started = time.perf_counter() - state.seconds

    state.model.train()
    for pixels in shuffled_batches(images, config.batch_size, order, state.step):  # (B, C, H, W)
        inputs = pixels
        if corrupt:
            reseed(noise, config.seed, epoch, state.step)
            inputs = corrupt(pixels, noise)
        loss = F.mse_loss(forward(normalise(inputs)), normalise(pixels))
        optimizer.zero_grad()
        loss.backward()
        if config.optimizer.clip_norm is not None:
            clip_grad_norm_(state.model.parameters(), config.optimizer.clip_norm)
        done = ((epoch - 1) * steps + state.step) / steps
        optimizer.param_groups[0]["lr"] = learning_rate(config, done)
        optimizer.step()
        state.loss_sum += loss.detach() * len(pixels)
        state.step += 1
        state.seconds = time.perf_counter() - started
        tracker.step()
        between_steps()
    return state.loss_sum.item() / len(images)


def learning_rate(config: TrainConfig, epochs_done: float) -> float:
    """The step size after `epochs_done` epochs, a fraction of an epoch counting too.

    It rises linearly over the warm-up, then stays, or falls to zero along half a cosine
    (Loshchilov and Hutter, "SGDR", 2017, without restarts).
    """
    warmup = config.optimizer.warmup_epochs
    if epochs_done < warmup:
        return config.lr * epochs_done / warmup
    if config.optimizer.schedule is Schedule.constant:
        return config.lr
    progress = (epochs_done - warmup) / (config.epochs - warmup)
    return config.lr * 0.5 * (1 + math.cos(math.pi * progress))


@torch.inference_mode()
def validate(config: TrainConfig, data: Data, model: Autoencoder) -> Validation:
    """Hold `model` against the validation images."""
    images = data.validation.images
    corrupt = build_corruption(config.corruption)
    normalisation = Normalisation(config.data.mean, config.data.std)
    noise = generator_for(config.seed, EVALUATION, images.device)
    sums = torch.zeros(2, device=images.device)  # squared errors: model units, pixels
    grid = GridSums(images.shape[1:], images.device)

    model.eval()
    for pixels in ordered_batches(images, EVALUATION_BATCH):
        inputs = corrupt(pixels, noise) if corrupt else pixels
        outputs = model(normalisation.apply(inputs))
        sums[0] += (outputs - normalisation.apply(pixels)).square().sum()
        reconstructed = normalisation.invert(outputs)
        sums[1] += (reconstructed - pixels).square().sum()
        grid.add(reconstructed)
    loss, mse = (sums / images.numel()).tolist()
    return Validation(loss, mse, grid.score(stride_grid(config.model)))


def picture_epochs(epochs: int) -> set[int]:
    """The epochs whose reconstructions are kept: the first, the last, and some between."""
    return {1} | {max(1, round(epochs * part / (PICTURES - 1))) for part in range(1, PICTURES)}


def check_finite(
    train_loss: float,
    validation: Validation | None,
    config: TrainConfig,
    state: TrainingState,
    run: RunDirectory,
) -> None:
    """Raise DivergenceError, saying what to do, where a loss is infinite or not a number."""
    losses = {"training": train_loss} | ({"validation": validation.loss} if validation else {})
    for name, loss in losses.items():
        if not math.isfinite(loss):
            kept = (
                f"the weights of epoch {state.best.epoch} are kept in {run.weights_file}"
                if state.best.epoch
                else "no epoch before it was good, so no weights are kept"
            )
            raise DivergenceError(
                f"the {name} loss became {loss} in epoch {state.epoch}; {kept}. "
                f"Try a smaller lr (it is {config.lr:g}) or optimizer.clip_norm=1"
            )
