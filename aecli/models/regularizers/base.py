"""What every penalty on the code has."""

from typing import Protocol

from torch import Tensor

from aecli.models.autoencoder import Autoencoder
from aecli.models.pooling import Switches


class Regularizer(Protocol):
    """A penalty on the code."""

    is_random: bool
    """Whether it needs `noise`: standard normal numbers, one for each of the code's."""

    def __call__(
        self, model: Autoencoder, images: Tensor, noise: Tensor | None, switches: Switches
    ) -> tuple[Tensor, Tensor]:
        """Encode images (B, C, H, W) to the codes (B, D) that are to be decoded, and their penalty
        (), a mean over the images. `noise` is (B, D); poolings append to `switches`."""
        ...
