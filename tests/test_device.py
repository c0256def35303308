"""How torch is set up: denormal numbers, exact arithmetic, memory that is kept, a compiler."""

import json
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from aecli.errors import UsageError
from aecli.runs.directory import RunDirectory, Status
from aecli.runs.trained import open_run
from aecli.runtime.device import check_compiler, training_arithmetic
from aecli.sweep.planned import run_planned
from tests.conftest import TINY

pytestmark = pytest.mark.undrawn

Aecli = Callable[..., int]

# Where glibc's books are public: blocks that come from the kernel one by one, and the memory of all
# others, in the moment when a large block is there and when it is gone.
BLOCKS = """
import ctypes, sys
from aecli.runtime.device import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
class Books(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in names]
libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Books
libc.malloc.restype = ctypes.c_void_p
before = libc.mallinfo2()
block = libc.malloc(ctypes.c_size_t(31 * 2**20))
there = libc.mallinfo2()
libc.free(ctypes.c_void_p(block))
gone = libc.mallinfo2()
print(there.hblks - before.hblks, gone.arena - before.arena)
"""


@pytest.mark.skipif(platform.libc_ver() < ("glibc", "2.33"), reason="no glibc, or an old one")
def test_freed_memory_is_kept() -> None:
    found = {}
    for how in ("kept", "given back"):
        line = [sys.executable, "-c", BLOCKS, how]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        found[how] = [int(each) for each in done.stdout.split()]
    one_by_one, grown = found["kept"]
    assert one_by_one == 0 and grown >= 30 * 2**20
    assert found["given back"][0] == 1


def test_compiling_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        UsageError,
        match=r"^compile=true needs a C\+\+ compiler, but no-such-compiler was not found",
    ):
        check_compiler(torch.device("cpu"))
    check_compiler(torch.device("cuda"))  # for which torch brings one
    monkeypatch.setenv("CXX", sys.executable)
    check_compiler(torch.device("cpu"))


# What each of many threads makes of the smallest numbers there are: 2e-39, and half of them. A
# thread that flushes takes the first for zero and makes zero of the second.
KERNELS = """
import sys, threading
import torch
from aecli.runtime.device import flush_denormals
if sys.argv[1] == "flushed":
    flush_denormals()
torch.set_num_threads(4)
count = 2**22  # so many that each thread gets some
tiny = torch.tensor(1.2e-38).expand(count).contiguous()

def sums():
    halves = tiny * 0.25                            # element by element
    products = tiny.view(1024, -1) @ torch.full((count // 1024, 8), 2.0**-20)
    maps = torch.full((64, 8, 16, 16), 2.0**-70)
    convolved = torch.conv2d(maps, torch.full((8, 8, 3, 3), 2.0**-70))
    weight = torch.full((count,), 2.0**-70, requires_grad=True)
    (weight * torch.full((count,), 2.0**-70)).backward(torch.full((count,), 2.0**-70))
    bits = [each.detach().view(torch.int32) for each in (halves, products, convolved, weight.grad)]
    return [int(each.count_nonzero()) for each in bits]  # as floats they might be flushed here

found = [sums()]
thread = threading.Thread(target=lambda: found.append(sums()))
thread.start(); thread.join()
print(found)
"""


def test_every_thread_flushes_denormal_numbers() -> None:
    if not torch.set_flush_denormal(False):
        pytest.skip("this processor cannot flush denormal numbers")
    found = {}
    for how in ("flushed", "kept"):
        line = [sys.executable, "-c", KERNELS, how]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        found[how] = json.loads(done.stdout)
    assert found["flushed"] == [[0, 0, 0, 0], [0, 0, 0, 0]]
    assert all(count > 0 for counts in found["kept"] for count in counts)


@pytest.fixture
def flushing() -> Iterator[Callable[[], bool]]:
    """Whether this thread flushes; it does not when the test begins."""
    if not torch.set_flush_denormal(False):
        pytest.skip("this processor cannot flush denormal numbers")
    yield lambda: (torch.tensor(1.2e-38) * 0.25).view(torch.int32).item() == 0
    torch.set_flush_denormal(False)


def test_every_process_that_computes_flushes_denormal_numbers(
    run: RunDirectory,
    aecli: Aecli,
    tmp_path: Path,
    flushing: Callable[[], bool],
) -> None:
    planned = RunDirectory(tmp_path / "planned")
    planned.path.mkdir()
    planned.save_config(run.load_config())
    computing = {
        "a run, or one of the processes of torchrun": lambda: aecli("train", *TINY),
        "a run of a sweep, maybe in another process": lambda: run_planned(
            planned.path, display=None, threads=None, shared=None
        ),
        "a command that uses a run": lambda: open_run(run.path),
    }
    for what, compute in computing.items():
        torch.set_flush_denormal(False)
        assert not flushing()
        compute()
        assert flushing(), what
    assert planned.status is Status.finished


def test_only_training_steps_use_tf32_on_a_gpu() -> None:
    gpu, cudnn = torch.device("cuda"), torch.backends.cudnn
    before = torch.are_deterministic_algorithms_enabled(), cudnn.allow_tf32
    try:
        with training_arithmetic(gpu, deterministic=True):
            assert (torch.are_deterministic_algorithms_enabled(), cudnn.allow_tf32) == (True, True)
        assert (torch.are_deterministic_algorithms_enabled(), cudnn.allow_tf32) == (True, False)
        with pytest.raises(KeyError), training_arithmetic(gpu, deterministic=False):
            assert (torch.are_deterministic_algorithms_enabled(), cudnn.allow_tf32) == (False, True)
            raise KeyError
        assert (torch.are_deterministic_algorithms_enabled(), cudnn.allow_tf32) == (True, False)
    finally:
        torch.set_deterministic_debug_mode("error" if before[0] else "default")
        cudnn.allow_tf32 = before[1]


def test_determinism_is_set_without_importing_the_compiler() -> None:
    code = "import sys, torch; from aecli.runtime.device import compute_exactly; compute_exactly();"
    asked = "print(torch.are_deterministic_algorithms_enabled(), 'torch._inductor' in sys.modules)"
    line = [sys.executable, "-c", f"{code} {asked}"]
    assert subprocess.run(line, capture_output=True, text=True).stdout == "True False\n"
