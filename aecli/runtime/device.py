"""The choice of the device, and the settings with which torch computes on it."""

import ctypes
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from aecli.errors import AecliError, UsageError
from aecli.errors.text import counted
from aecli.runtime.distributed import process_group_from_env

# From glibc's malloc.h: blocks above the mmap threshold (at most 32 MB) are mapped one by one, and
# free memory above the trim threshold is returned to the kernel.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MAX_MMAP_THRESHOLD, NEVER_TRIM = 32 * 2**20, 2**31 - 1


def open_device(name: str) -> torch.device:
    """The device that `device=name` asks for, with torch configured to compute on it.

    Every process must call this before it computes anything.

    Raises:
        UsageError: this machine, or this build of torch, does not have it.
    """
    flush_denormals()
    device = resolve_device(name)
    if device.type == "cuda":
        compute_exactly()
    return device


def flush_denormals() -> None:
    """Flush denormal numbers to zero, in this thread and in those that it starts later.

    Numbers below 1.2e-38, the smallest normal float32, can slow a CPU down a hundredfold: on an
    Intel Xeon (Sapphire Rapids) an epoch of conv took 3.4 s at first and 19 s from the fourth on,
    an epoch of fc 0.5 s and then 3.2 s; AMD is affected less. They come from dead units, whose only
    gradient is that of the L2 penalty: their weights and both of Adam's moments shrink at every
    step until they fall below 1e-38. After 25 epochs this held for one of the 16 filters in the
    first layer of conv (6 % of the first moments there, 9 % in the last layer of the decoder) and
    for 9 % of the first moments of fc.

    A new thread inherits the setting from its parent, so this must be called before torch's first
    computation, which starts the OpenMP threads, and before the image decoding threads start. On a
    CPU without this feature it has no effect.
    """
    # NumPy before 2.4 measures its number formats at first use, and warns if denormals are flushed.
    np.finfo(np.float32), np.finfo(np.float64)
    torch.set_flush_denormal(True)


def compute_exactly() -> None:
    """Make GPUs compute deterministically and in full float32 precision.

    Nondeterministic operations are replaced or raise an error. cuBLAS reads the variable when it
    is first called.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    _set_deterministic(True)
    # Filling only helps to find reads of uninitialised memory, and takes time at every step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.allow_tf32 = False


@contextmanager
def training_arithmetic(device: torch.device, deterministic: bool) -> Iterator[None]:
    """Set the arithmetic of training steps: on a GPU, convolutions use TF32.

    TF32, with 10 mantissa bits, is torch's default and takes a third of the time; weights and sums
    keep 23 bits. Without `deterministic`, algorithms are allowed whose order of sums may vary.
    """
    if device.type != "cuda":
        yield
        return
    torch.backends.cudnn.allow_tf32 = True
    _set_deterministic(deterministic)
    try:
        yield
    finally:
        compute_exactly()


def _set_deterministic(deterministic: bool) -> None:
    if "torch._inductor" in sys.modules:
        torch.use_deterministic_algorithms(deterministic)
    else:  # the same, without importing torch's compiler, which takes seconds
        torch.set_deterministic_debug_mode("error" if deterministic else "default")


def resolve_device(name: str) -> torch.device:
    """The device that `device=name` asks for; `auto` picks the fastest kind available.

    With several training processes, each gets its own GPU.

    Raises:
        UsageError: this machine, or this build of torch, does not have it.
    """
    if process_group_from_env().size > 1:
        return _rank_device(name)
    if name == "auto":
        cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    available = ["cpu"]
    if torch.cuda.is_available():
        available += ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        available.append("mps")
    if name not in available:
        raise UsageError(
            f"device={name} is not available on this machine: give one of auto, "
            f"{', '.join(available)}"
        )
    return torch.device(name)


def _rank_device(name: str) -> torch.device:
    """The device of this process, one of several."""
    if name not in ("auto", "cuda", "cpu"):
        raise UsageError(
            f"device={name} cannot be used by several processes: give auto, cuda or cpu"
        )
    gpus, processes = torch.cuda.device_count(), int(os.environ["LOCAL_WORLD_SIZE"])
    if name == "cpu" or (name == "auto" and not gpus):
        return torch.device("cpu")
    if gpus < processes:
        raise UsageError(
            f"device={name}: this machine has {gpus} GPUs for {processes} processes: start one "
            f"process per GPU, or give device=cpu"
        )
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(device)
    return device


def keep_freed_memory() -> None:
    """Make the process keep the memory that it frees, for reuse in the next step.

    By default glibc returns large blocks to the kernel at once, so every step of a convolutional
    network would allocate its activations again, page by page. Other C libraries have no such
    setting and need none.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_THRESHOLD, MAX_MMAP_THRESHOLD)
    libc.mallopt(M_TRIM_THRESHOLD, NEVER_TRIM)


def check_compiler(device: torch.device) -> None:
    """Check for the C++ compiler that torch.compile needs on the CPU: the one in CXX, or g++.

    Raises:
        UsageError: there is none.
    """
    compiler = os.environ.get("CXX", "g++")
    if device.type == "cpu" and shutil.which(compiler) is None:
        raise UsageError(
            f"compile=true needs a C++ compiler, but {compiler} was not found: install g++, set "
            f"CXX to another compiler, or leave out compile=true"
        )


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed; on the CPU, torch has no exception class for this."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        "DefaultCPUAllocator" in str(error)
    )


@contextmanager
def readable_out_of_memory_errors() -> Iterator[None]:
    """Turn torch's out-of-memory errors into a readable one.

    Raises:
        AecliError: there is not enough.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        raise AecliError(
            "not enough memory: try a smaller batch_size or model, or fewer processes"
        ) from error


def device_name(device: torch.device, processes: int = 1) -> str:
    """A readable name of the device, with the number of processes if there are several."""
    name, threads = str(device), torch.get_num_threads()
    if device.type == "cuda":
        name = f"{device}, {torch.cuda.get_device_name(device)}"
    elif device.type == "cpu":
        name = f"cpu, {counted(threads, 'thread')}"
    return name if processes == 1 else f"{name}, in each of {processes} processes"
