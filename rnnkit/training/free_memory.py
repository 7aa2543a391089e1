"""The memory that this process can still allocate."""

import sys
from collections.abc import Iterator
from pathlib import Path

import torch


def free_memory(device: torch.device, root: Path = Path("/")) -> int | None:
    """Return the number of bytes that can still be allocated on a device; None if the system does not report it.

    On a CPU, under Linux, it is the minimum of the kernel's available memory, of the rest of every control group around
    the process (version 1 or 2), and of the limit on the address space (`ulimit -v`). The file cache of a control group
    counts as free, since the kernel drops it on demand. `root` is the folder that contains /proc and /sys.

    >>> free = free_memory(torch.device("cpu"))
    >>> free is None or free > 0
    True
    """
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + cached
    if device.type != "cpu" or sys.platform != "linux":
        return None
    return min((*_available(root), *_left_of_groups(root), *_left_of_addresses(root)), default=None)


def _available(root: Path) -> Iterator[int]:
    found = _numbers(root / "proc/meminfo").get("MemAvailable:")
    if found is not None:
        yield 1024 * found


def _left_of_groups(root: Path) -> Iterator[int]:
    """Yield the rest of the process's control group and of each one around it; groups without a limit are skipped."""
    for line in _lines(root / "proc/self/cgroup"):
        number, controllers, path = line.split(":", 2)
        if number == "0":  # version 2
            base, limit, used, cache = "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            base, limit, used = "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        group = Path(path.lstrip("/"))
        for part in (group, *group.parents):
            folder = root / base / part
            most, now = ("".join(_lines(folder / name)) for name in (limit, used))
            if most.isdigit() and now.isdigit():
                yield max(0, int(most) - int(now) + _numbers(folder / "memory.stat").get(cache, 0))


def _left_of_addresses(root: Path) -> Iterator[int]:
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = "".join(_lines(root / "proc/self/statm")).split()
    if limit != resource.RLIM_INFINITY and pages:
        yield max(0, limit - int(pages[0]) * resource.getpagesize())


def _lines(path: Path) -> list[str]:
    """Return the lines of a file; none if there is no such file, as in groups without a limit."""
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _numbers(path: Path) -> dict[str, int]:
    """Read a file of lines with a name and a number."""
    words = (line.split() for line in _lines(path))
    return {pair[0]: int(pair[1]) for pair in words if len(pair) > 1 and pair[1].isdigit()}
