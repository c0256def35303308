"""Evaluation on the validation images."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from aecli.config import Target, TrainConfig
from aecli.data import Data
from aecli.data.batches import Normalisation, ordered_batches
from aecli.data.corruption import build_corruption
from aecli.evaluation.checkerboard import CheckerboardAccumulator
from aecli.evaluation.metrics import evaluation_batch
from aecli.evaluation.scores import checkerboard_period
from aecli.evaluation.variation import ActivityAccumulator, VariationAccumulator, varying_pixels
from aecli.models import Autoencoder
from aecli.runs.records import Terms, Validation
from aecli.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from aecli.runtime.rng import EVALUATION, generator_for
from aecli.training.objective import Objective, evaluation_noise


@dataclass(frozen=True)
class _Batch:
    """Validation images as a model sees them, (B, C, H, W) each."""

    number: int
    pixels: Tensor
    inputs: Tensor
    """Corrupted, in normalised units."""
    targets: Tensor
    """In normalised units."""


@torch.inference_mode()
def validate(
    config: TrainConfig, data: Data, model: Autoencoder, group: ProcessGroup = SINGLE_PROCESS
) -> Validation:
    """Evaluate `model` on the validation images, at least one; the ranks of `group` share the
    batches.

    Reconstructions are those of the codes that `encode` gives. The loss of a variational
    autoencoder is its bound, of codes that are drawn with the same noise every time. A penalty on
    mean activities is that of their means over all images, whatever the size of the batches.
    """
    images, objective = data.validation.images, Objective(config, model)
    normalisation = Normalisation(config.data.mean, config.data.std)
    sums = torch.zeros(2, device=images.device)  # the loss, and squared errors of pixels
    penalties = torch.zeros((), device=images.device)
    grid = CheckerboardAccumulator(images.shape[1:], images.device)
    units = VariationAccumulator((model.latent,), images.device)
    activity = ActivityAccumulator(model.latent, images.device)
    output_pixels = VariationAccumulator(images.shape[1:], images.device)
    model.eval()
    for batch in _batches(config, images, group):
        codes, predictions = objective.reconstruct(batch.inputs)
        outputs = objective.outputs(predictions)
        units.add(codes)
        output_pixels.add(outputs)
        if objective.regularizer is not None:
            noise = evaluation_noise(objective, config, batch.number, batch.pixels)
            predictions, penalty = objective.regularized(batch.inputs, noise)
            penalties += penalty * len(batch.pixels)
            activity.add(codes)
        sums[0] += objective.loss(predictions, batch.targets, reduction="sum")
        reconstructed = normalisation.invert(outputs)
        sums[1] += (reconstructed - batch.pixels).square().sum()
        grid.add(reconstructed)
    for part in (sums, penalties, grid.pixels, grid.squares, activity.sums):
        group.all_reduce_sum(part)
    for bounds in (units.bounds, output_pixels.bounds):
        group.all_reduce_max(bounds)
    grid.count = len(images)
    loss, mse = (sums / images.numel()).tolist()
    terms = _terms(objective, loss, penalties / len(images), activity.mean(len(images)))
    is_regularized = objective.regularizer is not None
    return Validation(
        terms.total if is_regularized else loss,
        mse,
        grid.score(checkerboard_period(config.model)),
        int(units.varies().sum()),
        int((varying_pixels(images) & ~output_pixels.varies()).sum()),
        terms if is_regularized else None,
        activity.count(len(images)) if config.has_gaussian_code else None,
    )


def _terms(objective: Objective, loss: float, penalty: Tensor, mean_code: Tensor) -> Terms:
    """The terms of the objective over all images, from the mean `penalty` () over their batches and
    the mean of their codes (D,)."""
    regularizer = objective.regularizer
    if regularizer is not None and regularizer.penalty_of_mean_code is not None:
        penalty = regularizer.penalty_of_mean_code(mean_code)
    return Terms(loss, penalty.item(), objective.penalty_weight)


def _batches(config: TrainConfig, images: Tensor, group: ProcessGroup) -> Iterator[_Batch]:
    """This rank's batches of uint8 images (N, C, H, W)."""
    corrupt = build_corruption(config.corruption)
    normalise = Normalisation(config.data.mean, config.data.std).apply
    noise = generator_for(config.seed, EVALUATION, images.device)
    for number, pixels in enumerate(ordered_batches(images, evaluation_batch(images))):
        inputs = corrupt(pixels, noise) if corrupt else pixels
        if group.owns_batch(number):
            targets = inputs if config.corruption.target is Target.input else pixels
            yield _Batch(number, pixels, normalise(inputs), normalise(targets))
