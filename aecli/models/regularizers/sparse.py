"""Penalties that make codes sparse."""

import math
from collections.abc import Callable
from functools import partial

from torch import Tensor

from aecli.config import RegularizerConfig
from aecli.models.autoencoder import Autoencoder
from aecli.models.pooling import Switches

EPSILON = 1e-6
"""The least distance of a mean activity from 0 and from 1, so that logarithms stay finite."""


class Sparsity:
    """The absolute values of a code, or the divergence of its mean activities from a rate.

    Ng, "Sparse autoencoder", CS294A lecture notes, 2011, section 3: the sum over the units of
    KL(rho || rho_hat), where rho_hat is the mean of a sigmoid unit over the training images. In
    training it is the mean over a batch, and with several processes over each one's images, whose
    divergence is a little larger: by Jensen's inequality, since KL is convex in rho_hat. Without a
    rate, the sum of |z| (Goodfellow, Bengio and Courville, "Deep learning", 2016, section 14.2.1).
    """

    is_random = False

    def __init__(self, config: RegularizerConfig, _: Autoencoder) -> None:
        self._activity = config.activity

    @property
    def penalty_of_mean_code(self) -> Callable[[Tensor], Tensor] | None:
        """The divergence () of units with these mean activities (D,); None without a rate."""
        return None if self._activity is None else partial(code_divergence, self._activity)

    def __call__(
        self, model: Autoencoder, images: Tensor, noise: Tensor | None, switches: Switches
    ) -> tuple[Tensor, Tensor]:
        """The codes (B, D), and the mean penalty of an image ()."""
        codes = model.run_encoder(images, switches)
        values = codes.float()
        if self._activity is None:
            return codes, values.abs().sum(1).mean()
        return codes, code_divergence(self._activity, values.mean(0))


def code_divergence(rate: float, activities: Tensor) -> Tensor:
    """The sum () of `rate_divergence` over the units of a code, with mean activities (D,)."""
    return rate_divergence(rate, activities).sum()


def rate_divergence(rate: float, activities: Tensor) -> Tensor:
    """KL, in nats, of a unit that is active with probability `rate` from units with `activities`
    (D,)."""
    on = activities.clamp(EPSILON, 1 - EPSILON)
    off = 1 - rate
    return rate * (math.log(rate) - on.log()) + off * (math.log(off) - (1 - on).log())
