"""Model configurations."""

import math
from dataclasses import dataclass, field

from omegaconf import MISSING

from aecli.config.choices import Activation, Bottleneck, Initialisation
from aecli.config.limits import MAX_PIXELS, MAX_UNITS, check_integer, check_valid


@dataclass
class FCConfig:
    """A fully connected autoencoder: image - widths - code - reversed widths - image."""

    name: str = MISSING
    """Model name in run names and tables."""

    kind: str = "fc"
    """Model class: a key of `MODELS` in `aecli/models`."""

    latent: int = MISSING
    """Size of the code."""

    widths: list[int] = field(default_factory=list)
    """Units of each hidden encoder layer; the decoder mirrors them."""

    activation: Activation = Activation.relu
    """Activation after each hidden layer."""

    code_activation: Activation = Activation.identity
    """Activation after the code layer. With relu, units of the code may die."""

    output_activation: Activation = Activation.sigmoid
    """Activation after the last decoder layer."""

    tied: bool = False
    """The decoder's weights are the encoder's, transposed; its biases are its own."""

    initialisation: Initialisation = Initialisation.torch
    """Distribution of the weights before training: kaiming lets networks with several hidden layers
    learn several times as fast as torch's default."""

    def __post_init__(self) -> None:
        check_valid(self.kind == "fc", "model.kind", self.kind, "fc, or choose another model=...")
        check_integer("latent", self.latent, MAX_UNITS)
        for width in self.widths:
            check_integer("model.widths", width, MAX_UNITS)


@dataclass
class LayerConfig:
    """One encoder convolution; the decoder mirrors it."""

    channels: int = MISSING
    """Output channels."""

    kernel: int = 3
    """Height and width of the kernel, in pixels."""

    stride: int = 1
    """Distance between kernel positions, in pixels."""

    padding: int = 0
    """Zero padding on each side, in pixels."""

    dilation: int = 1
    """Spacing of the kernel's weights, in pixels."""

    def __post_init__(self) -> None:
        check_integer("model.layers channels", self.channels, MAX_UNITS)
        check_integer("model.layers kernel", self.kernel, MAX_PIXELS)
        check_integer("model.layers stride", self.stride, MAX_PIXELS)
        check_integer("model.layers padding", self.padding, MAX_PIXELS, minimum=0)
        check_integer("model.layers dilation", self.dilation, MAX_PIXELS)
        check_valid(
            math.gcd(self.stride, self.dilation) == 1,
            "model.layers dilation",
            self.dilation,
            f"one that shares no factor with the stride {self.stride}: else pixels are never read",
        )


@dataclass
class ConvConfig:
    """A convolutional autoencoder: convolutions, a bottleneck, and their mirror image."""

    name: str = MISSING
    """Model name in run names and tables."""

    kind: str = "conv"
    """Model class: a key of `MODELS` in `aecli/models`."""

    latent: int = MISSING
    """Size of the code."""

    layers: list[LayerConfig] = field(default_factory=list)
    """The encoder's convolutions before the bottleneck."""

    bottleneck: Bottleneck = Bottleneck.conv
    """Layer between the last feature map and the code: full-size convolution or linear."""

    batch_norm: bool = False
    """Batch normalisation between each convolution and its activation."""

    activation: Activation = Activation.relu
    """Activation after each convolution."""

    code_activation: Activation = Activation.identity
    """Activation after the code layer."""

    output_activation: Activation = Activation.sigmoid
    """Activation after the last decoder layer."""

    def __post_init__(self) -> None:
        check_valid(
            self.kind == "conv", "model.kind", self.kind, "conv, or choose another model=..."
        )
        check_integer("latent", self.latent, MAX_UNITS)


ModelConfig = FCConfig | ConvConfig

# Hydra merges a model's YAML into the schema of its kind.
MODEL_CONFIGS: dict[str, type[ModelConfig]] = {"fc": FCConfig, "conv": ConvConfig}
