"""Penalties that make codes sparse."""

import math

from torch import Tensor

from aecli.config import RegularizerConfig
from aecli.models.autoencoder import Autoencoder
from aecli.models.pooling import Switches

EPSILON = 1e-6
"""The least mean activity, and the least distance of one from 1; their logarithms stay finite."""


class Sparsity:
    """The absolute values of a code, or the divergence of its mean activities from a rate.

    Ng, "Sparse autoencoder", CS294A lecture notes, 2011, section 3: the sum over the units of
    KL(rho || rho_hat), where rho_hat is the mean of a sigmoid unit over the images of a batch. With
    several processes it is the mean over each one's images. Without a rate, the sum of |z| (Le et
    al., "Building high-level features using large scale unsupervised learning", 2012).
    """

    is_random = False

    def __init__(self, config: RegularizerConfig, _: Autoencoder) -> None:
        self._activity = config.activity

    def __call__(
        self, model: Autoencoder, images: Tensor, noise: Tensor | None, switches: Switches
    ) -> tuple[Tensor, Tensor]:
        """The codes (B, D), and the mean penalty of an image ()."""
        codes = model.run_encoder(images, switches)
        values = codes.float()
        if self._activity is None:
            return codes, values.abs().sum(1).mean()
        return codes, rate_divergence(self._activity, values.mean(0)).sum()


def rate_divergence(rate: float, activities: Tensor) -> Tensor:
    """KL, in nats, of a unit that is on at `rate` from units that are on at `activities` (D,)."""
    on = activities.clamp(EPSILON, 1 - EPSILON)
    off = 1 - rate
    return rate * (math.log(rate) - on.log()) + off * (math.log(off) - (1 - on).log())
