"""`aecli explore`: a page that computes the network."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import aecli.analysis.explore
from aecli.analysis.explore.layers import ACTIVATIONS, foldable
from aecli.analysis.explore.network import TOLERANCE, Arrays, network
from aecli.config import Activation, ConvConfig, FCConfig, LayerConfig, UpsampleConfig, Upsampling
from aecli.config.choices import Bottleneck
from aecli.config.model import ModelConfig
from aecli.data.batches import Normalisation
from aecli.errors import UsageError
from aecli.models import Autoencoder, build_model
from aecli.models.autoencoder import ACTIVATIONS as MODEL_ACTIVATIONS
from tests.browser import opened

ENGINE = Path(aecli.analysis.explore.__file__).with_name("engine.js")
SHAPE = (1, 28, 28)
COLOUR = (3, 17, 22)
GAUSSIAN = "with a Gaussian code"

CONV = ConvConfig(
    name="conv",
    latent=25,
    layers=[LayerConfig(16, 3, 2, 1), LayerConfig(32, 3, 2, 1)],
)
DENOISING = ConvConfig(
    name="denoising",
    latent=8,
    layers=[LayerConfig(32, 3, 1, 1), LayerConfig(64, 3, 2, 1), LayerConfig(64, 3, 2, 1)],
    bottleneck=Bottleneck.linear,
    batch_norm=True,
    activation=Activation.leaky_relu,
    code_activation=Activation.leaky_relu,
)
DEEP = ConvConfig(
    name="deep",
    latent=12,
    layers=[
        LayerConfig(32, 5),
        LayerConfig(32, 5),
        LayerConfig(32, 4, 2),
        LayerConfig(32, 3, 2),
    ],
    output_activation=Activation.identity,
)
ODD = ConvConfig(
    name="odd",
    latent=3,
    layers=[LayerConfig(5, 4, 3, 2), LayerConfig(6, 3, 1, 2, 2), LayerConfig(7, 3, 2, 1)],
    batch_norm=True,
    activation=Activation.tanh,
)


def networks() -> dict[str, tuple[ModelConfig, UpsampleConfig, tuple[int, int, int]]]:
    """Every model with every decoder that it can have, and sizes that nothing divides."""
    found: dict[str, Any] = {
        "fc": (FCConfig(name="fc", latent=25), UpsampleConfig(), SHAPE),
        "fc, deep": (
            FCConfig(
                name="fc",
                latent=2,
                widths=[30, 7],
                activation=Activation.tanh,
                code_activation=Activation.relu,
                output_activation=Activation.identity,
            ),
            UpsampleConfig(),
            COLOUR,
        ),
    }
    tied = FCConfig(name="fc", latent=9, widths=[30], tied=True)
    found["fc, tied"] = (tied, UpsampleConfig(), SHAPE)
    found["fc, variational"] = (replace(tied, name=GAUSSIAN, tied=False), UpsampleConfig(), SHAPE)
    found["conv, variational"] = (replace(CONV, name=GAUSSIAN), UpsampleConfig(), SHAPE)
    for config, shape in ((CONV, SHAPE), (DENOISING, SHAPE), (DEEP, SHAPE), (ODD, COLOUR)):
        for method in Upsampling:
            found[f"{config.name}, {method.name}"] = (config, UpsampleConfig(method), shape)
    found["conv, nearest, kernel 4"] = (CONV, UpsampleConfig(Upsampling.nearest, 4), SHAPE)
    found["conv, max_unpool, kernel 4"] = (CONV, UpsampleConfig(Upsampling.max_unpool, 4), SHAPE)
    return found


def build(
    config: ModelConfig, upsample: UpsampleConfig, shape: tuple[int, int, int]
) -> Autoencoder:
    """A network with statistics of its own in every batch normalisation."""
    model = build_model(config, upsample, shape, gaussian_code=config.name == GAUSSIAN)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.running_mean is not None and layer.running_var is not None
                layer.running_mean.normal_()
                layer.running_var.uniform_(0.5, 2)
                layer.weight.uniform_(0.5, 2)
                layer.bias.normal_()
    return model.eval()


def as_base64(values: Tensor) -> str:
    return base64.b64encode(values.numpy().tobytes()).decode()


@pytest.mark.parametrize("name", networks())
def test_batch_normalisation_is_part_of_the_convolution_before_it(name: str) -> None:
    torch.manual_seed(0)
    config, upsample, shape = networks()[name]
    model = build(config, upsample, shape)
    folded = foldable(model)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    images = torch.rand(3, *shape)
    with torch.inference_mode():
        assert torch.allclose(model(images), folded(images), atol=1e-5)
        codes = model.encode(images)
        assert torch.allclose(codes, folded.encode(images), atol=1e-5)


def test_every_activation_is_known() -> None:
    layers = [make() for kind, make in MODEL_ACTIVATIONS.items() if kind.name != "identity"]
    assert all(isinstance(layer, tuple(ACTIVATIONS)) for layer in layers)


def test_a_layer_of_another_kind_is_refused() -> None:
    model = build(FCConfig(name="fc", latent=2), UpsampleConfig(), SHAPE)
    model.decoder.append(nn.Dropout())
    with pytest.raises(UsageError, match="cannot compute a layer of the kind Dropout"):
        network(model, 0, 1, torch.rand(2, *SHAPE), Arrays())


def test_weights_are_stored_in_half_precision_if_that_is_accurate() -> None:
    torch.manual_seed(0)
    model = build(FCConfig(name="fc", latent=25), UpsampleConfig(), SHAPE)
    images = torch.rand(4, *SHAPE)
    halves, singles = Arrays(), Arrays()
    assert network(model, 0, 1, images, singles)["precision"] == "float32"
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half())
    assert network(model, 0, 1, images, halves)["precision"] == "float16"
    assert len(halves.content) < len(singles.content) * 0.51


PAGE = """<!DOCTYPE html><meta charset="utf-8"><title>engine</title><script>{engine}
const given = {given};
const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
const doubles = text => Float64Array.from(new Float32Array(bytes(text).buffer));
const block = bytes("{block}");
const networks = given.map(each => makeNetwork(each.network, block));
function rows(number, what) {{
  const values = doubles(given[number][what]), count = given[number].count;
  const length = values.length / count;
  return Array.from({{length: count}}, (_, n) => values.subarray(n * length, (n + 1) * length));
}}
function largest(number, what) {{
  const expected = rows(number, what);
  let difference = 0;
  rows(number, what === "decode" ? "codes" : "images").forEach((input, n) => {{
    networks[number][what](input).forEach((value, m) => {{
      difference = Math.max(difference, Math.abs(value - expected[n][m]));
    }});
  }});
  return difference;
}}
function rate(number, what) {{
  const [input] = rows(number, what === "decode" ? "codes" : "images");
  for (let n = 0; n < 30; n++) networks[number][what](input);
  const begin = performance.now();
  let count = 0;
  for (; performance.now() - begin < 300; count++) networks[number][what](input);
  return count / (performance.now() - begin) * 1000;
}}
</script>"""


def engine_page(path: Path) -> list[str]:
    """Write a page with all networks, and what PyTorch makes of random codes and images."""
    torch.manual_seed(0)
    arrays, given = Arrays(), []
    for config, upsample, shape in networks().values():
        model = build(config, upsample, shape)
        scale = Normalisation(0.1, 0.3)
        images = torch.rand(4, *shape)
        codes = 2 * torch.randn(4, config.latent)
        with torch.inference_mode():
            outputs = {
                "encode": model.encode(scale.apply(images)),
                "decode": scale.invert(model.decode(codes)),
                "reconstruct": scale.invert(model(scale.apply(images))),
            }
        described = network(model, scale.mean, scale.std, scale.apply(images), arrays)
        texts = {"images": images, "codes": codes, **outputs}
        given.append(
            {
                "network": described,
                "count": len(images),
                **{key: as_base64(values.contiguous()) for key, values in texts.items()},
            }
        )
    content = base64.b64encode(arrays.content).decode()
    engine = ENGINE.read_text(encoding="utf-8")
    path.write_text(PAGE.format(engine=engine, given=json.dumps(given), block=content), "utf-8")
    return list(networks())


def test_the_engine_computes_what_pytorch_does(tmp_path: Path) -> None:
    page = tmp_path / "engine.html"
    names = engine_page(page)
    with opened(page) as browser:
        assert browser.complaints() == []
        differences = {
            f"{name}: {what}": browser.evaluate(f"largest({number}, '{what}')")
            for number, name in enumerate(names)
            for what in ("encode", "decode", "reconstruct")
        }
        rate = browser.evaluate(f"rate({names.index('conv, transposed')}, 'decode')")
    assert max(differences.values()) <= TOLERANCE
    assert rate >= 30  # in a second
