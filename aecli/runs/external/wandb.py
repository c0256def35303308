"""Weights & Biases: a run online, or in a local folder with WANDB_MODE=offline."""

import os
from pathlib import Path

import numpy as np
import wandb
from numpy.typing import NDArray

from aecli.runs.external import PROJECT, RunFacts

ERRORS = (wandb.Error, ValueError)  # about a value in its environment that it does not know
ADVICE = "With WANDB_MODE=offline it logs to a folder, which wandb sync uploads later"


class WandbRun:
    """A run of W&B."""

    def __init__(self, facts: RunFacts) -> None:
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=facts.id,
            name=facts.name,
            group=facts.group,
            config={**facts.settings, "folder": str(facts.folder)},
            resume="allow",
            reinit="create_new",  # and not in a run that the caller may have open
            # aecli writes to the terminal: its progress would be copied, and mixed with messages.
            settings=wandb.Settings(console="off", silent=True),
        )
        # Its own count of steps only grows, whereas epochs after a checkpoint are logged again.
        self._run.define_metric("*", step_metric="epoch")

    @property
    def place(self) -> str:
        """The page of the run, or the folder that wandb sync uploads."""
        if self._run.offline:
            return str(Path(self._run.dir).parent)
        return str(self._run.url)

    def metrics(self, values: dict[str, float], epoch: int) -> None:
        self._run.log({"epoch": epoch, **values})

    def image(self, tag: str, pixels: NDArray[np.uint8], epoch: int) -> None:
        self._run.log({"epoch": epoch, tag: wandb.Image(pixels)})

    def close(self, *, is_complete: bool) -> None:
        self._run.finish(exit_code=0 if is_complete else 1)


def start(facts: RunFacts) -> WandbRun:
    """Open a new run, or the existing one if it is known there."""
    return WandbRun(facts)
