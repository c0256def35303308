"""The penalty of contractive autoencoders."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from aecli.config import RegularizerConfig
from aecli.models.autoencoder import Autoencoder
from aecli.models.pooling import Switches

DERIVATIVES: dict[type[nn.Module], Callable[[Tensor], Tensor]] = {
    nn.Sigmoid: lambda values: values * (1 - values),
    nn.Tanh: lambda values: 1 - values.square(),
    nn.ReLU: lambda values: (values > 0).float(),
}
"""Activation -> its derivative as a function of its values."""
Projection = Callable[[Autoencoder, Tensor, Tensor, Switches], tuple[Tensor, Tensor]]


class JacobianNorm:
    """The square of the encoder's derivatives, |J|^2, with respect to its normalised inputs.

    Rifai et al., "Contractive auto-encoders", 2011: equation 1, and for one layer equation 7, the
    sum over its units of s'(a)^2 times the square of their weights. For more layers it is estimated
    without bias: E |v^T J|^2 = |J|^2 for v ~ N(0, 1) (Hutchinson, 1990), with one v for each image.
    """

    penalty_of_mean_code = None

    def __init__(self, _: RegularizerConfig, model: Autoencoder) -> None:
        self._layer, self._derivative = single_layer(model)
        self.is_random = self._layer is None
        self._projected: Projection = projected
        if self._layer is None:
            # Its second derivatives are beyond torch.compile. This decorator imports the compiler,
            # which takes a second and a half: only these runs wait for it.
            self._projected = torch.compiler.disable(projected)

    def __call__(
        self, model: Autoencoder, images: Tensor, noise: Tensor | None, switches: Switches
    ) -> tuple[Tensor, Tensor]:
        """The codes (B, D), and the mean penalty of an image ()."""
        if noise is not None:
            codes, penalty = self._projected(model, images, noise, switches)
            return codes, penalty
        assert self._layer is not None, "without noise there is one layer"
        codes = model.run_encoder(images, switches)
        weights = self._layer.weight.flatten(1).square().sum(1)  # (D,)
        return codes, (self._derivative(codes.float()).square() * weights).sum(1).mean()


def single_layer(
    model: Autoencoder,
) -> tuple[nn.Linear | nn.Conv2d | None, Callable[[Tensor], Tensor]]:
    """The encoder's only layer with weights, and the derivative of the activation after it; None if
    there are several, or another activation."""
    layers = [layer for layer in model.encoder if not isinstance(layer, nn.Flatten)]
    first, *others = layers
    kinds = [type(layer) for layer in others]
    if isinstance(first, nn.Linear | nn.Conv2d) and len(kinds) < 2 and {*kinds} <= {*DERIVATIVES}:
        return first, DERIVATIVES[kinds[0]] if kinds else torch.ones_like
    return None, torch.ones_like


def projected(
    model: Autoencoder, images: Tensor, noise: Tensor, switches: Switches
) -> tuple[Tensor, Tensor]:
    """The codes (B, D), and the mean estimate () of |J|^2 from random vectors `noise` (B, D)."""
    is_training = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.enable_grad():
        inputs = images.clone().requires_grad_()  # not in validation, which computes no derivatives
        codes = model.run_encoder(inputs, switches)
        projection = (codes.float() * noise.clone()).sum()
        (gradient,) = torch.autograd.grad(projection, inputs, create_graph=is_training)
    return codes, gradient.float().square().flatten(1).sum(1).mean()
