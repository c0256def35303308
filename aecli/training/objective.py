"""What a training step minimises, and the forward pass that it is computed from."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aecli.config import Loss, TrainConfig
from aecli.models import Autoencoder
from aecli.models.pooling import Switches

LOSSES: dict[Loss, Callable[..., Tensor]] = {
    Loss.mse: F.mse_loss,
    Loss.l1: F.l1_loss,
    # From logits: a sigmoid that has rounded to 0 or 1 has no gradient and an infinite loss.
    Loss.bce: F.binary_cross_entropy_with_logits,
}
"""(scores, targets, reduction="mean") -> loss (), for `scores` of `Objective`."""


class Objective(nn.Module):
    """The forward pass of a training step: images (B, C, H, W) to what the loss is computed from.

    These scores are the model's outputs (B, C, H, W), or with loss=bce their logits.
    """

    def __init__(self, config: TrainConfig, model: Autoencoder) -> None:
        super().__init__()
        self.model = model
        self.loss = LOSSES[config.loss]
        self._to_logits = config.loss is Loss.bce

    def forward(self, images: Tensor) -> Tensor:
        _, scores = self.reconstruct(images)
        return scores

    def reconstruct(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The codes (B, D) and the scores (B, C, H, W) of `images`."""
        if not self._to_logits:
            return self.model.reconstruct(images)
        switches: Switches = []
        codes = self.model.run_encoder(images, switches)
        return codes, self.model.run_decoder(codes, switches, to_logits=True)

    def outputs(self, scores: Tensor) -> Tensor:
        """The model's outputs for these scores."""
        return torch.sigmoid(scores) if self._to_logits else scores
