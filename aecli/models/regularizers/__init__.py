"""Penalties on the code, one class per file."""

from collections.abc import Callable

from aecli.config import RegularizerConfig, RegularizerKind
from aecli.models.autoencoder import Autoencoder
from aecli.models.regularizers.base import Regularizer
from aecli.models.regularizers.contractive import JacobianNorm
from aecli.models.regularizers.l2 import CodeNorm
from aecli.models.regularizers.sparse import Sparsity
from aecli.models.regularizers.vae import GaussianPrior

__all__ = ["REGULARIZERS", "Regularizer", "build_regularizer"]

REGULARIZERS: dict[RegularizerKind, Callable[[RegularizerConfig, Autoencoder], Regularizer]] = {
    RegularizerKind.vae: GaussianPrior,
    RegularizerKind.l2: CodeNorm,
    RegularizerKind.sparse: Sparsity,
    RegularizerKind.contractive: JacobianNorm,
}


def build_regularizer(config: RegularizerConfig, model: Autoencoder) -> Regularizer | None:
    """The chosen penalty on the codes of `model`, if there is one."""
    if config.name is RegularizerKind.none:
        return None
    return REGULARIZERS[config.name](config, model)
