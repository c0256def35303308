"""The models: shapes, sizes, and what is said of layer lists that cannot be."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from aecli.cli.compose import compose
from aecli.config import (
    Activation,
    Bottleneck,
    ConvConfig,
    FCConfig,
    Initialisation,
    LayerConfig,
    ModelConfig,
    UpsampleConfig,
    Upsampling,
)
from aecli.errors import UsageError
from aecli.models import ImageShape, MisfitError, build_model, describe, describe_fitting
from aecli.models.conv import Flatten, Unflatten
from aecli.models.normalisation import BatchNorm2d
from aecli.models.pooling import MaxPool, MaxUnpool, gather_maxima, scatter_maxima
from aecli.models.upsample import BedOfNails, Bicubic, pixel_shuffle

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
DILATED = ConvConfig(
    "dilated",
    latent=5,
    layers=[LayerConfig(4, 3, 1, 2, dilation=2), LayerConfig(6, 2, 2, 0, dilation=3)],
)
MODELS: list[ModelConfig] = [
    FCConfig("fc", latent=5, widths=[30, 20]), CONV, DENOISING, AWKWARD, DILATED,
]  # fmt: skip
SHAPES = [(1, 28, 28), (3, 32, 32), (3, 64, 64), (1, 27, 31), (2, 33, 18), (1, 13, 17)]


@pytest.mark.parametrize(
    ("config", "upsampling"),
    [
        (config, upsampling)
        for config in MODELS
        for upsampling in Upsampling
        if config.kind == "conv" or upsampling is Upsampling.transposed  # fc has no such choice
    ],
    ids=lambda it: it.name,
)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_decoder_gives_back_the_shape_of_the_image(
    config: ModelConfig, shape: ImageShape, upsampling: Upsampling
) -> None:
    model = build_model(config, UpsampleConfig(upsampling), shape)
    images = torch.rand(2, *shape)
    codes = model.encode(images)
    assert codes.shape == (2, 5)
    assert model.decode(codes).shape == images.shape


def test_kaiming_keeps_the_scale_of_the_signal_and_the_default_shrinks_it() -> None:
    torch.manual_seed(0)
    scales = {}
    for initialisation in Initialisation:
        config = FCConfig("fc", latent=200, widths=[400, 300], initialisation=initialisation)
        model = build_model(config, UpsampleConfig(), (1, 20, 20))
        scales[initialisation] = model.encode(torch.randn(500, 1, 20, 20)).square().mean().item()
    assert scales[Initialisation.torch] < 0.02
    assert 0.5 < scales[Initialisation.kaiming] / 2 < 2  # the code layer has no ReLU that halves it
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    for layer in layers:
        assert layer.weight.var().item() == pytest.approx(2 / layer.in_features, rel=0.05)
        assert not layer.bias.any()


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
    # what is followed by a convolution has its weights in the same places
    for method in ("nearest", "bilinear", "bicubic", "bed_of_nails", "max_unpool"):
        assert parameters(lecture, Upsampling[method]) == 2 * one_way + biases
    # four channels for each, and as many biases, where pixels are shuffled
    strided, strided_biases = 16 * 9 + 16 * 32 * 9, 16 + 1
    more = 3 * (strided + strided_biases)
    assert parameters(lecture, Upsampling.pixel_shuffle) == 2 * one_way + biases + more


def test_the_deep_model_of_the_lecture() -> None:
    # conv 1-32 k5, 32-32 k5, 32-32 k4 s2, 32-32 k3 s2, 32-8 k4, mirrored; maps of 24, 20, 9, 4, 1
    config = compose(["model=deep", "latent=8"])
    layers = describe(build_model(config.model, config.upsample, (1, 28, 28)))
    shapes = [x.output_shape for x in layers if x.operation.startswith("Conv")]
    encoder = [(32, 24, 24), (32, 20, 20), (32, 9, 9), (32, 4, 4), (8, 1, 1)]
    assert shapes == [*encoder, *encoder[-2::-1], (1, 28, 28)]
    one_way = 32 * 25 + 32 * 32 * 25 + 32 * 32 * 16 + 32 * 32 * 9 + 32 * 8 * 16
    biases = (4 * 32 + 8) + (4 * 32 + 1)
    assert sum(layer.parameters for layer in layers) == 2 * one_way + biases
    assert [x.operation for x in layers][-1].startswith("ConvTranspose2d")  # nothing behind it


def test_the_denoising_model_of_the_lecture() -> None:
    one_way = 32 * 9 + 32 * 64 * 9 + 64 * 64 * 9 + 3136 * 5
    biases = (32 + 64 + 64 + 5) + (3136 + 64 + 32 + 1)
    batch_norm = 2 * (32 + 64 + 64) + 2 * (64 + 32)
    assert parameters(DENOISING) == 2 * one_way + biases + batch_norm


@pytest.mark.parametrize(
    ("method", "layer"),
    [
        ("nearest", "Upsample nearest"),
        ("bilinear", "Upsample bilinear"),
        ("bicubic", "Bicubic"),
        ("bed_of_nails", "BedOfNails"),
        ("pixel_shuffle", "PixelShuffle"),
    ],
)
def test_each_upsampling_method_undoes_the_strides(method: str, layer: str) -> None:
    model = build_model(CONV, UpsampleConfig(Upsampling[method]), (1, 28, 28))
    found = [each.operation for each in describe(model) if each.part == "decoder"]
    assert found.count(layer) == 2
    kinds = [operation.split()[0] for operation in found]
    assert kinds.count("Conv2d") == 2
    assert kinds.count("ConvTranspose2d") == 1  # the bottleneck, which does not stride


@pytest.mark.parametrize("size", [(14, 18), (15, 17), (21, 30), (4, 3)])
def test_bicubic_interpolation_is_torchs(size: tuple[int, int]) -> None:
    maps = torch.rand(3, 2, 7, 9)
    expected = F.interpolate(maps, size, mode="bicubic")
    assert torch.allclose(Bicubic((7, 9), size)(maps), expected, atol=1e-6)


def test_a_bed_of_nails_has_zeros_between_the_pixels() -> None:
    pixels = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    assert BedOfNails((5, 3), stride=2)(pixels)[0, 0].tolist() == [
        [1, 0, 2], [0, 0, 0], [3, 0, 4], [0, 0, 0], [0, 0, 0],
    ]  # fmt: skip


def test_the_bed_of_nails_of_the_lecture() -> None:
    # "Autoencoders on MNIST", option 2: 2 x 2 to 4 x 4
    pixels = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    assert BedOfNails((4, 4), stride=2)(pixels)[0, 0].tolist() == [
        [1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0],
    ]  # fmt: skip


@pytest.fixture(params=["default", "error"])
def determinism(request: pytest.FixtureRequest) -> None:
    """As it is, and as it is once a GPU has been opened, on the CPU as well."""
    torch.set_deterministic_debug_mode(request.param)


@pytest.mark.usefixtures("determinism")
def test_unpooling_puts_the_maxima_back_where_they_were() -> None:
    # "Autoencoders on MNIST", option 4; the last cells hang over the edge of 3 x 5 pixels
    image = torch.tensor([[[[1.0, 7, 2, 3, 4], [5, 6, 9, 8, 0], [3, 2, 1, 1, 2]]]])
    switches: list[torch.Tensor] = []
    pooled = MaxPool(2)(image, switches)
    assert pooled[0, 0].tolist() == [[7, 9, 4], [3, 1, 2]]
    unpool = MaxUnpool((3, 5), 2)
    back = unpool(pooled, switches)
    assert back[0, 0].tolist() == [[0, 7, 0, 0, 4], [0, 0, 9, 0, 0], [3, 0, 1, 0, 2]]
    assert not switches  # taken out: the next unpooling gets those of the pooling before
    corners = unpool(pooled, switches)
    assert corners[0, 0].tolist() == [[7, 0, 9, 0, 4], [0, 0, 0, 0, 0], [3, 0, 1, 0, 2]]


@pytest.mark.usefixtures("determinism")
def test_an_unpooling_decoder_gets_the_indices_from_the_encoder() -> None:
    model = build_model(CONV, UpsampleConfig(Upsampling.max_unpool), (1, 28, 28))
    images, others = torch.rand(2, 2, 1, 28, 28)
    codes, outputs = model.encode(images), model(images)
    assert not torch.equal(model.decode(codes), outputs)  # a code alone does not say where
    model(others), model.encode(others)  # nothing is remembered from other images
    assert torch.equal(model(images), outputs)
    assert torch.equal(model.decode(codes), model.decode(codes.clone()))
    names = [layer.name for layer in describe(model)]
    assert names.count("MaxPool") == names.count("MaxUnpool") == 2
    strides = {layer.stride for layer in describe(model) if layer.name.startswith("Conv")}
    assert strides == {(1, 1)}


def test_unpooling_without_pooling_is_refused() -> None:
    upsample = UpsampleConfig(Upsampling.max_unpool)
    unstrided = ConvConfig("flat", latent=5, layers=[LayerConfig(4, 3), LayerConfig(4, 3)])
    with pytest.raises(UsageError, match="no layer of model=flat has a stride: give one a stride"):
        build_model(unstrided, upsample, (1, 28, 28))
    with pytest.raises(UsageError, match="model=fc has no map to pool"):
        build_model(FCConfig("fc", latent=5), upsample, (1, 28, 28))


def test_shuffled_pixels_are_the_channels_of_a_cell() -> None:
    # a kernel of one pixel and a channel for each place of the 2 x 2 cell
    layers = pixel_shuffle(LayerConfig(1, stride=2), 1, (1, 2, 2), (1, 3, 4))
    convolution = layers[0]
    assert isinstance(convolution, torch.nn.Conv2d)
    with torch.no_grad():
        convolution.weight.fill_(0)
        assert convolution.bias is not None
        convolution.bias.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    output = torch.nn.Sequential(*layers)(torch.rand(1, 1, 2, 2))
    assert output[0, 0].tolist() == [[1, 2, 1, 2], [3, 4, 3, 4], [1, 2, 1, 2]]  # the last row cut


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kernel", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("method", Upsampling)
def test_the_kernel_that_enlarges_can_be_chosen(
    method: Upsampling, kernel: int, shape: ImageShape
) -> None:
    model = build_model(CONV, UpsampleConfig(method, kernel=kernel), shape)
    assert model(torch.rand(2, *shape)).shape == (2, *shape)
    strided = [
        module
        for module in model.decoder.modules()
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d)
    ][1:]  # behind the bottleneck
    assert [module.kernel_size for module in strided] == [(kernel, kernel)] * 2


@pytest.mark.parametrize("kernel", [None, 2, 3, 4])
@pytest.mark.parametrize("method", Upsampling)
def test_a_dilation_is_mirrored(method: Upsampling, kernel: int | None) -> None:
    model = build_model(DILATED, UpsampleConfig(method, kernel=kernel), (1, 27, 31))
    assert model(torch.rand(2, 1, 27, 31)).shape == (2, 1, 27, 31)
    dilations = [
        module.dilation
        for part in (model.encoder, model.decoder)
        for module in part.modules()
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d)
    ]
    assert dilations == [(2, 2), (3, 3), (1, 1), (1, 1), (3, 3), (2, 2)]


def test_a_dilated_layer_is_described_by_its_extent() -> None:
    layers = describe(build_model(DILATED, UpsampleConfig(), (1, 28, 28)))
    first, second, _ = (layer for layer in layers if layer.name.startswith("Conv2d"))
    assert first.operation == "Conv2d 1 -> 4, k3 s1 p2 d2"
    assert first.formulas == ("floor((28 + 2*2 - (2*(3 - 1) + 1)) / 1) + 1 = 28",)
    assert second.formulas == ("floor((28 + 2*0 - (3*(2 - 1) + 1)) / 2) + 1 = 13",)
    too_far = replace(DILATED, layers=[LayerConfig(4, 3, dilation=14)])
    with pytest.raises(UsageError, match=r"dilation 14\).*of at most 2, or less dilation"):
        build_model(too_far, UpsampleConfig(), (1, 28, 28))


def test_a_kernel_that_cannot_restore_the_size_is_refused() -> None:
    config = ConvConfig("conv", latent=5, layers=[LayerConfig(4, kernel=5, stride=2)])
    with pytest.raises(UsageError, match="upsample.kernel=1 is not valid: no output padding"):
        build_model(config, UpsampleConfig(Upsampling.transposed, kernel=1), (1, 28, 28))
    with pytest.raises(
        UsageError,
        match="upsample.kernel=1 is not valid: it cannot turn 24x24 unpooled pixels into 28x28",
    ):
        build_model(config, UpsampleConfig(Upsampling.max_unpool, kernel=1), (1, 28, 28))
    with pytest.raises(UsageError, match="upsample.kernel=0 is not valid"):
        UpsampleConfig(kernel=0)


SHAPES_OF_MAPS = [
    # model, image: heights of the maps on the way down, the image first
    (LAYERS, (1, 28, 28), [28, 14, 7, 1]),
    (LAYERS, (1, 27, 27), [27, 14, 7, 1]),
    (LAYERS, (3, 64, 64), [64, 32, 16, 1]),
]


@pytest.mark.parametrize(("layers", "shape", "heights"), SHAPES_OF_MAPS, ids=str)
@pytest.mark.parametrize("method", Upsampling)
def test_the_description_goes_down_and_comes_back(
    method: Upsampling, layers: list[LayerConfig], shape: ImageShape, heights: list[int]
) -> None:
    config = ConvConfig("conv", latent=5, layers=layers)
    rows = describe(build_model(config, UpsampleConfig(method), shape))
    maps = [row.output_shape[1] for row in rows if len(row.output_shape) == 3]
    changes = [maps[0], *(after for before, after in pairwise(maps) if before != after)]
    # on the way there may be the same map without its stride, or a pixel that is cut off
    remaining = iter([shape[1], *changes])
    assert all(height in remaining for height in [*heights, *heights[-2::-1]])


def test_multiply_adds_are_what_torch_counts() -> None:
    config = replace(DENOISING, layers=[LayerConfig(4, 4, 3, 0), *DENOISING.layers])
    for model, upsampling in ((config, Upsampling.transposed), (CONV, Upsampling.pixel_shuffle)):
        built = build_model(model, UpsampleConfig(upsampling), (2, 27, 31))
        counter = FlopCounterMode(display=False)
        with counter, torch.inference_mode():
            built.eval()(torch.zeros(1, 2, 27, 31))
        assert 2 * sum(row.multiply_adds for row in describe(built)) == counter.get_total_flops()


def test_the_description_fills_in_the_formulas() -> None:
    rows = describe(build_model(CONV, UpsampleConfig(), (1, 27, 31)))
    formulas = [row.formulas for row in rows if row.formulas]
    assert formulas == [
        ("floor((27 + 2*1 - 3) / 2) + 1 = 14", "floor((31 + 2*1 - 3) / 2) + 1 = 16"),
        ("floor((14 + 2*1 - 3) / 2) + 1 = 7", "floor((16 + 2*1 - 3) / 2) + 1 = 8"),
        ("floor((7 + 2*0 - 7) / 1) + 1 = 1", "floor((8 + 2*0 - 8) / 1) + 1 = 1"),
        ("5*1*1 = 5",),
        ("(1 - 1)*1 - 2*0 + 7 + 0 = 7", "(1 - 1)*1 - 2*0 + 8 + 0 = 8"),
        ("(7 - 1)*2 - 2*1 + 3 + 1 = 14", "(8 - 1)*2 - 2*1 + 3 + 1 = 16"),
        ("(14 - 1)*2 - 2*1 + 3 + 0 = 27", "(16 - 1)*2 - 2*1 + 3 + 0 = 31"),
    ]


def test_layers_before_one_that_does_not_fit_are_described() -> None:
    config = ConvConfig("conv", latent=5, layers=[*LAYERS, LayerConfig(8, 9), LayerConfig(8, 3)])
    with pytest.raises(
        MisfitError, match=r"7x7 map, floor\(\(7 \+ 2\*0 - 9\) / 1\) \+ 1 = -1"
    ) as error:
        build_model(config, UpsampleConfig(), (1, 28, 28))
    rows = describe_fitting(config, UpsampleConfig(), error.value)
    assert [row.output_shape for row in rows if row.kernel] == [(16, 14, 14), (32, 7, 7)]


def test_layers_that_reduce_an_image_to_nothing_are_named_with_the_size() -> None:
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


def test_unflattened_maps_are_channels_last() -> None:
    # Otherwise the activation behind them takes several times as long in the backward pass.
    config = compose(["model=denoising"])
    model = build_model(config.model, config.upsample, (1, 28, 28))
    kinds = [type(layer) for layer in model.decoder]
    maps = model.decoder[: kinds.index(Unflatten) + 1](torch.randn(2, config.latent))
    assert maps.shape == (2, 64, 7, 7)
    assert maps.is_contiguous(memory_format=torch.channels_last)
    # (B, C h w) -> (B, C, h, w) all the same.
    rows = torch.arange(12.0).reshape(1, 12)
    assert torch.equal(Unflatten(1, (3, 2, 2))(rows), rows.reshape(1, 3, 2, 2))


def test_gradients_of_flattened_maps_are_channels_last() -> None:
    maps = torch.arange(12.0).reshape(1, 3, 2, 2).contiguous(memory_format=torch.channels_last)
    maps.requires_grad_()
    rows = Flatten()(maps)
    assert torch.equal(rows, torch.arange(12.0).reshape(1, 12))
    gradients: list[torch.Tensor] = []
    maps.register_hook(gradients.append)
    rows.backward(2 * rows)
    (gradient,) = gradients
    assert torch.equal(gradient, 2 * maps)
    assert gradient.is_contiguous(memory_format=torch.channels_last)
    config = compose(["model=denoising"])
    model = build_model(config.model, config.upsample, (1, 28, 28))
    assert [type(layer) for layer in model.encoder].count(Flatten) == 1


@pytest.mark.parametrize("upsample", ["transposed", "nearest", "pixel_shuffle", "max_unpool"])
def test_biases_cancelled_by_batch_normalisation_are_frozen(upsample: str) -> None:
    config = compose(["model=denoising", f"upsample={upsample}"])
    model = build_model(config.model, config.upsample, (1, 28, 28)).double()
    fixed = [name for name, each in model.named_parameters() if not each.requires_grad]
    assert all(name.endswith(".bias") for name in fixed)
    # Three in the encoder, two in the decoder; none there where pixels are shuffled in between, so
    # that each map that is normalised has several biases in it.
    assert len(fixed) == (3 if upsample == "pixel_shuffle" else 5)
    images = torch.rand(8, 1, 28, 28, dtype=torch.float64)
    before = model.train()(images)
    with torch.no_grad():
        for name in fixed:
            bias = model.get_parameter(name)
            bias.add_(torch.arange(len(bias)) / 10)
    torch.testing.assert_close(model(images), before, atol=1e-10, rtol=0)
    # The others are not without effect.
    model(images).square().sum().backward()
    gradients = [each.grad for each in model.parameters() if each.requires_grad]
    assert all(gradient is not None and gradient.any() for gradient in gradients)


@pytest.mark.parametrize("size", [(6, 8), (5, 7)], ids=str)
def test_deterministic_pooling_and_its_gradients_are_those_of_torch(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 2, *size, generator=generator, dtype=torch.float64, requires_grad=True)
    pooled, places = F.max_pool2d(maps, 2, ceil_mode=True, return_indices=True)
    assert torch.equal(gather_maxima(maps, places), pooled)
    assert torch.equal(
        scatter_maxima(pooled, places, size),
        F.max_unpool2d(pooled, places, [2, 2], output_size=size),
    )
    assert torch.autograd.gradcheck(lambda x: gather_maxima(x, places), maps)
    small = pooled.detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: scatter_maxima(x, places, size), small)


def test_one_value_per_channel_is_normalised_by_the_running_statistics() -> None:
    layer, reference = BatchNorm2d(3), nn.BatchNorm2d(3)
    several, one = torch.rand(4, 3, 2, 2), torch.rand(1, 3, 1, 1, requires_grad=True)
    assert torch.equal(layer(several), reference(several))
    statistics = [buffer.clone() for buffer in layer.buffers()]
    output = layer(one)
    assert torch.equal(output, reference.eval()(one))
    assert all(map(torch.equal, layer.buffers(), statistics))
    (gradient,) = torch.autograd.grad(output.sum(), one)
    assert (gradient != 0).all()
    assert layer(torch.rand(1, 3, 1, 2)).std() > 0  # two values have a variance
