"""Estimate how long training runs take, from a few of their steps; no run is created."""

import heapq
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, Self

import torch

from aecli.config import TrainConfig
from aecli.data import Data
from aecli.data.loaded import load_cached_data
from aecli.runtime.device import (
    keep_freed_memory,
    readable_out_of_memory_errors,
    training_arithmetic,
)
from aecli.training.loop import new_model, steps_per_epoch, training_step
from aecli.training.state import TrainingState
from aecli.training.validation import validate

TIME_LIMIT = 8.0
"""Seconds after which no further measurement is started."""
MAX_SECONDS = 1.0
"""Seconds for the steps of one kind of training, after the warm-up."""
MAX_KINDS = 16
"""Largest number of kinds that are measured; others are assumed to be as fast as these on
average."""
WARM_UP = 5
"""Minimum number of warm-up steps, which are not timed."""


@dataclass(frozen=True)
class Task:
    """A training that is to be estimated."""

    config: TrainConfig
    images: int
    """The number of training images."""
    epochs: float
    """The number of epochs that are left."""
    max_seconds: float | None = None
    """Training time that is left of `minutes`; None for no limit."""

    @classmethod
    def left(
        cls, config: TrainConfig, data: Data, checkpoint: Mapping[str, Any] | None = None
    ) -> Self:
        """What is left of a training after its newest checkpoint; all of it if that is None."""
        done, seconds = 0.0, 0.0
        if checkpoint is not None:
            done = len(checkpoint["records"]) + checkpoint["step"] / steps_per_epoch(config, data)
            seconds = (
                sum(record["seconds"] for record in checkpoint["records"]) + checkpoint["seconds"]
            )
        limit = None if config.minutes is None else max(0.0, 60 * config.minutes - seconds)
        return cls(config, len(data.train), max(0.0, config.epochs - done), limit)

    @property
    def steps(self) -> int:
        """The number of steps that are left."""
        return round(self.epochs * self.config.steps_per_epoch(self.images))

    @property
    def kind(self) -> str:
        """A key that is equal for training runs whose steps and validations take equally long."""
        config = self.config
        return repr(
            (
                config.data,
                config.data_dir,
                config.device,
                config.model,
                config.upsample,
                config.augment,
                config.corruption,
                config.loss,
                config.regularizer.name,
                config.regularizer.activity,
                config.batch_size,
                config.precision,
                config.compile,
                config.deterministic,
                config.optimizer.clip_norm is None,
            )
        )

    def is_cut_short(self, times: "StepTimes") -> bool:
        """Whether `minutes` ends it before its last epoch."""
        return self.max_seconds is not None and self.steps * times.step > self.max_seconds

    def seconds(self, times: "StepTimes") -> float:
        """How long it takes, if early stopping does not end it."""
        training = self.steps * times.step
        share = 1.0
        if self.max_seconds is not None and self.is_cut_short(times):
            share = self.max_seconds / training
        return share * (training + self.epochs / self.config.val_every * times.validation)


@dataclass(frozen=True)
class StepTimes:
    """How long the parts of a training run take on this machine."""

    step: float
    """Seconds of a step."""
    validation: float
    """Seconds of a validation."""
    steps: int = 0
    """The number of steps that were measured."""


@dataclass(frozen=True)
class Estimate:
    """How long several training runs take."""

    seconds: list[float]
    """The time that each of them takes."""
    cut_short: int
    """The number of training runs that `minutes` ends before their last epoch."""
    steps: int
    """The number of steps that were measured."""
    measured: int
    """The number of kinds of training that were measured."""
    kinds: int
    """The number of kinds that there are."""


def estimate(tasks: Sequence[Task]) -> Estimate:
    """Estimate how long `tasks` take, by timing a few steps of up to `MAX_KINDS` kinds.

    Raises:
        AecliError: one does not fit into memory.
    """
    kinds = {task.kind: task for task in tasks}
    # Runs on the same images are measured one after the other: only one data set is kept in memory.
    sample = sorted(_spread([*kinds], MAX_KINDS))
    seconds = min(MAX_SECONDS, TIME_LIMIT / len(sample) / 2)
    times: dict[str, StepTimes] = {}
    end = time.perf_counter() + TIME_LIMIT
    for kind in sample:
        if times and time.perf_counter() > end:
            break
        config = kinds[kind].config
        times[kind] = measure_steps(config, load_cached_data(config), seconds)
    found = times.values()
    usual = StepTimes(fmean(each.step for each in found), fmean(each.validation for each in found))
    each_task = [(task, times.get(task.kind, usual)) for task in tasks]
    return Estimate(
        seconds=[task.seconds(its_times) for task, its_times in each_task],
        cut_short=sum(task.is_cut_short(its_times) for task, its_times in each_task),
        steps=sum(each.steps for each in found),
        measured=len(times),
        kinds=len(kinds),
    )


def _spread(kinds: list[str], count: int) -> list[str]:
    """At most `count` items, evenly spaced from the first to the last."""
    if len(kinds) <= count:
        return kinds
    return [kinds[round(number * (len(kinds) - 1) / (count - 1))] for number in range(count)]


def measure_steps(config: TrainConfig, data: Data, seconds: float) -> StepTimes:
    """Train for about `seconds` seconds after a few warm-up steps, and validate.

    Raises:
        AecliError: the training does not fit into memory.
    """
    with readable_out_of_memory_errors():
        return _measure_steps(config, data, seconds)


def _measure_steps(config: TrainConfig, data: Data, seconds: float) -> StepTimes:
    keep_freed_memory()
    state = TrainingState(config, new_model(config, data), data.fingerprints)
    step, per_epoch = training_step(config, data, state), steps_per_epoch(config, data)
    device = data.train.images.device

    def train(is_enough: Callable[[int, float], bool]) -> tuple[int, float]:
        """Take steps until `is_enough(number, seconds)`; return their number and their seconds."""
        started, done, taken = time.perf_counter(), 0, 0.0
        while not done or not is_enough(done, taken):
            if state.step % per_epoch == 0:
                step.begin_epoch(1, 0)
            step(config.lr)
            state.step += 1
            done += 1
            if done.bit_count() == 1:  # after 1, 2, 4 and so on, so that it costs next to nothing
                _synchronise(device)  # or a GPU would be given more work than it can do in the time
            taken = time.perf_counter() - started
        _synchronise(device)
        return done, time.perf_counter() - started

    def is_warm(done: int, taken: float) -> bool:
        # A GPU's first step may take long, and says nothing about those that replay the graph.
        is_late = device.type != "cuda" and taken >= seconds
        return step.is_warm and (done >= WARM_UP or is_late)

    state.model.train()
    with training_arithmetic(device, config.deterministic):
        train(is_warm)
        steps, taken = train(lambda _, taken: taken >= seconds)
    each = taken / steps
    if not config.data.has_validation:
        return StepTimes(each, 0.0, steps)
    # A step costs about three forward passes, so this many images can be validated in `seconds`.
    affordable = int(3 * config.batch_size * seconds / each) if each else len(data.validation)
    images = data.validation[: max(1, min(affordable, len(data.validation)))]
    started = time.perf_counter()
    validate(config, replace(data, validation=images), state.model)
    _synchronise(device)
    validation = (time.perf_counter() - started) * len(data.validation) / len(images)
    return StepTimes(each, validation, steps)


def _synchronise(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def makespan(seconds: Iterable[float], workers: int) -> float:
    """How long training runs take if `workers` of them run at a time, the longest first."""
    free = [0.0] * workers  # when each worker is free
    for each in sorted(seconds, reverse=True):
        heapq.heapreplace(free, free[0] + each)
    return max(free)
