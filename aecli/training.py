"""The training loop."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

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
from aecli.errors import DivergenceError
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
from aecli.models import Autoencoder, build_model, describe
from aecli.randomness import EVALUATION, generator_for
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


@dataclass(frozen=True)
class TrainingResult:
    """What the loop leaves besides its files."""

    records: list[EpochRecord]
    best: Best
    snapshots: dict[int, Tensor]
    """Epoch -> the shown images as the model then reconstructed them."""


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
    config: TrainConfig, data: Data, model: Autoencoder, run: RunDirectory, tracker: Tracker
) -> TrainingResult:
    """Train `model`, leaving the best epoch's weights and the last epoch's state in `run`.

    Raises:
        DivergenceError: the loss is no longer finite; the files are those of the epochs before.
        Interrupted: Ctrl-C or SIGTERM, between two steps; likewise.
    """
    optimizer = Adam(model.parameters(), config.lr, weight_decay=config.weight_decay, fused=True)
    forward = forward_pass(config, model)
    levels = {
        "mse/pca": mse(config, baselines(config, data)["pca"], data.validation),
        "checkerboard/originals": checkerboard_of_originals(config, data.validation),
    }
    shown, snapshots = shown_images(config, data.test), {}
    best, records = Best(), []
    tracker.graph(describe(model))

    with StopRequest() as stop:
        for epoch in range(1, config.epochs + 1):
            # 1. See every training image once.
            started = time.perf_counter()
            train_loss = train_epoch(config, data, model, forward, optimizer, epoch, tracker, stop)
            seconds = time.perf_counter() - started

            # 2. Hold the model against the validation images.
            is_validated = epoch % config.val_every == 0 or epoch in (1, config.epochs)
            validation = validate(config, data, model) if is_validated else None
            check_finite(train_loss, validation, config, epoch, best, run)

            # 3. Keep the best weights, and all that is needed to go on from here.
            if validation and best.improves(validation.loss, epoch, config.delta):
                run.save_weights(model)
            run.save_checkpoint(
                {
                    "epoch": epoch,
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "best": asdict(best),
                }
            )

            # 4. Log.
            lr = optimizer.param_groups[0]["lr"]
            records.append(
                EpochRecord.of(epoch, train_loss, validation, lr, seconds, len(data.train))
            )
            tracker.epoch(records[-1], levels)
            is_last = epoch == config.epochs or best.is_exhausted(config.patience)
            if is_last or epoch in picture_epochs(config.epochs):
                title = f"{config.name} on {data.name}, epoch {epoch}"
                with torch.inference_mode():
                    snapshots[epoch] = reconstruction(model, config)(shown.inputs)
                outputs = {"output": snapshots[epoch]}
                tracker.figure("reconstructions", picture(title, shown, outputs), epoch)

            # 5. Stop early where validation has not improved for long enough.
            if is_last:
                break
    return TrainingResult(records, best, snapshots)


def train_epoch(
    config: TrainConfig,
    data: Data,
    model: Autoencoder,
    forward: Callable[[Tensor], Tensor],
    optimizer: Adam,
    epoch: int,
    tracker: Tracker,
    stop: StopRequest,
) -> float:
    """One pass over the training images; the mean loss, in the units the model is trained in."""
    images = data.train.images
    corrupt = build_corruption(config.corruption)
    normalise = Normalisation(config.data.mean, config.data.std).apply
    order = generator_for(config.seed, epoch, torch.device("cpu"))
    noise = generator_for(config.seed, epoch, images.device)
    steps = steps_per_epoch(config, data)
    step = (epoch - 1) * steps
    # Summed on the device: asking for a number at every step would make the device wait for it.
    loss_sum = torch.zeros((), device=images.device)

    model.train()
    for pixels in shuffled_batches(images, config.batch_size, order):  # (B, C, H, W)
        inputs = corrupt(pixels, noise) if corrupt else pixels
        loss = F.mse_loss(forward(normalise(inputs)), normalise(pixels))
        optimizer.zero_grad()
        loss.backward()
        if config.optimizer.clip_norm is not None:
            clip_grad_norm_(model.parameters(), config.optimizer.clip_norm)
        optimizer.param_groups[0]["lr"] = learning_rate(config, step / steps)
        optimizer.step()
        loss_sum += loss.detach() * len(pixels)
        step += 1
        tracker.step()
        stop.check()
    return loss_sum.item() / len(images)


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
    epoch: int,
    best: Best,
    run: RunDirectory,
) -> None:
    """Raise DivergenceError, saying what to do, where a loss is infinite or not a number."""
    losses = {"training": train_loss} | ({"validation": validation.loss} if validation else {})
    for name, loss in losses.items():
        if not math.isfinite(loss):
            kept = (
                f"the weights of epoch {best.epoch} are kept in {run.weights_file}"
                if best.epoch
                else "no epoch before it was good, so no weights are kept"
            )
            raise DivergenceError(
                f"the {name} loss became {loss} in epoch {epoch}; {kept}. "
                f"Try a smaller lr (it is {config.lr:g}) or optimizer.clip_norm=1"
            )
