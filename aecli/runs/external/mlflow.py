"""MLflow: a run on the server, or in the database, that MLFLOW_TRACKING_URI names."""

import os
import time

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray

from aecli.config.wording import as_typed
from aecli.runs.external import PROJECT, RunFacts

ERRORS = (MlflowException, OSError)
ADVICE = "MLFLOW_TRACKING_URI names the server or the database"
OWN_ID = "aecli.id"
"""The tag by which a resumed run is found."""


class MlflowRun:
    """A run of MLflow."""

    def __init__(self, facts: RunFacts) -> None:
        self._client = MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        home = _experiment(self._client, name)
        known = self._client.search_runs([home], f"tags.`{OWN_ID}` = '{facts.id}'", max_results=1)
        if known:
            self._run = known[0].info.run_id
            self._client.update_run(self._run, status="RUNNING")
            return
        tags = {OWN_ID: facts.id, "folder": str(facts.folder)}
        if facts.group is not None:
            tags["sweep"] = facts.group
        created = self._client.create_run(home, run_name=facts.name, tags=tags)
        self._run = created.info.run_id
        params = [Param(key, _as_text(value)) for key, value in facts.settings.items()]
        self._client.log_batch(self._run, params=params)

    @property
    def place(self) -> str:
        """The server or the database."""
        return mlflow.get_tracking_uri()

    def metrics(self, values: dict[str, float], epoch: int) -> None:
        now = int(time.time() * 1000)
        metrics = [Metric(tag, value, now, epoch) for tag, value in values.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def image(self, tag: str, pixels: NDArray[np.uint8], epoch: int) -> None:
        self._client.log_image(self._run, pixels, f"{tag}/epoch-{epoch:04}.png")

    def close(self, *, is_complete: bool) -> None:
        self._client.set_terminated(self._run, "FINISHED" if is_complete else "FAILED")


def _experiment(client: MlflowClient, name: str) -> str:
    """The id of the experiment of this name, which is created if there is none."""
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.create_experiment(name)
        except MlflowException:  # another run of the sweep may just have created it
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return found.experiment_id


def _as_text(value: object) -> str:
    """A setting as it is typed on the command line, with all digits."""
    return str(value) if isinstance(value, float) else as_typed(value)


def start(facts: RunFacts) -> MlflowRun:
    """Open a new run, or the existing one if it is known there."""
    return MlflowRun(facts)
