"""Linear autoencoders, of which PCA is the best, and how far they are from it.

Baldi and Hornik, "Neural networks and principal component analysis", 1989: the squared error of a
linear autoencoder has no local minima, and at its minimum the decoder spans the same subspace as
the first principal components. The basis that the code uses in it is arbitrary.
"""

import torch

from aecli.baselines.pca import PCA, principal_angles
from aecli.config import Activation, CorruptionKind, FCConfig, TrainConfig, Upsampling
from aecli.models import Autoencoder


def is_linear(config: TrainConfig) -> bool:
    """Whether the network is linear, so that no code of its size can do better than PCA's: on the
    images that both are fitted to, which must be the images that are encoded, and before outputs
    are clipped to [0, 1]."""
    model = config.model
    functions = {model.code_activation, model.output_activation}
    if not isinstance(model, FCConfig) or model.widths:
        functions.add(model.activation)
    # Max-unpooling takes more from the encoder than the code.
    bypasses_code = model.kind == "conv" and config.upsample.name is Upsampling.max_unpool
    is_clean = config.corruption.name is CorruptionKind.none
    return functions == {Activation.identity} and not bypasses_code and is_clean


@torch.inference_mode()
def angles_to_pca(model: Autoencoder, pca: PCA) -> list[float]:
    """The principal angles, in degrees and the largest first, between the images that a linear
    decoder can draw and as many principal components."""
    device = pca.components.device
    units = torch.cat([torch.zeros(1, model.latent), torch.eye(model.latent)]).to(device)
    outputs = model.eval().decode(units).flatten(1)
    return principal_angles(outputs[1:] - outputs[0], pca.components[: model.latent])
