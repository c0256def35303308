"""Group runs that differ only by seed, and find the settings that differ between groups."""

from collections import defaultdict
from collections.abc import Sequence

from aecli.comparison.results import Result, RunGroup
from aecli.config import TrainConfig, experiments, model_values, optimizer_choice, settings
from aecli.config.wording import NULL, as_typed, last_word, shortest_keys, word
from aecli.files.storage import natural_key

SEED = {"seed"}  # averaged over
# Keys with a column or an axis of their own, and the data set, of which a comparison has one.
NAMED = {"latent", "model.latent", "model.name", "upsample.name", "data.name"}

# Keys in which a run that is named after an experiment may differ from it.
CHANGEABLE = {"latent", "epochs"}

Key = tuple[str, str]
"""The model that a key belongs to (empty if it belongs to all), and the key."""


def grouped(results: list[Result]) -> tuple[list[RunGroup], dict[str, str]]:
    """Groups by family and latent size, and the settings that are the same in all of them."""
    configs = _flat([result.config for result in results], SEED | NAMED)
    values = _values(configs)
    several_upsamplings = len({result.upsample for result in results} - {None}) > 1
    groups: dict[tuple[str, int], list[Result]] = defaultdict(list)
    differences: dict[str, dict[str, str]] = {}
    found = _differences(configs, values)
    distinguishing = _distinguishing_settings(results, found)
    plain = [
        extended == differing and _is_plain(*config, values)
        for extended, differing, config in zip(distinguishing, found, configs, strict=True)
    ]
    names = _names(results, distinguishing, plain)
    for result, differing, name in zip(results, distinguishing, names, strict=True):
        upsample = [result.upsample] if several_upsamplings and result.upsample else []
        words = [word(key, value) for key, value in differing.items()] if name is None else []
        family = ", ".join([name or str(result.config.model.name), *upsample, *words])
        differences[family] = differing
        groups[family, result.config.latent].append(result)
    groups_of_runs = [
        RunGroup(family, differences[family], sorted(group, key=lambda each: each.config.seed))
        for (family, _), group in groups.items()
    ]
    groups_of_runs.sort(key=lambda group: (natural_key(group.family), group.latent))
    models = {result.config.model.name for result in results}
    return groups_of_runs, _common(values, several_models=len(models) > 1)


def _distinguishing_settings(
    results: list[Result], differences: list[dict[str, str]]
) -> list[dict[str, str]]:
    """The differences, and two that no setting shows but that must not be averaged over: other
    training images, and runs that were closed before their training was over."""
    settings = [
        f"{result.config.model.name} {result.upsample} {found}"
        for result, found in zip(results, differences, strict=True)
    ]
    images = [result.training_images[:8] or "unknown" for result in results]
    sizes = [
        f"{setting} {result.config.latent}"
        for setting, result in zip(settings, results, strict=True)
    ]
    ends = [None if result.closed is None else f"epoch {len(result.records)}" for result in results]
    return [
        found
        | ({"training images": image} if image_differs else {})
        | ({"closed": end} if end_differs and end is not None else {})
        for found, image, image_differs, end, end_differs in zip(
            differences, images, _differ(settings, images), ends, _differ(sizes, ends), strict=True
        )
    ]


def _differ(names: list[str], values: Sequence[str | None]) -> list[bool]:
    """Whether the values of any two with the same name differ."""
    found: dict[str, set[str | None]] = defaultdict(set)
    for name, value in zip(names, values, strict=True):
        found[name].add(value)
    return [len(found[name]) > 1 for name in names]


def distinctions(configs: list[TrainConfig]) -> list[dict[str, str]]:
    """For each run of a sweep, the settings that differ between runs, besides model and latent
    size: short key -> value."""
    flat = _flat(configs, NAMED - {"upsample.name", "data.name"})
    return _differences(flat, _values(flat))


def _flat(configs: list[TrainConfig], left_out: set[str]) -> list[tuple[str, dict[Key, str]]]:
    """The model's name of each run, and its settings by key.

    Optimizers that differ are named by their choices, if each of them is one.
    """
    chosen = [optimizer_choice(config.optimizer) for config in configs]
    are_choices = len(set(chosen)) > 1 and None not in chosen
    found = []
    for config, optimizer in zip(configs, chosen, strict=True):
        model = str(config.model.name)
        values = {"data.name": config.data.name, **settings(config)}
        if are_choices:
            values = {key: values[key] for key in values if not key.startswith("optimizer.")}
            values["optimizer"] = optimizer
        by_model = {
            (model if key.startswith("model.") else "", key): as_typed(value)
            for key, value in values.items()
            if key not in left_out
        }
        found.append((model, by_model))
    return found


def _values(configs: list[tuple[str, dict[Key, str]]]) -> dict[Key, set[str]]:
    """All values of each key; a key that only some runs have is null in the others."""
    everywhere = {key for _, config in configs for key in config}
    return {
        key: {config.get(key, NULL) for model, config in configs if key[0] in ("", model)}
        for key in everywhere
    }


def _differences(
    configs: list[tuple[str, dict[Key, str]]], values: dict[Key, set[str]]
) -> list[dict[str, str]]:
    """For each run, the keys whose values differ; a model's own keys within that model only."""
    differing = sorted(key for key, found in values.items() if len(found) > 1)
    names = shortest_keys([name for _, name in differing])
    return [
        {names[key[1]]: config.get(key, NULL) for key in differing if key[0] in ("", model)}
        for model, config in configs
    ]


def _common(values: dict[Key, set[str]], several_models: bool) -> dict[str, str]:
    """The keys with one value, as `key` or, among several models, as `fc: key`; nulls left out."""
    return {
        f"{model}: {name}" if model and several_models else name: next(iter(found))
        for (model, name), found in sorted(values.items())
        if len(found) == 1 and found != {NULL}
    }


def _names(
    results: list[Result], differences: list[dict[str, str]], plain: list[bool]
) -> list[str | None]:
    """For each run, one word for all of its differences: the experiment that it is or, if it is
    `plain` and all others of its model are experiments, the model; None for the rest."""
    runs = [*zip([result.config for result in results], differences, plain, strict=True)]
    experiments = [_experiment(config, differing) for config, differing, _ in runs]
    of_model: dict[str, set[str]] = defaultdict(set)
    others: dict[str, set[str]] = defaultdict(set)
    for (config, differing, _), name in zip(runs, experiments, strict=True):
        (others if name is None else of_model)[config.model.name].add(str(differing))
    return [
        model if name is None and is_plain and of_model[model] and len(others[model]) == 1 else name
        for (config, _, is_plain), name in zip(runs, experiments, strict=True)
        for model in [config.model.name]
    ]


def _is_plain(model: str, config: dict[Key, str], values: dict[Key, set[str]]) -> bool:
    """Whether every setting that differs has its default value."""
    usual = model_values(model)
    return bool(usual) and all(
        as_typed(usual.get(key[1])) == config.get(key, NULL)
        for key, found in values.items()
        if len(found) > 1 and key[0] in ("", model)
    )


def _experiment(config: TrainConfig, differences: dict[str, str]) -> str | None:
    """The experiment under `conf` that a run is, if it sets all of the differences.

    The latent size and the length of the training may be different.
    """
    chosen = {**settings(config), "optimizer": optimizer_choice(config.optimizer)}
    own = {key: as_typed(value) for key, value in chosen.items()}
    for name, (model, values) in experiments().items():
        typed = {key: as_typed(value) for key, value in values.items()}
        is_one = model == config.model.name and all(
            own.get(key) == value for key, value in typed.items() if key not in CHANGEABLE
        )
        named = {short: value for key, value in typed.items() for short in (key, last_word(key))}
        if is_one and differences and differences.items() <= named.items():
            return name
    return None
