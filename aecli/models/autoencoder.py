"""Base class of the autoencoders: an encoder, a decoder, and their shapes."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from aecli.config import Activation
from aecli.models.pooling import Switches, apply_layers

ImageShape = tuple[int, int, int]
"""Channels, height, width."""

# In place if the gradient needs only the sign, which saves a copy of large feature maps.
ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    Activation.identity: nn.Identity,
    Activation.relu: partial(nn.ReLU, inplace=True),
    Activation.leaky_relu: partial(nn.LeakyReLU, inplace=True),
    Activation.silu: nn.SiLU,
    Activation.tanh: nn.Tanh,
    Activation.sigmoid: nn.Sigmoid,
}


def activation(kind: Activation) -> list[nn.Module]:
    """The layers of an activation: one, or none for the identity."""
    return [] if kind is Activation.identity else [ACTIVATIONS[kind]()]


class PosteriorMean(nn.Module):
    """The means of Gaussian codes: the first half of means and log variances, (B, 2D) -> (B, D)."""

    def forward(self, parameters: Tensor) -> Tensor:
        mean, _ = parameters.chunk(2, 1)
        return mean


class Autoencoder(nn.Module):
    """An encoder (B, C, H, W) -> (B, D) and a decoder (B, D) -> (B, C, H, W)."""

    encoder: nn.Sequential
    decoder: nn.Sequential

    def __init__(self, image_shape: ImageShape, latent: int) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.latent = latent

    def encode(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> codes (B, D)."""
        return self.run_encoder(images, switches=[])

    def decode(self, codes: Tensor) -> Tensor:
        """(B, D) -> (B, C, H, W)."""
        return self.run_decoder(codes, switches=[])

    def reconstruct(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The codes (B, D) of images (B, C, H, W), and their reconstructions (B, C, H, W)."""
        codes = self.encode(images)
        return codes, self.decode(codes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        _, outputs = self.reconstruct(images)
        return outputs

    def run_encoder(self, images: Tensor, switches: Switches) -> Tensor:
        """The codes (B, D) of images; poolings append to `switches`."""
        return apply_layers(self.encoder, images, switches)

    def encode_distribution(self, images: Tensor, switches: Switches) -> tuple[Tensor, Tensor]:
        """The means and the log variances of Gaussian codes, (B, D) each, for an encoder that ends
        with `PosteriorMean`; poolings append to `switches`."""
        mean, log_variance = apply_layers([*self.encoder][:-1], images, switches).chunk(2, 1)
        return mean, log_variance

    def run_decoder(self, codes: Tensor, switches: Switches, *, to_logits: bool = False) -> Tensor:
        """The images of codes (B, D); unpoolings take what the encoder appended to `switches`.

        `to_logits`: leave out the sigmoid at the end, so that the outputs are logits.
        """
        layers = [*self.decoder]
        if to_logits:
            last = max(n for n, layer in enumerate(layers) if isinstance(layer, nn.Sigmoid))
            del layers[last]
        return apply_layers(layers, codes, switches)
