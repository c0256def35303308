"""Where tensors live and steps are computed."""

import ctypes
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from aecli.errors import UsageError
from aecli.runtime.distributed import process_group_from_env

# Of glibc's malloc.h: blocks above the one are got from the kernel one by one (32 MB is the most
# that it takes), and free memory above the other is given back.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MAX_MMAP_THRESHOLD, NEVER = 32 * 2**20, 2**31 - 1


def open_device(name: str) -> torch.device:
    """The device that `device=name` asks for, with torch set up to compute on it.

    Whatever computes begins with this, in every process.

    Raises:
        UsageError: this machine, or this build of torch, does not have it.
    """
    flush_denormals()
    device = resolve_device(name)
    if device.type == "cuda":
        compute_exactly()
    return device


def flush_denormals() -> None:
    """Have this thread, and those that it starts from now on, take denormal numbers for zero.

    Numbers between 0 and 1.2e-38, the smallest that float32 holds in full, cost a processor up to a
    hundred times as long as others: on an Intel Xeon (Sapphire Rapids) an epoch of conv took 3.4 s
    at first and 19 s from the fourth on, one of fc 0.5 s and then 3.2 s; on AMD it is less. They
    come from units that are dead. These get no gradient but that of the L2 penalty, under which
    their weights and both of Adam's moments shrink from step to step until they are below 1e-38.
    After 25 epochs that was one of the 16 filters of the first layer of conv (6 % of the first
    moments there, 9 % in the last layer of the decoder) and 9 % of those of fc.

    A new thread inherits the setting from the one that starts it. So this must come before torch's
    first computation, which starts the threads of OpenMP, and before the threads that decode
    images. Where a processor cannot do it, all is as before.
    """
    torch.set_flush_denormal(True)


def compute_exactly() -> None:
    """Have a GPU compute with full float32 numbers, and the same from the same every time.

    Sums whose order depends on what finishes first are computed otherwise, or are an error. cuBLAS
    reads the variable when it is first called.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    _set_deterministic(True)
    # Which is for finding memory that is read before it is written, and takes time at every step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.allow_tf32 = False


@contextmanager
def training_arithmetic(device: torch.device, deterministic: bool) -> Iterator[None]:
    """What training steps compute with: on a GPU, convolutions of TF32 numbers.

    Their 10 bits are torch's default, and take a third of the time; weights and sums keep 23 bits.
    Without `deterministic` the fastest algorithms are used, in whatever order they add.
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
    else:  # the same, but that it does not import torch's compiler to tell it, for seconds
        torch.set_deterministic_debug_mode("error" if deterministic else "default")


def resolve_device(name: str) -> torch.device:
    """The device that `device=name` asks for; `auto` takes the fastest kind that is there.

    Of several processes that train one model, each gets a GPU of its own.

    Raises:
        UsageError: this machine, or this build of torch, does not have it.
    """
    if process_group_from_env().size > 1:
        return _own_device(name)
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
            f"device={name} is not on this machine: give one of auto, {', '.join(available)}"
        )
    return torch.device(name)


def _own_device(name: str) -> torch.device:
    """The device of one of several processes."""
    if name not in ("auto", "cuda", "cpu"):
        raise UsageError(f"device={name} is one for all processes: give auto, cuda or cpu")
    gpus, processes = torch.cuda.device_count(), int(os.environ["LOCAL_WORLD_SIZE"])
    if name == "cpu" or (name == "auto" and not gpus):
        return torch.device("cpu")
    if gpus < processes:
        raise UsageError(
            f"device={name}: this machine has {gpus} GPUs for {processes} processes: start as many "
            f"as there are GPUs, or give device=cpu"
        )
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(device)
    return device


def keep_freed_memory() -> None:
    """Have the process keep the memory that it frees, for the next step to use again.

    glibc gives large blocks back to the kernel at once, and every step of a convolutional network
    would get its activations anew, page by page. Other C libraries have no such setting, and need
    none.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_THRESHOLD, MAX_MMAP_THRESHOLD)
    libc.mallopt(M_TRIM_THRESHOLD, NEVER)


def check_compiler(device: torch.device) -> None:
    """For the CPU torch.compile writes C++, and needs the compiler that CXX names, or g++.

    Raises:
        UsageError: there is none.
    """
    compiler = os.environ.get("CXX", "g++")
    if device.type == "cpu" and shutil.which(compiler) is None:
        raise UsageError(
            f"compile=true needs a C++ compiler, and there is no {compiler}: install g++, name "
            f"another in CXX, or leave compile=true out"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was asked for that is not there; on the CPU torch has no class for that."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        "DefaultCPUAllocator" in str(error)
    )


def device_name(device: torch.device, processes: int = 1) -> str:
    """What a person calls the device, and in how many processes there is one."""
    name, threads = str(device), torch.get_num_threads()
    if device.type == "cuda":
        name = f"{device}, {torch.cuda.get_device_name(device)}"
    elif device.type == "cpu":
        name = f"cpu, {threads} thread{'s' * (threads > 1)}"
    return name if processes == 1 else f"{name}, in each of {processes} processes"
