"""The memory that this process can still allocate."""

import sys
from collections.abc import Iterator
from pathlib import Path

import torch

_GROUPS = (
    ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Control groups of version 2 and 1: folder, files of limit and usage, key of the file cache."""


def free_memory(device: torch.device, root: Path = Path("/")) -> int | None:
    """Return the bytes that can still be allocated on a device; None if the system does not state them.

    On a CPU under Linux, this is the minimum of the available memory of the kernel, of the rest of each control group
    of the process, and of the rest of the address space (`ulimit -v`). The file cache of a control group counts as
    free, because the kernel frees it on demand. `root` is the folder with /proc and /sys.

    >>> free = free_memory(torch.device("cpu"))
    >>> free is None or free > 0
    True
    """
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + cached
    return min(_limits(root), default=None) if device.type == "cpu" and sys.platform == "linux" else None


def _limits(root: Path) -> Iterator[int]:
    import resource

    available = _numbers(root / "proc/meminfo").get("MemAvailable:")
    if available is not None:
        yield 1024 * available
    for number, controllers, path in (line.split(":", 2) for line in _text(root / "proc/self/cgroup").splitlines()):
        if number == "0" or "memory" in controllers.split(","):
            base, limit, used, cache = _GROUPS[number != "0"]
            group = Path(path.lstrip("/"))
            for folder in (root / base / part for part in (group, *group.parents)):
                most, now = _text(folder / limit).strip(), _text(folder / used).strip()
                if most.isdigit() and now.isdigit():
                    yield max(0, int(most) - int(now) + _numbers(folder / "memory.stat").get(cache, 0))
    addresses, pages = resource.getrlimit(resource.RLIMIT_AS)[0], _text(root / "proc/self/statm").split()
    if addresses != resource.RLIM_INFINITY and pages:
        yield max(0, addresses - int(pages[0]) * resource.getpagesize())


def _text(path: Path) -> str:
    """Return the text of a file; empty if it does not exist, as in groups without a limit."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _numbers(path: Path) -> dict[str, int]:
    """Return the numbers of a file by name; its lines begin with a name and a number."""
    words = (line.split() for line in _text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in words if len(pair) > 1 and pair[1].isdigit()}
