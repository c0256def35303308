"""One training step: the same function on every device, replayed as a CUDA graph on a GPU.

The kernels of networks this small run faster than they can be launched one by one. So on a GPU the
whole step, from gathering the batch to Adam, is captured once and then launched as one graph. The
position in the epoch is a tensor that the graph advances, so that no input comes from the host.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from aecli.config import Target, TrainConfig
from aecli.data.augmentation import augment
from aecli.data.batches import Normalisation, gather
from aecli.data.corruption import build_corruption
from aecli.models import Autoencoder
from aecli.runtime.distributed import ProcessGroup
from aecli.runtime.rng import generator_for, reseed
from aecli.training.objective import Objective
from aecli.training.optimizer import Adam

EAGER_CALLS = 3
"""Calls before the capture, enough to initialise cuDNN, cuBLAS and Adam's state."""


class TrainingStep:
    """Takes one training step per call."""

    def __init__(
        self,
        config: TrainConfig,
        images: Tensor,
        model: Autoencoder,
        forward: Callable[..., Any],
        objective: Objective,
        optimizer: Adam,
        loss_sum: Tensor,
        penalty_sum: Tensor,
        group: ProcessGroup,
    ) -> None:
        """
        Args:
            config: the training configuration.
            images: uint8 (N, C, H, W), on the device of `model`.
            model: the model to train.
            forward: calls `objective`.
            objective: what is minimised.
            optimizer: the optimiser of its parameters.
            loss_sum: (); each step adds its mean loss times the number of images in the batch.
            penalty_sum: (); the same with the penalty.
            group: the training processes, each of which sees its shard of a batch.
        """
        self._config, self._images, self._group = config, images, group
        self._model, self._forward, self._optimizer = model, forward, optimizer
        self._objective = objective
        self._loss_sum, self._penalty_sum = loss_sum, penalty_sum
        self._corrupt = build_corruption(config.corruption)
        self._normalise = Normalisation(config.data.mean, config.data.std).apply
        self._noise = torch.Generator(images.device)
        self._augments = config.augment.is_on
        self._is_random = bool(self._augments or self._corrupt or objective.is_random)
        self._epoch = self._step = 0
        self._lr: float | None = None
        self._warmup_factor: float | None = None
        self._penalty_weight = torch.zeros((), device=images.device)

        device = images.device
        self._order = torch.zeros(len(images), dtype=torch.int64, device=device)
        self._batches = self._order.split(config.batch_size)
        self._position = torch.zeros((), dtype=torch.int64, device=device)
        self._offsets = torch.arange(min(config.batch_size, len(images)), device=device)
        # DistributedDataParallel communicates within a step, so the step stays eager.
        has_full_batch = config.batch_size <= len(images)
        is_captured = device.type == "cuda" and group.size == 1 and has_full_batch
        self._captured = CapturedCall(self._take_next, self._noise) if is_captured else None

    @property
    def is_warm(self) -> bool:
        """Whether the graph has been captured, if there will be one."""
        return self._captured is None or self._captured.has_graph

    def begin_epoch(self, epoch: int, steps_done: int) -> None:
        """Shuffle the images for an epoch in which `steps_done` steps have been taken."""
        generator = generator_for(self._config.seed, epoch, torch.device("cpu"))
        self._order.copy_(torch.randperm(len(self._images), generator=generator))
        self._position.fill_(steps_done * self._config.batch_size)
        self._epoch, self._step = epoch, steps_done

    def __call__(self, lr: float, warmup_factor: float = 1.0) -> None:
        """Take the next step, with the learning rate `lr`, and the penalty's weight times
        `warmup_factor`."""
        if lr != self._lr:
            self._optimizer.set_learning_rate(lr)
            self._lr = lr
        if warmup_factor != self._warmup_factor:
            self._penalty_weight.fill_(warmup_factor * self._objective.penalty_weight)
            self._warmup_factor = warmup_factor
        if self._is_random:  # noise that depends only on seed, epoch and step
            reseed(self._noise, self._config.seed, self._epoch, self._step)
        batch = self._batches[self._step]
        if self._captured is not None and len(batch) == self._config.batch_size:
            self._captured()
        else:  # the last batch of an epoch may be smaller
            self._take(batch)
        self._step += 1

    def _take_next(self) -> None:
        """Train on the next batch of the epoch, and advance the position."""
        batch = self._order.index_select(0, self._position + self._offsets)
        self._position += self._config.batch_size
        self._take(batch)

    def _take(self, batch: Tensor) -> None:
        """Train on the images with indices `batch` (B,)."""
        # 1. Gather the batch and change all of it on every rank, so that the noise is the same.
        pixels = gather(self._images, batch)  # (B, C, H, W)
        if self._augments:
            pixels = augment(pixels, self._config.augment, self._noise)
        inputs = self._corrupt(pixels, self._noise) if self._corrupt else pixels
        targets = inputs if self._config.corruption.target is Target.input else pixels
        inputs, targets = self._group.local_shard(inputs), self._group.local_shard(targets)
        noise = self._draw_code_noise(len(batch))

        # 2. Forward pass.
        loss = self._compute_loss(
            self._normalise(inputs), self._normalise(targets), noise, len(batch)
        )

        # 3. Backward pass.
        self._optimizer.zero_grad()
        loss.backward()
        if self._config.optimizer.clip_norm is not None:
            clip_grad_norm_(self._model.parameters(), self._config.optimizer.clip_norm)

        # 4. Adam.
        self._optimizer.step()

    def _draw_code_noise(self, images: int) -> Tensor | None:
        """This rank's part of the noise for as many codes; None if the objective needs none."""
        if not self._objective.is_random:
            return None
        shape, device = (images, self._model.latent), self._images.device
        noise = torch.randn(shape, generator=self._noise, device=device)
        return self._group.local_shard(noise)

    def _compute_loss(
        self, inputs: Tensor, targets: Tensor, noise: Tensor | None, images: int
    ) -> Tensor:
        """The objective () of this rank's inputs and targets (B, C, H, W), of `images` on all.

        The sums stay on the device, so nothing waits for them.
        """
        found = self._forward(inputs) if noise is None else self._forward(inputs, noise)
        predictions, penalty = found if isinstance(found, tuple) else (found, None)
        loss = self._group.scale_loss(self._objective.loss(predictions, targets), images)
        self._loss_sum += loss.detach() * images
        if penalty is None:
            return loss
        penalty = self._group.scale_loss(penalty, images)
        self._penalty_sum += penalty.detach() * images
        return loss + self._penalty_weight * penalty


class CapturedCall:
    """A function that launches CUDA kernels, captured as a graph after a few calls and replayed.

    It takes no arguments and returns nothing: what changes between calls is in tensors that it
    reads and writes in place, and in `noise`, which may be reseeded between calls.
    """

    def __init__(self, function: Callable[[], None], noise: torch.Generator) -> None:
        self._function, self._noise = function, noise
        self._stream = torch.cuda.Stream(noise.device)
        self._eager_calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    @property
    def has_graph(self) -> bool:
        """Whether the next call is a replay."""
        return self._graph is not None

    def __call__(self) -> None:
        if self._eager_calls < EAGER_CALLS:
            self._eager_calls += 1
            # On the capture stream, as torch's notes on CUDA graphs require.
            self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
            with torch.cuda.stream(self._stream):
                self._function()
            torch.cuda.current_stream(self._stream.device).wait_stream(self._stream)
            return
        if self._graph is None:
            self._graph = self._capture()
        self._graph.replay()

    def _capture(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._noise)
        with torch.cuda.graph(graph, stream=self._stream):
            self._function()
        return graph
