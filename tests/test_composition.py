"""From words on the command line to configurations."""

import pytest

from aecli.composition import check_overrides, compose, jobs
from aecli.config import Activation, Bottleneck, CorruptionKind, Upsampling
from aecli.errors import UsageError


def test_the_defaults_are_the_convolutional_model_of_size_25() -> None:
    config = compose([])
    assert (config.model.name, config.latent, config.model.latent) == ("conv", 25, 25)
    assert (config.data.name, config.upsample.name) == ("auto", Upsampling.transposed)
    assert config.name == "conv-z25"
    assert config.model.output is Activation.sigmoid
    assert (config.data.mean, config.data.std) == (0, 1)


def test_the_models_read_the_short_key() -> None:
    for model in ("fc", "conv", "denoising"):
        config = compose([f"model={model}", "latent=7"])
        assert config.model.latent == 7
        assert config.name == f"{model}-z7"


def test_the_denoising_model_switches_its_noise_on_and_the_line_off() -> None:
    assert compose(["model=denoising"]).corruption.name is CorruptionKind.gaussian
    assert compose(["model=denoising"]).corruption.noise_std == 0.1
    assert compose(["model=denoising", "corruption=none"]).corruption.name is CorruptionKind.none
    assert compose(["model=conv"]).corruption.name is CorruptionKind.none
    assert compose(["corruption=gaussian"]).corruption.name is CorruptionKind.gaussian


def test_the_fully_connected_recipe_of_the_lecture() -> None:
    config = compose(["experiment=lecture_fc"])
    assert (config.latent, config.epochs, config.batch_size) == (5, 25, 128)
    assert (config.lr, config.weight_decay) == (1e-3, 1e-5)
    assert (config.data.mean, config.data.std) == (0.1307, 0.3081)
    assert config.model.widths == []
    assert config.model.code_activation is Activation.relu
    assert config.model.output is Activation.tanh
    assert config.patience is None
    assert compose(["experiment=lecture_fc", "latent=784"]).model.latent == 784


def test_the_convolutional_recipe_of_the_lecture() -> None:
    config = compose(["experiment=lecture_conv"])
    layers = [(x.channels, x.kernel, x.stride, x.padding) for x in config.model.layers]
    assert layers == [(16, 3, 2, 1), (32, 3, 2, 1)]
    assert (config.latent, config.model.bottleneck) == (64, Bottleneck.conv)
    assert config.model.activation is Activation.relu
    assert config.model.code_activation is Activation.identity
    assert config.model.output is Activation.relu
    assert (config.epochs, config.batch_size, config.weight_decay) == (25, 128, 1e-5)
    assert (config.data.mean, config.data.std) == (0.1307, 0.3081)


def test_the_denoising_recipe_of_the_lecture() -> None:
    config = compose(["experiment=lecture_denoising"])
    layers = [(x.channels, x.kernel, x.stride, x.padding) for x in config.model.layers]
    assert layers == [(32, 3, 1, 1), (64, 3, 2, 1), (64, 3, 2, 1)]
    assert (config.latent, config.model.bottleneck) == (2, Bottleneck.linear)
    assert config.model.batch_norm
    assert config.model.activation is config.model.code_activation is Activation.leaky_relu
    assert config.model.output is Activation.sigmoid
    assert config.corruption.name is CorruptionKind.gaussian
    assert (config.corruption.noise_std, config.corruption.shown_noise_std) == (0.1, 0.3)
    assert (config.batch_size, config.epochs, config.lr) == (2048, 10_000, 1e-4)
    assert (config.val_every, config.patience, config.delta) == (10, 30, 1e-6)
    assert config.weight_decay == 0


def test_a_sweep_is_every_combination_in_the_order_of_the_line() -> None:
    assert jobs(["latent=5,25", "seed=0,1", "epochs=1"]) == [
        ["latent=5", "seed=0", "epochs=1"],
        ["latent=5", "seed=1", "epochs=1"],
        ["latent=25", "seed=0", "epochs=1"],
        ["latent=25", "seed=1", "epochs=1"],
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("latnt=5", "there is no key 'latnt': did you mean latent?"),
        ("modle=conv", "there is no key 'modle': did you mean model?"),
        ("schedule=cosine", "there is no key 'schedule': did you mean optimizer.schedule?"),
        ("shedule=cosine", "there is no key 'shedule': did you mean optimizer.schedule?"),
        ("data.nonsense=1", "there is no key 'data.nonsense'"),
        ("model.widths=[3]", "there is no key 'model.widths'"),  # a key of model=fc alone
        ("+new=1", "there is no key 'new'"),
        ("model=cnv", "model=cnv: did you mean conv? (valid: conv, denoising, fc)"),
        ("data=minst", "data=minst: did you mean mnist?"),
        ("upsample=quick", "upsample=quick: valid: nearest, transposed"),
        ("latent=5,25", "latent=5,25 names several values: add -m"),
        ("~latent", "~latent would remove a key"),
        ("latent", "'latent' is not of the form key=value"),
        ("latent=[5", "'latent=[5' cannot be read"),
    ],
)
def test_a_mistake_in_the_line_is_named_with_what_would_be_valid(line: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_overrides([line], multirun=False)
    assert str(caught.value).startswith(message)


def test_keys_are_those_of_the_chosen_model() -> None:
    check_overrides(["model=fc", "model.widths=[100]"], multirun=False)
    check_overrides(["model.layers.0.kernel=5"], multirun=False)
    check_overrides(["model=fc,conv", "latent=5,25", "hydra.job.name=x"], multirun=True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("latent=abc", "latent=abc is not valid: give a whole number"),
        ("latent=2.5", "latent=2.5 is not valid: give a whole number"),
        ("lr=fast", "lr=fast is not valid: give a number"),
        ("model.batch_norm=3.5", "model.batch_norm=3.5 is not valid: give true or false"),
        ("model.output=rel", "model.output=rel is not valid: did you mean relu?"),
        ("latent=-3", "latent=-3 is not valid: give a whole number of at least 1"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(line: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        compose([line])
    assert str(caught.value).startswith(message)
