"""Hydra's compose engine, with our schemas, and with errors in one line."""

import os
from collections.abc import Container, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import lru_cache
from typing import ClassVar

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.hydra import Hydra
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override, OverrideType
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from aecli.cli.overrides import (
    HYDRA_TEXT,
    SEARCH_PATH,
    is_given,
    is_hydra_override,
    known_choices,
    parse_overrides,
)
from aecli.config import MODEL_CONFIGS, TrainConfig, default_data_dir, explain
from aecli.errors import UsageError, missing_extra
from aecli.errors.text import one_line
from aecli.files.places import CONF_DIR

PRIMARY = "train"

# Hydra's launchers and sweepers: choice -> the aecli extra that installs its plugin.
EXTRAS = {
    "hydra/launcher": {"joblib": "joblib", "submitit_local": "slurm", "submitit_slurm": "slurm"},
    "hydra/sweeper": {"optuna": "optuna"},
}
# Train the runs one after the other in this process, and several at a time on this machine.
BASIC, JOBLIB = "basic", "joblib"

# The base of conf/hydra/launcher/submitit_slurm.yaml.
_SLURM_SCHEMA = "slurm_schema"


def threads_of(launcher: str) -> int | None:
    """How many threads compute each run; None for torch's setting."""
    # joblib has as many workers as there are cores, so more threads would only compete for them.
    return 1 if launcher == JOBLIB else None


@lru_cache(1)
def _register_schemas(_: str) -> None:
    """Register the dataclasses under the names that the YAML defaults lists use; again when the
    default of data_dir, which is read from the environment, is another."""
    store = ConfigStore.instance()
    store.store(name="train_schema", node=TrainConfig)
    for kind, schema in MODEL_CONFIGS.items():
        store.store(group="model", name=f"{kind}_schema", node=schema)
    Plugins.instance()  # installed plugins register their own schemas
    sweepers = store.repo["hydra"]["sweeper"]
    if "optuna.yaml" in sweepers:
        # A trial that fails, such as one that diverges, does not end the search.
        sweepers["optuna.yaml"].node.max_failure_rate = 1.0
    launchers = store.repo["hydra"]["launcher"]
    if "submitit_slurm.yaml" in launchers:
        # Our file of the same name extends this one and replaces it, which Hydra does not allow
        # while they share the name.
        node = launchers.pop("submitit_slurm.yaml").node
        store.store(group="hydra/launcher", name=_SLURM_SCHEMA, node=node)


class CachingConfigLoader(ConfigLoaderImpl):
    """Composes each selection of choices once in a process, which takes Hydra a tenth of a second,
    and gives every run its own values as Hydra does, which takes a hundredth."""

    MAX_COMPOSED = 256
    """How many selections are kept; a process rarely has more than a few."""

    composed: ClassVar[dict[tuple[object, ...], DictConfig]] = {}
    """What selects a composition -> the composition, the oldest first; never changed."""

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path)
        # With the user's own files, which may change before the next command line.
        self._composed_with_own: dict[tuple[object, ...], DictConfig] = {}

    def __getstate__(self) -> dict[str, object]:
        """What a launcher hands to another process, which composes anew."""
        return {**vars(self), "_composed_with_own": {}}

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        parsed, groups = parse_overrides(overrides), known_choices(overrides)
        options = (run_mode, from_shell, validate_sweep_overrides)
        # What the runs of a sweep share has none of the values that vary.
        set_once = [each for each in parsed if run_mode is RunMode.RUN or not _varies(each)]
        values = [each for each in set_once if _is_value(each, groups)]
        choices = [str(each.input_line) for each in set_once if _is_choice(each, groups)]
        if len(values) + len(choices) < len(set_once):
            # Their order may matter, or the environment.
            return super().load_configuration(config_name, overrides, *options)
        kept = self._composed_with_own if is_given(SEARCH_PATH, overrides) else self.composed
        key = (config_name, *choices, *options, default_data_dir())
        if key not in kept:
            composed = super().load_configuration(config_name, choices, *options)
            while len(kept) >= self.MAX_COMPOSED:
                del kept[next(iter(kept))]
            kept[key] = composed
        config = deepcopy(kept[key])
        OmegaConf.clear_cache(config)  # the time that it is now, if composing has asked for it
        self._apply_overrides_to_config(values, config)
        _record_command_line(config, parsed)
        return config


def _varies(override: Override) -> bool:
    """Whether a sweep gives several values to a key of its runs."""
    return override.is_sweep_override() and not override.is_hydra_override()


def _is_plain(override: Override) -> bool:
    """Whether an override is `key=value` with one value, for the key where it usually is."""
    return (
        override.type is OverrideType.CHANGE
        and override.package is None
        and not override.is_sweep_override()
    )


def _is_value(override: Override, groups: Container[str]) -> bool:
    """Whether an override sets a value that each run has for itself, once all choices are made: of
    Hydra's own keys, those that name folders."""
    key = override.key_or_group
    is_of_run = not (is_hydra_override(override) or key in groups or "/" in key)
    return _is_plain(override) and (is_of_run or key in HYDRA_TEXT)


def _is_choice(override: Override, groups: Container[str]) -> bool:
    """Whether an override selects from a group, or sets a value by which Hydra works, and neither
    holds several keys nor several values; or names a folder with the user's own files."""
    value = override.value()
    if override.key_or_group == SEARCH_PATH and isinstance(value, list):
        # The groups in other places are not among the known ones.
        return _is_plain(override) and all(str(each).startswith("file://") for each in value)
    return (
        _is_plain(override)
        and not _is_value(override, groups)
        and not isinstance(value, dict | list)
    )


def _record_command_line(config: DictConfig, overrides: list[Override]) -> None:
    """Write into Hydra's own keys what it records of a command line and of where it was typed."""
    own = [each for each in overrides if not each.is_hydra_override()]
    for_hydra = [each for each in overrides if each.is_hydra_override()]
    config.hydra.overrides.task = [str(each.input_line) for each in own]
    config.hydra.overrides.hydra = [str(each.input_line) for each in for_hydra]
    config.hydra.runtime.cwd = os.getcwd()
    parts = config.hydra.job.config.override_dirname
    config.hydra.job.override_dirname = get_overrides_dirname(
        own, parts.exclude_keys, parts.item_sep, parts.kv_sep
    )


@contextmanager
def hydra_engine() -> Iterator[Hydra]:
    """Yield Hydra's compose engine; its errors become one-line UsageErrors."""
    _register_schemas(default_data_dir())
    with (
        as_usage_errors(),
        hydra.initialize_config_dir(str(CONF_DIR), version_base="1.3"),
    ):
        engine = current_engine()
        engine.config_loader = CachingConfigLoader(engine.config_loader.get_search_path())
        yield engine


def current_engine() -> Hydra:
    """The engine that `hydra_engine` has yielded."""
    engine = GlobalHydra.instance().hydra
    assert engine is not None, "called within hydra_engine"
    return engine


@contextmanager
def as_usage_errors() -> Iterator[None]:
    """Turn errors of Hydra and OmegaConf into one-line UsageErrors."""
    try:
        yield
    except MissingConfigException as error:
        raise (_missing_extra(error) or UsageError(one_line(error))) from error
    except HydraException as error:
        cause = error.__cause__
        if isinstance(cause, OmegaConfBaseException):
            raise UsageError(explain(cause)) from error
        raise UsageError(one_line(error)) from error
    except OmegaConfBaseException as error:
        raise UsageError(explain(error)) from error
    except YAMLError as error:  # in a file of the user's own
        raise UsageError(one_line(error)) from error


def without_hydra(composed: DictConfig) -> DictConfig:
    """A copy of a composed configuration without Hydra's own keys."""
    config = deepcopy(composed)
    with open_dict(config):
        del config["hydra"]
    return config


def _missing_extra(error: MissingConfigException) -> UsageError | None:
    """An error that says what to install, if what is missing is a plugin."""
    missing = (error.missing_cfg_file or "").replace(_SLURM_SCHEMA, "submitit_slurm")
    group, _, choice = missing.rpartition("/")
    extra = EXTRAS.get(group, {}).get(choice)
    if extra is None:
        return None
    return missing_extra(f"{group}={choice}", extra)
