"""Convert configurations between YAML, Hydra's composed form and dataclasses."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from aecli.config.model import MODEL_CONFIGS, ModelConfig
from aecli.config.optimization import OptimizerConfig
from aecli.config.schema import SHORT_KEYS, TrainConfig, default_data_dir, short_key
from aecli.errors import UsageError
from aecli.errors.text import invalid_choice, one_line, shortened
from aecli.files.documents import InvalidDocumentError, parse_yaml
from aecli.files.places import CONF_DIR, LECTURE


def config_groups(root: Path = CONF_DIR) -> dict[str, list[str]]:
    """The config groups below `root`: group -> the names that `group=name` accepts."""
    return {
        folder.name: sorted(file.stem for file in folder.glob("*.yaml"))
        for folder in sorted(root.iterdir())
        # Neither Hydra's own groups, nor the lectures, which are no choices of a run.
        if folder.is_dir() and folder.name not in ("hydra", LECTURE)
    }


@cache
def experiments() -> dict[str, tuple[str, dict[str, Any]]]:
    """The name of each experiment -> its model, and the values that it sets by key, with its choice
    of an optimizer."""
    found = {}
    for file in sorted((CONF_DIR / "experiment").glob("*.yaml")):
        content = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(file)))
        choices = {key: each[key] for each in content.pop("defaults", []) for key in each}
        values = dict(_leaves(content))
        if optimizer := choices.get("override /optimizer"):
            values["optimizer"] = optimizer
        found[file.stem] = str(choices.get("override /model", "")), values
    return found


@cache
def model_values(model: str) -> dict[str, Any]:
    """The values by key of a run for which only the model is chosen, with the choice of an
    optimizer; empty for a model that is not under `conf`, or that overrides other groups."""
    file = CONF_DIR / "model" / f"{model}.yaml"
    if not file.is_file():
        return {}
    content = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(file)))
    schema, *overrides = content.pop("defaults")
    if overrides:
        return {}
    config = _schema(schema.removesuffix("_schema"), default_data_dir())
    merged = OmegaConf.merge(config, {"model": content})
    values = dict(_leaves(OmegaConf.to_container(merged, enum_to_str=True)))
    return {**values, "optimizer": optimizer_choice(OptimizerConfig())}


def optimizer_choice(optimizer: OptimizerConfig) -> str | None:
    """The choice that stands for this configuration of an optimizer, if there is one."""
    return next((name for name, each in _optimizers().items() if each == optimizer), None)


@cache
def _optimizers() -> dict[str, OptimizerConfig]:
    """Choice -> what it stands for."""
    schema = OmegaConf.structured(OptimizerConfig)
    return {
        file.stem: cast(OptimizerConfig, OmegaConf.to_object(OmegaConf.merge(schema, content)))
        for file in sorted((CONF_DIR / "optimizer").glob("*.yaml"))
        for content in [OmegaConf.load(file)]
    }


def field_docs(schema: type) -> dict[str, str]:
    """Field name -> the docstring below it in the source of `schema` or its bases."""
    inherited = [field_docs(base) for base in schema.__bases__ if is_dataclass(base)]
    tree = ast.parse(textwrap.dedent(inspect.getsource(schema)))
    body = cast(ast.ClassDef, tree.body[0]).body
    own = {
        statement.target.id: following.value.value
        for statement, following in zip(body, body[1:], strict=False)
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and isinstance(following, ast.Expr)
        and isinstance(following.value, ast.Constant)
        and isinstance(following.value.value, str)
    }
    return {name: doc for docs in (*inherited, own) for name, doc in docs.items()}


def to_config(composed: DictConfig) -> TrainConfig:
    """Convert what Hydra composed to a validated dataclass with all interpolations resolved.

    Raises:
        UsageError: a value has the wrong type or is out of range.
    """
    try:
        config = cast(TrainConfig, OmegaConf.to_object(composed))
    except OmegaConfBaseException as error:
        raise UsageError(explain(error)) from error
    if not isinstance(config.model, ModelConfig):
        schemas = " or ".join(f"[{kind}_schema]" for kind in MODEL_CONFIGS)
        raise UsageError(f"the file of the model has no schema: begin it with defaults: {schemas}")
    return config


def explain(error: OmegaConfBaseException) -> str:
    """Describe an OmegaConf error in one line: the key, the value and the valid values."""
    reason = str(error.msg or error).splitlines()[0]
    key = short_key(error.full_key or "")
    wrong_type = re.match(r"Value '(.*?)' (?:of type|is not) .*\b(Integer|Float|bool)\b", reason)
    if wrong_type:
        value, kind = wrong_type.groups()
        return f"{key}={shortened(value)} is not valid: give {_KINDS[kind]}"
    not_text = re.match(r"Cannot convert '\w+' to string: '(.*)'", reason)
    if not_text:
        return f"{key}={shortened(not_text[1])} is not valid: give one value, not a list"
    unknown = re.match(r"Key '(.*)' (?:is )?not in '", reason)
    if unknown:
        return f"there is no key {key!r}"
    if "is not a ListConfig" in reason:
        return f"{key} is not valid: give a list in brackets, as in [3,5]"
    if "is not Optional" in reason:
        return f"{key}=null is not valid: give a value, or leave it out"
    wrong_name = re.match(r"Invalid value '(.*)', expected one of \[(.*)\]", reason)
    if wrong_name:
        value, names = wrong_name.groups()
        return invalid_choice(key, value, names.split(", "))
    return f"{key}: {reason}" if key else reason


RENAMED_KEYS = {
    "corruption.share": "corruption.rate",
    "corruption.shown_noise_std": "corruption.example_noise_std",
    "data.without": "data.exclude_classes",
    "delta": "min_delta",
    "model.output": "model.output_activation",
}
"""Key in earlier versions -> its current name."""

_KINDS = {"Integer": "a whole number", "Float": "a number", "bool": "true or false"}


def plain(config: Any) -> Any:
    """Convert a config dataclass to dicts, lists, numbers and strings for YAML and JSON."""
    if is_dataclass(config):
        return {f.name: plain(getattr(config, f.name)) for f in fields(config)}
    if isinstance(config, list):
        return [plain(item) for item in config]
    return config.name if isinstance(config, Enum) else config


INCIDENTAL = {
    "name", "output_dir", "data_dir", "data.path", "data.name", "data.image_shape",
    "device", "checkpoint.epochs", "checkpoint.minutes", "tracker",
}  # fmt: skip
"""Keys that do not affect a result: where a run and its images are stored, and where it ran. The
images themselves are known by their fingerprints."""


def settings(config: TrainConfig) -> dict[str, Any]:
    """All values that affect the result, keyed as on the command line, as in `corruption.rate`."""
    return {key: value for key, value in _leaves(plain(config)) if key not in INCIDENTAL}


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested dicts and of lists of dicts, their keys joined by dots."""
    if isinstance(node, list) and any(isinstance(item, dict) for item in node):
        node = {str(number): item for number, item in enumerate(node)}
    if isinstance(node, dict):
        for key, child in node.items():
            yield from _leaves(child, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, node


def to_yaml(config: TrainConfig) -> str:
    """Write the resolved configuration as YAML for `from_yaml`."""
    return yaml.safe_dump(plain(config), sort_keys=False)


def _rename_keys(saved: dict[str, Any]) -> None:
    """Give the keys of a configuration saved by an earlier version their present names.

    The short keys were saved together with the full keys, which were used.
    """
    for old, new in (RENAMED_KEYS | SHORT_KEYS).items():
        (old_group, _, old_key), (group, _, key) = old.rpartition("."), new.rpartition(".")
        source = saved.get(old_group) if old_group else saved
        target = saved.get(group) if group else saved
        if isinstance(source, dict) and isinstance(target, dict) and old_key in source:
            target.setdefault(key, source.pop(old_key))


def from_yaml(text: str) -> TrainConfig:
    """Read what `to_yaml` wrote.

    Raises:
        UsageError: it is not an aecli configuration.
    """
    try:
        return from_plain(parse_yaml(text))
    except InvalidDocumentError as error:
        raise UsageError(f"it is not an aecli configuration: {error}") from error


def as_text(value: Any) -> Any:
    """`value` with every text in it escaped, so that OmegaConf resolves nothing and takes it as it
    is, such as a path with `${` in it."""
    if isinstance(value, dict):
        return {key: as_text(each) for key, each in value.items()}
    if isinstance(value, list):
        return [as_text(each) for each in value]
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", value) if isinstance(value, str) else value


@cache
def _schema(kind: str, _: str) -> DictConfig:
    """The types and defaults of all keys with a kind of model, and with a default of data_dir."""
    schema = OmegaConf.structured(TrainConfig)
    schema.model = OmegaConf.structured(MODEL_CONFIGS[kind])
    return cast(DictConfig, schema)


def from_plain(saved: Any) -> TrainConfig:
    """Convert what `plain` returned, read from a file: nothing in it is resolved or imported.

    Raises:
        UsageError: it is not an aecli configuration.
    """
    try:
        if not isinstance(saved, dict):
            raise UsageError("it is not an aecli configuration: it holds no keys")
        saved = as_text(saved)
        _rename_keys(saved)
        schema = _schema(saved["model"]["kind"], default_data_dir())
        return to_config(cast(DictConfig, OmegaConf.merge(schema, saved)))
    except OmegaConfBaseException as error:  # some are also KeyErrors or TypeErrors
        raise UsageError(explain(error)) from error
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"it is not an aecli configuration: {one_line(error)}") from error
