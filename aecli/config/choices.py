"""Enumerations for options that take one of several names, and the names of the splits."""

from enum import Enum

SPLITS = TRAIN, VALIDATION, TEST = "train", "validation", "test"


class Activation(Enum):
    """Activation function after a layer."""

    identity = "identity"
    relu = "relu"
    leaky_relu = "leaky_relu"
    silu = "silu"
    """x sigmoid(x): smooth, so that deep networks without batch normalisation train faster."""

    tanh = "tanh"
    sigmoid = "sigmoid"


class Initialisation(Enum):
    """Distribution of the weights before training."""

    torch = "torch"
    """torch's default for a layer with n inputs: uniform, of variance 1 / (3 n), as are biases."""

    kaiming = "kaiming"
    """Normal, of variance 2 / n, with biases of zero (He et al., "Delving deep into rectifiers",
    2015). Every layer with ReLU keeps the scale of what it gets; with torch's default eight layers
    shrink it a thousandfold."""


class Bottleneck(Enum):
    """How a convolutional encoder maps its last feature map to the code."""

    conv = "conv"
    """A convolution whose kernel covers the whole map."""

    linear = "linear"
    """A fully connected layer on the flattened map."""


class Upsampling(Enum):
    """How a convolutional decoder upsamples its feature maps."""

    transposed = "transposed"
    nearest = "nearest"
    bilinear = "bilinear"
    bicubic = "bicubic"
    bed_of_nails = "bed_of_nails"
    max_unpool = "max_unpool"
    pixel_shuffle = "pixel_shuffle"


class Schedule(Enum):
    """Learning rate schedule after the warm-up."""

    constant = "constant"
    cosine = "cosine"


class Loss(Enum):
    """What a training step minimises: a mean over the pixels, in the model's own units."""

    mse = "mse"
    """Squared error."""

    bce = "bce"
    """Binary cross-entropy, in nats: the negative log-likelihood of pixels that are 1 with the
    probability that the output gives."""

    l1 = "l1"
    """Absolute error."""


class Precision(Enum):
    """Precision of training steps; validation and testing always use float32."""

    float32 = "float32"
    bf16 = "bf16"
    """Mixed precision: bfloat16 for the operations that torch's autocast selects."""


class Keep(Enum):
    """Which weights a run keeps."""

    best = "best"
    """Those of the epoch with the lowest validation loss."""

    last = "last"
    """Those of the last epoch."""


class Target(Enum):
    """What the loss compares the output with."""

    clean = "clean"
    """The image before its corruption, as in a denoising autoencoder (Vincent et al., 2008)."""

    input = "input"
    """What the encoder sees, as in an autoencoder: corrupted."""


class RegularizerKind(Enum):
    """Penalty on the code, added to the loss."""

    none = "none"
    vae = "vae"
    """Variational autoencoder: the divergence of a Gaussian code from the standard normal."""

    l2 = "l2"
    """Half the squared norm of the code, as in regularised autoencoders."""

    sparse = "sparse"
    """Absolute values of the code, or the divergence of its mean activities from a rate."""

    contractive = "contractive"
    """Square of the encoder's derivatives."""


class TrackerKind(Enum):
    """Where a run is logged in addition to TensorBoard."""

    none = "none"
    wandb = "wandb"
    """Weights & Biases."""

    mlflow = "mlflow"
    """MLflow."""


class CorruptionKind(Enum):
    """Corruption of the encoder's input."""

    none = "none"
    gaussian = "gaussian"
    """Gaussian noise on every pixel."""

    masking = "masking"
    """Random pixels set to black."""

    salt_and_pepper = "salt_and_pepper"
    """Random pixels set to black or white."""

    downsample = "downsample"
    """Reduced resolution: downsampled, then resized back by bicubic interpolation."""

    binarize = "binarize"
    """Each pixel drawn as black or white: white with the probability of its value."""
