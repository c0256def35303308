"""Base class of the autoencoders: an encoder, a decoder, and their shapes."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from aecli.config import Activation

ImageShape = tuple[int, int, int]
"""Channels, height, width."""

# In place if the gradient needs only the sign, which saves a copy of large feature maps.
ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    Activation.identity: nn.Identity,
    Activation.relu: partial(nn.ReLU, inplace=True),
    Activation.leaky_relu: partial(nn.LeakyReLU, inplace=True),
    Activation.tanh: nn.Tanh,
    Activation.sigmoid: nn.Sigmoid,
}


def activation(kind: Activation) -> list[nn.Module]:
    """The layers of an activation: one, or none for the identity."""
    return [] if kind is Activation.identity else [ACTIVATIONS[kind]()]


class Autoencoder(nn.Module):
    """An encoder (B, C, H, W) -> (B, D) and a decoder (B, D) -> (B, C, H, W)."""

    encoder: nn.Sequential
    decoder: nn.Sequential

    def __init__(self, image_shape: ImageShape, latent: int) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.latent = latent

    def encode(self, images: Tensor) -> Tensor:
        codes: Tensor = self.encoder(images)  # (B, C, H, W) -> (B, D)
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        images: Tensor = self.decoder(codes)  # (B, D) -> (B, C, H, W)
        return images

    def forward(self, images: Tensor) -> Tensor:
        return self.decode(self.encode(images))
