"""Data-parallel training in several processes started by torchrun: ranks and communication."""

import io
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from aecli.errors import AecliError
from aecli.runtime.signals import EXCEPTIONS, ignore_signals

# How long a rank waits for another that is alive: rank 0 may be busy with a PCA or a slow disk.
# A rank that has ended is noticed at once.
COLLECTIVE_TIMEOUT = timedelta(hours=2)

PROCESS_LOST = "one of the training processes has ended"

# From a signal to the forced exit of a process that is waiting; torchrun kills it after 30 s.
GRACE_SECONDS = 20.0


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that train a model together, as seen from one of them.

    All ranks must make the same calls in the same order, since each waits for the others.
    """

    rank: int = 0
    size: int = 1
    store: Store | None = None
    """torchrun's key-value store, which outlives any of the processes."""

    @property
    def is_main_process(self) -> bool:
        """Whether this is rank 0, the only one that reads the command line, writes and prints."""
        return self.rank == 0

    def wrap_ddp(self, model: nn.Module) -> nn.Module:
        """`model` with the parameters of rank 0 and gradients averaged over the ranks."""
        if self.size == 1:
            return model
        device = next(model.parameters()).device
        # Second derivatives come in another layout; copying them costs next to nothing.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        return DistributedDataParallel(model, [device] if device.type == "cuda" else None)

    def local_shard(self, batch: Tensor) -> Tensor:
        """This rank's part of a batch (B, ...); the sizes of the parts differ by at most one row.

        With fewer rows than ranks, the ranks without a row get the first one, because not every
        layer accepts an empty batch; `scale_loss` then gives it zero weight.
        """
        if self.size == 1:
            return batch
        part = batch.tensor_split(self.size)[self.rank]
        return part if len(part) else batch[:1]

    def scale_loss(self, loss: Tensor, images: int) -> Tensor:
        """Weight the mean loss of this rank by its share of the `images` in the batch, so that the
        mean over the ranks is the mean over the images."""
        if self.size == 1:
            return loss
        share = images // self.size + (self.rank < images % self.size)
        return loss * (share * self.size / images)

    def owns_batch(self, number: int) -> bool:
        """Whether this rank processes batch `number`."""
        return number % self.size == self.rank

    def all_reduce_sum(self, tensor: Tensor) -> None:
        """Replace a tensor with its sum over the ranks."""
        if self.size > 1:
            dist.all_reduce(tensor)

    def all_reduce_max(self, tensor: Tensor) -> None:
        """Replace each value of a tensor with its maximum over the ranks."""
        if self.size > 1:
            dist.all_reduce(tensor, dist.ReduceOp.MAX)

    def all_gather(self, number: Tensor) -> Tensor:
        """The scalar `number` () of every rank, as (ranks,)."""
        parts = torch.zeros(self.size, dtype=number.dtype, device=number.device)
        parts[self.rank] = number
        self.all_reduce_sum(parts)
        return parts

    def local_value(self, parts: Tensor) -> Tensor:
        """This rank's scalar in the result of `all_gather`; the mean if the number of ranks has
        changed."""
        return parts[self.rank] if len(parts) == self.size else parts.mean()

    def broadcast_buffers(self, model: nn.Module) -> None:
        """Copy the buffers of rank 0 to all ranks, whose running means differ because each rank
        sees only its shard of the images."""
        if self.size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)

    def any_process(self, flag: bool) -> bool:
        """Whether `flag` is True on any rank."""
        if self.size == 1:
            return flag
        flags = torch.tensor(flag, dtype=torch.int32)
        self.all_reduce_sum(flags)
        return bool(flags)

    def broadcast_object(self, message: dict[str, Any] | None) -> None:
        """Send a message from rank 0 to all other ranks, which call `receive_object`."""
        if self.size == 1:
            return
        buffer = io.BytesIO()
        torch.save(message, buffer)
        content = torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8)
        dist.broadcast(torch.tensor(len(content)), 0)
        dist.broadcast(content, 0)

    def release_workers(self) -> None:
        """On rank 0: let the other ranks exit if there was nothing to train."""
        if self.size > 1 and dist.is_initialized():
            self.broadcast_object(None)
            self.shutdown()

    def receive_object(self) -> dict[str, Any] | None:
        """Receive the message that rank 0 sends."""
        size = torch.tensor(0)
        dist.broadcast(size, 0)
        content = torch.empty(int(size), dtype=torch.uint8)
        dist.broadcast(content, 0)
        message: dict[str, Any] | None = torch.load(
            io.BytesIO(content.numpy().tobytes()), map_location="cpu", weights_only=True
        )
        return message

    def shutdown(self) -> None:
        """Leave the process group once all ranks have called this: a rank that closed its
        connections earlier could cut off data that others have yet to receive."""
        if self.store is None or not dist.is_initialized():
            return
        if self.store.add("arrived", 1) == self.size:
            self.store.set("all arrived", "")
        self.store.wait(["all arrived"])
        dist.destroy_process_group()


SINGLE_PROCESS = ProcessGroup()
"""A process that trains alone."""


def process_group_from_env() -> ProcessGroup:
    """The group from torchrun's environment variables; `SINGLE_PROCESS` without torchrun."""
    if not dist.is_torchelastic_launched():
        return SINGLE_PROCESS
    return ProcessGroup(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))


@contextmanager
def init_distributed() -> Iterator[ProcessGroup]:
    """Join the other processes that torchrun has started; without torchrun there are none.

    Only the first process to fail reports its error. The others exit silently, since theirs is the
    same error or a consequence of it.

    Raises:
        AecliError: another process has ended prematurely.
    """
    group = process_group_from_env()
    if group.size == 1:
        yield group
        return
    store, _, _ = next(rendezvous("env://"))
    # GPU tensors use nccl; messages between the processes use gloo and do not wait for the GPU.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(
        backend, store=store, rank=group.rank, world_size=group.size, timeout=COLLECTIVE_TIMEOUT
    )
    ours = PrefixStore("aecli", store)
    with _exit_on_signal(ours):
        try:
            yield replace(group, store=ours)
        except BaseException as error:
            ignore_signals()  # torchrun ends all once one has failed, which would hide the reason
            is_secondary = isinstance(error, KeyboardInterrupt) and not group.is_main_process
            if is_secondary or not _is_first_failure(ours):
                raise SystemExit(getattr(error, "status", 1)) from error
            if is_process_lost(error):
                raise AecliError(PROCESS_LOST) from error
            raise
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()


def is_process_lost(error: BaseException) -> bool:
    """Whether the error says that another rank did not answer; torch has no class for gloo's
    errors."""
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error)
    )


def _is_first_failure(store: Store) -> bool:
    try:
        return bool(store.add("failures", 1) == 1)
    except RuntimeError:  # torchrun itself is gone
        return True


@contextmanager
def _exit_on_signal(store: Store) -> Iterator[None]:
    """Make a signal end the process even while it waits for a rank that hangs.

    Python's own handlers run only between bytecodes, never inside a call that blocks.
    """
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    previous = signal.set_wakeup_fd(writing.fileno())  # receives the number of every signal
    finished = threading.Event()

    def watch() -> None:
        received = (EXCEPTIONS.get(byte[0]) for byte in iter(lambda: reading.recv(1), b""))
        kind = next((kind for kind in received if kind), None)
        if kind is None or finished.wait(GRACE_SECONDS):
            return
        if _is_first_failure(store):
            print(
                f"aecli: interrupted: another process has not answered for {GRACE_SECONDS:.0f} s",
                file=sys.stderr,
                flush=True,
            )
        os._exit(kind.status)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        signal.set_wakeup_fd(previous)
        writing.close()
        watcher.join()
        reading.close()
