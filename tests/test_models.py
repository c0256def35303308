"""The models: shapes, sizes, and what is said of layer lists that cannot be."""

import pytest
import torch

from aecli.config import (
    Activation,
    Bottleneck,
    ConvConfig,
    FCConfig,
    LayerConfig,
    ModelConfig,
    UpsampleConfig,
    Upsampling,
)
from aecli.errors import UsageError
from aecli.models import ImageShape, build_model, describe

LAYERS = [LayerConfig(16, 3, 2, 1), LayerConfig(32, 3, 2, 1)]
CONV = ConvConfig("conv", latent=5, layers=LAYERS)
DENOISING = ConvConfig(
    "denoising",
    latent=5,
    layers=[LayerConfig(32, 3, 1, 1), LayerConfig(64, 3, 2, 1), LayerConfig(64, 3, 2, 1)],
    bottleneck=Bottleneck.linear,
    batch_norm=True,
    activation=Activation.leaky_relu,
    code_activation=Activation.leaky_relu,
)
# No padding, even kernels, strides that do not divide: everything that could come out one short.
AWKWARD = ConvConfig(
    "awkward",
    latent=5,
    layers=[LayerConfig(4, 4, 3, 0), LayerConfig(6, 2, 2, 1), LayerConfig(3, 2, 1, 0)],
)
MODELS: list[ModelConfig] = [FCConfig("fc", latent=5, widths=[30, 20]), CONV, DENOISING, AWKWARD]
SHAPES = [(1, 28, 28), (3, 32, 32), (3, 64, 64), (1, 27, 31), (2, 33, 18), (1, 13, 17)]


@pytest.mark.parametrize("upsampling", Upsampling)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("config", MODELS, ids=lambda config: config.name)
def test_the_decoder_gives_back_the_shape_of_the_image(
    config: ModelConfig, shape: ImageShape, upsampling: Upsampling
) -> None:
    model = build_model(config, UpsampleConfig(upsampling), shape)
    images = torch.rand(2, *shape)
    codes = model.encode(images)
    assert codes.shape == (2, 5)
    assert model.decode(codes).shape == images.shape


@pytest.mark.parametrize("latent", [1, 784, 1000])
def test_any_latent_size(latent: int) -> None:
    for config in (FCConfig("fc", latent=latent), ConvConfig("conv", latent=latent, layers=LAYERS)):
        model = build_model(config, UpsampleConfig(), (1, 28, 28))
        assert model(torch.rand(2, 1, 28, 28)).shape == (2, 1, 28, 28)


def parameters(config: ModelConfig, upsampling: Upsampling = Upsampling.transposed) -> int:
    model = build_model(config, UpsampleConfig(upsampling), (1, 28, 28))
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_fully_connected_model_of_the_lecture() -> None:
    # 784 -> 5 -> 784: weights and biases of two linear layers
    assert parameters(FCConfig("fc", latent=5)) == 784 * 5 + 5 + 5 * 784 + 784


def test_the_convolutional_model_of_the_lecture() -> None:
    # conv 1-16 k3, 16-32 k3, 32-64 k7, mirrored; weights, then biases
    one_way = 16 * 9 + 16 * 32 * 9 + 32 * 64 * 49
    biases = (16 + 32 + 64) + (32 + 16 + 1)
    lecture = ConvConfig("conv", latent=64, layers=LAYERS)
    assert parameters(lecture) == 2 * one_way + biases
    # nearest + convolution has its weights in the same places
    assert parameters(lecture, Upsampling.nearest) == 2 * one_way + biases


def test_the_denoising_model_of_the_lecture() -> None:
    one_way = 32 * 9 + 32 * 64 * 9 + 64 * 64 * 9 + 3136 * 5
    biases = (32 + 64 + 64 + 5) + (3136 + 64 + 32 + 1)
    batch_norm = 2 * (32 + 64 + 64) + 2 * (64 + 32)
    assert parameters(DENOISING) == 2 * one_way + biases + batch_norm


def test_nearest_upsampling_repeats_pixels_and_convolves() -> None:
    model = build_model(CONV, UpsampleConfig(Upsampling.nearest), (1, 28, 28))
    kinds = [layer.operation.split()[0] for layer in describe(model) if layer.part == "decoder"]
    assert kinds.count("Upsample") == 2
    assert kinds.count("ConvTranspose2d") == 1  # the bottleneck, which does not stride


def test_a_layer_list_that_leaves_nothing_names_the_layer_and_the_size() -> None:
    config = ConvConfig("conv", latent=5, layers=[LayerConfig(8, 3, 2, 1), LayerConfig(8, 20)])
    with pytest.raises(UsageError, match=r"layer 2 of 2 \(kernel 20.*its 14x14 map"):
        build_model(config, UpsampleConfig(), (1, 28, 28))


def test_the_output_activation_bounds_the_output() -> None:
    images = torch.randn(2, 1, 28, 28) * 100
    for config in (FCConfig("fc", latent=5), CONV):
        output = build_model(config, UpsampleConfig(), (1, 28, 28))(images)
        assert 0 <= output.min() and output.max() <= 1


def test_the_description_lists_the_layers_with_shapes_and_parameters() -> None:
    model = build_model(CONV, UpsampleConfig(), (1, 28, 28)).train()
    layers = describe(model)
    convolutions = [
        (layer.part, layer.operation, layer.output_shape, layer.parameters)
        for layer in layers
        if layer.operation.startswith("Conv")
    ]
    assert convolutions == [
        ("encoder", "Conv2d 1 -> 16, k3 s2 p1", (16, 14, 14), 160),
        ("encoder", "Conv2d 16 -> 32, k3 s2 p1", (32, 7, 7), 4640),
        ("encoder", "Conv2d 32 -> 5, k7 s1 p0", (5, 1, 1), 7845),
        ("decoder", "ConvTranspose2d 5 -> 32, k7 s1 p0", (32, 7, 7), 7872),
        ("decoder", "ConvTranspose2d 32 -> 16, k3 s2 p1 op1", (16, 14, 14), 4624),
        ("decoder", "ConvTranspose2d 16 -> 1, k3 s2 p1 op1", (1, 28, 28), 145),
    ]
    assert sum(layer.parameters for layer in layers) == parameters(CONV)
    assert model.training  # as it was before
