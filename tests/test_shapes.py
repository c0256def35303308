"""`aecli shapes`: what it shows of a network, and what it refuses."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from aecli.cli.compose import compose
from aecli.config import config_groups
from aecli.data import load_data

Aecli = Callable[..., int]


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


def test_an_odd_size_is_rounded_and_comes_back(shown: ExampleImages) -> None:
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


def test_where_a_layer_does_not_fit_those_in_front_of_it_are_shown(
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


def test_every_data_set_tells_the_shape_of_its_images() -> None:
    known = {"cifar10": [3, 32, 32], "folder": None}
    for choice in config_groups()["data"]:
        shape = compose([f"data={choice}"]).data.image_shape
        assert shape == known.get(choice, [1, 28, 28])


def test_the_synthetic_digits_have_the_shape_that_is_told(data_dir: Path) -> None:
    config = compose(["data=synthetic"]).data
    data = load_data(config, data_dir, torch.device("cpu"))
    assert list(data.image_shape) == config.image_shape
