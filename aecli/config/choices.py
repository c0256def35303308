"""Options that take one of several names."""

from enum import Enum


class Activation(Enum):
    """The function behind a layer."""

    identity = "identity"
    relu = "relu"
    leaky_relu = "leaky_relu"
    tanh = "tanh"
    sigmoid = "sigmoid"


class Bottleneck(Enum):
    """How a convolutional encoder turns its last feature map into the code."""

    conv = "conv"
    """One convolution whose kernel is as large as the map."""

    linear = "linear"
    """A fully connected layer on the flattened map."""


class Upsampling(Enum):
    """How a convolutional decoder makes a small map large."""

    transposed = "transposed"
    nearest = "nearest"
    bilinear = "bilinear"
    bicubic = "bicubic"
    bed_of_nails = "bed_of_nails"
    max_unpool = "max_unpool"
    pixel_shuffle = "pixel_shuffle"


class Schedule(Enum):
    """How the learning rate changes after the warm-up."""

    constant = "constant"
    cosine = "cosine"


class Precision(Enum):
    """The numbers that a training step computes with; validation and tests are always exact."""

    float32 = "float32"
    bf16 = "bf16"
    """Products of 16-bit numbers, where torch's autocast finds them good enough."""


class CorruptionKind(Enum):
    """What is done to an image before the encoder sees it."""

    none = "none"
    gaussian = "gaussian"
    """Noise on every pixel."""

    masking = "masking"
    """Pixels that become black."""

    salt_and_pepper = "salt_and_pepper"
    """Pixels that become black or white."""

    downsample = "downsample"
    """Less resolution: smaller, and as large again by bicubic interpolation."""
