"""The configuration: its limits, its documentation, and how it is saved and read back."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_type_hints

import pytest
import yaml

from aecli import config as module
from aecli.config import (
    RENAMED_KEYS,
    SHORT_KEYS,
    Activation,
    Bottleneck,
    CheckpointConfig,
    ConvConfig,
    CorruptionConfig,
    CorruptionKind,
    DataConfig,
    FCConfig,
    LayerConfig,
    OptimizerConfig,
    RegularizerConfig,
    Schedule,
    TrainConfig,
    UpsampleConfig,
    Upsampling,
    field_docs,
    from_yaml,
    plain,
    short_key,
    to_yaml,
)
from aecli.errors import UsageError

UNUSUAL = TrainConfig(
    latent=7,
    epochs=3,
    patience=4,
    seed=2**32 - 1,
    name="a.b-c_1",
    data=DataConfig("mnist", train_size=10, mean=0.1307, std=0.3081, image_shape=[3, 27, 31]),
    corruption=CorruptionConfig(CorruptionKind.gaussian, 0.2, 0.3),
    upsample=UpsampleConfig(Upsampling.nearest),
    optimizer=OptimizerConfig(Schedule.cosine, 0.5, 1.0),
    model=ConvConfig(
        "mine",
        latent=7,
        layers=[LayerConfig(8, 5, 2, 1)],
        bottleneck=Bottleneck.linear,
        batch_norm=True,
        output_activation=Activation.tanh,
    ),
)


@pytest.mark.parametrize(
    "config",
    [UNUSUAL, replace(UNUSUAL, model=FCConfig("fc", latent=7, widths=[40, 20]))],
    ids=["conv", "fc"],
)
def test_a_saved_configuration_is_read_back_unchanged(config: TrainConfig) -> None:
    assert from_yaml(to_yaml(config)) == config


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda: TrainConfig(latent=0, name="a"), "latent=0"),
        (lambda: TrainConfig(epochs=-1, name="a"), "epochs=-1"),
        (lambda: TrainConfig(batch_size=0, name="a"), "batch_size=0"),
        (lambda: TrainConfig(val_every=0, name="a"), "val_every=0"),
        (lambda: TrainConfig(lr=0.0, name="a"), "lr=0.0"),
        (lambda: TrainConfig(lr=float("nan"), name="a"), "lr=nan"),
        (lambda: TrainConfig(lr=float("inf"), name="a"), "lr=inf"),
        (lambda: TrainConfig(weight_decay=-1e-5, name="a"), "weight_decay=-1e-05"),
        (lambda: TrainConfig(min_delta=-0.1, name="a"), "min_delta=-0.1"),
        (lambda: TrainConfig(patience=0, name="a"), "patience=0"),
        (lambda: TrainConfig(seed=-1, name="a"), "seed=-1"),
        (lambda: TrainConfig(seed=2**32, name="a"), "seed=4294967296"),
        (lambda: TrainConfig(device="gpu", name="a"), "device=gpu"),
        (lambda: TrainConfig(device="cuda:x", name="a"), "device=cuda:x"),
        (lambda: TrainConfig(name="../up"), "name=../up"),
        (lambda: TrainConfig(name="a b"), "name=a b"),
        (lambda: TrainConfig(name=""), "name="),
        (lambda: DataConfig("mnist", train_size=0), "data.train_size=0"),
        (lambda: DataConfig("mnist", val_size=-1), "data.val_size=-1"),
        (
            lambda: TrainConfig(name="a", data=DataConfig("mnist", val_size=0)),
            "data.val_size=0",
        ),
        (lambda: DataConfig("mnist", std=0.0), "data.std=0.0"),
        (lambda: CorruptionConfig(noise_std=-0.1), "corruption.noise_std=-0.1"),
        (lambda: OptimizerConfig(clip_norm=0.0), "optimizer.clip_norm=0.0"),
        (lambda: OptimizerConfig(warmup_epochs=-1.0), "optimizer.warmup_epochs=-1.0"),
        (lambda: FCConfig("fc", latent=5, widths=[0]), "model.widths=0"),
        (lambda: FCConfig("fc", "conv", latent=5), "model.kind=conv"),
        (lambda: ConvConfig("conv", "os.system", latent=5), "model.kind=os.system"),
        (lambda: LayerConfig(channels=0), "model.layers channels=0"),
        (lambda: LayerConfig(8, kernel=0), "model.layers kernel=0"),
        (lambda: LayerConfig(8, stride=0), "model.layers stride=0"),
        (lambda: LayerConfig(8, padding=-1), "model.layers padding=-1"),
        (lambda: LayerConfig(8, dilation=0), "model.layers dilation=0"),
        (lambda: LayerConfig(8, stride=4, dilation=6), "model.layers dilation=6"),
        (lambda: TrainConfig(latent=2**62, name="a"), f"latent={2**62}"),
        (lambda: TrainConfig(epochs=10**7, name="a"), "epochs=10000000"),
        (lambda: TrainConfig(batch_size=2**63, name="a"), f"batch_size={2**63}"),
        (lambda: TrainConfig(val_every=10**7, name="a"), "val_every=10000000"),
        (lambda: TrainConfig(patience=10**7, name="a"), "patience=10000000"),
        (lambda: DataConfig("mnist", train_size=10**10), "data.train_size=10000000000"),
        (lambda: DataConfig("mnist", channels=2**21), f"channels={2**21}"),
        (lambda: DataConfig("mnist", image_shape=[1, 2**15, 2]), "data.image_shape=[1, 32768, 2]"),
        (lambda: CorruptionConfig(factor=2**15), "factor=32768"),
        (lambda: UpsampleConfig(kernel=2**15), "upsample.kernel=32768"),
        (lambda: CheckpointConfig(epochs=10**7), "checkpoint.epochs=10000000"),
        (lambda: FCConfig("fc", latent=5, widths=[2**21]), f"model.widths={2**21}"),
        (lambda: LayerConfig(2**21), f"model.layers channels={2**21}"),
        (lambda: LayerConfig(8, kernel=2**15), "model.layers kernel=32768"),
        (lambda: LayerConfig(8, stride=2**15), "model.layers stride=32768"),
        (lambda: LayerConfig(8, padding=2**15), "model.layers padding=32768"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_outside_its_limits_is_named(change: Callable[[], Any], line: str) -> None:
    with pytest.raises(UsageError) as caught:
        change()
    assert str(caught.value).startswith(f"{line} is not valid: give ")


SCHEMAS: dict[type[Any], dict[str, Any]] = {
    TrainConfig: {"name": "a"}, DataConfig: {}, UpsampleConfig: {}, CorruptionConfig: {},
    CheckpointConfig: {}, OptimizerConfig: {}, LayerConfig: {"channels": 2},
    FCConfig: {"latent": 2}, ConvConfig: {"latent": 2},
}  # fmt: skip


def test_every_integer_has_an_upper_limit() -> None:
    for schema, given in SCHEMAS.items():
        for name, hint in get_type_hints(schema).items():
            if hint in (int, int | None, list[int], list[int] | None):
                huge = [1, 10**400, 1] if "list" in str(hint) else 10**400
                with pytest.raises(UsageError, match="is not valid: give "):
                    schema(**{**given, name: huge})


@pytest.mark.parametrize("value", [1e39, -1e39, float("inf"), -float("inf"), float("nan"), -1])
def test_every_number_has_limits_on_both_sides(value: float) -> None:
    count = 0
    for schema, given in SCHEMAS.items():
        for name, hint in get_type_hints(schema).items():
            # A mean may well be -1.
            if hint in (int, int | None, float, float | None) and (name, value) != ("mean", -1):
                count += 1
                with pytest.raises(UsageError, match="is not valid: give "):
                    schema(**{**given, name: value})
    assert count > 25
    with pytest.raises(UsageError, match=r"data\.image_shape=.* is not valid: give "):
        DataConfig("mnist", image_shape=[1, -1, 2])


@pytest.mark.parametrize(
    "name",
    ["${x}", "${oc.env:HOME}", "a${b", "\\${x}", "\\\\${", "50%", "#1", "a: b", "a\nb", "-x",
     "null", "true", "~", "'", '"', "[x]", "{x: y}", "*a", "&b", "!c", "é\udce9", " ", "1e3", "@",
     "%Y", "|", ">", "\t", "\x1b", "\u2028"],
)  # fmt: skip
def test_the_name_of_a_folder_is_saved_as_it_is(name: str) -> None:
    for path in (f"/photos/{name}", f"/{name}/photos"):
        data = DataConfig("folder", path, classes=[name, "b"])
        config = replace(UNUSUAL, data=data, data_dir=path, output_dir=path)
        assert from_yaml(to_yaml(config)) == config


def test_a_path_that_no_system_opens_is_refused() -> None:
    for change in (
        lambda path: DataConfig("folder", path),
        lambda path: TrainConfig(name="a", output_dir=path),
        lambda path: TrainConfig(name="a", data_dir=path),
    ):
        with pytest.raises(
            UsageError, match=r"=ééé.* is not valid: give at most 4,096 bytes$"
        ) as e:
            change("é" * 50_000)
        assert len(str(e.value)) < 150
        change("é/" * 1000)


def test_a_number_at_its_limit_is_valid() -> None:
    corruption = CorruptionConfig(CorruptionKind.downsample, noise_std=2.0**16, rate=1.0, factor=2)
    data = DataConfig("folder", "x", scale=1e-38, mean=-(2.0**16), std=2.0**-16)
    config = replace(UNUSUAL, lr=1e38, weight_decay=1e38, corruption=corruption, data=data)
    assert from_yaml(to_yaml(config)) == config


def test_every_field_says_what_it_means() -> None:
    candidates = [value for value in vars(module).values() if isinstance(value, type)]
    schemas = [value for value in candidates if is_dataclass(value)]
    assert len(schemas) == 11
    for schema in schemas:
        undocumented = {field.name for field in fields(schema)} - set(field_docs(schema))
        groups = {"data", "corruption", "upsample", "optimizer", "checkpoint", "model"}
        groups |= {"augment", "regularizer"}
        assert undocumented == (groups if schema is TrainConfig else set()), schema


def test_the_environment_names_the_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AECLI_DATA", "/somewhere")
    assert TrainConfig(name="a").data_dir == "/somewhere"
    monkeypatch.delenv("AECLI_DATA")
    assert TrainConfig(name="a").data_dir == "data"


def saved(**changes: Any) -> str:
    return yaml.safe_dump({**plain(UNUSUAL), **changes})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "just words",
        "- a list",
        "latent: [",
        "latent: 5",
        saved(unknown=1),
        saved(latent="many"),
        saved(latent=0),
        saved(name="${oc.env:HOME}"),
        saved(model={"kind": "os.system"}),
        saved(model={**plain(UNUSUAL)["model"], "_target_": "os.system"}),
        "model: !!python/object/apply:os.system ['true']",
    ],
)
def test_an_invalid_saved_configuration_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        from_yaml(text)


def test_a_configuration_of_an_earlier_version_is_read() -> None:
    text = to_yaml(UNUSUAL).replace("\nmin_delta:", "\ndelta:")
    for new, old in (("rate", "share"), ("example_noise_std", "shown_noise_std"),
                     ("exclude_classes", "without"), ("output_activation", "output")):  # fmt: skip
        text = text.replace(f"\n  {new}:", f"\n  {old}:")
    assert text.count("delta:") == 1 and "min_delta" not in text and "activation: tanh" not in text
    assert from_yaml(text) == UNUSUAL


def test_short_keys_that_an_earlier_version_saved_beside_their_values_are_read() -> None:
    folder = DataConfig("folder", "photos", "48x64", 3, val_size=None)
    corruption = CorruptionConfig(CorruptionKind.downsample, factor=4)
    config = replace(UNUSUAL, data=folder, corruption=corruption)
    short = {"path": "photos", "image_size": "48x64", "channels": 3, "factor": 4}
    assert not short.keys() & plain(config).keys()
    assert from_yaml(yaml.safe_dump({**plain(config), **short})) == config
    assert from_yaml(yaml.safe_dump({**plain(UNUSUAL), **dict.fromkeys(short)})) == UNUSUAL


def test_a_short_key_stands_for_one_field_and_no_other_key_is_called_so() -> None:
    groups = {"data": DataConfig, "corruption": CorruptionConfig, "model": FCConfig}
    groups |= {"regularizer": RegularizerConfig}
    for short, full in SHORT_KEYS.items():
        group, _, name = full.partition(".")
        assert name in field_docs(groups[group]) and short not in field_docs(TrainConfig)
        assert short_key(full) == short
    assert short_key("data.classes") == "data.classes"


def test_every_renamed_key_leads_to_an_existing_one() -> None:
    fields = {"corruption": CorruptionConfig, "data": DataConfig, "model": FCConfig}
    for old, new in RENAMED_KEYS.items():
        group, _, name = new.rpartition(".")
        assert name in field_docs(fields[group] if group else TrainConfig), new
        assert old.rpartition(".")[2] not in field_docs(fields[group] if group else TrainConfig)


def test_nothing_in_a_saved_configuration_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "leaked")
    with pytest.raises(UsageError) as caught:
        from_yaml(saved(name="${oc.env:SECRET}"))
    assert "leaked" not in str(caught.value)
