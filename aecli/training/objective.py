"""The objective that a training step minimises, and the forward pass from which it is computed.

The objective is the loss, a mean over pixels, plus `beta` times the regulariser's penalty of an
image divided by the number of its pixels. Multiplied by that number, it is the sum over an image's
pixels plus `beta` times the penalty, as in papers.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aecli.config import Loss, TrainConfig
from aecli.models import Autoencoder, ImageShape
from aecli.models.pooling import Switches
from aecli.models.regularizers import build_regularizer
from aecli.runtime.rng import EVALUATION, reseed

LOSSES: dict[Loss, Callable[..., Tensor]] = {
    Loss.mse: F.mse_loss,
    Loss.l1: F.l1_loss,
    # From logits: a sigmoid that has rounded to 0 or 1 has no gradient and an infinite loss.
    Loss.bce: F.binary_cross_entropy_with_logits,
}
"""(predictions, targets, reduction="mean") -> loss (), for `predictions` of `Objective`."""


class Objective(nn.Module):
    """The forward pass of a training step: from images (B, C, H, W) to predictions for the loss.

    The predictions are the model's outputs (B, C, H, W), or with loss=bce their logits. A
    regulariser adds its penalty ().
    """

    def __init__(self, config: TrainConfig, model: Autoencoder) -> None:
        super().__init__()
        self.model = model
        self.loss = LOSSES[config.loss]
        self.regularizer = build_regularizer(config.regularizer, model)
        self.penalty_weight = penalty_weight(config, model.image_shape)
        self._to_logits = config.loss is Loss.bce

    @property
    def is_random(self) -> bool:
        """Whether the forward pass needs noise, standard normal numbers (B, D)."""
        return self.regularizer is not None and self.regularizer.is_random

    def forward(
        self, images: Tensor, noise: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        if self.regularizer is None:
            _, predictions = self.reconstruct(images)
            return predictions
        return self.regularized(images, noise)

    def regularized(self, images: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """The predictions (B, C, H, W) for the regulariser's codes, and its penalty ()."""
        assert self.regularizer is not None, "the caller asks first"
        switches: Switches = []
        codes, penalty = self.regularizer(self.model, images, noise, switches)
        return self.model.run_decoder(codes, switches, to_logits=self._to_logits), penalty

    def reconstruct(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The codes (B, D) and the predictions (B, C, H, W) of `images`, without noise."""
        if not self._to_logits:
            return self.model.reconstruct(images)
        switches: Switches = []
        codes = self.model.run_encoder(images, switches)
        return codes, self.model.run_decoder(codes, switches, to_logits=True)

    def outputs(self, predictions: Tensor) -> Tensor:
        """The model's outputs for these predictions."""
        return torch.sigmoid(predictions) if self._to_logits else predictions


def penalty_weight(config: TrainConfig, image_shape: ImageShape) -> float:
    """The weight of an image's penalty relative to the mean loss of its pixels."""
    return config.regularizer.beta / math.prod(image_shape)


def evaluation_noise(
    objective: Objective, config: TrainConfig, number: int, images: Tensor
) -> Tensor | None:
    """The noise (B, D) for batch `number` of images (B, C, H, W) outside of training, the same
    every time; None if the objective needs none."""
    if not objective.is_random:
        return None
    generator = torch.Generator(images.device)
    reseed(generator, config.seed, EVALUATION, number)
    return torch.randn(len(images), config.latent, generator=generator, device=images.device)
