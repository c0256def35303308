"""Hydra's compose engine, with our schemas, and with errors in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

import hydra
from hydra._internal.hydra import Hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from aecli.config import MODEL_CONFIGS, TrainConfig, explain
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


def _register_schemas() -> None:
    """Register the dataclasses under the names that the YAML defaults lists use."""
    # For every command line, because the default of data_dir is read from the environment.
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


@contextmanager
def hydra_engine() -> Iterator[Hydra]:
    """Yield Hydra's compose engine; its errors become one-line UsageErrors."""
    _register_schemas()
    with (
        as_usage_errors(),
        hydra.initialize_config_dir(str(CONF_DIR), version_base="1.3"),
    ):
        yield current_engine()


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
    """Remove Hydra's own keys from a composed configuration, and return it."""
    with open_dict(composed):
        del composed["hydra"]
    return composed


def _missing_extra(error: MissingConfigException) -> UsageError | None:
    """An error that says what to install, if what is missing is a plugin."""
    missing = (error.missing_cfg_file or "").replace(_SLURM_SCHEMA, "submitit_slurm")
    group, _, choice = missing.rpartition("/")
    extra = EXTRAS.get(group, {}).get(choice)
    if extra is None:
        return None
    return missing_extra(f"{group}={choice}", extra)
