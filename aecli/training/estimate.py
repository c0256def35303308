"""Estimate how long trainings take, from a few of their steps; nothing is written."""

import heapq
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import torch

from aecli.config import TrainConfig
from aecli.data import Data
from aecli.data.loaded import load_cached_data
from aecli.runtime.device import keep_freed_memory, training_arithmetic
from aecli.training.experiment import naming_lack_of_memory
from aecli.training.loop import new_model, steps_per_epoch, training_step, validate
from aecli.training.state import TrainingState

TIME_LIMIT = 8.0
"""Seconds that all measurements may take."""
MAX_SECONDS = 1.0
"""For the steps of one kind of training, after those that warm up."""
MAX_KINDS = 16
"""So many kinds are measured; others are taken to be as fast as these on average."""
WARM_UP = 5
"""Steps; on a GPU the first few are slow, and then the step is captured."""


@dataclass(frozen=True)
class Task:
    """A training that is to be estimated."""

    config: TrainConfig
    images: int
    """For training."""
    epochs: float
    """That are left."""
    max_seconds: float | None = None
    """Training time that is left of `minutes`; None for no limit."""

    @property
    def steps(self) -> int:
        """That are left."""
        return round(self.epochs * self.config.steps_per_epoch(self.images))

    @property
    def kind(self) -> str:
        """Equal for trainings whose steps and validations take as long."""
        config = self.config
        return repr(
            (
                config.data,
                config.data_dir,
                config.device,
                config.model,
                config.upsample,
                config.corruption,
                config.batch_size,
                config.precision,
                config.compile,
                config.deterministic,
                config.optimizer.clip_norm is None,
            )
        )

    def seconds(self, pace: "Pace") -> float:
        """How long it takes, if no patience ends it before."""
        training = self.steps * pace.step
        share = 1.0
        if self.max_seconds is not None and training > self.max_seconds:
            share = self.max_seconds / training
        return share * (training + self.epochs / self.config.val_every * pace.validation)


@dataclass(frozen=True)
class Pace:
    """How fast a training is on this machine."""

    step: float
    """Seconds of a step."""
    validation: float
    """Seconds of a validation."""
    steps: int = 0
    """From which it is known."""


@dataclass(frozen=True)
class Estimate:
    """How long several trainings take."""

    seconds: list[float]
    """For each."""
    steps: int
    """That were measured."""
    measured: int
    """Kinds of training that were measured."""
    kinds: int


def estimate(tasks: Sequence[Task]) -> Estimate:
    """Measure a few steps of each kind of training.

    Raises:
        AecliError: one does not fit into memory.
    """
    kinds = {task.kind: task for task in tasks}
    # Those that use the same images one after the other: only one data set is kept in memory.
    sample = sorted(_spread([*kinds], MAX_KINDS))
    seconds = min(MAX_SECONDS, TIME_LIMIT / len(sample) / 2)
    paces: dict[str, Pace] = {}
    end = time.perf_counter() + TIME_LIMIT
    for kind in sample:
        if paces and time.perf_counter() > end:
            break
        config = kinds[kind].config
        paces[kind] = measure_pace(config, load_cached_data(config), seconds)
    found = paces.values()
    usual = Pace(fmean(each.step for each in found), fmean(each.validation for each in found))
    return Estimate(
        [task.seconds(paces.get(task.kind, usual)) for task in tasks],
        sum(each.steps for each in found),
        len(paces),
        len(kinds),
    )


def _spread(kinds: list[str], count: int) -> list[str]:
    """At most `count` of them, from the first to the last."""
    if len(kinds) <= count:
        return kinds
    return [kinds[round(number * (len(kinds) - 1) / (count - 1))] for number in range(count)]


def measure_pace(config: TrainConfig, data: Data, seconds: float) -> Pace:
    """Train for about as many seconds, after a few steps that warm up, and validate.

    Raises:
        AecliError: the training does not fit into memory.
    """
    with naming_lack_of_memory():
        return _measure_pace(config, data, seconds)


def _measure_pace(config: TrainConfig, data: Data, seconds: float) -> Pace:
    keep_freed_memory()
    state = TrainingState(config, new_model(config, data), data.fingerprints)
    step, per_epoch = training_step(config, data, state), steps_per_epoch(config, data)
    device = data.train.images.device

    def train(max_steps: int | None) -> tuple[int, float]:
        """Take steps until there are so many or the time is up; their number and their time."""
        started, done = time.perf_counter(), 0
        while not done or (done != max_steps and time.perf_counter() - started < seconds):
            if state.step % per_epoch == 0:
                step.begin_epoch(1, 0)
            step(config.lr)
            state.step += 1
            done += 1
        return done, _since(started, device)

    state.model.train()
    with training_arithmetic(device, config.deterministic):
        train(WARM_UP)
        steps, taken = train(None)
    pace = taken / steps
    # A backward pass takes twice as long as a forward pass.
    affordable = int(3 * config.batch_size * seconds / pace) if pace else len(data.validation)
    images = data.validation[: max(1, min(affordable, len(data.validation)))]
    started = time.perf_counter()
    validate(config, replace(data, validation=images), state.model)
    return Pace(pace, _since(started, device) * len(data.validation) / len(images), steps)


def _since(started: float, device: torch.device) -> float:
    """Seconds until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter() - started


def makespan(seconds: Iterable[float], workers: int) -> float:
    """How long trainings take if so many run at a time, the longest first."""
    free = [0.0] * workers  # when each worker is
    for each in sorted(seconds, reverse=True):
        heapq.heapreplace(free, free[0] + each)
    return max(free)
