"""Memory that is kept, and the compiler that torch.compile needs."""

import platform
import subprocess
import sys

import pytest
import torch

from aecli.device import refuse_without_compiler
from aecli.errors import UsageError

# Where glibc's books are public: blocks that come from the kernel one by one, and the memory of all
# others, in the moment when a large block is there and when it is gone.
BLOCKS = """
import ctypes, sys
from aecli.device import keep_freed_memory
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
    with pytest.raises(UsageError, match=r"^compile=true needs a C\+\+ compiler, and there is no"):
        refuse_without_compiler(torch.device("cpu"))
    refuse_without_compiler(torch.device("cuda"))  # for which torch brings one
    monkeypatch.setenv("CXX", sys.executable)
    refuse_without_compiler(torch.device("cpu"))
