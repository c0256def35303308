"""How a run is named: after its model, its latent size, and what distinguishes it from other runs.

A name is a folder's too, so it has no characters that need quoting, and at most `MAX_NAME`.
"""

import os
import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any

from aecli.config import FOLDER, TrainConfig, config_groups, settings
from aecli.config.schema import NAME_PATTERN
from aecli.config.wording import CHOICES, NULL, as_typed, shortest_keys, word

MAX_NAME = 80
USUAL_DATA = ("auto", "mnist")

MODEL_CHOICES = ("experiment", "model")
# Keys that come first in a name: a recipe selects a model, and both select choices of groups.
KINDS = (*MODEL_CHOICES, *CHOICES)
IN_BASE = (*MODEL_CHOICES, "latent")
# Keys and sections that are in the name of a single run where they differ from the plain model or
# recipe, as are data and seed where they are not the default.
SECTIONS = ("upsample", "augment", "corruption", "regularizer", "loss", "model.tied")

Facts = dict[str, str]
"""Key -> value as typed, of everything that may be in a name; what is null is left out."""


@dataclass(frozen=True)
class Base:
    """The beginning of a name."""

    text: str

    implied_keys: frozenset[str] = frozenset()
    """Keys that need no word of their own, because the base implies their values."""


@dataclass(frozen=True)
class Described:
    """A run, as composed from its command line."""

    config: TrainConfig

    choices: Mapping[str, str | None]
    """Config group -> the file that was chosen."""

    given: frozenset[str]
    """The keys on its command line."""

    @property
    def base(self) -> Base:
        """The beginning of the name."""
        config = self.config
        return name_base(
            config.name, str(config.model.name), config.latent, self.choices, self.given
        )


def default_name(model: str, latent: int) -> str:
    """The name that conf/train.yaml gives a model with its latent size."""
    return f"{model}-z{latent}"


def name_base(
    name: str, model: str, latent: int, choices: Mapping[str, Any], given: Set[str]
) -> Base:
    """The beginning of the name of a run that is composed as `name`.

    A recipe stands for the model that it brings, unless the line names a model. A name that
    somebody chose, on the line or in a recipe, stays.
    """
    if "name" in given or name != default_name(model, latent):
        return Base(name)
    recipe = None if "model" in given else choices["experiment"]
    if recipe is None:
        return Base(name, frozenset({"model", "latent"}))
    clean = _clean(recipe)
    text = default_name(clean, latent) if NAME_PATTERN.fullmatch(clean) else name
    return Base(text, frozenset({"experiment", "latent"}))


def run_name(run: Described, plain: Described | None) -> str:
    """The name of a run of its own.

    Args:
        run: the run.
        plain: the same model or recipe as it comes; None if upsampling and corruption are its own.
    """
    if "name" in run.given:
        return run.config.name
    facts = _facts(run)
    others = facts if plain is None else _facts(plain)
    keys = [
        key
        for key, value in facts.items()
        if (key == "experiment" and "model" in run.given)
        or (key == "data" and value not in USUAL_DATA)
        or (key == "seed" and value != str(TrainConfig.seed))
        or (is_own(key) and value != others.get(key))
    ]
    return _bounded(run.base.text, _words(facts, keys))


def is_own(key: str) -> bool:
    """Whether a key belongs in the name of a single run if its value is unusual."""
    return key in SECTIONS or key.partition(".")[0] in SECTIONS


def sweep_names(runs: list[Described]) -> list[str]:
    """The names of the runs of a sweep: each has the values that vary, and lacks the number in
    front."""
    described = [_facts(run) for run in runs]
    varied = _varied(described)
    return [_name_from(run.base, facts, varied) for run, facts in zip(runs, described, strict=True)]


def trial_name(base: Base, overrides: Iterable[str], searched: Iterable[str]) -> str:
    """The name of a trial of a search: `base` and the values of the keys that are searched."""
    values = dict(each.split("=", 1) for each in overrides)
    facts = {key: rounded(values[key]) for key in searched if key in values}
    return _name_from(base, facts, facts)


def _name_from(base: Base, facts: Facts, keys: Iterable[str]) -> str:
    """`base` and the words for those keys that it does not imply."""
    return _bounded(base.text, _words(facts, [key for key in keys if key not in base.implied_keys]))


def sweep_folder(job: str, data: str) -> str:
    """The name of the folder of a kind of sweep, as in `latent-kmnist`; `data` is shared by all."""
    return job if data in USUAL_DATA else _bounded(job, [_clean(data)])


def data_word(choice: str, name: str, path: str | None) -> str:
    """The word for a data set: its choice, or the name of the folder with the user's images."""
    if name == FOLDER and path is not None:
        folder = os.path.basename(os.path.abspath(path))
        is_own = NAME_PATTERN.fullmatch(folder) and folder not in config_groups()["data"]
        return folder if is_own else FOLDER
    return name if choice in USUAL_DATA else choice


def _facts(run: Described) -> Facts:
    config = run.config
    choices = {**run.choices, "model": config.model.name}
    choices["data"] = data_word(str(run.choices["data"]), config.data.name, config.data.path)
    leaves = settings(config)
    where = {"data.name": config.data.name, "data.path": config.data.path}
    found: dict[str, Any] = {key: choices.get(key) for key in KINDS}
    found |= {key: as_typed(value) for key, value in {**where, **leaves}.items()}
    found["seed"] = found.pop("seed")  # the last word of a name
    return {
        key: value
        for key, value in found.items()
        if value not in (None, NULL)
        and key not in ("model.name", "model.kind", "model.latent")
        and (key.partition(".")[0] != "upsample" or config.model.kind == "conv")
    }


def _varied(runs: list[Facts]) -> list[str]:
    """The keys that vary, without those that follow from the choices before them."""
    varied: list[str] = []
    for key in dict.fromkeys([*IN_BASE, *KINDS, *(key for facts in runs for key in facts)]):
        kinds = [tuple(facts.get(kind) for kind in varied if kind in KINDS) for facts in runs]
        values = [facts.get(key) for facts in runs]
        if len({*zip(kinds, values, strict=True)}) > len({*kinds}):
            varied.append(key)
    return sorted(varied, key=lambda key: key == "seed")


def _words(facts: Facts, keys: list[str]) -> list[str]:
    """The words of a name for these keys, without the name of a choice from a group, such as
    `regularizer.name`, where the group is among them."""
    own = [key for key in keys if key not in {f"{kind}.name" for kind in KINDS if kind in keys}]
    names = shortest_keys(own)
    return [name_word(names[key], facts[key]) for key in own if key in facts]


def name_word(key: str, value: str) -> str:
    """A setting in a name, as in `lr0.01`, `noise0.3`, `widths256_64` and `activation_tanh`."""
    if key in MODEL_CHOICES:
        return _clean(value)
    if key in ("seed", "latent"):
        return f"{'s' if key == 'seed' else 'z'}{value}"
    if value in ("true", "false", "[]"):
        return _clean(key if value == "true" else f"no_{key}")
    text, is_setting, shown = word(key, value).partition("=")
    short, shown = _clean(text.removesuffix("_std").removesuffix("_size")), _clean(shown)
    return f"{short}{'_' * (shown[:1].isalpha())}{shown}" if is_setting else _clean(text)


def _clean(text: str) -> str:
    """`text` with only the characters that a name may have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text.replace("+", "")).strip("_")


def rounded(value: str) -> str:
    """A number that nobody typed, rounded to three digits, as in the names of trials."""
    return f"{float(value):.3g}" if re.fullmatch(r"\d*\.\d+(e-?\d+)?", value) else value


def _bounded(base: str, words: Iterable[str]) -> str:
    """The name with as many of the words as fit; none is cut, since part of a word could
    mislead."""
    name = base
    for each in words:
        if each and len(name) + 1 + len(each) > MAX_NAME:
            break
        name += f"-{each}" * bool(each)
    return name
