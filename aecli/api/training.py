"""Train a run from Python, with the overrides of the command line."""

import os
import re
import warnings
from pathlib import Path

from aecli.api.loading import load
from aecli.api.model import Model
from aecli.cli.compose import compose_run
from aecli.cli.jobs import run_once
from aecli.cli.override_checks import check_overrides
from aecli.cli.overrides import override, quoted, read_arguments
from aecli.config import TrainConfig
from aecli.data.loaded import keep_data, load_cached_data, resolve_config
from aecli.errors import UsageError
from aecli.runs.directory import RunDirectory
from aecli.runs.display import Display
from aecli.runtime.device import flush_denormals
from aecli.training.experiment import exclusive_run, run_experiment
from aecli.training.preflight import check_runnable

PLAIN = re.compile(r"[\w./~:+-]+")
"""Text that means the same with and without quotes."""


def train(*overrides: str, **keys: object) -> Model:
    """Train a run, as `aecli train` does, and open it.

    ```
    aecli.train(model="conv", latent=25, epochs=5)
    aecli.train("model.widths=[256,64]", model="fc", corruption="gaussian")
    ```

    Args:
        overrides: arguments as on the command line, `key=value`.
        keys: the same for keys without dots.

    Raises:
        AecliError: it cannot be done; the message says why.
        KeyboardInterrupt: interrupted; a checkpoint has been saved, and
            `aecli train resume=FOLDER` goes on.
    """
    line = [*overrides, *(_argument(key, value) for key, value in keys.items())]
    for key in ("resume", "log", "compare", "restart", "finish"):
        if any(each.startswith(f"{key}=") for each in line):
            raise UsageError(f"{key}= is for the command line: leave it out")
    line = read_arguments(line)
    check_overrides(line, multirun=False)
    flush_denormals()
    run = compose_run(line)
    folders: list[Path] = []
    with keep_data():
        check_runnable(run.config)
        run_once(run, lambda config, folder: folders.append(_train(config, RunDirectory(folder))))
    return load(folders[0], device=run.config.device)


def _train(config: TrainConfig, run: RunDirectory) -> Path:
    """Train one run in an empty folder."""
    data = load_cached_data(config)
    if data.notice is not None:
        warnings.warn(data.notice, stacklevel=2)
    config = resolve_config(config, data)
    run.check_vacant()
    with exclusive_run(run):
        run_experiment(config, data, run, Display(config.name), warn=warnings.warn)
    return run.path


def _argument(key: str, value: object) -> str:
    """A key and its value as they are typed on the command line."""
    needs_quotes = isinstance(value, str | os.PathLike) and not PLAIN.fullmatch(str(value))
    return override(key, value) if needs_quotes else f"{key}={_typed(value)}"


def _typed(value: object) -> str:
    """A value as it is typed on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        words = (quoted(each) if isinstance(each, str) else _typed(each) for each in value)
        return f"[{','.join(words)}]"
    return str(value)
