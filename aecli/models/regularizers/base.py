"""The interface of all penalties on the code."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from aecli.models.autoencoder import Autoencoder
from aecli.models.pooling import Switches


class Regularizer(Protocol):
    """A penalty on the code."""

    is_random: bool
    """Whether it needs `noise`: standard normal numbers, one for each of the code's."""

    @property
    def penalty_of_mean_code(self) -> Callable[[Tensor], Tensor] | None:
        """The penalty () of a whole set of images from the mean of their codes (D,); None if the
        penalty is a mean over images.
        """
        ...

    def __call__(
        self, model: Autoencoder, images: Tensor, noise: Tensor | None, switches: Switches
    ) -> tuple[Tensor, Tensor]:
        """Encode images (B, C, H, W) to the codes (B, D) that are to be decoded, and their penalty
        (), a mean over the images. `noise` is (B, D); poolings append to `switches`."""
        ...
