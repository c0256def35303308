"""`aecli shapes`: what it shows of a network, and what it refuses."""

from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.patches import Polygon

from aecli.cli.compose import compose
from aecli.config import Upsampling, config_groups
from aecli.data import load_data
from aecli.figures import Stage, network_figure
from aecli.models import build_outline, describe
from aecli.models.description import stages

Aecli = Callable[..., int]

PARTS_BETWEEN = ["encoder", "code", "decoder"]


@pytest.fixture
def shown(
    aecli: Aecli, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], list[list[str]]]:
    """The words of each line that a command line prints."""
    monkeypatch.setattr("aecli.cli.console.out.width", 100)

    def show(line: str) -> list[list[str]]:
        assert aecli("shapes", *line.split()) == 0
        return [each.split() for each in capsys.readouterr().out.splitlines()]

    return show


ExampleImages = Callable[[str], list[list[str]]]


def text(lines: list[list[str]]) -> str:
    return "\n".join(" ".join(words) for words in lines)


def test_the_lectures_convolutional_model_on_mnist(shown: ExampleImages) -> None:
    # "Autoencoders on MNIST": conv 1-16, 16-32, 32-64 k7, and the mirror with output padding 1
    lines = shown("model=conv latent=64 data=mnist")
    assert (
        "\n".join(" ".join(words) for words in lines[4:-2])
        == """\
encoder Conv2d 1 -> 16, k3 s2 p1 16x14x14 160 28,224
floor((28 + 2*1 - 3) / 2) + 1 = 14
ReLU 16x14x14
Conv2d 16 -> 32, k3 s2 p1 32x7x7 4,640 225,792
floor((14 + 2*1 - 3) / 2) + 1 = 7
ReLU 32x7x7
Conv2d 32 -> 64, k7 s1 p0 64x1x1 100,416 100,352
floor((7 + 2*0 - 7) / 1) + 1 = 1
Flatten 64
64*1*1 = 64
code bottleneck: 64 numbers for the image's 784
decoder Unflatten 64x1x1
ConvTranspose2d 64 -> 32, k7 s1 p0 32x7x7 100,384 100,352
(1 - 1)*1 - 2*0 + 7 + 0 = 7
ReLU 32x7x7
ConvTranspose2d 32 -> 16, k3 s2 p1 op1 16x14x14 4,624 225,792
(7 - 1)*2 - 2*1 + 3 + 1 = 14
ReLU 16x14x14
ConvTranspose2d 16 -> 1, k3 s2 p1 op1 1x28x28 145 28,224
(14 - 1)*2 - 2*1 + 3 + 1 = 28
Sigmoid 1x28x28
loss mean squared error between the output and the image
total 210,369 708,736"""
    )


def test_the_size_of_the_images_follows_the_data_set_or_the_line(shown: ExampleImages) -> None:
    assert ["images", "3x32x32"] in shown("data=cifar10")
    assert ["images", "3x64x64"] in shown("data=cifar10 image_size=64")
    assert ["images", "3x64x64"] in shown("data=mnist image_size=64 channels=3")
    assert ["images", "1x48x20"] in shown("image_size=48x20")
    assert ["images", "3x64x64"] in shown("data=folder image_size=64 channels=3")
    assert "ConvTranspose2d 16 -> 3, k3 s2 p1 op1 3x48x20" in text(
        shown("image_size=48x20 channels=3")
    )


def test_images_are_not_needed(shown: ExampleImages, tmp_path: Path) -> None:
    shown("data=cifar10 data_dir=nowhere")
    assert list(tmp_path.iterdir()) == []


def test_an_odd_size_is_rounded_and_restored(shown: ExampleImages) -> None:
    lines = text(shown("model=conv image_size=27"))
    assert "- layer 1: 27 pixels become 14, as 28 would; the decoder goes back to 27." in lines
    assert "- layer 2: 14 pixels become 7, as 13 would; the decoder goes back to 14." in lines
    assert "(14 - 1)*2 - 2*1 + 3 + 0 = 27" in lines
    lines = text(shown("model=deep image_size=27x40"))
    assert (
        "- height, layer 3: 19 pixels become 8, as 18 would; the last one is read by no kernel "
        "position; the decoder goes back to 19."
    ) in lines.replace("\n", " ")
    assert "- width, layer 3: 32 pixels become 15, as 33 would; the decoder goes back" in lines
    assert "read by" not in text(shown("model=deep image_size=27x40 upsample=max_unpool"))


@pytest.mark.parametrize("model", config_groups()["model"])
@pytest.mark.parametrize("method", config_groups()["upsample"])
def test_every_network_can_be_shown(model: str, method: str, shown: ExampleImages) -> None:
    if model == "fc" and method == "max_unpool":
        return  # refused, see below
    lines = text(shown(f"model={model} upsample={method} image_size=33x45 channels=2"))
    assert "2x33x45" in lines.partition("decoder")[2]


def test_the_layers_before_one_that_does_not_fit_are_shown(
    aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("shapes", "model=deep", "image_size=15") == 2
    output, errors = capsys.readouterr()
    assert "Conv2d 32 -> 32, k4 s2 p0" in output and "32x2x2" in output
    assert "k3 s2" not in output and "decoder" not in output
    assert errors.startswith("aecli: model.layers: layer 4 of 4 (kernel 3, stride 2, padding 0) ")
    assert "floor((2 + 2*0 - 3) / 2) + 1 = 0" in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("image_size=0", "image_size=0 is not valid"),
        ("image_size=-3", "image_size=-3 is not valid"),
        ("image_size=64x64x3", "image_size=64x64x3 is not valid"),
        ("channels=0", "channels=0 is not valid: give a whole number of at least 1"),
        ("channels=rgb", "channels=rgb is not valid: give a whole number"),
        ("data=folder path=photos image_size=64", "give image_size=... and channels=..."),
        ("data=folder image_size=64 channels=2", "channels=2 is not valid: give 1 (grey) or 3"),
        ("data.image_shape=null", "give image_size=... and channels=..."),
        ("data.image_shape=[1,2]", "data.image_shape=[1, 2] is not valid"),
        ("model=cnv", "model=cnv: did you mean conv?"),
        ("latent=5,25", "latent=5,25 names several values"),
        ("image_sze=3", "there is no key 'image_sze'"),
        ("nonsense", "'nonsense' is not of the form key=value"),
        ("model=conv image_size=3 model.layers.0.padding=0 model.layers.1.padding=0",
         "layer 2 of 2 (kernel 3, stride 2, padding 0) leaves nothing of its 1x1 map"),
        ("model=fc upsample=max_unpool", "model=fc has no map to pool"),
        ("upsample=max_unpool model.layers.0.stride=1 model.layers.1.stride=1",
         "upsample=max_unpool needs an encoder that pools, but no layer of model=conv has a "
         "stride"),
        ("model=deep upsample.kernel=1", "upsample.kernel=1 is not valid: no output padding"),
    ],
)  # fmt: skip
def test_a_mistake_gets_one_line(
    line: str, words: str, aecli: Aecli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli("shapes", *line.split()) == 2
    errors = capsys.readouterr().err
    assert words in errors
    assert errors.startswith("aecli: ") and errors.count("\n") == 1


def test_every_data_set_states_the_shape_of_its_images() -> None:
    known = {"curve": [1, 1, 2], "cifar10": [3, 32, 32], "folder": None}
    for choice in config_groups()["data"]:
        shape = compose([f"data={choice}"]).data.image_shape
        assert shape == known.get(choice, [1, 28, 28])


def test_the_synthetic_digits_have_the_stated_shape(data_dir: Path) -> None:
    config = compose(["data=synthetic"]).data
    data = load_data(config, data_dir, torch.device("cpu"))
    assert list(data.image_shape) == config.image_shape


STAGES = {
    "model=conv latent=5": [
        ("input", (1, 28, 28), []),
        ("encoder", (16, 14, 14), ["Conv2d, k3 s2 p1", "ReLU"]),
        ("encoder", (32, 7, 7), ["Conv2d, k3 s2 p1", "ReLU"]),
        ("code", (5,), ["Conv2d, k7 s1 p0", "Flatten"]),
        ("decoder", (32, 7, 7), ["Unflatten", "ConvTranspose2d, k7 s1 p0", "ReLU"]),
        ("decoder", (16, 14, 14), ["ConvTranspose2d, k3 s2 p1 op1", "ReLU"]),
        ("output", (1, 28, 28), ["ConvTranspose2d, k3 s2 p1 op1", "Sigmoid"]),
    ],
    "model=fc latent=5": [
        ("input", (1, 28, 28), []),
        ("encoder", (784,), ["Flatten"]),
        ("code", (5,), ["Linear"]),
        ("decoder", (784,), ["Linear", "Sigmoid"]),
        ("output", (1, 28, 28), ["Unflatten"]),
    ],
}


@pytest.mark.parametrize(("line", "expected"), STAGES.items())
def test_a_network_has_stages(line: str, expected: list[Any]) -> None:
    config = compose(line.split())
    layers = describe(build_outline(config, (1, 28, 28)))
    assert stages(layers, (1, 28, 28)) == expected


@pytest.mark.parametrize("upsampling", Upsampling)
def test_every_network_begins_with_the_image_and_ends_with_it(upsampling: Upsampling) -> None:
    for model in ("conv", "deep", "denoising"):
        config = compose([f"model={model}", f"upsample={upsampling.value}"])
        layers = describe(build_outline(config, (3, 32, 30)))
        parts, shapes, operations = zip(*stages(layers, (3, 32, 30)), strict=True)
        assert shapes[0] == shapes[-1] == (3, 32, 30)
        assert [part for part, _ in groupby(parts)] == ["input", *PARTS_BETWEEN, "output"]
        assert shapes[parts.index("code")] == (config.latent,)
        assert sum(map(len, operations)) == len(layers)


def test_the_bottleneck_and_the_loss_are_marked(shown: ExampleImages) -> None:
    lines = text(shown("model=conv latent=25 data=mnist"))
    assert "code bottleneck: 25 numbers for the image's 784\ndecoder Unflatten 25x1x1\n" in lines
    assert "loss mean squared error between the output and the image\ntotal" in lines
    assert "code bottleneck: 1 number for" in text(shown("model=fc latent=1 data=mnist"))


def test_the_network_is_drawn_to_scale(shown: ExampleImages, tmp_path: Path) -> None:
    lines = shown("model=conv latent=25 data=mnist figure=true output=here")
    assert lines[-1] == ["figure", "here/network.svg"]
    names = ["manifest.json", "network.png", "network.svg"]
    assert sorted(path.name for path in Path("here").iterdir()) == names
    config = compose(["latent=25"])
    drawn = stages(describe(build_outline(config, (1, 28, 28))), (1, 28, 28))
    figure = network_figure("a network", [Stage(*each) for each in drawn], "loss: the error")
    (axes,) = figure.axes
    texts = {each.get_text() for each in axes.texts}
    assert {"1x28x28", "16x14x14", "32x7x7", "25", "bottleneck", "loss: the error"} <= texts
    fronts = [patch.get_xy() for patch in axes.patches if isinstance(patch, Polygon)][::3]
    heights = [np.ptp(np.asarray(front)[:, 1]) for front in fronts]
    assert np.isclose(heights[0], 2 * heights[1]) and np.isclose(heights[1], 2 * heights[2])
    widths = [np.ptp(np.asarray(front)[:, 0]) for front in fronts]
    assert np.isclose(widths[2], 2 * widths[1])  # 32 channels and 16
    default = shown("model=fc latent=2 data=mnist figure=true")
    assert default[-1] == ["figure", "outputs/shapes/fc-z2-1x28x28/network.svg"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("figure=maybe", "figure=maybe is not valid: give true or false"),
        ("output=here", "output=here is where a figure goes: give figure=true too"),
    ],
)
def test_a_mistake_about_the_figure_is_reported(
    line: str, words: str, aecli: Aecli, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert aecli("shapes", "data=mnist", *line.split()) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_gaps_between_kernel_positions_are_counted(shown: ExampleImages) -> None:
    layers = "model.layers=[{channels:4,kernel:1,stride:4}]"
    assert "21 of them are read by no kernel position" in text(
        shown(f"model=conv data=mnist {layers}")
    )
