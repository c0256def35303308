"""One model trained by several processes, which torchrun has started: their ranks, and what these
say to one another."""

import io
import os
import signal
import socket
import sys
import threading
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
from aecli.runtime.signals import KINDS

# How long a rank waits for another that is alive: rank 0 may be busy with a PCA, or a slow disk.
# One that has ended is noticed at once.
COLLECTIVE_TIMEOUT = timedelta(hours=2)

PROCESS_LOST = "one of the processes of this training has ended"

# From a signal to the end of the process, whatever it waits for; torchrun kills after 30 s.
GRACE_SECONDS = 20.0


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that train a model together, as one of them sees them.

    All of them must make the same calls in the same order, for each waits for the others.
    """

    rank: int = 0
    size: int = 1
    store: Store | None = None
    """What torchrun keeps for all of them, whichever of them ends."""

    @property
    def is_main_process(self) -> bool:
        """Whether this is rank 0, which alone reads the command line, writes and speaks."""
        return self.rank == 0

    def wrap_ddp(self, model: nn.Module) -> nn.Module:
        """`model` with the parameters of rank 0, and gradients that are the mean over the ranks."""
        if self.size == 1:
            return model
        device = next(model.parameters()).device
        return DistributedDataParallel(model, [device] if device.type == "cuda" else None)

    def local_shard(self, batch: Tensor) -> Tensor:
        """The part of a batch (B, ...) that this rank sees; none has two rows more than another.

        Where there are fewer rows than ranks, the others see one that is not theirs, and which
        `scale_loss` takes out again: not every layer can do without.
        """
        if self.size == 1:
            return batch
        part = batch.tensor_split(self.size)[self.rank]
        return part if len(part) else batch[:1]

    def scale_loss(self, loss: Tensor, images: int) -> Tensor:
        """The mean loss of this rank's share of so many images, weighted by the size of that share:
        the mean over the ranks is then the mean over the images."""
        if self.size == 1:
            return loss
        share = images // self.size + (self.rank < images % self.size)
        return loss * (share * self.size / images)

    def owns_batch(self, number: int) -> bool:
        """Whether this rank is the one to take the batch of that number."""
        return number % self.size == self.rank

    def all_reduce_sum(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over the ranks."""
        if self.size > 1:
            dist.all_reduce(tensor)

    def all_gather(self, number: Tensor) -> Tensor:
        """The number () of each rank, (ranks,)."""
        parts = torch.zeros(self.size, dtype=number.dtype, device=number.device)
        parts[self.rank] = number
        self.all_reduce_sum(parts)
        return parts

    def local_value(self, parts: Tensor) -> Tensor:
        """This rank's () of what `all_gather` returned; the mean where ranks were more or fewer."""
        return parts[self.rank] if len(parts) == self.size else parts.mean()

    def broadcast_buffers(self, model: nn.Module) -> None:
        """Give all ranks the buffers of rank 0: each has its own running means, of its own share
        of the images."""
        if self.size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)

    def any_process(self, flag: bool) -> bool:
        """Whether any rank has given True."""
        if self.size == 1:
            return flag
        flags = torch.tensor(flag, dtype=torch.int32)
        self.all_reduce_sum(flags)
        return bool(flags)

    def broadcast_object(self, message: dict[str, Any] | None) -> None:
        """Rank 0 says something to all others, who `receive_object` it."""
        if self.size == 1:
            return
        buffer = io.BytesIO()
        torch.save(message, buffer)
        content = torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8)
        dist.broadcast(torch.tensor(len(content)), 0)
        dist.broadcast(content, 0)

    def release_workers(self) -> None:
        """Where there was nothing to train, rank 0 lets the others go."""
        if self.size > 1 and dist.is_initialized():
            self.broadcast_object(None)
            self.shutdown()

    def receive_object(self) -> dict[str, Any] | None:
        """What rank 0 has sent."""
        size = torch.tensor(0)
        dist.broadcast(size, 0)
        content = torch.empty(int(size), dtype=torch.uint8)
        dist.broadcast(content, 0)
        message: dict[str, Any] | None = torch.load(
            io.BytesIO(content.numpy().tobytes()), map_location="cpu", weights_only=True
        )
        return message

    def shutdown(self) -> None:
        """The ranks need one another no longer. None leaves before all have come to this: what one
        has sent may not have reached the others when it closes its connections."""
        if self.store is None or not dist.is_initialized():
            return
        if self.store.add("parted", 1) == self.size:
            self.store.set("all parted", "")
        self.store.wait(["all parted"])
        dist.destroy_process_group()


SINGLE_PROCESS = ProcessGroup()
"""A process that trains by itself."""


def process_group_from_env() -> ProcessGroup:
    """As torchrun has started this process, if it has."""
    if not dist.is_torchelastic_launched():
        return SINGLE_PROCESS
    return ProcessGroup(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))


@contextmanager
def init_distributed() -> Iterator[ProcessGroup]:
    """Join the other processes that torchrun has started; without torchrun there are none.

    Of a failure one process tells, the first that has it: the others end in silence, since it is
    the same, or is that the first is gone.

    Raises:
        AecliError: another process has ended before its time.
    """
    group = process_group_from_env()
    if group.size == 1:
        yield group
        return
    store, _, _ = next(rendezvous("env://"))
    # Numbers on a GPU go by nccl; what the processes say to one another does not wait for the GPU.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(
        backend, store=store, rank=group.rank, world_size=group.size, timeout=COLLECTIVE_TIMEOUT
    )
    ours = PrefixStore("aecli", store)
    try:
        with _end_on_signal(ours):
            yield replace(group, store=ours)
    except BaseException as error:
        follows = isinstance(error, KeyboardInterrupt) and not group.is_main_process
        if follows or not _is_first_failure(ours):
            raise SystemExit(getattr(error, "status", 1)) from error
        if is_process_lost(error):
            raise AecliError(PROCESS_LOST) from error
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def is_process_lost(error: BaseException) -> bool:
    """Whether it says that another rank has not answered; of gloo torch makes no class."""
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error)
    )


def _is_first_failure(store: Store) -> bool:
    try:
        return bool(store.add("failures", 1) == 1)
    except RuntimeError:  # torchrun itself is gone
        return True


@contextmanager
def _end_on_signal(store: Store) -> Iterator[None]:
    """See to it that a signal ends the process, even where it waits for a rank that hangs.

    Python's own handlers run between two lines, and never while one of them waits.
    """
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    previous = signal.set_wakeup_fd(writing.fileno())  # gets the number of every signal
    is_over = threading.Event()

    def watch() -> None:
        received = (KINDS.get(byte[0]) for byte in iter(lambda: reading.recv(1), b""))
        kind = next((kind for kind in received if kind), None)
        if kind is None or is_over.wait(GRACE_SECONDS):
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
        is_over.set()
        signal.set_wakeup_fd(previous)
        writing.close()
        watcher.join()
        reading.close()
