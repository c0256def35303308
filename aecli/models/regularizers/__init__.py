"""Penalties on the code, one class a file."""

from collections.abc import Callable

from aecli.config import RegularizerConfig, RegularizerKind
from aecli.models.regularizers.base import Regularizer
from aecli.models.regularizers.vae import GaussianPrior

__all__ = ["REGULARIZERS", "Regularizer", "build_regularizer"]

REGULARIZERS: dict[RegularizerKind, Callable[[RegularizerConfig], Regularizer]] = {
    RegularizerKind.vae: GaussianPrior,
}


def build_regularizer(config: RegularizerConfig) -> Regularizer | None:
    """The penalty that was chosen, if there is one."""
    if config.name is RegularizerKind.none:
        return None
    return REGULARIZERS[config.name](config)
