"""The memory that this process may use: that of the machine, or less in a container or a job."""

import os
from pathlib import Path, PurePosixPath

ROOT = Path("/")


def total_memory() -> int:
    """The memory of the machine, or the least limit of a control group of this process, in
    bytes."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_limits(ROOT)])


def _limits(root: Path) -> list[int]:
    """The limits of the control groups, of version 1 and 2, that this process is in, and of those
    around them."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    mount = root / "sys/fs/cgroup"
    limits = []
    for line in lines:  # such as 0::/user.slice or 4:memory:/docker/abc
        _, _, rest = line.partition(":")
        controllers, colon, group = rest.partition(":")
        if not colon:
            continue
        if controllers == "":
            folder, name = mount, "memory.max"
        elif "memory" in controllers.split(","):
            folder, name = mount / "memory", "memory.limit_in_bytes"
        else:
            continue
        path = PurePosixPath(group.lstrip("/"))
        limits += [_limit(folder / each / name) for each in (path, *path.parents)]
    return [limit for limit in limits if limit is not None]


def _limit(file: Path) -> int | None:
    """The limit in a file; None if there is none, or no such file."""
    try:
        return int(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # "max"
        return None
