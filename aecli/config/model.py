"""What a model is made of."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from aecli.config.choices import Activation, Bottleneck
from aecli.config.limits import check_not_negative, check_positive_integer, check_valid


@dataclass
class FCConfig:
    """A fully connected autoencoder: image - widths - code - widths reversed - image."""

    name: str = MISSING
    """What the model is called in run names and tables."""

    kind: str = "fc"
    """Which class builds it: a key of the table in `aecli/models`."""

    latent: int = MISSING
    """Size of the code."""

    widths: list[int] = field(default_factory=list)
    """Units of each hidden layer between the image and the code; the decoder mirrors them."""

    activation: Activation = Activation.relu
    """Behind each hidden layer."""

    code_activation: Activation = Activation.relu
    """Behind the code."""

    output_activation: Activation = Activation.sigmoid
    """Behind the last layer."""

    def __post_init__(self) -> None:
        check_valid(self.kind == "fc", "model.kind", self.kind, "fc, or choose another model=...")
        check_positive_integer("latent", self.latent)
        for width in self.widths:
            check_positive_integer("model.widths", width)


@dataclass
class LayerConfig:
    """One convolution of the encoder; the decoder mirrors it."""

    channels: int = MISSING
    """Output channels."""

    kernel: int = 3
    """Height and width of the kernel, in pixels."""

    stride: int = 1
    """Step between kernel positions, in pixels."""

    padding: int = 0
    """Zeros added on each side, in pixels."""

    def __post_init__(self) -> None:
        check_positive_integer("model.layers channels", self.channels)
        check_positive_integer("model.layers kernel", self.kernel)
        check_positive_integer("model.layers stride", self.stride)
        check_not_negative("model.layers padding", self.padding)


@dataclass
class ConvConfig:
    """A convolutional autoencoder: a list of convolutions, a bottleneck, and their mirror."""

    name: str = MISSING
    """What the model is called in run names and tables."""

    kind: str = "conv"
    """Which class builds it: a key of the table in `aecli/models`."""

    latent: int = MISSING
    """Size of the code."""

    layers: list[LayerConfig] = field(default_factory=list)
    """The encoder's convolutions in front of the bottleneck."""

    bottleneck: Bottleneck = Bottleneck.conv
    """From the last map to the code and back: one convolution over the whole map, or linear."""

    batch_norm: bool = False
    """Batch normalisation between each convolution and its activation."""

    activation: Activation = Activation.relu
    """Behind each convolution."""

    code_activation: Activation = Activation.identity
    """Behind the code."""

    output_activation: Activation = Activation.sigmoid
    """Behind the last layer."""

    def __post_init__(self) -> None:
        check_valid(
            self.kind == "conv", "model.kind", self.kind, "conv, or choose another model=..."
        )
        check_positive_integer("latent", self.latent)


ModelConfig = FCConfig | ConvConfig

# Hydra composes a model's YAML onto the schema of its kind.
MODEL_CONFIGS: dict[str, type[ModelConfig]] = {"fc": FCConfig, "conv": ConvConfig}
